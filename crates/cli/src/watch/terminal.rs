//! The terminal while the view has it, and the signals that end the view.
//!
//! However the view ends (a key, an error, a panic, SIGTERM, SIGHUP, SIGINT), the terminal is as
//! it was before: [`Screen`] restores it when dropped, the panic hook that ratatui sets does so
//! before the message is printed, and signals are only noted here and end the loop. The end of
//! the terminal itself, seen by [`Line`], counts as SIGHUP, which a process whose controlling
//! terminal it was not is never sent.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{LeaveAlternateScreen, disable_raw_mode};

/// The signal that came last, 0 for none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

const ENDING: [i32; 3] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT];

/// The alternate screen in raw mode; dropping it restores the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    /// Never dropped: its drop reports a cursor that it can't show on standard error, and to fail
    /// in that, as on a terminal that is gone, is a panic. The process ends after it.
    pub(super) terminal: ManuallyDrop<DefaultTerminal>,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Screen> {
        let terminal = ratatui::try_init()
            // Raw mode may be on already when a later step fails.
            .inspect_err(|_| ratatui::restore())
            .context("can't draw on the terminal; use `plimsoll inspect` for one reading")?;
        Ok(Screen {
            terminal: ManuallyDrop::new(terminal),
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Each by itself, for another's terminal keeps its mode but can be given its screen back;
        // of one that is gone nothing can be restored, and there is nowhere to say so.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}

/// What [`Line::wait`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    Ready,
    /// Something to read, but we are in the background: a read stops us, or fails for ever.
    NotOurs,
    /// The terminal is gone.
    Gone,
}

/// The descriptors that keys come from and the screen goes to.
#[derive(Debug)]
pub(super) struct Line {
    input: OwnedFd,
    output: OwnedFd,
}

impl Line {
    /// Keys come from where crossterm reads them.
    pub(super) fn open() -> io::Result<Line> {
        let stdin = io::stdin();
        let input = if stdin.is_terminal() {
            stdin.as_fd().try_clone_to_owned()?
        } else {
            OpenOptions::new().read(true).open("/dev/tty")?.into()
        };
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Line { input, output })
    }

    /// Waits for input. A signal ends the wait early.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<Input> {
        // poll(2) tells hang-ups and errors whether asked to or not.
        let watched = |descriptor: &OwnedFd, events| libc::pollfd {
            fd: descriptor.as_raw_fd(),
            events,
            revents: 0,
        };
        let mut both = [watched(&self.input, libc::POLLIN), watched(&self.output, 0)];
        let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is to two live pollfd, as the count says.
        let ready = unsafe { libc::poll(both.as_mut_ptr(), 2, millis) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(Input::Nothing),
                _ => Err(error),
            };
        }
        let lost = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
        Ok(if both.iter().any(|end| end.revents & lost != 0) {
            Input::Gone
        } else if self.in_background() {
            // Also without input: a full-screen view draws over whoever has the terminal.
            Input::NotOurs
        } else if both[0].revents & libc::POLLIN == 0 {
            Input::Nothing
        } else {
            Input::Ready
        })
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.wait(Duration::ZERO), Ok(Input::Gone))
    }

    /// A terminal that is not our controlling one has no foreground for us, and reads work.
    fn in_background(&self) -> bool {
        // SAFETY: both calls take and give plain numbers.
        let (foreground, own) =
            unsafe { (libc::tcgetpgrp(self.input.as_raw_fd()), libc::getpgrp()) };
        foreground >= 0 && foreground != own
    }

    /// What the kernel does to a background process that reads: its whole group is stopped until
    /// the shell brings it back, but not if no shell is left that could, see setpgid(2).
    pub(super) fn stop_in_background(&self) {
        if self.in_background() {
            // SAFETY: kill(2) takes plain numbers; 0 is our own process group.
            unsafe { libc::kill(0, libc::SIGTTIN) };
        }
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

/// Notes the end of the terminal as the SIGHUP that it is for a process whose own it was.
pub(super) fn note_hang_up() {
    note(libc::SIGHUP);
}

/// The signal that asked us to end.
pub(super) fn signal() -> Option<u8> {
    u8::try_from(SIGNAL.load(Ordering::Relaxed))
        .ok()
        .filter(|signal| *signal != 0)
}
