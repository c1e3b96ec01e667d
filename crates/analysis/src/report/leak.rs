//! A leak judgement on the program's own memory, and on each part of what it holds.

use std::cmp::Ordering;

use plimsoll_model::{
    Bytes, GrowthClass, GrowthPoint, MeasuredGrowth, MemoryPoint, MemorySeries, OwnerLevel,
    RssParts,
};

use crate::leak::{LeakOptions, judge};

/// Fewer full readings than this show no trend of an owner.
const OWNER_POINTS_MIN: usize = 8;
/// Owners that are judged, the largest first.
const OWNERS_MAX: usize = 24;

/// The judgements of a [`plimsoll_model::LeakReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub own: MeasuredGrowth,
    pub measures: Vec<MeasuredGrowth>,
    pub owners: Vec<MeasuredGrowth>,
}

/// Judges a series, and a control arm beside it: the same without the work.
///
/// Costs a [`judge`] for each measure and owner.
#[must_use]
pub fn judge_all(
    series: &MemorySeries,
    control: Option<&[MemoryPoint]>,
    options: &LeakOptions,
) -> Judged {
    let quick = |name: &str, of: fn(&RssParts) -> Bytes| {
        let options = LeakOptions {
            control: control.map(|points| points_of(points, of)),
            ..options.clone()
        };
        measured(name, &points_of(&series.points, of), &options)
    };
    // What grows is in one part; a budget is for the whole.
    let part = LeakOptions {
        budget: None,
        control: None,
        ..options.clone()
    };
    let mut measures = vec![
        quick(MeasuredGrowth::RSS, |parts| parts.rss),
        quick(MeasuredGrowth::FILES, |parts| parts.file),
    ];
    let sums = [
        (MeasuredGrowth::LIVE, sum_of(series, |owner| owner.live)),
        (
            MeasuredGrowth::HELD,
            sum_of(series, |owner| owner.held_free),
        ),
    ];
    for (name, points) in sums {
        if points.len() >= OWNER_POINTS_MIN {
            measures.push(measured(name, &points, &part));
        }
    }
    let mut owners: Vec<MeasuredGrowth> = largest(series)
        .into_iter()
        .map(|name| measured(&name, &owner_points(series, &name), &part))
        .collect();
    owners.sort_by(by_growth);
    Judged {
        own: quick(MeasuredGrowth::OWN, RssParts::own),
        measures,
        owners,
    }
}

fn measured(name: &str, points: &[GrowthPoint], options: &LeakOptions) -> MeasuredGrowth {
    MeasuredGrowth {
        name: name.to_owned(),
        points: points.len(),
        growth: judge(points, options),
    }
}

/// What grows first, then by slope.
fn by_growth(one: &MeasuredGrowth, other: &MeasuredGrowth) -> Ordering {
    let grows = |measured: &MeasuredGrowth| measured.growth.class == GrowthClass::Growing;
    let slope = |measured: &MeasuredGrowth| measured.growth.slope.map_or(0.0, |slope| slope.value);
    let by_slope = slope(other).total_cmp(&slope(one));
    grows(other).cmp(&grows(one)).then(by_slope)
}

fn points_of(points: &[MemoryPoint], of: fn(&RssParts) -> Bytes) -> Vec<GrowthPoint> {
    let points = points.iter().map(|point| GrowthPoint {
        work: point.work,
        bytes: of(&point.parts).0 as f64,
    });
    points.collect()
}

/// Over the owners that tell it; none where no owner does.
fn sum_of(series: &MemorySeries, of: fn(&OwnerLevel) -> Option<Bytes>) -> Vec<GrowthPoint> {
    let told = |point: &plimsoll_model::OwnersPoint| {
        let told: Vec<Bytes> = point.owners.iter().filter_map(of).collect();
        (!told.is_empty()).then(|| told.into_iter().sum::<Bytes>())
    };
    let points = series.owners.iter().filter_map(|point| {
        Some(GrowthPoint {
            work: point.work,
            bytes: told(point)?.0 as f64,
        })
    });
    points.collect()
}

