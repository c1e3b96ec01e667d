//! What a run says, a line each: `2026-11-28 03:04:05 [info] message`, in UTC. The lines and their keys
//! are the original's, so that what greps for them goes on working.

use std::fmt::Display;
use std::fs;
use std::io::Write;

use chrono::DateTime;

use crate::config::LogLevel;
use crate::work::now;

/// Writes lines of a level and above to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    level: LogLevel,
}

impl Log {
    #[must_use]
    pub fn new(level: LogLevel) -> Log {
        Log { level }
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

    fn line(&self, level: LogLevel, name: &str, message: &dyn Display) {
        if level > self.level {
            return;
        }
        let time = DateTime::from_timestamp(now() as i64, 0).unwrap_or_default();
        let time = time.format("%Y-%m-%d %H:%M:%S");
        // Keys and replies come from elsewhere: one message stays one line, and moves no terminal.
        let text: String = message.to_string();
        let text: String = text
            .chars()
            .flat_map(|c| match c.is_control() {
                true => c.escape_default().collect::<Vec<_>>(),
                false => vec![c],
            })
            .collect();
        // A reader that has gone ends nothing.
        let _ = writeln!(std::io::stdout(), "{time} [{name}] {text}");
    }

    /// What the process holds now, by the kernel.
    pub fn memory(&self, label: &str) {
        if self.level >= LogLevel::Debug {
            self.debug(memory_line(label));
        }
    }
}

fn memory_line(label: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line.map(|rest| rest.trim_start_matches(':').trim().replace(" kB", "KiB"));
        text.unwrap_or_else(|| "unknown".to_owned())
    };
    format!(
        "[MEMSTATS:{label}] RSS={} RssAnon={} RssFile={} RssPeak={}",
        figure("VmRSS"),
        figure("RssAnon"),
        figure("RssFile"),
        figure("VmHWM"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let line = memory_line("START");
        assert!(line.starts_with("[MEMSTATS:START] RSS="), "{line}");
        assert_eq!(line.matches("KiB").count(), 4, "{line}");
    }
}
