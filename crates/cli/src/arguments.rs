//! The command line as data: verbs, flags and their units. Help is generated from here.

mod experiments;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plimsoll_model::{Bytes, CapMechanism};
use plimsoll_render::Format;
use plimsoll_runner::{INTERVAL_MAX, INTERVAL_MIN};

use crate::line_pattern::LinePattern;
pub(crate) use experiments::{Ballast, Check, Compare, Leak, Scale, Trials};

/// Shows where a program's memory really goes, from outside, without changing or stopping it.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ran and no verdict failed, 1 a verdict failed (a leak, a claim, a \
    rule), 2 could not run, 3 inconclusive; `run` passes the command's own code on.\n\
    Documentation: docs/ in the source tree."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Name the owner of every resident byte of a process
    Inspect(Inspect),
    /// List all processes by the memory they really own (PSS)
    Ps(Ps),
    /// Run a command, follow its memory and report its peak
    Run(Run),
    /// Find the smallest memory cap under which a command succeeds, and its time on the way down
    Fit(Fit),
    /// Follow the memory of a running process until it ends or you press Ctrl-C
    Record(Record),
    /// Show a process's memory live in the terminal
    Watch(Watch),
    /// Print the report of a recording
    Report(Report),
    /// Find out whether memory grows with the work that is done, and by how much
    Leak(Leak),
    /// Run a command at several sizes: how its memory grows, and where a budget is crossed
    Scale(Scale),
    /// Run two or more commands in turns: what each change saved, if the noise allows to say so
    Compare(Compare),
    /// Hold a program to the rules of a file: a gate for CI
    Check(Check),
    /// Wrap a command in a known fault; `check --self-test` does
    #[command(hide = true)]
    Ballast(Ballast),
    /// Begin a stage, from inside a command that `run`, `leak`, `scale` or `compare` started
    Mark(Mark),
    /// Say which kernel facilities work here, and what is lost without the others
    Facilities,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Process id, or name as `ps` shows it
    #[arg(value_name = "PID|NAME")]
    pub(crate) subject: String,
    /// Take in all descendants, each shared page counted once
    #[arg(long)]
    pub(crate) tree: bool,
    /// How to read page counts
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) method: Method,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// What one row stands for
    #[arg(long, value_enum, default_value = "process")]
    pub(crate) group: Group,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Sampling {
    /// Time between quick readings, e.g. 100ms, 1s
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_interval)]
    pub(crate) interval: Duration,
    /// Time after which a full breakdown is read even if nothing changed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_interval)]
    pub(crate) breakdown_interval: Duration,
    /// Where to keep the recording [default: NAME.plimsoll in this folder]
    #[arg(
        long,
        short = 'o',
        value_name = "FILE",
        conflicts_with = "no_recording"
    )]
    pub(crate) recording: Option<PathBuf>,
    /// Keep no recording
    #[arg(long)]
    pub(crate) no_recording: bool,
    /// Replace the recording if the file is there already
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print no progress line
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) sampling: Sampling,
    /// Begin a stage at each line of the command's output that matches; the first group of the
    /// expression, or all that matched, is its label
    #[arg(long, value_name = "REGEX")]
    pub(crate) stage_from_log: Option<LinePattern>,
    /// Print a line to standard error at the end of each stage, for `grep MEMSTATS`: what it held
    /// then, and its peak
    #[arg(long)]
    pub(crate) stage_lines: bool,
    /// A hard cap on the memory of the command and all it starts, e.g. 512MiB, 1.5GiB, 64M (MiB)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) limit: Option<Bytes>,
    /// What enforces the cap
    #[arg(long, value_enum, default_value = "auto", requires = "limit")]
    pub(crate) mechanism: Mechanism,
    /// Write the report here instead of to standard error, which the command's output leaves free
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Fit {
    /// The smallest cap to try, e.g. 64MiB
    #[arg(
        long,
        value_name = "SIZE",
        allow_negative_numbers = true,
        default_value = "512KiB"
    )]
    pub(crate) from: Bytes,
    /// The largest cap to try [default: the machine's RAM]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) to: Option<Bytes>,
    /// Runs that must succeed at the smallest cap; also runs without a cap and for each timing
    #[arg(long, value_name = "RUNS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// How far the largest cap that fails may be below the answer [default: 1MiB, or 2% of the peak
    /// if that is more]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) resolution: Option<Bytes>,
    /// A run that takes longer is killed and counts as failed [default: ten times the run without a
    /// cap, at least 2s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// What enforces the caps
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) mechanism: Mechanism,
    /// Print no progress line
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The command and its arguments, after `--`. It is run many times, without input; its output
    /// is not shown. What it leaves running is killed after each run
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Mark {
    /// What the stage is called
    #[arg(value_name = "LABEL")]
    pub(crate) label: String,
}

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Process id or name
    #[arg(long = "pid", short = 'p', value_name = "PID|NAME")]
    pub(crate) subject: String,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) sampling: Sampling,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Process id or name
    #[arg(value_name = "PID|NAME", required_unless_present = "command")]
    pub(crate) subject: Option<String>,
    /// Time between refreshes, e.g. 500ms, 1s; full readings come less often when they are costly,
    /// so that they use at most 2% of a core
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    pub(crate) interval: Duration,
    /// A command to start and watch, after `--`. The command gets no input. Its output is not shown;
    /// the last 20 lines (of at most 64 KiB kept) are printed to standard error after you quit.
    /// Quitting sends SIGTERM to the command and all it started, and waits up to 10 s
    #[arg(last = true, value_name = "CMD", conflicts_with = "subject")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// A recording made by `run` or `record`
    #[arg(value_name = "RECORDING")]
    pub(crate) recording: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// text, json, csv or html
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// Columns of text output [default: the terminal's, or 80]
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) width: Option<u16>,
    /// Whether text uses colour
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) color: Color,
    /// How many levels of parts text opens below each component
    #[arg(long, value_name = "LEVELS", default_value_t = 1)]
    pub(crate) depth: usize,
    /// How many rows text shows of each level; the rest are summed in one row
    #[arg(
        long,
        value_name = "ROWS",
        default_value_t = 12,
        conflicts_with = "all"
    )]
    pub(crate) top: usize,
    /// Show every row and every part
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// smaps for processes up to 1 GiB, walk above
    Auto,
    /// The kernel's own counters: exact, but the target may wait while a large mapping is counted
    Smaps,
    /// Page flags in small steps with pauses: the target hardly waits
    Walk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// The strongest that works here
    Auto,
    /// A cgroup of the command's own: all its processes together, page cache counted
    CgroupV2,
    /// The same in version 1
    CgroupV1,
    /// RLIMIT_DATA: each process alone, private writable memory that is mapped
    DataLimit,
}

