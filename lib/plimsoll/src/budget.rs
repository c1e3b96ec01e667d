//! A pool of bytes with named consumers: reserve before you allocate, give back by dropping.
//!
//! A [`Budget`] knows how many bytes a part of a program may hold. A [`Consumer`] is a named holder;
//! a [`Reservation`] is its claim on bytes, freed when it is dropped. A claim that does not fit first
//! asks other consumers to free memory through their hooks ([`Consumer::on_pressure`]), then fails
//! with an error that names the largest holders, or waits in line ([`Consumer::reserve_wait`],
//! [`Consumer::reserve_async`]). The limit is a number, or what the tightest cgroup leaves
//! ([`Limit::from_cgroup`]). [`Budget::reconcile`] compares the account with the real RSS.
//!
//! **Cost.** About 140 bytes a consumer and as much as its hook captures, 16 a reservation, 80 a
//! waiting request; no thread. A claim takes one lock and is O(1), some 50 ns with its release; where
//! it does not fit it is O(consumers) for each hook asked.
//!
//! **Not for.** It allocates nothing and bounds nothing by itself: what is not reserved is not seen,
//! which is what the headroom and the drift are for. Do not reserve for every small object: reserve
//! for a batch, a cache, an index, and count capacity, not length.
//!
//! # Order of hooks
//! Consumers above their fair share first (under [`Policy::Fair`]), then the lowest priority, then
//! the largest holder. Never the asker's own hook: the asker gets the error and frees by itself. No
//! lock is held while a hook runs, so it may shrink, drop and even reserve; one hook never runs
//! twice at once. A hook must not wait: not in line for bytes, and not for a lock that some thread holds
//! while it reserves. It uses `try_lock` there, or two consumers that squeeze each other stop for ever.
//!
//! # Waiting
//! Requests that wait are served in order, and no new claim passes them, so a large request does not
//! starve behind small ones. The exception is a request that its consumer's own share keeps back: it
//! lets the others pass. Who waits while it holds a reservation can stop the program for ever, as
//! with any lock; wait first, then hold, or give a timeout.
//!
//! ```
//! use plimsoll::budget::{Budget, Policy};
//!
//! # fn main() -> Result<(), plimsoll::Error> {
//! let budget = Budget::new(64 << 20, Policy::Greedy);
//! let index = budget.consumer("index");
//! let mut reservation = index.reserve(40 << 20)?;
//! assert!(reservation.try_grow(30 << 20).is_err());
//! reservation.shrink(20 << 20);
//! assert_eq!(budget.figures().left_bytes, 44 << 20);
//! # Ok(())
//! # }
//! ```

mod account;
mod limit;
mod request;
mod reservation;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::sync::{Condvar, Mutex, lock};
use account::{Account, ConsumerId, Wakes};

pub use limit::Limit;
pub use request::ReserveFuture;
pub use reservation::{Consumer, Reservation};

/// How the pool is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// First come, first served, up to the limit.
    Greedy,
    /// Each active spillable consumer may hold an even part of what the unspillable ones leave:
    /// `(limit - held by unspillable) / active spillable consumers`. Active is who holds bytes, and
    /// the asker. Unspillable consumers are served first come, first served.
    ///
    /// A lone consumer may so hold all, and is above its share as soon as a second one asks: its
    /// hook is then the first to be called, and it gets no more until it is below. DataFusion's
    /// pool of that name counts every registered consumer instead, active or not.
    Fair,
}

/// How short memory is; what the monitor tells and hooks are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pressure {
    /// Enough is left.
    #[default]
    Calm,
    /// Little is left: free what is cheap to have again.
    Tight,
    /// The process is about to be stopped or killed: free what can be freed.
    Critical,
}

impl Pressure {
    /// "calm", "tight" or "critical".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Pressure::Calm => "calm",
            Pressure::Tight => "tight",
            Pressure::Critical => "critical",
        }
    }
}

/// What a hook is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Squeeze {
    /// Bytes still missing; more may be freed, and less is welcome too.
    pub wanted_bytes: u64,
    /// [`Pressure::Tight`] when a claim did not fit, or what [`Budget::relieve`] was told.
    pub pressure: Pressure,
}

/// What frees memory of a consumer when asked; see [`Consumer::on_pressure`].
pub(crate) type Hook = Arc<dyn Fn(&Squeeze) + Send + Sync>;

