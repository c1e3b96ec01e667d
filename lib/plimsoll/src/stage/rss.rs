//! The peak of RSS inside stages, from the one high-water mark that the kernel keeps.
//!
//! At each border of any stage the mark is read, told to all open windows, and reset. Memory: 16
//! windows of 24 bytes, static.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::MARKS_VARIABLE;
use crate::ledger::WINDOWS_MAX;

/// The kernel sums RSS from counters of processors, so two readings differ by some pages (proc_pid_
/// status(5) calls it inaccurate). A mark that was reset is as near to RSS as this.
const SLACK_BYTES: u64 = 1 << 20;

/// The highest RSS inside a stage, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssPeak {
    /// The high-water mark of this stage alone, in bytes.
    Exactly(u64),
    /// The mark could not be reset and did not rise: the peak of the stage is below that of the run.
    AtMost(u64),
    /// Someone else reset the mark meanwhile.
    AtLeast(u64),
    /// `/proc` can't be read, or too many stages were open.
    Unknown,
}

impl RssPeak {
    /// Over two intervals, one after the other.
    fn and(self, other: RssPeak) -> RssPeak {
        use RssPeak::{AtLeast, AtMost, Exactly, Unknown};
        match (self, other) {
            (Unknown, _) | (_, Unknown) => Unknown,
            (Exactly(one), Exactly(two)) => Exactly(one.max(two)),
            (AtMost(most), Exactly(exact)) | (Exactly(exact), AtMost(most)) => {
                if exact >= most {
                    Exactly(exact)
                } else {
                    AtMost(most)
                }
            }
            (AtMost(one), AtMost(two)) => AtMost(one.max(two)),
            (AtLeast(least), AtMost(_)) | (AtMost(_), AtLeast(least)) => AtLeast(least),
            (AtLeast(one), Exactly(two) | AtLeast(two)) | (Exactly(one), AtLeast(two)) => {
                AtLeast(one.max(two))
            }
        }
    }

    /// Of an interval from one border to the next, from what was read at both.
    fn between(begin: Border, end: Level) -> RssPeak {
        let mark = end.high_water;
        match mark.cmp(&begin.high_water) {
            std::cmp::Ordering::Greater => RssPeak::Exactly(mark),
            std::cmp::Ordering::Less => RssPeak::AtLeast(mark.max(end.rss)),
            // The mark did not move; it says something where it was as low as it could be.
            std::cmp::Ordering::Equal if begin.lowest => RssPeak::Exactly(mark),
            std::cmp::Ordering::Equal => RssPeak::AtMost(mark),
        }
    }

    pub(super) fn sign_and_bytes(self) -> (&'static str, Option<u64>) {
        match self {
            RssPeak::Exactly(bytes) => ("=", Some(bytes)),
            RssPeak::AtMost(bytes) => ("<=", Some(bytes)),
            RssPeak::AtLeast(bytes) => (">=", Some(bytes)),
            RssPeak::Unknown => ("=", None),
        }
    }
}

/// One reading, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) rss: u64,
    pub(super) high_water: u64,
}

/// Where an interval begins.
#[derive(Clone, Copy, Debug)]
struct Border {
    high_water: u64,
    /// The mark is not above RSS: reset just now, or never higher.
    lowest: bool,
}

struct State {
    /// `None` where the last reading failed, or no window was open.
    border: Option<Border>,
    windows: [Option<RssPeak>; WINDOWS_MAX],
}

static STATE: Mutex<State> = Mutex::new(State {
    border: None,
    windows: [None; WINDOWS_MAX],
});
static KEEP: AtomicBool = AtomicBool::new(false);

/// From now on no stage resets the high-water mark of this process: for programs whose peak someone
/// reads from outside. [`RssPeak`]s are then exact only where a stage went above all before it.
pub fn keep_high_water() {
    KEEP.store(true, Ordering::Relaxed);
}

/// A place among the open windows, until it is closed or dropped.
#[derive(Debug)]
pub(super) struct RssWindow {
    index: Option<usize>,
}

impl RssWindow {
    pub(super) fn open() -> RssWindow {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let index = state.windows.iter().position(Option::is_none);
        let level = cross(&mut state);
        if let Some(index) = index {
            let now = level.map_or(RssPeak::Unknown, |level| RssPeak::Exactly(level.rss));
            state.windows[index] = Some(now);
        }
        RssWindow { index }
    }

    /// RSS now, and the peak since it was opened.
    pub(super) fn close(mut self) -> (Option<u64>, RssPeak) {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let rss = cross(&mut state).map(|level| level.rss);
        let peak = self
            .index
            .take()
            .and_then(|index| state.windows[index].take());
        (rss, peak.unwrap_or(RssPeak::Unknown))
    }
}

