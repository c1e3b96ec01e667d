//! Ctrl-C during work of many runs: noted, so that what was measured so far is kept.
//!
//! While a run is under way its own handlers are in place and pass signals on; these are the ones
//! in between.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::signals::{PreviousAction, STOPPING, exchange};

/// The last signal that arrived; 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Handlers that are in place until this is dropped.
#[derive(Debug)]
pub struct Interrupts {
    previous: Vec<(libc::c_int, PreviousAction)>,
}

impl Interrupts {
    /// Signals that are ignored stay so.
    pub fn catch() -> io::Result<Interrupts> {
        SIGNAL.store(0, Ordering::Release);
        let mut interrupts = Interrupts {
            previous: Vec::new(),
        };
        for signal in STOPPING {
            let previous = exchange(signal, None)?;
            if previous.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            // SAFETY: all-zero is a valid sigaction (no flags, default action). Without SA_RESTART
            // a sleep or a read is cut short, which is what an interrupt is for.
            let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            action.sa_sigaction = note as *const () as libc::sighandler_t;
            exchange(signal, Some(&action))?;
            interrupts.previous.push((signal, PreviousAction(previous)));
        }
        Ok(interrupts)
    }

    /// The signal that arrived since, if any.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        Some(SIGNAL.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for (signal, action) in &self.previous {
            // It was accepted before, so it is now.
            let _ = exchange(*signal, Some(&action.0));
        }
    }
}

extern "C" fn note(signal: libc::c_int) {
    SIGNAL.store(signal, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_noted_and_the_process_goes_on() {
        let interrupts = Interrupts::catch().unwrap();
        assert_eq!(interrupts.signal(), None);
        // SAFETY: raise(3) touches no memory; the handler above is in place.
        unsafe { libc::raise(libc::SIGTERM) };
        assert_eq!(interrupts.signal(), Some(libc::SIGTERM));
        drop(interrupts);
        assert_eq!(
            exchange(libc::SIGTERM, None).unwrap().sa_sigaction,
            libc::SIG_DFL
        );
    }
}
