//! What the steps of the tutorial share: the data, the job, and how its answers are told.
//!
//! The steps themselves are in `src/bin/`, one file each; README.md is their text. All of them read
//! the same files ([`generate()`]), do the same [`Job`] and print the same [`Answers`]: a step that
//! saved memory by another answer would be seen by its checksum. Nothing here holds more than a
//! list of requests and one line; what is large is held by the steps, each in its own way.

mod answers;
mod generate;
mod job;
mod measure;
mod model;
mod store;

pub use answers::{Answers, Hit};
pub use generate::generate;
pub use job::{Job, PAGE_LEN, Request};
pub use measure::{part, print_tags};
pub use model::{Model, ModelFile};
pub use store::{implications, open, read_hit, remove_journal};

/// What can fail, fails with a message for people.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
