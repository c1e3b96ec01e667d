//! Account for, bound and report a program's own memory, and the parts that keep data-heavy work
//! small.
//!
//! Every module opens with what it is, what it costs in memory, and what it is not for; each has a
//! runnable example. Nothing here needs the `plimsoll` command, and the command needs nothing of
//! this: what a program publishes, the command shows by the program's own names.

#![warn(missing_docs)]

mod amount;
pub mod batches;
pub mod beacon;
pub mod budget;
mod cgroup;
pub mod dictionary;
mod error;
mod grow;
pub mod lazy;
pub mod ledger;
pub mod monitor;
pub mod postings;
pub mod runs;
pub mod stage;
pub mod stream;

mod sync;
mod varint;
mod weight;
pub mod worker;

pub use error::{Error, ErrorKind};
pub use weight::Weigh;
