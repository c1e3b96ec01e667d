//! The thread that reads keys.
//!
//! crossterm reads a terminal that is gone for ever, at full speed, and holds on to one that has
//! sent half of a sequence (0.28, `event/source/unix/mio.rs`: errors other than `WouldBlock` only
//! repeat the read). So it is asked to read in a thread of its own, only when the kernel says
//! that there is something, and never once the terminal is gone; the loop looks for that as well
//! and ends the process whatever this thread is caught in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};

use super::terminal::{Input, Line};

/// Events on their way: a held key repeats faster than a screen is drawn.
const EVENTS_MAX: usize = 64;

/// How long the thread waits for input before it looks whether it shall stop.
const INPUT_WAIT: Duration = Duration::from_millis(50);

/// Turns in the background after which it is no stop by the user: a shell that continues us gives
/// us the terminal first.
const BACKGROUND_TURNS_MAX: u32 = 10;

#[derive(Debug)]
pub(super) enum Key {
    Event(Event),
    /// The terminal is gone, or another has it for good.
    Lost,
    Failed(io::Error),
}

/// The thread, seen from the loop. Dropping it tells the thread to leave further input to others.
#[derive(Debug)]
pub(super) struct Keys {
    received: Receiver<Key>,
    stopped: Arc<AtomicBool>,
}

impl Keys {
    pub(super) fn start(line: Arc<Line>) -> Keys {
        let (sender, received) = sync_channel(EVENTS_MAX);
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            line,
            sender,
            stopped: Arc::clone(&stopped),
        };
        thread::spawn(move || thread.run());
        Keys { received, stopped }
    }

    /// The next one, if it comes within `patience`.
    pub(super) fn next(&self, patience: Duration) -> Option<Key> {
        match self.received.recv_timeout(patience) {
            Ok(key) => Some(key),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Key::Failed(io::Error::other(
                "the thread that reads keys has failed",
            ))),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

struct Thread {
    line: Arc<Line>,
    sender: SyncSender<Key>,
    stopped: Arc<AtomicBool>,
}

impl Thread {
    fn run(self) {
        let last = match self.read_all() {
            Ok(()) => Key::Lost,
            Err(error) => Key::Failed(error),
        };
        // Nobody listens any more when the view has ended first.
        let _ = self.sender.send(last);
    }

    /// Until the terminal is lost or nobody listens.
    fn read_all(&self) -> io::Result<()> {
        let mut background_turns = 0;
        loop {
            let input = self.line.wait(INPUT_WAIT)?;
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            match input {
                Input::Gone => return Ok(()),
                Input::NotOurs if background_turns == BACKGROUND_TURNS_MAX => return Ok(()),
                Input::NotOurs => {
                    background_turns += 1;
                    self.line.stop_in_background();
                    thread::sleep(INPUT_WAIT);
                    continue;
                }
                Input::Nothing | Input::Ready => background_turns = 0,
            }
            let mut taken = 0;
            // Also without input: a new size comes by a signal that only crossterm sees.
            while event::poll(Duration::ZERO)? {
                if self.sender.send(Key::Event(event::read()?)).is_err() {
                    return Ok(());
                }
                taken += 1;
            }
            if taken == 0 && input == Input::Ready {
                // Half a sequence, or crossterm has not been told by its edge-triggered epoll(7).
                thread::sleep(INPUT_WAIT);
            }
        }
    }
}
