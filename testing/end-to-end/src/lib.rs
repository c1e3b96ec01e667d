//! Real processes looked at by the real command.
//!
//! The main types are [`Plimsoll`], one call of the command with what it printed, and [`Report`], a
//! breakdown it printed as JSON, asked by name, kind and file. Tests are in `tests/`, one file a
//! promise. A test that the machine cannot run says so ([`skip`]) and passes.

mod artifact;
mod command;
mod experiment;
mod machine;
mod report;
mod scratch;

pub use artifact::executable;
pub use command::{Background, Call, Plimsoll};
pub use experiment::{between, experiment, gap, marked_when_ready, number, subject, text};
pub use machine::{SmallDisk, child_of, is_root, program, rss, skip, until};
pub use report::{Report, Resident};
pub use scratch::Scratch;

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;
