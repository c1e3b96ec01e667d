//! Consumers and their reservations: what users hold. RAII all the way: a registration ends with
//! the last handle and the last reservation.

use std::fmt;
use std::sync::Arc;

use super::account::{ConsumerId, Shortage};
use super::{Hook, Inner, Squeeze, out_of_budget};
use crate::error::{Error, ErrorKind};
use crate::sync::lock;

/// A named holder of a budget. Clones are handles of the same holder.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use plimsoll::budget::{Budget, Policy, Reservation};
///
/// let budget = Budget::new(100, Policy::Greedy);
/// // A cache that lets go of what it holds when others need it.
/// let kept: Arc<Mutex<Vec<Reservation>>> = Arc::default();
/// let weak = Arc::downgrade(&kept);
/// let cache = budget.consumer("cache").on_pressure(0, move |_| {
///     if let Some(kept) = weak.upgrade() {
///         // No lock is waited for in a hook.
///         drop(kept.try_lock().map(|mut kept| std::mem::take(&mut *kept)));
///     }
/// });
/// kept.lock().unwrap().push(cache.reserve(80)?);
/// let sort = budget.consumer("sort").reserve(50)?;
/// assert_eq!((cache.held_bytes(), sort.bytes()), (0, 50));
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[derive(Clone)]
pub struct Consumer {
    pub(super) registration: Arc<Registration>,
}

pub(super) struct Registration {
    pub(super) inner: Arc<Inner>,
    pub(super) id: ConsumerId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (hook, wakes) = lock(&self.inner.account).unregister(self.id);
        self.inner.wake(wakes);
        // The hook's captures are foreign code: dropped without the lock.
        drop(hook);
    }
}

impl Consumer {
    pub(super) fn register(inner: &Arc<Inner>, name: Arc<str>) -> Consumer {
        let id = lock(&inner.account).register(name);
        Consumer {
            registration: Arc::new(Registration {
                inner: inner.clone(),
                id,
            }),
        }
    }

    /// Marks the consumer as one that can spill: it reacts to an error by freeing memory of its own.
    /// Under `Policy::Fair` it is held to its share.
    #[must_use]
    pub fn spillable(self) -> Consumer {
        let Registration { inner, id } = &*self.registration;
        inner.with(|account| account.set_spillable(*id));
        self
    }

    /// Has `hook` called when others need memory; the consumer is spillable from now on. Hooks of
    /// a lower `priority` are called first. The hook frees by shrinking or dropping reservations of
    /// this consumer, in the thread that asks; see the module for order and locks.
    ///
    /// Capture a [`std::sync::Weak`] of what owns the reservations: the hook lives as long as the
    /// registration, which lives as long as any of its reservations.
    #[must_use]
    pub fn on_pressure(
        self,
        priority: u8,
        hook: impl Fn(&Squeeze) + Send + Sync + 'static,
    ) -> Consumer {
        let hook: Hook = Arc::new(hook);
        let Registration { inner, id } = &*self.registration;
        let old = lock(&inner.account).set_hook(*id, priority, hook);
        drop(old);
        self.spillable()
    }

    /// The name it was registered with.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        lock(&self.registration.inner.account).name(self.registration.id)
    }

    /// Bytes it holds now, over all its reservations.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        lock(&self.registration.inner.account).held_by(self.registration.id)
    }

    /// Claims bytes now, or after hooks of others freed enough. O(1) where they are left.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBudget`], with what was wanted, held and left and the largest holders.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, Error> {
        self.registration.claim(bytes)?;
        Ok(self.reservation(bytes))
    }

    /// A reservation of bytes that are claimed already.
    pub(super) fn reservation(&self, bytes: u64) -> Reservation {
        Reservation {
            consumer: self.clone(),
            bytes,
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name())
            .field("held_bytes", &self.held_bytes())
            .finish()
    }
}

