//! Whether growth is at most of a class: "peak memory grows at most linearly".

use plimsoll_model::{Estimate, Law, LawClass, LawDoubt, Verdict};

/// A power law of this exponent or less is not told from a straight line by anybody's budget.
const EXPONENT_SLACK: f64 = 0.1;

/// *Holds*: every law that the runs allow is of the class or slower. *Fails*: every one is faster.
/// Else *inconclusive*, also where what holds leaves much unexplained. A power law is judged by the interval of its exponent.
#[must_use]
pub fn grows_at_most(law: &Law, most: LawClass) -> Verdict {
    let verdicts = law
        .classes
        .iter()
        .map(|class| verdict(*class, law.exponent, most));
    let mut verdicts = verdicts.collect::<Vec<_>>();
    verdicts.dedup();
    let is_poor = |doubt: &LawDoubt| matches!(doubt, LawDoubt::PoorFit { .. });
    match verdicts.as_slice() {
        // A sum of laws fits none of them well, and is too fast all the same if all that come near
        // are.
        [Verdict::Holds] if law.doubts.iter().any(is_poor) => Verdict::Inconclusive,
        [verdict] => *verdict,
        _ => Verdict::Inconclusive,
    }
}

fn verdict(class: LawClass, exponent: Option<Estimate>, most: LawClass) -> Verdict {
    if class == LawClass::Power {
        let (Some(exponent), Some(bound)) = (exponent, exponent_of(most)) else {
            return Verdict::Inconclusive;
        };
        return if exponent.high <= bound + EXPONENT_SLACK {
            Verdict::Holds
        } else if exponent.low > bound + EXPONENT_SLACK {
            Verdict::Fails
        } else {
            Verdict::Inconclusive
        };
    }
    if rank(class) <= rank(most) {
        Verdict::Holds
    } else {
        Verdict::Fails
    }
}

/// Doubling steps are linear in the mean.
fn rank(class: LawClass) -> u8 {
    match class {
        LawClass::Constant => 0,
        LawClass::Logarithmic => 1,
        LawClass::Linear | LawClass::Staircase => 2,
        LawClass::Linearithmic => 3,
        LawClass::Quadratic => 4,
        LawClass::Power => 5,
    }
}

fn exponent_of(class: LawClass) -> Option<f64> {
    match class {
        LawClass::Constant | LawClass::Logarithmic => Some(0.0),
        // n log n grows faster than n by any amount, and slower than any greater power.
        LawClass::Linear | LawClass::Staircase | LawClass::Linearithmic => Some(1.0),
        LawClass::Quadratic => Some(2.0),
        LawClass::Power => None,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::SizedPeak;

    use super::*;
    use crate::law::{LawOptions, fit};

    fn law(f: impl Fn(f64) -> f64) -> Law {
        let points: Vec<SizedPeak> = [1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6]
            .into_iter()
            .flat_map(|n| {
                let bytes = 1e7 + f(n);
                [0.0, 4096.0, 8192.0].map(|jitter| SizedPeak {
                    n,
                    bytes: bytes + jitter,
                })
            })
            .collect();
        fit(&points, &LawOptions::default()).unwrap()
    }

    #[test]
    fn faster_growth_fails_and_slower_holds() {
        let linear = law(|n| 1000.0 * n);
        assert_eq!(grows_at_most(&linear, LawClass::Linear), Verdict::Holds);
        assert_eq!(grows_at_most(&linear, LawClass::Quadratic), Verdict::Holds);
        assert_eq!(
            grows_at_most(&linear, LawClass::Logarithmic),
            Verdict::Fails
        );
        let quadratic = law(|n| 0.01 * n * n);
        assert_eq!(grows_at_most(&quadratic, LawClass::Linear), Verdict::Fails);
        let root = law(|n| 1e6 * n.sqrt());
        assert_eq!(grows_at_most(&root, LawClass::Linear), Verdict::Holds);
        assert_eq!(grows_at_most(&root, LawClass::Constant), Verdict::Fails);
    }

    #[test]
    fn what_can_not_be_told_apart_is_open() {
        let mut both = law(|n| 1000.0 * n);
        both.classes = vec![LawClass::Linear, LawClass::Linearithmic];
        assert_eq!(
            grows_at_most(&both, LawClass::Linear),
            Verdict::Inconclusive
        );
        assert_eq!(grows_at_most(&both, LawClass::Linearithmic), Verdict::Holds);
        assert_eq!(grows_at_most(&both, LawClass::Constant), Verdict::Fails);
        both.doubts.push(LawDoubt::PoorFit { residual: 0.9 });
        assert_eq!(
            grows_at_most(&both, LawClass::Linearithmic),
            Verdict::Inconclusive
        );
        assert_eq!(grows_at_most(&both, LawClass::Constant), Verdict::Fails);
    }
}
