//! Recordings of a run: the only owner of file formats.
//!
//! A recording is one SQLite file, added to while the subject runs, readable with any SQLite
//! client. [`RecordingWriter`] writes it from a thread of its own; [`read_recorded`] reads it back
//! as a [`plimsoll_model::Recorded`], thinned to a stated number of points with the peaks kept.
//! The tables are in `schema.sql` beside this file, and explained in docs/reference/recording.md.
//!
//! This crate takes no readings and draws no conclusions.

mod components;
mod error;
mod reader;
mod schema;
mod store;
mod thin;
mod writer;

pub use error::RecordingError;
pub use reader::{BREAKDOWNS_LIMIT, read_recorded};
pub use writer::{RecordingSummary, RecordingWriter};
