//! Requests that wait in line: blocking a thread with a timeout, or as a future of any runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::account::{Account, Settled, Shortage, WAITING_MAX};
use super::{Consumer, Reservation, Squeeze, out_of_budget};
use crate::error::{Error, ErrorKind};
use crate::sync::{lock, wait_timeout};

impl Consumer {
    /// Claims bytes, waiting in line for up to `timeout`. Hooks of others are asked first, in this
    /// thread. Memory: 80 bytes while it waits.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] with the holders of that moment; [`ErrorKind::OutOfBudget`] at once
    /// for more than the whole limit, or when 65,536 requests wait already.
    pub fn reserve_wait(&self, bytes: u64, timeout: Duration) -> Result<Reservation, Error> {
        // `None`: too far away for a clock, which is for ever.
        let until = Instant::now().checked_add(timeout);
        let Some(ticket) = Ticket::join(self, bytes, None)? else {
            return Ok(self.reservation(bytes));
        };
        ticket.squeeze();
        let inner = &self.registration.inner;
        let mut account = lock(&inner.account);
        loop {
            if let Some(result) = ticket.collect(&mut account) {
                // The ticket is used up, and its drop takes the lock.
                drop(account);
                return result.map(|()| self.reservation(bytes));
            }
            let left = until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                let left = (account.left(), "for it");
                let kind = ErrorKind::TimedOut;
                account.count_refusal(self.registration.id);
                let error = out_of_budget(&account, self.registration.id, bytes, left, kind);
                drop(account);
                return Err(error);
            }
            account = wait_timeout(&inner.settled, account, left);
        }
    }

    /// Claims bytes, waiting in line without a thread. Nothing happens before the first poll, which
    /// asks hooks of others in the polling thread; dropping the future withdraws the request.
    /// What is granted counts as held from then on, polled or not: do not leave it lying.
    /// Memory: 80 bytes in the budget while it waits. With any runtime; the error is that of
    /// [`Consumer::reserve`].
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// use plimsoll::budget::{Budget, Policy};
    ///
    /// let budget = Budget::new(100, Policy::Greedy);
    /// let consumer = budget.consumer("task");
    /// let held = consumer.reserve(80)?;
    /// let mut waits = pin!(consumer.reserve_async(50));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(waits.as_mut().poll(&mut context).is_pending());
    /// drop(held);
    /// let Poll::Ready(granted) = waits.poll(&mut context) else { panic!("it is its turn") };
    /// assert_eq!(granted?.bytes(), 50);
    /// # Ok::<(), plimsoll::Error>(())
    /// ```
    pub fn reserve_async(&self, bytes: u64) -> ReserveFuture {
        ReserveFuture {
            consumer: self.clone(),
            bytes,
            ticket: None,
            done: false,
        }
    }
}

/// A request in the queue; withdrawn when dropped before its end was collected.
struct Ticket {
    consumer: Consumer,
    wanted: u64,
    number: u64,
    collected: std::cell::Cell<bool>,
}

impl Ticket {
    /// Claims at once (`None`) or joins the queue.
    fn join(
        consumer: &Consumer,
        wanted: u64,
        waker: Option<Waker>,
    ) -> Result<Option<Ticket>, Error> {
        let registration = &consumer.registration;
        let mut account = lock(&registration.inner.account);
        let refuse = |account: &mut Account, left| {
            account.count_refusal(registration.id);
            let kind = ErrorKind::OutOfBudget;
            Err(out_of_budget(account, registration.id, wanted, left, kind))
        };
        if account.fails_on_purpose() {
            return refuse(&mut account, (0, "as a test demands"));
        }
        match account.claim(registration.id, wanted) {
            Ok(()) => return Ok(None),
            Err(Shortage::Never) => return refuse(&mut account, Shortage::Never.left()),
            Err(_) => {}
        }
        let Some((number, wakes)) = account.enqueue(registration.id, wanted, waker) else {
            debug_assert_eq!(account.waiting(), WAITING_MAX);
            return refuse(&mut account, (0, "as too many wait"));
        };
        drop(account);
        registration.inner.wake(wakes);
        Ok(Some(Ticket {
            consumer: consumer.clone(),
            wanted,
            number,
            collected: std::cell::Cell::new(false),
        }))
    }

    /// Asks hooks of others until the request is settled or none is left to ask.
    fn squeeze(&self) {
        let registration = &self.consumer.registration;
        let mut tried = Vec::new();
        loop {
            let (squeeze, next) = {
                let mut account = lock(&registration.inner.account);
                let missing = account.missing_for(self.number);
                if account.is_settled(self.number) || missing == 0 {
                    return;
                }
                let next = account.next_hook(Some(registration.id), &tried);
                (Squeeze::tight(missing), next)
            };
            let Some((id, hook)) = next else { return };
            tried.push(id);
            registration.inner.call_hook(id, &hook, &squeeze);
        }
    }

    /// The end of the request, once it has one.
    fn collect(&self, account: &mut Account) -> Option<Result<(), Error>> {
        let settled = account.take_settled(self.number)?;
        self.collected.set(true);
        Some(match settled {
            Settled::Granted => Ok(()),
            Settled::Refused => {
                let id = self.consumer.registration.id;
                account.count_refusal(id);
                let (left, kind) = (Shortage::Never.left(), ErrorKind::OutOfBudget);
                Err(out_of_budget(account, id, self.wanted, left, kind))
            }
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.collected.get() {
            let registration = &self.consumer.registration;
            registration
                .inner
                .with(|account| account.cancel(self.number, registration.id, self.wanted));
        }
    }
}

/// The future of [`Consumer::reserve_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct ReserveFuture {
    consumer: Consumer,
    bytes: u64,
    ticket: Option<Ticket>,
    done: bool,
}

impl Future for ReserveFuture {
    type Output = Result<Reservation, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(!this.done, "a future was polled after its end");
        // Cloned before the lock: a waker is foreign code.
        let waker = context.waker().clone();
        if this.ticket.is_none() {
            let joined = Ticket::join(&this.consumer, this.bytes, Some(waker));
            match joined {
                Ok(None) => return this.end(Ok(())),
                Err(error) => return this.end(Err(error)),
                Ok(Some(ticket)) => {
                    ticket.squeeze();
                    this.ticket = Some(ticket);
                }
            }
            return this.look(None);
        }
        this.look(Some(waker))
    }
}

impl ReserveFuture {
    fn look(&mut self, waker: Option<Waker>) -> Poll<Result<Reservation, Error>> {
        let Some(ticket) = &self.ticket else {
            return Poll::Pending;
        };
        let mut account = lock(&self.consumer.registration.inner.account);
        if let Some(result) = ticket.collect(&mut account) {
            drop(account);
            return self.end(result);
        }
        let old = waker.and_then(|waker| account.set_waker(ticket.number, waker));
        drop(account);
        drop(old);
        Poll::Pending
    }

    fn end(&mut self, result: Result<(), Error>) -> Poll<Result<Reservation, Error>> {
        self.done = true;
        self.ticket = None;
        Poll::Ready(result.map(|()| self.consumer.reservation(self.bytes)))
    }
}

impl fmt::Debug for ReserveFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveFuture")
            .field("consumer", &self.consumer)
            .field("bytes", &self.bytes)
            .field("waiting", &self.ticket.is_some())
            .finish()
    }
}
