//! A resource that is built on first use and unloaded after idleness or under pressure, its cost
//! known to a budget.
//!
//! [`Lazy::get`] returns a [`Guard`]. The first caller builds, callers meanwhile wait for that one
//! build; a failed build is told to all of them and tried again by the next. Guards keep the
//! resource alive: [`Lazy::unload`] waits for nobody, and the memory and its reservation are freed
//! when the last guard goes.
//!
//! **Cost.** About 350 bytes with its consumer, no thread. [`Lazy::get`] of what is there is O(1): one
//! short lock and no allocation, some 70 ns. The resource's own bytes are reserved before the build begins.
//!
//! **Not for.** Many small values (a cache with eviction is), or what every request uses: it would
//! be built again and again. It does not watch the clock: call [`Lazy::unload_idle`] now and then,
//! for example from the monitor. While a guard is out, neither idleness nor pressure unloads: it
//! would free nothing now, and the next user would build a second copy.
//!
//! ```
//! use plimsoll::budget::{Budget, Policy};
//! use plimsoll::lazy::{Lazy, LazyOptions};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let budget = Budget::new(1 << 20, Policy::Greedy);
//! let options = LazyOptions { cost_bytes: 800 << 10, ..LazyOptions::default() };
//! let model = Lazy::new(&budget, "model", options, |_| {
//!     Ok::<_, std::io::Error>(vec![0_u8; 800 << 10])
//! });
//! assert_eq!(model.get()?.len(), 800 << 10);
//! // Nobody uses it: it makes room for others.
//! let index = budget.consumer("index").reserve(600 << 10)?;
//! assert_eq!(model.figures().unloaded_by_pressure_total, 1);
//! # drop(index);
//! # Ok(())
//! # }
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::budget::{Budget, Consumer, Reservation};
use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, ThreadId, lock, thread_id, wait};

/// How a lazy resource is accounted for and unloaded.
#[derive(Clone, Copy, Debug)]
pub struct LazyOptions {
    /// Reserved before each build; the build may correct it. 0 by default.
    pub cost_bytes: u64,
    /// Unloaded after no use for so long; five minutes by default.
    pub idle_timeout: Duration,
    /// Lower is unloaded earlier under pressure; 0 by default.
    pub priority: u8,
}

impl Default for LazyOptions {
    fn default() -> LazyOptions {
        LazyOptions {
            cost_bytes: 0,
            idle_timeout: Duration::from_secs(300),
            priority: 0,
        }
    }
}

/// What a lazy resource did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LazyFigures {
    /// Whether the next [`Lazy::get`] finds it built.
    pub loaded: bool,
    /// Bytes reserved for it, detached copies that guards still hold included.
    pub held_bytes: u64,
    /// Builds that succeeded.
    pub built_total: u64,
    /// Builds that failed, panicked, or had no bytes left for them.
    pub failed_total: u64,
    /// Unloads after the idle timeout.
    pub unloaded_by_idleness_total: u64,
    /// Unloads because others needed memory.
    pub unloaded_by_pressure_total: u64,
    /// Unloads by [`Lazy::unload`].
    pub unloaded_by_request_total: u64,
}

/// A resource built on first use; see the [module](self). A clone is the same resource.
pub struct Lazy<T> {
    inner: Arc<Inner<T>>,
}

type Foreign = Box<dyn StdError + Send + Sync>;
type Build<T> = Box<dyn Fn(&mut Reservation) -> Result<T, Foreign> + Send + Sync>;

struct Inner<T> {
    name: Arc<str>,
    options: LazyOptions,
    consumer: Consumer,
    build: Build<T>,
    state: Mutex<State<T>>,
    /// What [`Held::used_millis`] counts from.
    epoch: Instant,
}

struct State<T> {
    slot: Slot<T>,
    figures: LazyFigures,
}

enum Slot<T> {
    Empty,
    Building(Arc<Flight<T>>),
    Loaded(Arc<Held<T>>),
}

/// The resource and its claim; fields are dropped in order, the memory before the claim on it.
struct Held<T> {
    value: T,
    reservation: Reservation,
    used_millis: AtomicU64,
    epoch: Instant,
}

impl<T> Held<T> {
    fn touch(&self) {
        let millis = self.epoch.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.used_millis.store(millis, Ordering::Relaxed);
    }
}

