//! Verbs that run a subject many times and judge what they saw.

mod arms;
pub(crate) mod ballast;
mod campaign;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod fit;
pub(crate) mod leak;
mod recorded_trial;
pub(crate) mod scale;
pub(crate) mod sizes;
mod template;

/// Exit code of a verdict that fails: a leak, a claim that does not hold.
const FAILED: u8 = 1;
/// Exit code of a verdict that stays open.
const INCONCLUSIVE: u8 = 3;
