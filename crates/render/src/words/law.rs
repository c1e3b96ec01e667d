//! What is said of a law, in plain sentences that all formats share. Names of axes and measures
//! are foreign and stand in them as they are: who prints a sentence escapes it.

use plimsoll_model::{
    AxisLaw, Bytes, Estimate, Fit, Law, LawClass, LawDoubt, LawUndetermined, Prediction, Size,
    TestedRange,
};

use crate::figures::law_curve::growth_exponent;
use crate::words::amount::bytes;
use crate::words::interval::{estimated, estimated_per};
use crate::words::number::{factor, number, rounded, share, weight};

/// A size from which on an estimate means "not reached": the analysis looks no farther.
const SIZE_MAX: f64 = 1e18;

/// The verdict on one measure along one axis: the law or why there is none, and where the budget
/// is reached.
pub(crate) fn verdict(law: &AxisLaw, budget: Option<Bytes>) -> String {
    let measure = law.measure.to_string();
    let sentence = match (&law.law, &law.undetermined) {
        (Some(found), _) => {
            let growth = growth(found, &measure, &law.axis);
            match budget.map(|budget| reached(found, budget, &law.axis)) {
                Some(reached) => format!("{growth}; {reached}."),
                None => format!("{growth}."),
            }
        }
        (None, Some(reason)) => format!(
            "no law can be stated for {measure} with {}: {}.",
            law.axis,
            undetermined(reason)
        ),
        (None, None) => format!("no law was sought for {measure} with {}.", law.axis),
    };
    format!("{}{sentence}", held(&law.held))
}

/// "with landmarks = 10, "; empty on one axis.
fn held(sizes: &[Size]) -> String {
    if sizes.is_empty() {
        String::new()
    } else {
        format!("with {}, ", size_words(sizes))
    }
}

/// "n = 1,000, landmarks = 10".
pub(crate) fn size_words(sizes: &[Size]) -> String {
    let words: Vec<String> = sizes
        .iter()
        .map(|size| format!("{} = {}", size.axis, number(size.value)))
        .collect();
    words.join(", ")
}

fn growth(law: &Law, measure: &str, axis: &str) -> String {
    // "n" is the letter of the laws themselves.
    let along = if axis == "n" {
        String::new()
    } else {
        format!(" with {axis}")
    };
    let cost = estimated_per(&law.marginal, &per_item(axis));
    let above = format!("above {}", bytes(law.intercept.value));
    let largest = number(law.tested.n_max);
    match law.classes.as_slice() {
        [LawClass::Constant] => format!(
            "{measure} does not grow with {axis}: {} from {axis} = {} to {largest}",
            estimated(&law.intercept),
            number(law.tested.n_min),
        ),
        [LawClass::Linear] => format!("{measure} grows linearly with {axis}: {cost} {above}"),
        [LawClass::Staircase] => format!(
            "{measure} grows in doubling steps, in the mean linearly with {axis}: {cost} {above}"
        ),
        [class] => format!(
            "{measure} grows like {}{along}: {cost} at {axis} = {largest}, {above}",
            shape(*class, law)
        ),
        classes => format!(
            "{measure} {}{along}: these runs can't tell them apart; {}; at {axis} = {largest} one \
             item more costs {}",
            either(classes, law),
            separable(law, axis),
            estimated(&law.marginal),
        ),
    }
}

/// "grows like n or n log n", "stays constant or grows like log n".
fn either(classes: &[LawClass], law: &Law) -> String {
    let growing: Vec<String> = classes
        .iter()
        .filter(|class| **class != LawClass::Constant)
        .map(|class| shape(*class, law))
        .collect();
    let growing = match growing.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => growing.join(", "),
    };
    if classes.contains(&LawClass::Constant) {
        format!("stays constant or grows like {growing}")
    } else {
        format!("grows like {growing}")
    }
}

fn separable(law: &Law, axis: &str) -> String {
    match law.separable_at {
        Some(n) => format!("{axis} up to {} would", rounded(n)),
        None => "no size up to 1,000 times the largest would".to_owned(),
    }
}

/// The shape of a law in its letter n.
fn shape(class: LawClass, law: &Law) -> String {
    match class {
        LawClass::Linear => "n".to_owned(),
        LawClass::Power => {
            let fits = law.fits.iter();
            let fitted = fits.filter(|fit| fit.class == LawClass::Power);
            let fitted = fitted.filter_map(|fit| fit.exponent).next();
            match (law.exponent, fitted) {
                (Some(e), _) => format!(
                    "n^{} (exponent {:.2} to {:.2})",
                    exponent_figure(e.value),
                    e.low,
                    e.high
                ),
                (None, Some(exponent)) => format!("n^{}", exponent_figure(exponent)),
                (None, None) => class.name().to_owned(),
            }
        }
        other => other.name().to_owned(),
    }
}

/// "n^1.50", "n log n": a fit in a list of fits.
pub(crate) fn fit_name(fit: &Fit) -> String {
    match fit.exponent {
        Some(exponent) => format!("n^{exponent:.2}"),
        None => fit.class.name().to_owned(),
    }
}

