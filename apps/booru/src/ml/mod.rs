//! Tags, embeddings and larger images by models, which run in a process of their own (`booru-tagger`).
//!
//! What is to be done stands in a [`queue`] in the database, so that neither a kill of the board nor one
//! of the worker loses any of it. A [`service`], one thread, takes from it, asks the worker over the
//! protocol, and puts the answers in: tags through the board's edits, doubtful ones into a [`review`] queue,
//! vectors into `similarity.db` or the shared board's own database, larger images into their folder. No model runtime is linked into this program.
//!
//! **Cost.** Idle: a thread that waits, some KiB, and no worker process. At work: a batch of
//! paths and the predictions of as many images, or one embedding.

pub mod answers;
pub mod arguments;
pub mod claim;
mod commands;
mod embeddings;
mod intake;
pub mod queue;
pub mod review;
mod run;
pub mod service;
pub mod settings;
pub(crate) mod tables;
pub mod worker;

pub use commands::execute;
pub(crate) use intake::Intake;
pub use queue::{Counts, Job, Kind, State};
pub use service::{Service, Status};
pub use settings::Settings;
