//! Finds teeth: memory that is gathered and released again and again, and the floor under each.

use plimsoll_model::Teeth;

use super::series::without_spikes;
use super::trend::theil_sen;
use crate::order;

/// A release falls farther than this many deviations of the ordinary steps without spikes.
const RELEASE_DEVIATIONS: f64 = 8.0;

/// And farther than this many deviations of the steps with all their noise, of which the running
/// median leaves stairs that look like falls.
const RELEASE_NOISE: f64 = 4.0;

/// A release falls by at least this share of the whole range; smaller ones are scatter.
const RELEASE_SHARE: f64 = 0.35;

/// And by this share of the largest release, so that small ones are not teeth beside large ones.
const RELEASE_ALIKE: f64 = 0.3;

/// Points from which a floor or a ceiling is taken, at most.
const EDGE_POINTS: usize = 5;

/// The teeth of a series and what is known of each.
#[derive(Clone, Debug)]
pub(crate) struct Toothed {
    /// First point after each release.
    pub(crate) releases: Vec<usize>,
    /// (work, bytes) after each release.
    pub(crate) floors: Vec<(f64, f64)>,
    /// (work, bytes) before each release.
    pub(crate) ceilings: Vec<(f64, f64)>,
    /// Bytes of each release.
    pub(crate) amplitudes: Vec<f64>,
    /// Slope inside each tooth, of the partial ones at either end too.
    pub(crate) rates: Vec<f64>,
    pub(crate) teeth: Teeth,
}

/// The teeth of `bytes` over `work`; `None` without a release.
///
/// The period is not taken from an autocorrelation: releases come late and early (a collector looks
/// only now and then), and floors do not need them to be regular. Linear in the number of points.
pub(crate) fn teeth(work: &[f64], bytes: &[f64], resolution: f64) -> Option<Toothed> {
    let smooth = without_spikes(bytes);
    let releases = releases(work, bytes, &smooth, resolution);
    let (&first, &last) = (releases.first()?, releases.last()?);
    let gaps: Vec<f64> = releases
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    let period_points = if gaps.is_empty() {
        first.max(bytes.len() - last) as f64
    } else {
        order::median(&gaps)
    };
    let edge = ((period_points / 20.0) as usize).clamp(1, EDGE_POINTS);
    let level = |from: usize, to: usize| {
        (
            order::median(&work[from..to]),
            order::median(&smooth[from..to]),
        )
    };
    let ends = releases[1..].iter().copied().chain([bytes.len()]);
    let floors: Vec<(f64, f64)> = releases
        .iter()
        .zip(ends)
        // The last tooth may have fewer points than a floor needs to be like the others.
        .filter(|&(start, end)| end - start >= edge)
        .map(|(&start, _)| level(start, start + edge))
        .collect();
    let ceilings: Vec<(f64, f64)> = releases
        .iter()
        .map(|&release| level(release.saturating_sub(edge), release))
        .collect();
    let extreme = |part: &[f64], pick: fn(f64, f64) -> f64| part.iter().copied().reduce(pick);
    let amplitudes: Vec<f64> = releases
        .iter()
        .filter_map(|&release| {
            // The running median takes the tips off, so they are read from the points themselves.
            let before = extreme(&bytes[release.saturating_sub(3)..release], f64::max)?;
            let after = extreme(&bytes[release..(release + 3).min(bytes.len())], f64::min)?;
            Some(before - after)
        })
        .collect();
    let starts = [0].into_iter().chain(releases.iter().copied());
    let rates: Vec<f64> = starts
        .zip(releases.iter().copied().chain([bytes.len()]))
        .filter(|(start, end)| end - start >= 2 * EDGE_POINTS)
        .map(|(start, end)| theil_sen(&work[start..end], &bytes[start..end]))
        .collect();
    let work_gaps: Vec<f64> = releases
        .windows(2)
        .map(|pair| work[pair[1]] - work[pair[0]])
        .collect();
    let teeth = Teeth {
        period: if work_gaps.is_empty() {
            work[first].max(work[work.len() - 1] - work[last])
        } else {
            order::median(&work_gaps)
        },
        amplitude_bytes: order::median(&amplitudes),
        count: releases.len(),
    };
    Some(Toothed {
        releases,
        floors,
        ceilings,
        amplitudes,
        rates,
        teeth,
    })
}

