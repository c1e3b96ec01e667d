//! Arguments of the verbs that run a subject many times.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use plimsoll_model::Bytes;

use super::{Output, parse_duration, parse_interval};
use crate::experiments::sizes::{Place, Target, Vary};
use crate::line_pattern::LinePattern;

/// How trials are run and judged.
#[derive(Clone, Debug, Args)]
pub(crate) struct Trials {
    /// Time between quick readings, e.g. 20ms; the peak of a single process needs none, the
    /// kernel keeps it
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_interval)]
    pub(crate) interval: Duration,
    /// Begin a stage at each line of the command's output that matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) stage_from_log: Option<LinePattern>,
    /// Share of intervals that hold the true figure
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = parse_confidence)]
    pub(crate) confidence: f64,
    /// Decides the order of trials and what is resampled: the same seed, the same report
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print no progress line
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Scale {
    // clap breaks the line at an n in braces, so that the help can't print one.
    /// A size to vary: n=100,1000,1e4 or n=100..1e6:9 (nine sizes in equal ratios). Its name in
    /// braces stands for it in the command. Give several for several axes
    #[arg(long, value_name = "NAME=SIZES", required = true)]
    pub(crate) vary: Vec<Vary>,
    /// Trials of each size
    #[arg(long, value_name = "TIMES", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) repeat: u16,
    /// A claim to test by running at that size: 'n=100000 <500MiB'
    #[arg(long, value_name = "CLAIM")]
    pub(crate) target: Vec<Target>,
    /// The size to foretell, with its interval: n=1e6
    #[arg(long, value_name = "NAME=SIZE")]
    pub(crate) predict: Vec<Place>,
    /// Say at which size this much memory is reached, e.g. 500MiB
    #[arg(long, value_name = "BYTES")]
    pub(crate) budget: Option<Bytes>,
    #[command(flatten)]
    pub(crate) trials: Trials,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The command, after `--`, with the name in braces where the size belongs
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "An arm is --name NAME, then any --env KEY=VALUE, then -- CMD …; or \
    --recording FILE, as often as there are recordings of it, instead of a command. An arm without \
    a command of its own takes the next one's. Options of compare come before the first --name.\n\n\
    Examples:\n  plimsoll compare --repeat 10 --name baseline -- ./old data --name fixed -- ./new data\n  \
    plimsoll compare --name four --env WORKERS=4 --name two --env WORKERS=2 -- ./serve-once"
)]
pub(crate) struct Compare {
    /// Rounds: each arm runs once in each
    #[arg(long, value_name = "TIMES", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) repeat: u16,
    /// Run each arm at several sizes in each round, for what one item more costs: n=1000,10000
    #[arg(long, value_name = "NAME=SIZES")]
    pub(crate) vary: Option<Vary>,
    #[command(flatten)]
    pub(crate) trials: Trials,
    #[command(flatten)]
    pub(crate) output: Output,
    /// --name NAME [--env KEY=VALUE]… [-- CMD …], two or more times
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "ARMS"
    )]
    pub(crate) arms: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("looked_at").required(true).multiple(true).args(["subject", "command"]))]
pub(crate) struct Leak {
    /// A running process, by id or name
    #[arg(long = "pid", short = 'p', value_name = "PID|NAME")]
    pub(crate) subject: Option<String>,
    /// A shell command that makes the running process do one unit of work; {i} is its number
    #[arg(long, value_name = "COMMAND", requires = "subject")]
    pub(crate) each: Option<String>,
    /// A shell command that does the same without the work; what memory grows by then is taken off
    #[arg(long, value_name = "COMMAND", requires = "each")]
    pub(crate) control: Option<String>,
    /// Time to wait after each action before memory is read
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_interval)]
    pub(crate) settle: Duration,
    /// Units of work; {i} in the command stands for it. Without it, as many as it takes to tell,
    /// from 100 doubled up to 1600
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) iterations: Option<u32>,
    /// How long to look at a process that does its own work
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// A line of the command's output that is one unit of work; a number in its first group is the
    /// work done so far
    #[arg(
        long,
        value_name = "REGEX",
        requires = "command",
        conflicts_with = "stage_from_log"
    )]
    pub(crate) work_from_log: Option<LinePattern>,
    /// The memory line: say when it will be reached, e.g. 2GiB
    #[arg(long, value_name = "BYTES")]
    pub(crate) budget: Option<Bytes>,
    /// Growth by less than this for each unit of work is no leak, e.g. 100
    #[arg(long, value_name = "BYTES")]
    pub(crate) ignore_below: Option<Bytes>,
    /// What a unit of work is called
    #[arg(long, value_name = "WORD")]
    pub(crate) unit: Option<String>,
    #[command(flatten)]
    pub(crate) trials: Trials,
    #[command(flatten)]
    pub(crate) output: Output,
    /// A command that calls `plimsoll mark` once for each unit of work, after `--`
    #[arg(last = true, value_name = "CMD", conflicts_with = "subject")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The rules
    #[arg(value_name = "FILE", default_value = "plimsoll.toml")]
    pub(crate) file: PathBuf,
    /// Only the checks with this in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Take what is measured as the new baseline
    #[arg(long)]
    pub(crate) update_baseline: bool,
    /// Inject a fault for each rule and see that it fails
    #[arg(long, conflicts_with = "update_baseline")]
    pub(crate) self_test: bool,
    /// Write the results as JUnit XML here
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trials: Trials,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Ballast {
    /// Memory to hold from the start
    #[arg(long, value_name = "BYTES")]
    pub(crate) hold: Option<Bytes>,
    /// Memory to add at each mark or line of the command
    #[arg(long, value_name = "BYTES")]
    pub(crate) each: Option<Bytes>,
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

fn parse_confidence(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    if !(0.5..=0.999).contains(&share) {
        return Err("give a share from 0.5 to 0.999".to_owned());
    }
    Ok(share)
}
