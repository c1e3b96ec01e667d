//! How far an import is: a line that is written over on a terminal, lines now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::ingest::Event;

/// Between two lines, on a terminal and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Says on stderr how far it is.
#[derive(Debug)]
pub(super) struct Progress {
    files: u64,
    done: u64,
    bytes: u64,
    begun: Instant,
    told: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new(files: u64) -> Progress {
        let now = Instant::now();
        Progress {
            files,
            done: 0,
            bytes: 0,
            begun: now,
            told: now,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.done += 1;
        self.bytes += event.bytes;
        let every = match self.is_terminal {
            true => ON_TERMINAL,
            false => ELSEWHERE,
        };
        if self.told.elapsed() >= every {
            self.told = Instant::now();
            let line = line(self.done, self.files, self.bytes, self.begun.elapsed());
            match self.is_terminal {
                true => eprint!("\r\x1b[K{line}"),
                false => eprintln!("{line}"),
            }
            let _ = std::io::stderr().flush();
        }
    }

    /// Leaves room for other lines.
    pub(super) fn clear(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(done: u64, files: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = done as f64 / seconds;
    let mib = bytes as f64 / (1 << 20) as f64 / seconds;
    // Files may come while it runs.
    let left = files.saturating_sub(done) as f64 / rate.max(0.001);
    let files = files.max(done);
    format!(
        "{done} of {files} files, {rate:.1} a second, {mib:.1} MiB/s, {} left",
        time(left)
    )
}

fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let line = line(100, 400, 200 << 20, Duration::from_secs(10));
        assert_eq!(
            line,
            "100 of 400 files, 10.0 a second, 20.0 MiB/s, 30 s left"
        );
        assert_eq!(time(61.2), "1 min 1 s");
        assert_eq!(time(7260.0), "2 h 1 min");
    }
}
