//! One line on the terminal, rewritten in place: how far long work is.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shown only where standard error is a terminal and nobody asked for quiet.
pub(crate) struct StatusLine {
    wanted: bool,
    shown_at: Option<Instant>,
}

impl StatusLine {
    /// Twice a second is enough for an eye, and leaves the command's own output readable.
    const INTERVAL: Duration = Duration::from_millis(500);

    pub(crate) fn new(quiet: bool) -> StatusLine {
        StatusLine {
            wanted: !quiet && io::stderr().is_terminal(),
            shown_at: None,
        }
    }

    /// Shows `text` if the last one has stood for a moment.
    pub(crate) fn show(&mut self, text: impl fmt::Display) {
        let recent = |at: Instant| at.elapsed() < Self::INTERVAL;
        if !self.shown_at.is_some_and(recent) {
            self.say(text);
        }
    }

    /// Shows `text` at once.
    pub(crate) fn say(&mut self, text: impl fmt::Display) {
        if self.wanted {
            self.shown_at = Some(Instant::now());
            // The terminal may be gone; the work must not care.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub(crate) fn clear(&mut self) {
        if self.shown_at.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// ", about 3 min left", if the rest takes as long as what is done; empty when nothing is.
pub(crate) fn time_left(passed: Duration, done: usize, total: usize) -> String {
    if done == 0 {
        return String::new();
    }
    let rest = total.saturating_sub(done) as f64 / done as f64;
    format!(
        ", about {} left",
        plimsoll_render::span(passed.mul_f64(rest))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        let check = |passed, done, total, expected: &str| {
            let left = time_left(Duration::from_secs(passed), done, total);
            assert_eq!(left, expected, "{done} of {total}");
        };
        check(10, 0, 5, "");
        check(10, 1, 5, ", about 40.0 s left");
        check(10, 5, 5, ", about 0 s left");
        check(10, 6, 5, ", about 0 s left");
    }
}