/// What a budget holds, and what it did since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// The limit, headroom already taken off.
    pub limit_bytes: u64,
    /// Part of the limit kept back because RSS exceeds the account; see [`Budget::reconcile`].
    pub withheld_bytes: u64,
    /// Sum of all reservations.
    pub held_bytes: u64,
    /// The highest that sum ever was.
    pub held_peak_bytes: u64,
    /// What can be handed out now.
    pub left_bytes: u64,
    /// RSS less the account at the last [`Budget::reconcile`]; 0 before the first.
    pub drift_bytes: i64,
    /// Requests in the queue.
    pub waiting: usize,
    /// What they want together.
    pub waiting_bytes: u64,
    /// Claims that were granted, at once or after a wait.
    pub granted_total: u64,
    /// Claims that failed, and waits that ended in an error.
    pub refused_total: u64,
    /// Hooks that were called.
    pub hooks_called_total: u64,
    /// What the consumers of called hooks held less afterwards.
    pub hooks_freed_bytes_total: u64,
    /// In order of registration, places of the gone filled again.
    pub consumers: Vec<ConsumerFigures>,
}

/// What one consumer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerFigures {
    /// As it was registered.
    pub name: Arc<str>,
    /// Sum of its reservations.
    pub held_bytes: u64,
    /// The highest that sum ever was.
    pub held_peak_bytes: u64,
    /// Whether it is held to its share under [`Policy::Fair`].
    pub spillable: bool,
    /// Claims of it that failed.
    pub refused_total: u64,
}

/// RSS against the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// As it was told.
    pub rss_bytes: u64,
    /// Sum of all reservations.
    pub held_bytes: u64,
    /// RSS less that sum: above zero is memory that no reservation accounts for, below zero is
    /// memory that is reserved and not used (yet).
    pub drift_bytes: i64,
    /// What is kept back of the limit from now on.
    pub withheld_bytes: u64,
}

/// Bytes a part of a program may hold, shared by consumers; see the [module](self). A clone is the
/// same budget.
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    account: Mutex<Account>,
    /// Told when a request that blocks its thread is settled.
    settled: Condvar,
    limit: Limit,
    drift_allowance: Mutex<Option<u64>>,
}

impl Budget {
    /// A budget with nothing handed out yet.
    pub fn new(limit: impl Into<Limit>, policy: Policy) -> Budget {
        let limit = limit.into();
        Budget {
            inner: Arc::new(Inner {
                account: Mutex::new(Account::new(limit.bytes(), policy)),
                settled: Condvar::new(),
                limit,
                drift_allowance: Mutex::new(None),
            }),
        }
    }

    /// Registers a holder, unspillable until [`Consumer::spillable`] or [`Consumer::on_pressure`]
    /// says otherwise. Names are for people and need not be unique. O(consumers).
    #[must_use]
    pub fn consumer(&self, name: impl Into<Arc<str>>) -> Consumer {
        Consumer::register(&self.inner, name.into())
    }

    /// The figures of this moment. O(consumers); one short lock.
    #[must_use]
    pub fn figures(&self) -> Figures {
        lock(&self.inner.account).figures()
    }

    /// Sets another limit, until the next [`Budget::refresh`] of one that is read from a cgroup.
    /// Hooks are asked to free what is held beyond it; no reservation is taken away. While more is
    /// held than the limit, nothing is handed out, and requests in the queue that exceed it fail.
    pub fn set_limit(&self, limit_bytes: u64) {
        self.inner.with(|account| account.set_limit(limit_bytes));
        self.free_excess();
    }

    /// Has hooks free what is held beyond what may be handed out.
    fn free_excess(&self) {
        let excess = {
            let account = lock(&self.inner.account);
            account.held().saturating_sub(account.usable())
        };
        self.squeeze(excess, Pressure::Tight);
    }

    /// Reads the limit again where it came from a cgroup, and says whether it changed. The monitor
    /// does so at every reading.
    ///
    /// # Errors
    /// As [`Limit::from_cgroup`]; the old limit stays.
    pub fn refresh(&self) -> Result<bool, Error> {
        let limit = self.inner.limit.read()?;
        let Some(limit) = limit else { return Ok(false) };
        let changed = lock(&self.inner.account).limit() != limit;
        if changed {
            self.set_limit(limit);
        }
        Ok(changed)
    }

    /// From now on, [`Budget::reconcile`] keeps back what RSS exceeds the account by, as far as that
    /// is more than `allowance_bytes`: what the program needs beside its reservations (its code,
    /// stacks, small objects). Peak RSS then stays below limit + allowance even where consumers
    /// reserve too little, as long as they ask before they grow. Hooks are asked to free what is held
    /// beyond the rest. Without an allowance, drift is only told.
    pub fn set_drift_allowance(&self, allowance_bytes: u64) {
        *lock(&self.inner.drift_allowance) = Some(allowance_bytes);
    }