impl Drop for RssWindow {
    fn drop(&mut self) {
        let Some(index) = self.index else { return };
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        // The others learn what came so far: the next border tells them as well.
        state.windows[index] = None;
    }
}

/// Tells all open windows the peak since the last border, and begins a new interval.
fn cross(state: &mut State) -> Option<Level> {
    let level = read();
    let peak = match (state.border, level) {
        (Some(border), Some(level)) => RssPeak::between(border, level),
        _ => RssPeak::Unknown,
    };
    for window in state.windows.iter_mut().flatten() {
        *window = window.and(peak);
    }
    state.border = level.map(begin_interval);
    level
}

fn begin_interval(level: Level) -> Border {
    let level = match may_reset() && reset() {
        true => read().unwrap_or(level),
        false => level,
    };
    Border {
        high_water: level.high_water,
        lowest: level.high_water <= level.rss + SLACK_BYTES,
    }
}

fn may_reset() -> bool {
    !KEEP.load(Ordering::Relaxed) && std::env::var_os(MARKS_VARIABLE).is_none()
}

/// Since Linux 4.0: "5" resets the peak resident set size (proc_pid_clear_refs(5)).
fn reset() -> bool {
    let file = File::options().write(true).open("/proc/self/clear_refs");
    file.and_then(|mut file| file.write_all(b"5")).is_ok()
}

/// `VmHWM` and `VmRSS` of `/proc/self/status`.
pub(super) fn read() -> Option<Level> {
    let mut text = [0; 4096];
    let mut length = 0;
    let mut file = File::open("/proc/self/status").ok()?;
    // The kernel may give it in parts.
    while length < text.len() {
        match file.read(&mut text[length..]).ok()? {
            0 => break,
            more => length += more,
        }
    }
    parse(&text[..length])
}

fn parse(text: &[u8]) -> Option<Level> {
    let kib = |key: &str| {
        let line = text
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(key.as_bytes()))?;
        let number = str::from_utf8(line).ok()?.trim().strip_suffix(" kB")?;
        number.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Level {
        rss: kib("VmRSS:")?,
        high_water: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::RssPeak::{AtLeast, AtMost, Exactly, Unknown};
    use super::*;

    #[test]
    fn peaks_of_two_intervals() {
        let check = |one: RssPeak, two: RssPeak, expected: RssPeak| {
            assert_eq!(one.and(two), expected, "{one:?} and {two:?}");
            assert_eq!(two.and(one), expected, "{two:?} and {one:?}");
        };
        check(Exactly(3), Exactly(5), Exactly(5));
        check(Exactly(3), AtMost(5), AtMost(5));
        check(Exactly(6), AtMost(5), Exactly(6));
        check(Exactly(3), AtLeast(5), AtLeast(5));
        check(Exactly(7), AtLeast(5), AtLeast(7));
        check(AtMost(3), AtMost(5), AtMost(5));
        check(AtMost(9), AtLeast(5), AtLeast(5));
        check(AtLeast(1), AtLeast(5), AtLeast(5));
        check(Unknown, AtLeast(5), Unknown);
        check(Unknown, Unknown, Unknown);
    }

    #[test]
    fn an_interval_by_its_borders() {
        let check = |begin: (u64, bool), end: (u64, u64), expected: RssPeak| {
            let (high_water, lowest) = begin;
            let begin = Border { high_water, lowest };
            let (rss, high_water) = end;
            assert_eq!(RssPeak::between(begin, Level { rss, high_water }), expected);
        };
        check((100, true), (90, 140), Exactly(140));
        check((100, false), (90, 140), Exactly(140));
        check((100, true), (90, 100), Exactly(100));
        check((100, false), (40, 100), AtMost(100));
        check((100, true), (80, 80), AtLeast(80));
    }

    #[test]
    fn status_is_parsed_or_refused() {
        let check = |text: &str, expected: Option<(u64, u64)>| {
            let found = parse(text.as_bytes()).map(|level| (level.rss, level.high_water));
            assert_eq!(found, expected, "{text}");
        };
        check(
            "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n",
            Some((1 << 20, 2 << 20)),
        );
        check("Name:\tx\nVmRSS:\t    1024 kB\n", None);
        check("VmHWM:\t1 MB\nVmRSS:\t1024 kB\n", None);
        check("VmHWM:\t99999999999999999999 kB\nVmRSS:\t1 kB\n", None);
        check("", None);
    }
}
