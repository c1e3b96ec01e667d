//! Pure: series and repeats of figures become verdicts that carry their evidence, their interval
//! and their detection limit.
//!
//! No I/O, no clock, no environment and no randomness of its own: seeds are arguments, and the same
//! input gives the same verdict on every machine. What the figures do not allow to be said is said
//! to be inconclusive, with what would settle it.
//!
//! - [`law`]: how memory grows with the size of the input.
//! - [`comparison`]: what a change saved, a series of changes, a history.

pub mod comparison;
pub mod corpus;
mod fit_search;
pub mod law;
pub mod leak;
mod order;
pub mod plan;
mod quantile;
pub mod report;
mod resample;

pub use fit_search::{FitPlan, FitSearch, FitStep};