/// First points after sharp falls that the level makes good again.
fn releases(work: &[f64], bytes: &[f64], smooth: &[f64], resolution: f64) -> Vec<usize> {
    let steps =
        |bytes: &[f64]| -> Vec<f64> { bytes.windows(2).map(|pair| pair[1] - pair[0]).collect() };
    let noise = order::robust_deviation(&steps(bytes));
    let steps = steps(smooth);
    if steps.is_empty() {
        return Vec::new();
    }
    let ordinary = order::median(&steps);
    let deviation = order::robust_deviation(&steps);
    let slope = theil_sen(work, smooth);
    let level: Vec<f64> = work
        .iter()
        .zip(smooth)
        .map(|(work, bytes)| bytes - slope * work)
        .collect();
    let range = order::quantile(&level, 0.98) - order::quantile(&level, 0.02);
    let least = (RELEASE_DEVIATIONS * deviation - ordinary)
        .max(RELEASE_NOISE * noise)
        .max(RELEASE_SHARE * range)
        .max(4.0 * resolution.min(4096.0));
    let mut falls: Vec<(usize, f64)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if -step < least || *step >= 0.0 {
            continue;
        }
        match falls.last_mut() {
            // A release that takes several points is one.
            Some((after, fall)) if index + 1 - *after <= 2 => {
                *after = index + 1;
                *fall -= step;
            }
            _ => falls.push((index + 1, -step)),
        }
    }
    let largest = falls.iter().map(|fall| fall.1).fold(0.0, f64::max);
    falls.retain(|fall| fall.1 >= RELEASE_ALIKE * largest);
    if let [(after, fall)] = falls[..]
        && !is_part_of_teeth(smooth, after, fall)
    {
        return Vec::new();
    }
    falls.into_iter().map(|fall| fall.0).collect()
}

/// True if a lone fall may be the release of a tooth: what rises beside it is of its size. A level
/// that only steps down is none, and neither is one that then rises far above where it fell from.
fn is_part_of_teeth(smooth: &[f64], after: usize, fall: f64) -> bool {
    let (before, behind) = smooth.split_at(after);
    let rise = |part: &[f64]| {
        let edge = (part.len() / 10).clamp(1, EDGE_POINTS);
        order::median(&part[part.len() - edge..]) - order::median(&part[..edge])
    };
    let (early, late) = (rise(before), rise(behind));
    early.max(0.0) + late.max(0.0) >= fall / 2.0 && late < 2.0 * fall
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize, bytes: impl Fn(usize) -> f64) -> Option<Toothed> {
        let work: Vec<f64> = (0..count)
            .map(|index| index as f64 / (count - 1) as f64)
            .collect();
        let bytes: Vec<f64> = (0..count).map(bytes).collect();
        teeth(&work, &bytes, 1.0)
    }

    #[test]
    fn teeth_are_found_with_their_floors() {
        let toothed = found(200, |i| ((i + 13) % 40) as f64 * 100.0).expect("it has teeth");
        assert_eq!(toothed.releases, [27, 67, 107, 147, 187]);
        assert_eq!(toothed.teeth.count, 5);
        assert!(toothed.floors.iter().all(|floor| floor.1 <= 300.0));
        assert!((toothed.teeth.period - 40.0 / 199.0).abs() < 1e-9);
    }

    #[test]
    fn what_does_not_come_back_has_none() {
        assert!(found(200, |i| i as f64).is_none());
        assert!(found(200, |_| 5.0).is_none());
        // A single step down, then level.
        assert!(found(200, |i| if i < 50 { 9000.0 } else { 10.0 }).is_none());
        let mut random = fastrand::Rng::with_seed(5);
        let noise: Vec<f64> = (0..200).map(|_| random.f64()).collect();
        assert!(found(200, |i| noise[i]).is_none());
    }
}
