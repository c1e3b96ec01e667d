//! Small programs of known behaviour, for the tests.
//!
//! A subject is one file under `src/bin/`: it does its thing, prints one line `ready {json}` (its
//! truth row: what must be found, in bytes computed from what it really did) and then waits until
//! its standard input closes or a line arrives. `src/bin/` uses the modules [`arguments`],
//! [`children`], [`histogram`], [`malloc`], [`memory`] and [`stage`]; tests of every crate use [`Subject`] and [`Program`].
//! Real programs of other runtimes are the small sources under `programs/`.

pub mod arguments;
pub mod children;
pub mod histogram;
pub mod malloc;
pub mod marks;
pub mod memory;
pub mod stage;

mod artifacts;
mod programs;
mod spawn;

pub use artifacts::{build, profile_folder};
pub use programs::{Program, Skipped};
pub use spawn::Subject;
