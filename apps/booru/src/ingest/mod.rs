//! Files come onto a board: looked at by a few threads behind one budget of bytes, put in place and into the
//! database by one, each step durable before the next.
//!
//! Memory: the budget ([`Settings::memory_bytes`]) for what is decoded, and beside it a small picture for each of
//! the at most [`READY_MAX`] files between looking and placing.
//!
//! What can't be taken in is set aside with its reason and stops nothing. Nothing is looked up in a network.

mod content;
mod digest;
mod examine;
mod frame;
mod incoming;
mod name;
mod place;
mod post;
mod run;
mod set_aside;
mod settings;
mod sidecar;
mod trash;
mod walk;
mod watch;

use std::path::PathBuf;

use serde::Serialize;

use crate::ml::Kind;

pub use name::thumbnail_path;
pub use post::Sources;
pub use run::{Ingest, READY_MAX};
pub use set_aside::{SetAside, each_set_aside, reason_of};
pub use settings::{IngestArguments, Settings};
pub use trash::{Deleted, Files, delete, delete_keeping};
pub use watch::{RETRY, Watcher};

/// What becomes of a file that is taken in, or is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It stays where it is.
    Copy,
    /// It goes, once it is stored.
    Move,
}

/// What came of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    TakenIn {
        id: u32,
        path: String,
        note: Option<String>,
        /// What models are to do with it.
        queued: Vec<Kind>,
    },
    Duplicate {
        of: u32,
        /// The file was to be moved, and is gone.
        is_removed: bool,
    },
    /// The file of an image was lost, and has come back by this one.
    Restored {
        id: u32,
    },
    SetAside {
        reason: String,
    },
    /// It was set aside before, and has not changed.
    StillAside,
    /// It is the file of an image.
    Stored,
    /// It is the file of a deleted image, which could not go yet.
    ToGo,
    /// It has gone or changed while it was looked at; a later scan meets it again.
    Changed,
}

/// What came of a file, which it was, and how long it is.
#[derive(Clone, Debug)]
pub struct Event {
    pub path: PathBuf,
    pub bytes: u64,
    pub outcome: Outcome,
}

/// How many files came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub taken_in: u64,
    pub duplicates: u64,
    /// Of these, files that were to be moved and are gone.
    pub duplicates_removed: u64,
    pub restored: u64,
    pub set_aside: u64,
    /// Set aside before.
    pub still_aside: u64,
    /// Files of images already.
    pub stored: u64,
    /// Files of deleted images that could not go yet.
    pub to_go: u64,
    /// Gone or changed while they were looked at.
    pub changed: u64,
    pub bytes: u64,
}

impl Totals {
    pub(crate) fn count(&mut self, event: &Event) {
        self.bytes += event.bytes;
        let counted = match &event.outcome {
            Outcome::TakenIn { .. } => &mut self.taken_in,
            Outcome::Duplicate { is_removed, .. } => {
                self.duplicates_removed += u64::from(*is_removed);
                &mut self.duplicates
            }
            Outcome::Restored { .. } => &mut self.restored,
            Outcome::SetAside { .. } => &mut self.set_aside,
            Outcome::StillAside => &mut self.still_aside,
            Outcome::Stored => &mut self.stored,
            Outcome::ToGo => &mut self.to_go,
            Outcome::Changed => &mut self.changed,
        };
        *counted += 1;
    }

    pub(crate) fn add(&mut self, other: &Totals) {
        self.taken_in += other.taken_in;
        self.duplicates += other.duplicates;
        self.duplicates_removed += other.duplicates_removed;
        self.restored += other.restored;
        self.set_aside += other.set_aside;
        self.still_aside += other.still_aside;
        self.stored += other.stored;
        self.to_go += other.to_go;
        self.changed += other.changed;
        self.bytes += other.bytes;
    }

    /// Of all kinds.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.taken_in
            + self.duplicates
            + self.restored
            + self.set_aside
            + self.still_aside
            + self.stored
            + self.to_go
            + self.changed
    }
}