/// "1.5", "1.46", "2".
fn exponent_figure(exponent: f64) -> String {
    let words = format!("{exponent:.2}");
    words.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// "1.50 (1.45 to 1.55)".
pub(crate) fn exponent_words(exponent: &Estimate) -> String {
    let Estimate { value, low, high } = exponent;
    format!("{value:.2} ({low:.2} to {high:.2})")
}

/// "linear", "n log n or n^2", "constant or 2 others": the kept laws for a cell of a table.
pub(crate) fn law_names(law: &Law) -> String {
    let names: Vec<&str> = law.classes.iter().map(|class| class.name()).collect();
    match names.as_slice() {
        [first, _, rest @ ..] if !rest.is_empty() => {
            format!("{first} or {} others", rest.len() + 1)
        }
        names => names.join(" or "),
    }
}

/// "per item" of the axis n, "per item of pages" of one with a name.
pub(crate) fn per_item(axis: &str) -> String {
    if axis == "n" {
        "per item".to_owned()
    } else {
        format!("per item of {axis}")
    }
}

/// Where the budget is reached.
fn reached(law: &Law, budget: Bytes, axis: &str) -> String {
    let Some(at) = law.budget_at else {
        return format!("{budget} is not reached by this growth");
    };
    let beyond = if at.value > law.tested.n_max {
        format!(
            ", {} times beyond what was run",
            factor(at.value / law.tested.n_max)
        )
    } else {
        String::new()
    };
    if at.high >= SIZE_MAX {
        format!(
            "{budget} is reached at {axis} = {} at the earliest {}, or never{beyond}",
            rounded(at.value),
            rounded(at.low)
        )
    } else {
        format!(
            "{budget} is reached at {axis} = {} ({} to {}){beyond}",
            rounded(at.value),
            rounded(at.low),
            rounded(at.high)
        )
    }
}

/// What the next best law has, the exponent, the noise: short facts beside the fits.
pub(crate) fn facts(law: &Law, axis: &str) -> Vec<String> {
    let mut facts = vec![format!(
        "there whatever the size: {}",
        estimated(&law.intercept)
    )];
    if let Some(runner_up) = law.runner_up {
        let weight = weight(runner_up.weight);
        facts.push(format!("runner-up: {}, weight {weight}", runner_up.class));
    }
    facts.push(match growth_exponent(law) {
        Some(exponent) => format!("exponent {}", exponent_words(&exponent)),
        None => "no exponent: nothing grows, or there are too few sizes".to_owned(),
    });
    facts.push(format!("noise of one run {}", share(law.noise)));
    facts.push(format!(
        "{} runs at {} sizes, {}",
        law.tested.runs,
        law.tested.sizes,
        tested(&law.tested, axis)
    ));
    facts
}

/// "n = 100 to 20,000".
pub(crate) fn tested(tested: &TestedRange, axis: &str) -> String {
    format!(
        "{axis} = {} to {}",
        number(tested.n_min),
        number(tested.n_max)
    )
}

/// A prediction with the range that was run beside it.
pub(crate) fn prediction(prediction: &Prediction, law: &Law, axis: &str) -> String {
    format!(
        "{axis} = {}: {}, {}",
        number(prediction.n),
        estimated(&prediction.bytes),
        distance(prediction, law, axis)
    )
}

/// "5.0 times beyond what was run (n = 100 to 20,000)".
pub(crate) fn distance(prediction: &Prediction, law: &Law, axis: &str) -> String {
    let tested = tested(&law.tested, axis);
    if prediction.extrapolation > 1.0 {
        let times = factor(prediction.extrapolation);
        format!("{times} times beyond what was run ({tested})")
    } else if prediction.n < law.tested.n_min {
        format!("below what was run ({tested})")
    } else {
        format!("within what was run ({tested})")
    }
}

pub(crate) fn undetermined(reason: &LawUndetermined) -> String {
    match reason {
        LawUndetermined::TooFewSizes {
            distinct: 1,
            needed,
        } => format!("1 size was run, a law needs at least {needed}"),
        other => other.to_string(),
    }
}

pub(crate) fn doubt(doubt: &LawDoubt, axis: &str) -> String {
    match doubt {
        LawDoubt::FewSizes { sizes, advised } => {
            format!("only {sizes} distinct sizes were run; {advised} are advised")
        }
        LawDoubt::NarrowRange {
            factor: span,
            advised,
        } => format!(
            "the sizes span a factor of {} only; {} is advised",
            factor(*span),
            number(*advised)
        ),
        LawDoubt::NoRepeats => {
            "no size was run twice: noise and misfit can't be told apart; run each at least twice"
                .to_owned()
        }
        LawDoubt::ResidualPattern { probability } => format!(
            "neighbouring sizes miss the law on the same side more than chance allows \
             (probability {}): the true law may be another",
            share(*probability)
        ),
        LawDoubt::HeldOutMissed {
            relative_error,
            allowed,
        } => format!(
            "fitted without the largest size, the best law misses it by {} where the noise allows \
             {}",
            share(relative_error.abs()),
            share(*allowed)
        ),
        LawDoubt::BicPrefers { class } => {
            format!("another criterion (BIC) prefers a law that was not kept: {class}")
        }
        LawDoubt::StepsHidden => format!(
            "the sizes are the same multiples of powers of two, where doubling steps look linear: \
             add values of {axis} between them"
        ),
        LawDoubt::Falls { relative_change } => format!(
            "peaks fall by {} as {axis} grows; all laws here only grow",
            share(relative_change.abs())
        ),
        LawDoubt::PoorFit { residual } => format!(
            "even the best law leaves {} of the bytes unexplained",
            share(*residual)
        ),
        LawDoubt::Extrapolated { n, factor: times } => format!(
            "the prediction for {axis} = {} reaches {} times beyond what was run",
            number(*n),
            factor(*times)
        ),
    }
}
