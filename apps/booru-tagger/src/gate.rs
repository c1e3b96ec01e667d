//! Whether the worker may end: requests pass a gate, which closes once.
//!
//! A request is read only after it has passed. So one that comes while the worker decides to end is
//! either counted, and then answered, or never read: its connection ends without a byte, and the client
//! may ask another worker without fear of doing things twice.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts requests under way.
pub struct Gate {
    state: Mutex<State>,
    /// A byte wakes the main thread, which has the other end.
    wake: UnixStream,
}

struct State {
    busy: usize,
    connections: usize,
    last_use: Instant,
    is_closed: bool,
    was_asked: bool,
}

/// A request under way.
pub struct Ticket<'gate>(&'gate Gate);

impl Gate {
    /// Open; and what becomes readable when something changes.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub fn new() -> io::Result<(Gate, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        // A full buffer wakes as well.
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let state = Mutex::new(State {
            busy: 0,
            connections: 0,
            last_use: Instant::now(),
            is_closed: false,
            was_asked: false,
        });
        Ok((Gate { state, wake }, woken))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a request is read; `None` once the gate is closed.
    pub fn enter(&self) -> Option<Ticket<'_>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        state.busy += 1;
        Some(Ticket(self))
    }

    /// Whether there is place for one more connection of `limit`; counts it.
    pub fn connect(&self, limit: usize) -> bool {
        let mut state = self.lock();
        let fits = state.connections < limit && !state.is_closed;
        if fits {
            state.connections += 1;
            state.last_use = Instant::now();
        }
        fits
    }

    /// One connection less.
    pub fn disconnect(&self) {
        self.lock().connections -= 1;
    }

    /// Closes the gate if nothing has been under way for `idle`; otherwise when to look again, `None`
    /// while something is under way.
    pub fn close_if_idle(&self, idle: Duration, now: Instant) -> Idle {
        let mut state = self.lock();
        if state.is_closed {
            return Idle::Closed;
        }
        if state.busy > 0 {
            return Idle::Busy;
        }
        match state.last_use.checked_add(idle) {
            Some(end) if now >= end => {
                state.is_closed = true;
                Idle::Closed
            }
            Some(end) => Idle::Until(end),
            // Further away than a clock goes.
            None => Idle::Busy,
        }
    }

    /// Closes the gate for what comes; what is under way goes on.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.wake();
    }

    /// Closes the gate because somebody asked for the worker's end.
    pub fn ask(&self) {
        self.lock().was_asked = true;
        self.close();
    }

    /// Whether [`Gate::ask`] was called.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.lock().was_asked
    }

    /// Whether requests are under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.lock().busy > 0
    }

    fn wake(&self) {
        // Full: it is awake already.
        let _ = (&self.wake).write(&[1]);
    }
}

/// What [`Gate::close_if_idle`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Something is under way; its end wakes.
    Busy,
    /// Idle, but not for long enough before this instant.
    Until(Instant),
    /// No request passes any more.
    Closed,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        state.last_use = Instant::now();
        drop(state);
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_at_the_deadline_and_not_under_a_request() {
        let (gate, _woken) = Gate::new().unwrap();
        let idle = Duration::from_secs(5);
        let ticket = gate.enter().unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(gate.close_if_idle(idle, later), Idle::Busy);
        drop(ticket);
        let Idle::Until(end) = gate.close_if_idle(idle, Instant::now()) else {
            panic!("it is idle since now");
        };
        assert_eq!(
            gate.close_if_idle(idle, end - Duration::from_nanos(1)),
            Idle::Until(end)
        );
        assert!(gate.enter().is_some());
        let Idle::Until(end) = gate.close_if_idle(idle, end - idle) else {
            panic!("a request was under way");
        };
        assert_eq!(gate.close_if_idle(idle, end), Idle::Closed);
        assert!(gate.enter().is_none());
        assert!(!gate.connect(10));
    }
}
