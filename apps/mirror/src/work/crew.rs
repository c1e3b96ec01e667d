//! The workers of a phase, and the room that the destination has for their connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{PAUSE, Trouble, Work};
use crate::ftp::{Connection, Fault};

/// How long a pause goes on after the run is to end.
const SLICE: Duration = Duration::from_millis(50);
/// Longest time between two looks for room at the destination.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);
/// A server counts a connection for a moment after its end: so often one that has no others is asked again.
const TRIES_ALONE_MAX: u32 = 4;

/// What the workers of a phase know of each other.
pub(super) struct Crew<'a> {
    /// Set when all are to end.
    stop: &'a AtomicBool,
    /// How many have a connection to the destination.
    connected: AtomicUsize,
    /// Held by the one that opens a connection.
    opening: Mutex<()>,
    /// Whether it was told that there is no room for more.
    is_told: AtomicBool,
}

/// A worker's connection, counted while it is there.
pub(super) struct Place<'c> {
    pub(super) ftp: Connection,
    count: Count<'c>,
}

struct Count<'c>(&'c AtomicUsize);

impl<'a> Crew<'a> {
    pub(super) fn new(stop: &'a AtomicBool) -> Crew<'a> {
        Crew {
            stop,
            connected: AtomicUsize::new(0),
            opening: Mutex::new(()),
            is_told: AtomicBool::new(false),
        }
    }
}

impl<'c> Place<'c> {
    fn of(crew: &'c Crew<'_>, ftp: Connection) -> Place<'c> {
        crew.connected.fetch_add(1, Ordering::Relaxed);
        Place {
            ftp,
            count: Count(&crew.connected),
        }
    }

    pub(super) fn close(self) {
        self.ftp.close();
        drop(self.count);
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Work<'_> {
    pub(super) fn is_ended(&self, crew: &Crew<'_>) -> bool {
        let is_lost = self.fence.is_some_and(|fence| !fence.holds());
        is_lost || crew.stop.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed)
    }

    /// Waits, unless the run is to end.
    pub(super) fn pause(&self, wait: Duration, crew: &Crew<'_>) {
        self.pause_while(wait, crew, || true);
    }

    fn pause_while(&self, wait: Duration, crew: &Crew<'_>, go_on: impl Fn() -> bool) {
        let begun = Instant::now();
        while begun.elapsed() < wait && !self.is_ended(crew) && go_on() {
            thread::sleep((wait - begun.elapsed().min(wait)).min(SLICE));
        }
    }

    /// A connection, once there is room for it: a server that takes fewer than there are workers is served
    /// by those that it takes, and the others wait for one of them to end.
    pub(super) fn connect<'c>(&self, crew: &'c Crew<'_>) -> Result<Place<'c>, Trouble> {
        let (mut wait, mut tries_alone) = (PAUSE, 0);
        loop {
            // One after the other, so that it is known how many others have one when it is refused.
            let opening = crew.opening.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_ended(crew) {
                return Err(Trouble::Cancelled);
            }
            let fault = match Connection::open(self.destination) {
                Ok(ftp) => return Ok(Place::of(crew, ftp)),
                Err(fault) => fault,
            };
            let connected = crew.connected.load(Ordering::Relaxed);
            drop(opening);
            let has_no_room = matches!(fault, Fault::Refused(421, _));
            if connected == 0 && has_no_room && tries_alone < TRIES_ALONE_MAX {
                tries_alone += 1;
                self.pause(wait, crew);
                wait = (2 * wait).min(ROOM_WAIT_MAX);
                continue;
            }
            if connected == 0 {
                let text = format!("open the destination: {fault}");
                return Err(Trouble::Unreachable(text));
            }
            if !crew.is_told.swap(true, Ordering::Relaxed) {
                (self.notice)(&format!(
                    "the destination takes no more than {connected} connections now, and {} are asked for: \
                     {fault}; the others wait",
                    self.workers
                ));
            }
            // Until then, or until one of them has ended.
            let is_full = || crew.connected.load(Ordering::Relaxed) >= connected;
            self.pause_while(wait, crew, is_full);
            wait = (2 * wait).min(ROOM_WAIT_MAX);
        }
    }
}
