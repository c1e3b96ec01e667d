//! Fewer points of a long run, with its peaks: pure, one pass, memory in proportion to the result.
//!
//! [`Thinner`] takes samples in time order and cuts time into equal buckets. Of each bucket it
//! keeps the ticks with the smallest and the largest total RSS, whole (all processes read
//! together, so that they can be added up), and of each process the samples with its smallest and
//! largest RSS. The first and the last tick of the run are always kept. Nothing is averaged: each
//! point that is left was measured.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_model::{ProcessId, Sample};

/// What one pass over the samples tells, before any of them is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) samples: u64,
    ticks: u64,
    first: Duration,
    last: Duration,
}

impl Census {
    pub(crate) fn count(&mut self, sample: &Sample) {
        if self.samples == 0 {
            self.first = sample.at;
        }
        if self.samples == 0 || sample.at != self.last {
            self.ticks += 1;
        }
        self.samples += 1;
        self.last = sample.at;
    }

    /// Buckets to begin with so that about `limit` samples are kept.
    pub(crate) fn buckets(&self, limit: usize) -> u64 {
        let per_tick = self.samples.div_ceil(self.ticks.max(1));
        // Two whole ticks, and two samples of each process unless it is the only one.
        let per_bucket = if per_tick == 1 { 2 } else { 4 * per_tick };
        let ends = 2 * per_tick;
        ((limit as u64).saturating_sub(ends) / per_bucket).max(1)
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Thinner {
    first: Duration,
    bucket_width: Duration,
    limit: usize,
    keep_each_process: bool,
    bucket: u128,
    tick: Tick,
    smallest: Option<Tick>,
    largest: Option<Tick>,
    extremes: HashMap<ProcessId, (Sample, Sample)>,
    kept: Vec<Sample>,
    overflowed: bool,
}

/// Samples taken together.
#[derive(Clone, Debug, Default)]
struct Tick {
    samples: Vec<Sample>,
    rss: u64,
}

impl Thinner {
    /// With 0 buckets only whole ticks are kept, those of one bucket, and [`Thinner::finish`]
    /// always succeeds: a run of more processes than `limit` has room for still shows its peak.
    pub(crate) fn new(census: &Census, buckets: u64, limit: usize) -> Thinner {
        let span = census.last.saturating_sub(census.first);
        let width = span.as_nanos() / u128::from(buckets.max(1)) + 1;
        Thinner {
            first: census.first,
            bucket_width: Duration::from_nanos(u64::try_from(width).unwrap_or(u64::MAX)),
            limit,
            keep_each_process: buckets > 0,
            bucket: 0,
            tick: Tick::default(),
            smallest: None,
            largest: None,
            extremes: HashMap::new(),
            kept: Vec::new(),
            overflowed: false,
        }
    }

    pub(crate) fn push(&mut self, sample: Sample) {
        if let Some(previous) = self.tick.samples.last()
            && previous.at != sample.at
        {
            self.end_tick();
            let bucket = sample.at.saturating_sub(self.first).as_nanos()
                / self.bucket_width.as_nanos().max(1);
            if bucket != self.bucket {
                self.end_bucket();
                self.bucket = bucket;
            }
        }
        self.tick.rss = self.tick.rss.saturating_add(sample.rss.0);
        self.tick.samples.push(sample);
    }

    /// The samples kept, in time order; `None` when they are more than the limit and fewer buckets
    /// are to be tried.
    pub(crate) fn finish(mut self) -> Option<Vec<Sample>> {
        let last = self.tick.samples.clone();
        self.end_tick();
        self.end_bucket();
        self.kept.extend(last);
        if self.overflowed && self.keep_each_process {
            return None;
        }
        self.kept.sort_by_key(|sample| (sample.at, sample.process));
        self.kept.dedup();
        (self.kept.len() <= self.limit || !self.keep_each_process).then_some(self.kept)
    }

    fn end_tick(&mut self) {
        let tick = std::mem::take(&mut self.tick);
        if self.kept.is_empty() && self.smallest.is_none() {
            self.kept.extend(&tick.samples);
        }
        if self.keep_each_process {
            for sample in &tick.samples {
                let (least, most) = self
                    .extremes
                    .entry(sample.process)
                    .or_insert((*sample, *sample));
                if sample.rss < least.rss {
                    *least = *sample;
                }
                if sample.rss > most.rss {
                    *most = *sample;
                }
            }
        }
        if self
            .smallest
            .as_ref()
            .is_none_or(|least| tick.rss < least.rss)
        {
            self.smallest = Some(tick.clone());
        }
        if self.largest.as_ref().is_none_or(|most| tick.rss > most.rss) {
            self.largest = Some(tick);
        }
    }

    fn end_bucket(&mut self) {
        let ticks = [self.smallest.take(), self.largest.take()];
        let mut bucket: Vec<Sample> = ticks
            .into_iter()
            .flatten()
            .flat_map(|t| t.samples)
            .collect();
        for (_, (least, most)) in self.extremes.drain() {
            bucket.extend([least, most]);
        }
        bucket.sort_by_key(|sample| (sample.at, sample.process));
        bucket.dedup();
        self.kept.extend(bucket);
        // The first and the last tick may be in a bucket too: leave them room before giving up.
        if self.keep_each_process && self.kept.len() > self.limit.saturating_mul(2) {
            self.overflowed = true;
            self.kept.clear();
        }
    }
}

/// Indexes to keep of `sizes` (in time order) so that at most `limit` are left: first, last, and
/// the smallest and largest of equal stretches.
pub(crate) fn thin_indexes(sizes: &[u64], limit: usize) -> Vec<usize> {
    if sizes.len() <= limit {
        return (0..sizes.len()).collect();
    }
    let stretches = (limit.saturating_sub(2) / 2).max(1);
    let length = sizes.len().div_ceil(stretches);
    let mut kept = vec![0, sizes.len() - 1];
    for start in (0..sizes.len()).step_by(length) {
        let stretch = start..(start + length).min(sizes.len());
        kept.extend(stretch.clone().min_by_key(|index| sizes[*index]));
        // The first of equal maxima: `max_by_key` would give the last.
        kept.extend(stretch.rev().max_by_key(|index| sizes[*index]));
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use plimsoll_model::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn sample(at: u64, pid: u32, rss: u64) -> Sample {
        Sample {
            at: Duration::from_millis(at),
            process: ProcessId { pid, start_time: 1 },
            rss: Bytes(rss),
            anon: Bytes(rss),
            file: Bytes::ZERO,
            shmem: Bytes::ZERO,
            swap: Bytes::ZERO,
        }
    }

    fn thin(samples: &[Sample], limit: usize) -> Vec<Sample> {
        let mut census = Census::default();
        samples.iter().for_each(|sample| census.count(sample));
        let mut buckets = census.buckets(limit);
        loop {
            let mut thinner = Thinner::new(&census, buckets, limit);
            samples.iter().for_each(|sample| thinner.push(*sample));
            if let Some(kept) = thinner.finish() {
                return kept;
            }
            buckets /= 2;
        }
    }

    fn totals(samples: &[Sample]) -> Vec<u64> {
        samples
            .chunk_by(|a, b| a.at == b.at)
            .map(|tick| tick.iter().map(|sample| sample.rss.0).sum())
            .collect()
    }

    #[test]
    fn a_single_spike_survives() {
        let samples: Vec<Sample> = (0..100_000)
            .map(|at| sample(at, 1, if at == 77_777 { 900 } else { 100 }))
            .collect();
        let kept = thin(&samples, 200);
        assert!(kept.len() <= 200, "{}", kept.len());
        assert!(kept.contains(&samples[77_777]));
        assert_eq!(kept.first(), samples.first());
        assert_eq!(kept.last(), samples.last());
    }

    #[test]
    fn more_processes_than_room_keeps_the_peak_tick_whole() {
        let samples: Vec<Sample> = (0..20)
            .flat_map(|at| (1..=100).map(move |pid| sample(at, pid, if at == 7 { 5 } else { 2 })))
            .collect();
        let kept = thin(&samples, 50);
        assert_eq!(totals(&kept).into_iter().max(), Some(500));
        assert!(kept.len() <= 400, "{}", kept.len());
    }

    #[test]
    fn indexes_keep_extremes_and_ends() {
        let check = |sizes: &[u64], limit: usize, expected: &[usize]| {
            assert_eq!(thin_indexes(sizes, limit), expected);
        };
        check(&[], 4, &[]);
        check(&[5, 1, 9], 4, &[0, 1, 2]);
        check(&[3, 9, 1, 4, 9, 2], 4, &[0, 1, 2, 5]);
        check(&[1, 2, 3, 4], 0, &[0, 3]);
    }

    proptest! {
        #[test]
        fn extremes_and_ends_are_kept(
            rss in proptest::collection::vec((1..4_u32, 0..1000_u64), 1..400),
            limit in 24..100_usize,
        ) {
            let samples: Vec<Sample> = rss
                .iter()
                .enumerate()
                .flat_map(|(at, (processes, rss))| {
                    (1..=*processes).map(move |pid| sample(at as u64, pid, *rss / u64::from(pid)))
                })
                .collect();
            let kept = thin(&samples, limit);
            prop_assert!(kept.len() <= limit);
            prop_assert!(kept.iter().all(|sample| samples.contains(sample)));
            prop_assert!(kept.windows(2).all(|pair| pair[0].at <= pair[1].at));
            prop_assert_eq!(kept.first(), samples.first());
            prop_assert_eq!(kept.last(), samples.last());
            prop_assert_eq!(totals(&kept).into_iter().max(), totals(&samples).into_iter().max());
            for pid in 1..4 {
                let of = |samples: &[Sample]| {
                    let rss = samples.iter().filter(|s| s.process.pid == pid).map(|s| s.rss);
                    (rss.clone().min(), rss.max())
                };
                prop_assert_eq!(of(&kept), of(&samples));
            }
        }
    }
}
