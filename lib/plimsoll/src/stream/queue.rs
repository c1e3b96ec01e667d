//! A queue between threads that holds at most so many bytes. Memory: the items, at most the limit,
//! and 16 bytes and the item's own size a place.

use std::collections::VecDeque;
use std::mem;

use crate::sync::{Condvar, Mutex, lock, wait};

/// What went through a queue of a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueFigures {
    /// Items that went in.
    pub items_total: u64,
    /// What they weighed together.
    pub bytes_total: u64,
    /// The most that was ever in it; never more than its limit.
    pub held_peak_bytes: usize,
    /// How often the sender had to wait for room: the receiver is the slower one.
    pub full_total: u64,
    /// How often the receiver had to wait for an item: the sender is the slower one.
    pub empty_total: u64,
}

/// What a pipeline has of its queues, whatever is in them.
pub(crate) trait Stop: Send + Sync {
    /// Wakes whoever waits; from now on nothing goes in or comes out. Items inside are dropped.
    fn stop(&self);
    fn figures(&self) -> QueueFigures;
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit_bytes: usize,
}

struct State<T> {
    items: VecDeque<(usize, T)>,
    held_bytes: usize,
    /// No more items come.
    is_closed: bool,
    is_stopped: bool,
    figures: QueueFigures,
}

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Stopped,
    TooLarge,
}

impl<T> Queue<T> {
    pub(crate) fn new(limit_bytes: usize) -> Queue<T> {
        Queue {
            state: Mutex::new(State {
                items: VecDeque::new(),
                held_bytes: 0,
                is_closed: false,
                is_stopped: false,
                figures: QueueFigures::default(),
            }),
            changed: Condvar::new(),
            limit_bytes,
        }
    }

    /// Waits until `bytes` fit.
    pub(crate) fn send(&self, item: T, bytes: usize) -> Result<(), Refused> {
        if bytes > self.limit_bytes {
            return Err(Refused::TooLarge);
        }
        let mut state = lock(&self.state);
        let mut has_waited = false;
        loop {
            if state.is_stopped {
                drop(state);
                return Err(Refused::Stopped);
            }
            if bytes <= self.limit_bytes - state.held_bytes {
                break;
            }
            state.figures.full_total += u64::from(!mem::replace(&mut has_waited, true));
            state = wait(&self.changed, state);
        }
        state.items.push_back((bytes, item));
        state.held_bytes += bytes;
        let held = state.held_bytes;
        state.figures.held_peak_bytes = state.figures.held_peak_bytes.max(held);
        state.figures.items_total += 1;
        state.figures.bytes_total += bytes as u64;
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for an item; None when no more come, or all is stopped.
    pub(crate) fn receive(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let mut has_waited = false;
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some((bytes, item)) = state.items.pop_front() {
                state.held_bytes -= bytes;
                drop(state);
                self.changed.notify_all();
                return Some(item);
            }
            if state.is_closed {
                return None;
            }
            state.figures.empty_total += u64::from(!mem::replace(&mut has_waited, true));
            state = wait(&self.changed, state);
        }
    }

    /// Says that no more items come.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }
}

impl<T: Send> Stop for Queue<T> {
    fn stop(&self) {
        let items = {
            let mut state = lock(&self.state);
            state.is_stopped = true;
            state.held_bytes = 0;
            mem::take(&mut state.items)
        };
        self.changed.notify_all();
        // Foreign code, so without the lock.
        drop(items);
    }

    fn figures(&self) -> QueueFigures {
        lock(&self.state).figures
    }
}
