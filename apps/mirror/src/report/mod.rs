//! What a run says, a line each: `2026-11-28 03:04:05 [info] message`, in UTC. The lines and their keys
//! are the original's, so that what greps for them goes on working.

mod bar;
mod json;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use chrono::Utc;

use crate::config::{LogFormat, LogLevel, RunArguments, TimeFormat};
use crate::memory::{self, Usage};
use crate::work::Progress;

/// Writes lines of a level and above to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    level: LogLevel,
    format: LogFormat,
    time: TimeFormat,
}

impl Log {
    #[must_use]
    pub fn new(level: LogLevel) -> Log {
        Log {
            level,
            format: LogFormat::Text,
            time: TimeFormat::default(),
        }
    }

    /// As the settings of a run have it; what is to be said of them is said.
    #[must_use]
    pub fn of(arguments: &RunArguments) -> Log {
        let log = Log {
            level: arguments.log_level,
            format: arguments.log_format,
            time: arguments.log_time_format,
        };
        for notice in &arguments.notices {
            log.info(notice);
        }
        log
    }

    pub fn error(&self, message: impl Display) {
        self.line(LogLevel::Error, "error", &message);
    }

    pub fn info(&self, message: impl Display) {
        self.line(LogLevel::Info, "info", &message);
    }

    pub fn debug(&self, message: impl Display) {
        self.line(LogLevel::Debug, "debug", &message);
    }

    pub fn verbose(&self, message: impl Display) {
        self.line(LogLevel::Verbose, "verbose", &message);
    }

    fn line(&self, level: LogLevel, name: &str, message: &dyn Display) {
        if level > self.level {
            return;
        }
        let now = Utc::now();
        let message = message.to_string();
        let line = match self.format {
            LogFormat::Json => json::line(now.timestamp(), name, &message),
            LogFormat::Text => {
                format!(
                    "{} [{name}] {}",
                    now.format(self.time.as_str()),
                    one_line(&message)
                )
            }
        };
        // A reader that has gone ends nothing.
        bar::above(|| {
            let _ = writeln!(std::io::stdout(), "{line}");
        });
    }

    /// How far a transfer is, of `all`: a bar on a terminal, elsewhere a line each time.
    pub(crate) fn progress(&self, progress: &Progress, all: u64, since: Duration) {
        let is_text = self.format == LogFormat::Text;
        if self.level >= LogLevel::Info && is_text && std::io::stdout().is_terminal() {
            let pace = Pace::of(progress, all, since);
            bar::show(progress.looked_at, all, pace.short(progress, all));
        } else {
            self.info(progress_line(progress, all, since));
        }
    }

    /// The transfer is at its end.
    pub(crate) fn end_progress(&self) {
        bar::end();
    }

    /// What the process holds now, by the kernel, the budget and the ledger.
    pub fn memory(&self, label: &str) {
        if self.level >= LogLevel::Debug {
            self.debug(memory_line(label));
        }
    }
}

/// Keys and replies come from elsewhere: one message stays one line, and moves no terminal.
fn one_line(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        match c.is_control() {
            true => text.extend(c.escape_default()),
            false => text.push(c),
        }
    }
    text
}

fn memory_line(label: &str) -> String {
    let usage = Usage::read();
    let shown = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{}KiB", bytes >> 10),
        None => "unknown".to_owned(),
    };
    let mut line = format!(
        "[MEMSTATS:{label}] RSS={} RssAnon={} RssFile={} RssPeak={} Pss={} Cgroup={}",
        shown(usage.rss),
        shown(usage.anon),
        shown(usage.file),
        shown(usage.peak),
        shown(memory::pss()),
        shown(memory::cgroup_bytes()),
    );
    if let Some(memory) = memory::current() {
        let figures = memory.budget.figures();
        line += &format!(
            " BudgetUsed={} BudgetPeak={}",
            shown(Some(figures.held_bytes)),
            shown(Some(figures.held_peak_bytes))
        );
    }
    if plimsoll::ledger::is_installed() {
        for tag in plimsoll::ledger::snapshot() {
            line += &format!(" Live.{}={}", tag.name, shown(Some(tag.live_bytes)));
        }
    }
    line
}

/// How fast a transfer is.
struct Pace {
    files: f64,
    bytes: f64,
    /// Hours, minutes and seconds, or that it is not known.
    left: String,
}

impl Pace {
    fn of(progress: &Progress, all: u64, since: Duration) -> Pace {
        let done = progress.looked_at;
        let seconds = since.as_secs_f64().max(1e-3);
        let files = done as f64 / seconds;
        let left = match done {
            0 => "unknown".to_owned(),
            _ => {
                let left = (all.saturating_sub(done) as f64 / files).round() as u64;
                format!("{:02}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60)
            }
        };
        Pace {
            files,
            bytes: progress.bytes as f64 / seconds,
            left,
        }
    }

    /// What stands beside a bar.
    fn short(&self, progress: &Progress, all: u64) -> String {
        format!(
            "{}/{all} {:.1}/s {}/s {} left",
            progress.looked_at,
            self.files,
            memory::shown(self.bytes as u64),
            self.left
        )
    }
}

/// How far a transfer is, as the original says it, with its rate and the time that is left.
fn progress_line(progress: &Progress, all: u64, since: Duration) -> String {
    let done = progress.looked_at;
    let part = 100.0 * done as f64 / all.max(1) as f64;
    let Pace { files, bytes, left } = Pace::of(progress, all, since);
    format!(
        "Upload progress: {done}/{all} files ({part:.1}%), {files:.1} files/s, {bytes:.0} B/s, {left} left"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let line = memory_line("START");
        assert!(line.starts_with("[MEMSTATS:START] RSS="), "{line}");
        let known = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
            rest.split(' ')
                .next()
                .unwrap()
                .strip_suffix("KiB")
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(known("RSS"), known("RssAnon") + known("RssFile"), "{line}");
        assert!(known("Pss") <= known("RssPeak"), "{line}");
        assert!(line.contains(" Cgroup="), "{line}");
    }

    #[test]
    fn one_message_is_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[2J→"), "a\\nb\\u{1b}[2J→");
    }

    #[test]
    fn progress_has_its_rate_and_what_is_left() {
        let progress = Progress {
            looked_at: 50,
            bytes: 2000,
            ..Progress::default()
        };
        assert_eq!(
            progress_line(&progress, 200, Duration::from_secs(2)),
            "Upload progress: 50/200 files (25.0%), 25.0 files/s, 1000 B/s, 00:00:06 left"
        );
        let begun = progress_line(&Progress::default(), 0, Duration::ZERO);
        assert!(begun.ends_with("0 B/s, unknown left"), "{begun}");
    }
}