impl Registration {
    /// Claims now; where it does not fit, hooks of others are asked until it does.
    fn claim(&self, wanted: u64) -> Result<(), Error> {
        {
            let mut account = lock(&self.inner.account);
            if account.fails_on_purpose() {
                account.count_refusal(self.id);
                let (left, kind) = ((0, "as a test demands"), ErrorKind::OutOfBudget);
                return Err(out_of_budget(&account, self.id, wanted, left, kind));
            }
            if account.claim(self.id, wanted).is_ok() {
                return Ok(());
            }
        }
        let mut tried = Vec::new();
        loop {
            let (squeeze, next) = {
                let mut account = lock(&self.inner.account);
                let shortage = match account.claim(self.id, wanted) {
                    Ok(()) => return Ok(()),
                    Err(shortage) => shortage,
                };
                let next = match shortage {
                    Shortage::Pool { .. } => account.next_hook(Some(self.id), &tried),
                    // What others free does not make its own share larger.
                    Shortage::Share { .. } | Shortage::Never => None,
                };
                let Some(next) = next else {
                    account.count_refusal(self.id);
                    let (left, kind) = (shortage.left(), ErrorKind::OutOfBudget);
                    return Err(out_of_budget(&account, self.id, wanted, left, kind));
                };
                (Squeeze::tight(account.missing(wanted)), next)
            };
            let (id, hook) = next;
            tried.push(id);
            self.inner.call_hook(id, &hook, &squeeze);
        }
    }
}

impl Squeeze {
    pub(super) fn tight(wanted_bytes: u64) -> Squeeze {
        Squeeze {
            wanted_bytes,
            pressure: super::Pressure::Tight,
        }
    }
}

impl Shortage {
    /// What is left, and of what.
    pub(super) fn left(self) -> (u64, &'static str) {
        match self {
            Shortage::Pool { left } => (left, "for it"),
            Shortage::Share { left } => (left, "of its fair share"),
            Shortage::Never => (0, "for more than the whole budget"),
        }
    }
}

/// A claim on bytes of a budget; dropping it gives them back. Growing, shrinking, splitting: one
/// lock, O(1) where the bytes are left.
///
/// ```
/// use plimsoll::budget::{Budget, Policy};
///
/// let budget = Budget::new(100, Policy::Greedy);
/// let mut reservation = budget.consumer("index").reserve(40)?;
/// reservation.try_grow(20)?;
/// let part = reservation.split(10)?;
/// assert_eq!(reservation.shrink(15), 15);
/// assert_eq!((reservation.bytes(), part.bytes()), (35, 10));
/// drop((reservation, part));
/// assert_eq!(budget.figures().held_bytes, 0);
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[must_use = "a reservation that is dropped at once reserves nothing"]
pub struct Reservation {
    consumer: Consumer,
    bytes: u64,
}

impl Reservation {
    /// Bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whose it is.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Claims `bytes` more, as [`Consumer::reserve`] does; on error nothing has changed.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBudget`].
    pub fn try_grow(&mut self, bytes: u64) -> Result<(), Error> {
        self.consumer.registration.claim(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back up to `bytes`; returns how many those were.
    pub fn shrink(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.bytes);
        if bytes > 0 {
            self.bytes -= bytes;
            let Registration { inner, id } = &*self.consumer.registration;
            inner.with(|account| account.release(*id, bytes));
        }
        bytes
    }

    /// Grows or shrinks to `bytes` in all.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBudget`] when growing.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Error> {
        if bytes > self.bytes {
            return self.try_grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    /// Cuts `bytes` off as a reservation of their own. The sum stays the same.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it holds fewer.
    pub fn split(&mut self, bytes: u64) -> Result<Reservation, Error> {
        if bytes > self.bytes {
            let text = format!(
                "split {bytes} bytes off a reservation of {:?}: it holds {}",
                self.consumer.name(),
                self.bytes
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.bytes -= bytes;
        Ok(self.consumer.reservation(bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("consumer", &self.consumer.name())
            .field("bytes", &self.bytes)
            .finish()
    }
}