impl Mechanism {
    /// `None` for the strongest that works.
    pub(crate) fn wanted(self) -> Option<CapMechanism> {
        match self {
            Mechanism::Auto => None,
            Mechanism::CgroupV2 => Some(CapMechanism::CgroupV2),
            Mechanism::CgroupV1 => Some(CapMechanism::CgroupV1),
            Mechanism::DataLimit => Some(CapMechanism::DataLimit),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    Process,
    /// Processes that run the same program
    Application,
    /// Processes in the same container or service
    Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// The time between two readings, within what the readers' timers can do.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_time(text)?;
    if interval < INTERVAL_MIN {
        return Err("the shortest interval is 1ms".to_owned());
    }
    if interval > INTERVAL_MAX {
        return Err("the longest interval is a day, 24h".to_owned());
    }
    Ok(interval)
}

/// How long to record: also for days, unlike an interval.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_time(text)?;
    if duration.is_zero() {
        return Err("give more than no time at all".to_owned());
    }
    Ok(duration)
}

/// A time with its unit: `250ms`, `1s`, `1.5m`, `2h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("give a number with its unit: ms, s, m or h, like 100ms".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn intervals_have_units_and_a_least_length() {
        let check = |text: &str, expected: Option<u64>| {
            let found = parse_interval(text).ok();
            assert_eq!(found, expected.map(Duration::from_millis), "{text}");
        };
        check("100ms", Some(100));
        check("1.5s", Some(1500));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("24h", Some(86_400_000));
        for bad in [
            "0",
            "0ms",
            "0s",
            "5",
            "",
            "ms",
            "-1s",
            "1d",
            "1e400s",
            "24.01h",
            "999999999999999h",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn an_interval_out_of_bounds_is_told_the_bound() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse_interval(text).unwrap_err(), expected, "{text}");
        };
        check("0.5ms", "the shortest interval is 1ms");
        check("25h", "the longest interval is a day, 24h");
        check("999999999999999h", "the longest interval is a day, 24h");
    }

    #[test]
    fn a_recording_may_last_for_days() {
        let check = |text: &str, expected: Option<u64>| {
            let found = parse_duration(text).ok();
            assert_eq!(found, expected.map(Duration::from_secs), "{text}");
        };
        check("30s", Some(30));
        check("72h", Some(72 * 3600));
        for bad in ["0s", "", "3d", "9999999999999999999999h"] {
            check(bad, None);
        }
    }
}