/// One build under way, and who waits for it.
struct Flight<T> {
    builder: ThreadId,
    outcome: Mutex<Option<Result<Arc<Held<T>>, Failure>>>,
    landed: Condvar,
}

/// Why a build failed, told to all who waited.
struct Failure {
    kind: ErrorKind,
    source: Arc<dyn StdError + Send + Sync>,
}

impl Clone for Failure {
    fn clone(&self) -> Failure {
        Failure {
            kind: self.kind,
            source: self.source.clone(),
        }
    }
}

struct Shared(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[derive(Clone, Copy)]
enum Why {
    Idle,
    Pressure,
    Asked,
}

impl<T: Send + Sync + 'static> Lazy<T> {
    /// A resource that `build` makes when it is first used. The build gets the reservation of
    /// `cost_bytes` and may grow or shrink it to what the resource really takes; its error reaches
    /// all who waited for it.
    pub fn new<E: Into<Foreign>>(
        budget: &Budget,
        name: impl Into<Arc<str>>,
        options: LazyOptions,
        build: impl Fn(&mut Reservation) -> Result<T, E> + Send + Sync + 'static,
    ) -> Lazy<T> {
        let name = name.into();
        let inner = Arc::new_cyclic(|weak: &Weak<Inner<T>>| {
            let weak = weak.clone();
            let consumer = budget
                .consumer(name.clone())
                .on_pressure(options.priority, move |_| {
                    if let Some(inner) = weak.upgrade() {
                        inner.unload(Why::Pressure, None);
                    }
                });
            Inner {
                name,
                options,
                consumer,
                build: Box::new(move |reservation| build(reservation).map_err(Into::into)),
                state: Mutex::new(State {
                    slot: Slot::Empty,
                    figures: LazyFigures::default(),
                }),
                epoch: Instant::now(),
            }
        });
        Lazy { inner }
    }

    /// The resource, built if it is not there; waits while another thread builds it.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBudget`] where its cost can't be reserved, [`ErrorKind::Failed`] with the
    /// build's own error as source, [`ErrorKind::Invalid`] when the build asks for what it builds.
    pub fn get(&self) -> Result<Guard<T>, Error> {
        let flight = {
            let mut state = lock(&self.inner.state);
            match &state.slot {
                Slot::Loaded(held) => return Ok(Guard::new(held.clone())),
                Slot::Building(flight) => Err(flight.clone()),
                Slot::Empty => {
                    let flight = Arc::new(Flight {
                        builder: thread_id(),
                        outcome: Mutex::new(None),
                        landed: Condvar::new(),
                    });
                    state.slot = Slot::Building(flight.clone());
                    Ok(flight)
                }
            }
        };
        let result = match flight {
            Ok(own) => self.inner.fly(own),
            Err(other) if other.builder == thread_id() => {
                let text = format!("build {:?}: its build asks for itself", self.inner.name);
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            Err(other) => other.wait(),
        };
        result.map(Guard::new).map_err(|failure| {
            let text = format!("build {:?}", self.inner.name);
            Error::with_source(failure.kind, text, Shared(failure.source))
        })
    }

    /// The resource if it is there; builds and waits for nothing.
    #[must_use]
    pub fn get_loaded(&self) -> Option<Guard<T>> {
        match &lock(&self.inner.state).slot {
            Slot::Loaded(held) => Some(Guard::new(held.clone())),
            Slot::Empty | Slot::Building(_) => None,
        }
    }

    /// Lets go of the resource, in use or not; the next [`Lazy::get`] builds it anew. Returns
    /// whether there was one. A build under way goes on.
    pub fn unload(&self) -> bool {
        self.inner.unload(Why::Asked, None)
    }

    /// Unloads it if nobody has used it for the idle timeout, as of `now`. O(1).
    pub fn unload_idle(&self, now: Instant) -> bool {
        self.inner.unload(Why::Idle, Some(now))
    }
}

impl<T> Lazy<T> {
    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.inner.name
    }

    /// The figures of this moment.
    #[must_use]
    pub fn figures(&self) -> LazyFigures {
        let mut figures = {
            let state = lock(&self.inner.state);
            LazyFigures {
                loaded: matches!(state.slot, Slot::Loaded(_)),
                ..state.figures
            }
        };
        figures.held_bytes = self.inner.consumer.held_bytes();
        figures
    }
}