    /// Compares the account with the RSS of the process, and acts on it where
    /// [`Budget::set_drift_allowance`] was called. A reservation whose pages are not touched yet
    /// hides as much drift as it has bytes: call it again and again, as the monitor does.
    pub fn reconcile(&self, rss_bytes: u64) -> Drift {
        let allowance = *lock(&self.inner.drift_allowance);
        let mut drift = Drift {
            rss_bytes,
            held_bytes: 0,
            drift_bytes: 0,
            withheld_bytes: 0,
        };
        self.inner.with(|account| {
            drift.held_bytes = account.held();
            drift.drift_bytes = difference(rss_bytes, drift.held_bytes);
            account.drift = drift.drift_bytes;
            if let Some(allowance) = allowance {
                let untracked = rss_bytes.saturating_sub(drift.held_bytes);
                drift.withheld_bytes = untracked.saturating_sub(allowance);
            }
            if drift.withheld_bytes == account.withheld() {
                return Wakes::default();
            }
            account.set_withheld(drift.withheld_bytes)
        });
        if drift.withheld_bytes > 0 {
            self.free_excess();
        }
        drift
    }

    /// For tests of what uses a budget: the `nth` claim from now on (the first is 1) fails as if
    /// nothing were left, with hooks not asked and nothing waited for. 0 takes it back. Run the work
    /// with 1, 2, 3, … until it passes, and every failure was tried.
    pub fn fail_nth(&self, nth: u64) {
        lock(&self.inner.account).fail_in = nth;
    }

    /// Has hooks free memory, in their order, because memory is short outside of this budget:
    /// under [`Pressure::Tight`] a quarter of what consumers with hooks hold, under
    /// [`Pressure::Critical`] all of it, under [`Pressure::Calm`] nothing. Returns what they freed.
    pub fn relieve(&self, pressure: Pressure) -> u64 {
        let held = lock(&self.inner.account).held_with_hook();
        let wanted = match pressure {
            Pressure::Calm => 0,
            Pressure::Tight => held.div_ceil(4),
            Pressure::Critical => held,
        };
        self.squeeze(wanted, pressure)
    }

    /// Asks hooks, in their order, until `wanted` bytes are freed or none is left to ask.
    fn squeeze(&self, wanted: u64, pressure: Pressure) -> u64 {
        let mut freed = 0;
        let mut tried = Vec::new();
        while freed < wanted {
            let next = lock(&self.inner.account).next_hook(None, &tried);
            let Some((id, hook)) = next else { break };
            tried.push(id);
            let squeeze = Squeeze {
                wanted_bytes: wanted - freed,
                pressure,
            };
            freed += self.inner.call_hook(id, &hook, &squeeze);
        }
        freed
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures().fmt(f)
    }
}

/// `a - b`, held at the ends of the range.
fn difference(a: u64, b: u64) -> i64 {
    let size = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a >= b { size } else { -size }
}

impl Inner {
    /// Changes the account, then wakes whom that serves, without the lock.
    fn with(&self, change: impl FnOnce(&mut Account) -> Wakes) {
        let wakes = change(&mut lock(&self.account));
        self.wake(wakes);
    }

    fn wake(&self, wakes: Wakes) {
        if wakes.blocked {
            self.settled.notify_all();
        }
        wakes.wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Runs a hook that [`Account::next_hook`] marked; returns what its consumer holds less.
    fn call_hook(&self, id: ConsumerId, hook: &Hook, squeeze: &Squeeze) -> u64 {
        /// Ends the mark also when the hook panics.
        struct Running<'a>(&'a Inner, ConsumerId, &'a Hook);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                lock(&self.0.account).end_hook(self.1, self.2);
            }
        }
        let running = Running(self, id, hook);
        let before = lock(&self.account).held_by(id);
        hook(squeeze);
        drop(running);
        let mut account = lock(&self.account);
        let freed = before.saturating_sub(account.held_by(id));
        account.hooks_called += 1;
        account.hooks_freed += freed;
        freed
    }
}

/// The error of a claim that did not fit; `end` says what the reader can do.
fn out_of_budget(
    account: &Account,
    id: ConsumerId,
    wanted: u64,
    left: (u64, &'static str),
    kind: ErrorKind,
) -> Error {
    use crate::amount::Amount;
    use fmt::Write;

    /// Enough to see who is in the way, short enough for a log line.
    const HOLDERS_MAX: usize = 3;
    let (left, what) = left;
    let mut text = format!(
        "reserve {} for {:?}: {} are left {what} ({} of {} held",
        Amount(wanted),
        account.name(id),
        Amount(left),
        Amount(account.held()),
        Amount(account.usable()),
    );
    // Writing to a String can't fail.
    if account.withheld() > 0 {
        let withheld = Amount(account.withheld());
        let _ = write!(text, ", {withheld} withheld for memory nobody reserved");
    }
    if account.waiting() > 0 {
        let _ = write!(text, ", {} in line before it", account.waiting());
    }
    text.push(')');
    for (at, (name, held)) in account.holders(HOLDERS_MAX).into_iter().enumerate() {
        let lead = if at == 0 { "; largest holders: " } else { ", " };
        let _ = write!(text, "{lead}{name:?} {}", Amount(held));
    }
    text.push_str("; free some, ask for less, wait for it, or raise the limit");
    Error::new(kind, text)
}
