//! Sizes as arguments give them: `n=100,1000,1e4`, `n=100..1e6:9`, and targets
//! `n=100000 <500MiB`.

use std::str::FromStr;

use plimsoll_model::{Axis, Bytes, Size};

/// A range is cut into at most so many sizes: each is run several times.
const SIZES_MAX: usize = 1000;
/// f64 holds every whole number up to here; a size above it is a typing error.
const SIZE_MAX: f64 = 9_007_199_254_740_992.0;

/// An axis: its name and its sizes, ascending, each once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vary(pub(crate) Axis);

impl FromStr for Vary {
    type Err = String;

    fn from_str(text: &str) -> Result<Vary, String> {
        let (name, list) = split_name(text)?;
        let mut values = match list.split_once("..") {
            Some((first, rest)) => range(first, rest)?,
            None => list.split(',').map(parse_size).collect::<Result<_, _>>()?,
        };
        values.sort_by(f64::total_cmp);
        values.dedup();
        Ok(Vary(Axis {
            name: name.to_owned(),
            values,
        }))
    }
}

/// One value on each axis named: `n=100000,p=10`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place(pub(crate) Vec<Size>);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let mut sizes: Vec<Size> = Vec::new();
        for part in text.split(',') {
            let (name, value) = split_name(part)?;
            if sizes.iter().any(|size| size.axis == name) {
                return Err(format!("{name} is given twice"));
            }
            sizes.push(Size {
                axis: name.to_owned(),
                value: parse_size(value)?,
            });
        }
        Ok(Place(sizes))
    }
}

/// A claim that is to be tested: `n=100000 <500MiB`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) limit: Bytes,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let Some((place, limit)) = text.split_once('<') else {
            return Err("give a size and a limit, like 'n=100000 <500MiB'".to_owned());
        };
        let limit = limit.trim().trim_start_matches('=').trim();
        Ok(Target {
            place: place.trim().parse()?,
            limit: limit.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

fn split_name(text: &str) -> Result<(&str, &str), String> {
    let Some((name, value)) = text.trim().split_once('=') else {
        return Err(format!("{text:?} has no name; give NAME=SIZE, like n=1000"));
    };
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("{name:?} is no name; use letters, digits and _"));
    }
    Ok((name, value.trim()))
}

/// `100..1e6:9`: nine sizes in equal ratios, both ends among them.
fn range(first: &str, rest: &str) -> Result<Vec<f64>, String> {
    let Some((last, count)) = rest.split_once(':') else {
        return Err("say how many sizes, like 100..1000000:9".to_owned());
    };
    let (first, last) = (parse_size(first)?, parse_size(last)?);
    let count: usize = count
        .trim()
        .parse()
        .map_err(|_| format!("{count:?} is not a number of sizes"))?;
    if first >= last || !(2..=SIZES_MAX).contains(&count) {
        return Err(format!(
            "a range goes from less to more in 2 to {SIZES_MAX} sizes"
        ));
    }
    let step = (last / first).powf(1.0 / (count - 1) as f64);
    let sizes = (0..count).map(|index| (first * step.powi(index as i32)).round());
    Ok(sizes.collect())
}

/// A whole number above 0: `1000`, `1e6`, `10k`, `2M`.
fn parse_size(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a size; give a number, like 1000, 1e6 or 10k"))?;
    let size = number * factor;
    if !(1.0..=SIZE_MAX).contains(&size) || size.fract() != 0.0 {
        return Err(format!(
            "{text:?} is not a size; give a whole number from 1 up"
        ));
    }
    Ok(size)
}

/// As it goes into a command line: no exponent, no decimals.
pub(crate) fn size_text(size: f64) -> String {
    format!("{size:.0}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read() {
        let check = |text: &str, expected: &[f64]| {
            let Vary(axis) = text.parse().unwrap();
            assert_eq!(axis.name, "n");
            assert_eq!(axis.values, expected, "{text}");
        };
        check("n=100,1000", &[100.0, 1000.0]);
        check("n=1000, 100,100", &[100.0, 1000.0]);
        check("n=1e3,10k,2M", &[1e3, 1e4, 2e6]);
        check("n=10..1000:3", &[10.0, 100.0, 1000.0]);
        check("n=7", &[7.0]);
    }

    #[test]
    fn what_is_no_size_says_so() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Vary>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("100", "no name");
        check("=100", "no name");
        check("n=0", "whole number");
        check("n=-5", "whole number");
        check("n=NaN", "whole number");
        check("n=inf", "whole number");
        check("n=1.5", "whole number");
        check("n=", "not a size");
        check("n=1..10", "how many");
        check("n=10..1:3", "from less to more");
        check("n=1..10:1", "from less to more");
    }

    #[test]
    fn targets_are_read() {
        let target: Target = "n=100000 <500MiB".parse().unwrap();
        assert_eq!(target.limit, Bytes::mib(500));
        assert_eq!(target.place.0[0].value, 1e5);
        let target: Target = "n=10,p=2<=1GiB".parse().unwrap();
        assert_eq!(target.place.0.len(), 2);
        for bad in [
            "n=10",
            "n=10 < ",
            "n=10 < -5MiB",
            "n=10 < NaN",
            "n=10,n=20 < 5MiB",
            "< 5MiB",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Vary>();
            let _ = text.parse::<Place>();
            let _ = text.parse::<Target>();
        }

        #[test]
        fn what_is_read_is_ascending_and_whole(
            list in "n=[0-9]{1,17}[kMG]?([,.][0-9e.]{0,6}){0,4}(\\.\\.[0-9e]{1,9}(:[0-9]{0,4})?)?",
        ) {
            if let Ok(Vary(axis)) = list.parse::<Vary>() {
                prop_assert!(!axis.values.is_empty() && axis.values.len() <= SIZES_MAX);
                prop_assert!(axis.values.windows(2).all(|pair| pair[0] < pair[1]));
                for value in axis.values {
                    prop_assert!((1.0..=SIZE_MAX).contains(&value) && value.fract() == 0.0);
                    let again: Vary = format!("n={}", size_text(value)).parse().unwrap();
                    prop_assert_eq!(again.0.values, [value]);
                }
            }
        }

        #[test]
        fn ranges_have_both_ends(first in 1..1000_u32, more in 1..1_000_000_u32, count in 2..50_usize) {
            let last = first + more;
            let Vary(axis) = format!("n={first}..{last}:{count}").parse().unwrap();
            prop_assert_eq!(axis.values.first(), Some(&f64::from(first)));
            prop_assert_eq!(axis.values.last(), Some(&f64::from(last)));
            prop_assert!(axis.values.len() <= count);
        }

        #[test]
        fn targets_come_back(size in 1..1_u64 << 53, limit in 1..u64::MAX) {
            let target: Target = format!("n={size} < {limit}").parse().unwrap();
            prop_assert_eq!(target.limit, Bytes(limit));
            prop_assert_eq!(size_text(target.place.0[0].value), size.to_string());
        }
    }
}
