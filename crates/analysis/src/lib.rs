//! Pure: series and repeats of figures become verdicts that carry their evidence, their interval
//! and their detection limit.
//!
//! No I/O, no clock, no environment and no randomness of its own: seeds are arguments, and the same
//! input gives the same verdict on every machine. What the figures do not allow to be said is said
//! to be inconclusive, with what would settle it.

mod fit_search;

pub use fit_search::{FitPlan, FitSearch, FitStep};
