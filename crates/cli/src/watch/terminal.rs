//! The terminal while the view has it, and the signals that end the view.
//!
//! However the view ends (a key, an error, a panic, SIGTERM, SIGHUP, SIGINT), the terminal is as
//! it was before: [`Screen`] restores it when dropped, the panic hook that ratatui sets does so
//! before the message is printed, and signals are only noted here and end the loop.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Context;
use ratatui::DefaultTerminal;

/// The signal that came last, 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

const ENDING: [i32; 3] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT];

/// The alternate screen in raw mode; dropping it restores the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) terminal: DefaultTerminal,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Screen> {
        let terminal = ratatui::try_init()
            // Raw mode may be on already when a later step fails.
            .inspect_err(|_| ratatui::restore())
            .context("can't draw on the terminal; use `plimsoll inspect` for one reading")?;
        Ok(Screen { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// From now on the signals that would end the process are noted instead, see [`signal`].
pub(super) fn note_signals() -> io::Result<()> {
    for signal in ENDING {
        // SAFETY: an all-zero sigaction is a valid value of that plain C structure.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(i32) as usize;
        // SAFETY: `note` only stores to an atomic, which is async-signal-safe (signal-safety(7)),
        // and the pointer is to a live sigaction.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn note(signal: i32) {
    SIGNAL.store(signal, Ordering::Relaxed);
}

/// The signal that asked us to end.
pub(super) fn signal() -> Option<u8> {
    u8::try_from(SIGNAL.load(Ordering::Relaxed))
        .ok()
        .filter(|signal| *signal != 0)
}
