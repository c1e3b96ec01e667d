//! The receipt of several changes made one after the other: what each step saved against the one
//! before, and all together against the first.

use plimsoll_model::{Receipt, Step};

use super::{ComparisonOptions, checked, compare, mean_interval};
use crate::quantile;

/// Repeats of one state of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    pub name: String,
    /// In the unit of the metric; value i of every arm is from round i if the pairing says so.
    pub values: Vec<f64>,
}

/// Compares each arm with the one before it and with the first; the order is kept. O(n) for n
/// repeats over all arms.
///
/// Each interval has its confidence by itself: of twenty steps without effect, one is expected to
/// seem one at 95 %. The total is one comparison, not the sum of the steps.
#[must_use]
pub fn receipt(arms: &[Arm], options: &ComparisonOptions) -> Receipt {
    let whole = arms
        .first()
        .filter(|arm| !arm.values.is_empty() && checked(&arm.values))
        .map(|arm| quantile::mean(&arm.values))
        .filter(|mean| *mean > 0.0);
    let steps = arms
        .iter()
        .enumerate()
        .map(|(place, arm)| {
            let against = |other: Option<&Arm>| {
                other.map(|other| compare(&other.values, &arm.values, options))
            };
            let usable = !arm.values.is_empty() && checked(&arm.values);
            Step {
                name: arm.name.clone(),
                value: mean_interval(&arm.values, options),
                to_previous: against(place.checked_sub(1).and_then(|before| arms.get(before))),
                to_first: against(arms.first().filter(|_| place > 0)),
                percent: whole
                    .filter(|_| usable)
                    .map(|whole| 100.0 * quantile::mean(&arm.values) / whole),
            }
        })
        .collect();
    Receipt { steps }
}