impl<T> Clone for Lazy<T> {
    fn clone(&self) -> Lazy<T> {
        Lazy {
            inner: self.inner.clone(),
        }
    }
}

impl<T> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy")
            .field("name", &self.inner.name)
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

impl<T> Inner<T> {
    /// Builds, and lands the flight whatever happens.
    fn fly(&self, flight: Arc<Flight<T>>) -> Result<Arc<Held<T>>, Failure> {
        /// A build that panics lands too, or others would wait for ever.
        struct Landing<'a, T>(&'a Inner<T>, Option<Arc<Flight<T>>>);
        impl<T> Drop for Landing<'_, T> {
            fn drop(&mut self) {
                if let Some(flight) = self.1.take() {
                    let failure = Failure {
                        kind: ErrorKind::Failed,
                        source: Arc::from(Foreign::from("the build panicked")),
                    };
                    self.0.land(&flight, Err(failure));
                }
            }
        }
        let mut landing = Landing(self, Some(flight));
        let result = self.build();
        if let Some(flight) = landing.1.take() {
            self.land(&flight, result.clone());
        }
        result
    }

    fn build(&self) -> Result<Arc<Held<T>>, Failure> {
        let reserved = self.consumer.reserve(self.options.cost_bytes);
        let mut reservation = reserved.map_err(|error| Failure {
            kind: error.kind(),
            source: Arc::new(error),
        })?;
        let value = (self.build)(&mut reservation).map_err(|error| Failure {
            kind: ErrorKind::Failed,
            source: Arc::from(error),
        })?;
        let held = Held {
            value,
            reservation,
            used_millis: AtomicU64::new(0),
            epoch: self.epoch,
        };
        held.touch();
        Ok(Arc::new(held))
    }

    fn land(&self, flight: &Flight<T>, result: Result<Arc<Held<T>>, Failure>) {
        {
            let mut state = lock(&self.state);
            // A flight's slot is changed by nobody else.
            state.slot = match &result {
                Ok(held) => Slot::Loaded(held.clone()),
                Err(_) => Slot::Empty,
            };
            match &result {
                Ok(_) => state.figures.built_total += 1,
                Err(_) => state.figures.failed_total += 1,
            }
        }
        *lock(&flight.outcome) = Some(result);
        flight.landed.notify_all();
    }

    /// Takes the resource out; what that frees is dropped without the lock.
    fn unload(&self, why: Why, now: Option<Instant>) -> bool {
        let taken = {
            let mut state = lock(&self.state);
            let Slot::Loaded(held) = &state.slot else {
                return false;
            };
            // New guards are made from this one, under this lock, or from guards there are.
            let in_use = Arc::strong_count(held) > 1;
            let idle = now.is_none_or(|now| {
                let used = Duration::from_millis(held.used_millis.load(Ordering::Relaxed));
                let unused = now.saturating_duration_since(self.epoch + used);
                unused >= self.options.idle_timeout
            });
            let (spared, count) = match why {
                Why::Asked => (false, &mut state.figures.unloaded_by_request_total),
                Why::Pressure => (in_use, &mut state.figures.unloaded_by_pressure_total),
                Why::Idle => (
                    in_use || !idle,
                    &mut state.figures.unloaded_by_idleness_total,
                ),
            };
            if spared {
                return false;
            }
            *count += 1;
            std::mem::replace(&mut state.slot, Slot::Empty)
        };
        drop(taken);
        true
    }
}

impl<T> Flight<T> {
    fn wait(&self) -> Result<Arc<Held<T>>, Failure> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(result) = &*outcome {
                return result.clone();
            }
            outcome = wait(&self.landed, outcome);
        }
    }
}

/// A use of a lazy resource; it is there as long as this is.
pub struct Guard<T> {
    held: Arc<Held<T>>,
}

impl<T> Guard<T> {
    fn new(held: Arc<Held<T>>) -> Guard<T> {
        held.touch();
        Guard { held }
    }

    /// Bytes reserved for this copy of the resource.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held.reservation.bytes()
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held.value
    }
}

impl<T> Clone for Guard<T> {
    fn clone(&self) -> Guard<T> {
        Guard {
            held: self.held.clone(),
        }
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // Idleness begins when the last use ends, not when it began.
        self.held.touch();
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.value.fmt(f)
    }
}
