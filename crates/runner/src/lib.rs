//! Runs a command, or attaches to a process, and samples it and its descendants through probe.
//!
//! [`run`] starts a command in the foreground and behaves as if it were not there: standard
//! streams, terminal, signals and exit code are the command's. [`record`] looks at a process that
//! runs already. Both take quick samples at a fixed rate and full readings only when a
//! [`BreakdownSchedule`] says that they are worth their cost, and tell an [`Observer`] in time
//! order. What is done with it (recording, progress line, live view) is the observer's business.

mod cap;
mod child;
mod clock;
mod error;
mod interrupts;
mod launch;
mod marks;
mod observer;
mod options;
mod output;
mod pressure;
mod reading;
mod schedule;
mod session;
mod signals;
mod stages;
mod ticker;
mod tree;
mod trial;

pub use error::RunnerError;
pub use interrupts::Interrupts;
pub use launch::{Launch, Leftovers, LineMatcher, Streams};
pub use marks::{MARKS_VARIABLE, send_mark};
pub use observer::{End, Observer, Outcome, Progress};
pub use options::{
    BREAKDOWN_INTERVAL_DEFAULT, INTERVAL_DEFAULT, INTERVAL_MAX, INTERVAL_MIN, Options,
};
pub use schedule::{
    BIG_STEP_PAUSE_PER_COST, BreakdownReason, BreakdownSchedule, NEW_MAXIMUM_WAIT, PAUSE_PER_COST,
};
pub use session::{record, run};
pub use trial::{no_breakdowns, run_trial};
