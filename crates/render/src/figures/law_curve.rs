//! A fitted law as a curve: bytes at a size, and what one item more costs there. Pure arithmetic.

use plimsoll_model::{AxisLaw, Estimate, Fit, Law, LawClass};

/// Capacity over size of a container that doubles, averaged over a doubling: 1 / ln 2.
const CAPACITY_MEAN: f64 = std::f64::consts::LOG2_E;

/// Bytes at `n` by the fit.
pub(crate) fn bytes_at(fit: &Fit, n: f64) -> f64 {
    let shape = match fit.class {
        LawClass::Constant => 0.0,
        LawClass::Logarithmic => n.ln(),
        LawClass::Linear => n,
        LawClass::Linearithmic => n * n.ln(),
        LawClass::Quadratic => n * n,
        LawClass::Power => n.powf(fit.exponent.unwrap_or(1.0)),
        // The least power of two that is not below; a rounding error must not double it.
        LawClass::Staircase => ((n * load(fit)).log2() - 1e-9).ceil().exp2(),
    };
    fit.intercept + fit.coefficient * shape
}

/// Bytes of one item more at `n`; of a staircase the mean over a doubling.
pub(crate) fn bytes_per_item(fit: &Fit, n: f64) -> f64 {
    let slope = match fit.class {
        LawClass::Constant => 0.0,
        LawClass::Logarithmic => 1.0 / n,
        LawClass::Linear => 1.0,
        LawClass::Linearithmic => n.ln() + 1.0,
        LawClass::Quadratic => 2.0 * n,
        LawClass::Power => {
            let exponent = fit.exponent.unwrap_or(1.0);
            exponent * n.powf(exponent - 1.0)
        }
        LawClass::Staircase => CAPACITY_MEAN * load(fit),
    };
    fit.coefficient * slope
}

fn load(fit: &Fit) -> f64 {
    fit.load.unwrap_or(1.0)
}

/// The fits of the laws that were kept, best first.
pub(crate) fn kept(law: &Law) -> Vec<&Fit> {
    let fit = |class| law.fits.iter().find(move |fit| fit.class == class);
    law.classes.iter().filter_map(|&class| fit(class)).collect()
}

/// The law along an axis, if anything was predicted from it.
pub(crate) fn predicting(axis_law: &AxisLaw) -> Option<&Law> {
    let law = axis_law.law.as_ref();
    law.filter(|law| !law.predictions.is_empty())
}

/// The exponent of a law of growth; of none that may be constant, where it says nothing.
pub(crate) fn growth_exponent(law: &Law) -> Option<Estimate> {
    let grows = !law.classes.contains(&LawClass::Constant);
    law.exponent.filter(|_| grows)
}

/// The law with the largest exponent of those that grow; the first of equal ones. `None` where no
/// other can be told from it: its interval is not wholly above that of any.
pub(crate) fn steepest<'a>(laws: &[&'a AxisLaw]) -> Option<&'a AxisLaw> {
    let known: Vec<(Estimate, &AxisLaw)> = laws
        .iter()
        .filter_map(|law| Some((growth_exponent(law.law.as_ref()?)?, *law)))
        .collect();
    let by_value =
        |a: &&(Estimate, &AxisLaw), b: &&(Estimate, &AxisLaw)| a.0.value.total_cmp(&b.0.value);
    let (most, steepest) = known.iter().rev().max_by(by_value)?;
    let above = |(other, _): &(Estimate, &AxisLaw)| most.low > other.high;
    known.iter().any(above).then_some(*steepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(class: LawClass) -> Fit {
        Fit {
            class,
            intercept: 100.0,
            coefficient: 2.0,
            exponent: Some(1.5),
            load: Some(1.0),
            aicc: 0.0,
            delta: 0.0,
            weight: 1.0,
            bic: 0.0,
            residual: 0.0,
            held_out_error: None,
        }
    }

    #[test]
    fn curves() {
        let check = |class, n: f64, bytes: f64, per_item: f64| {
            let fit = fit(class);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs().max(1.0);
            assert!(near(bytes_at(&fit, n), bytes), "{class}");
            assert!(near(bytes_per_item(&fit, n), per_item), "{class}");
        };
        let e = std::f64::consts::E;
        check(LawClass::Constant, 9.0, 100.0, 0.0);
        check(LawClass::Logarithmic, e, 102.0, 2.0 / e);
        check(LawClass::Linear, 9.0, 118.0, 2.0);
        check(LawClass::Linearithmic, e, 100.0 + 2.0 * e, 4.0);
        check(LawClass::Quadratic, 9.0, 262.0, 36.0);
        check(LawClass::Power, 9.0, 154.0, 9.0);
        check(LawClass::Staircase, 8.0, 116.0, 2.0 * CAPACITY_MEAN);
        check(LawClass::Staircase, 9.0, 132.0, 2.0 * CAPACITY_MEAN);
    }
}
