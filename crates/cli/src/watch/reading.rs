//! What the reading threads tell the state: full breakdowns, quick figures, and the end.

use std::time::Duration;

use plimsoll_model::{Breakdown, StatusFigures};

#[derive(Debug)]
pub(super) struct Reading {
    /// Since the watch began.
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Breakdown {
        breakdown: Box<Breakdown>,
        /// How long the next full reading will be put off, to bound the cost.
        next_in: Duration,
    },
    Quick(StatusFigures),
    /// A reading failed; the next one may work.
    Failed(String),
    /// The subject has ended; nothing will follow.
    Ended(String),
}
