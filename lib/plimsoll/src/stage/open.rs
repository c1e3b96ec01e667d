//! Which stages are open, for a beacon to tell. Memory: 16 places of 56 bytes, static, and a copy of
//! each path.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ledger::{WINDOWS_MAX, Window};

/// An open stage, outer ones first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenStage<'a> {
    pub(crate) path: &'a str,
    /// Nanoseconds since the Unix epoch.
    pub(crate) begun_at: u64,
    /// `None` without a ledger.
    pub(crate) begin_live_bytes: Option<u64>,
    /// So far; `None` where too many stages are open.
    pub(crate) peak_live_bytes: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    path: String,
    begun_at: u64,
    begin_live_bytes: Option<u64>,
    window: Option<u32>,
}

static OPEN: Mutex<[Option<Entry>; WINDOWS_MAX]> = Mutex::new([const { None }; WINDOWS_MAX]);

/// A place among the open stages until it is dropped; of more than 16 at a time the later ones have
/// none.
#[derive(Debug)]
pub(super) struct OpenPlace {
    index: Option<usize>,
}

impl OpenPlace {
    pub(super) fn take(path: &str, live: Option<u64>, window: Option<&Window>) -> OpenPlace {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let entry = Entry {
            path: path.to_owned(),
            begun_at: since.map_or(0, |since| since.as_nanos() as u64),
            begin_live_bytes: live,
            window: window.map(Window::index),
        };
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let index = open.iter().position(Option::is_none);
        if let Some(index) = index {
            open[index] = Some(entry);
        }
        OpenPlace { index }
    }
}

impl Drop for OpenPlace {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open[index] = None;
        }
    }
}

/// Calls `tell` for each open stage in the order in which they began.
pub(crate) fn open_stages(mut tell: impl FnMut(&OpenStage<'_>)) {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut order: [Option<&Entry>; WINDOWS_MAX] = open.each_ref().map(Option::as_ref);
    order.sort_by_key(|entry| entry.map_or(u64::MAX, |entry| entry.begun_at));
    for entry in order.into_iter().flatten() {
        tell(&OpenStage {
            path: &entry.path,
            begun_at: entry.begun_at,
            begin_live_bytes: entry.begin_live_bytes,
            peak_live_bytes: entry.window.map(Window::peak_of),
        });
    }
}