/// An owner that is not there holds nothing.
fn owner_points(series: &MemorySeries, name: &str) -> Vec<GrowthPoint> {
    let points = series.owners.iter().map(|point| {
        let owner = point.owners.iter().find(|owner| owner.name == name);
        GrowthPoint {
            work: point.work,
            bytes: owner.map_or(0.0, |owner| owner.resident.0 as f64),
        }
    });
    points.collect()
}

fn largest(series: &MemorySeries) -> Vec<String> {
    if series.owners.len() < OWNER_POINTS_MIN {
        return Vec::new();
    }
    let mut sizes: Vec<(&str, u64)> = Vec::new();
    for owner in series.owners.iter().flat_map(|point| &point.owners) {
        match sizes.iter_mut().find(|(name, _)| *name == owner.name) {
            Some((_, size)) => *size = (*size).max(owner.resident.0),
            None => sizes.push((&owner.name, owner.resident.0)),
        }
    }
    sizes.sort_by(|(a, one), (b, other)| other.cmp(one).then(a.cmp(b)));
    let names = sizes.into_iter().take(OWNERS_MAX);
    names.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_model::{Kind, OwnersPoint};

    use super::*;

    /// A heap that keeps what was freed: held memory grows by 8 KiB a cycle, live memory does not,
    /// and a mapped file grows by 64 KiB a cycle.
    fn series() -> MemorySeries {
        let mut series = MemorySeries::default();
        for cycle in 0..200_u64 {
            let (live, held) = (Bytes::mib(40), Bytes::kib(8 * cycle));
            let file = Bytes::mib(10) + Bytes::kib(64 * cycle);
            let jitter = Bytes::kib(4 * (cycle * 7 % 5));
            series.points.push(MemoryPoint {
                work: cycle as f64,
                at: Duration::from_millis(cycle),
                parts: RssParts {
                    rss: live + held + file,
                    anon: live + held + jitter,
                    file,
                    ..RssParts::default()
                },
            });
            {
                series.owners.push(OwnersPoint {
                    work: cycle as f64,
                    owners: vec![
                        OwnerLevel {
                            name: "glibc malloc".to_owned(),
                            kind: Kind::Heap,
                            resident: live + held,
                            live: Some(live),
                            held_free: Some(held),
                        },
                        OwnerLevel {
                            name: "cache.db".to_owned(),
                            kind: Kind::File,
                            resident: file,
                            live: None,
                            held_free: None,
                        },
                    ],
                });
            }
        }
        series
    }

    #[test]
    fn what_grows_is_told_apart() {
        let judged = judge_all(&series(), None, &LeakOptions::default());
        let class = |name: &str| {
            let mut all = judged.measures.iter().chain(&judged.owners);
            let found = all.find(|measured| measured.name == name);
            found.map(|measured| measured.growth.class)
        };
        assert_eq!(judged.own.growth.class, GrowthClass::Growing);
        let slope = judged.own.growth.slope.unwrap().value;
        assert!((slope / 8192.0 - 1.0).abs() < 0.05, "{slope}");
        assert_eq!(class("allocator: live"), Some(GrowthClass::Flat));
        assert_eq!(
            class("allocator: freed but held"),
            Some(GrowthClass::Growing)
        );
        assert_eq!(class("mapped files"), Some(GrowthClass::Growing));
        assert_eq!(judged.owners[0].name, "cache.db");
    }

    #[test]
    fn without_full_readings_no_owner_is_judged() {
        let series = MemorySeries {
            owners: Vec::new(),
            ..series()
        };
        let judged = judge_all(&series, None, &LeakOptions::default());
        assert!(judged.owners.is_empty());
        assert_eq!(judged.measures.len(), 2);
    }
}
