//! A fixed histogram of durations, written by one thread while another takes it.
//!
//! The main type is [`Histogram`]: eight buckets for each power of two of nanoseconds (so that a
//! value is known to 12.5 %), in 4 KiB of atomics. Recording allocates nothing and takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

const SUB_BUCKETS: u64 = 8;
const SUB_BITS: u32 = SUB_BUCKETS.ilog2();
/// Enough for every u64.
const BUCKETS: usize = 62 * SUB_BUCKETS as usize;

/// Counts of durations, by size.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

/// What a histogram held when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    counts: Vec<u64>,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Adds one duration.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(nanoseconds, Ordering::Relaxed);
    }

    /// What was recorded since the last call; starts again from nothing.
    #[must_use]
    pub fn take(&self) -> Summary {
        let counts = self
            .counts
            .iter()
            .map(|count| count.swap(0, Ordering::Relaxed))
            .collect();
        Summary {
            counts,
            max: self.max.swap(0, Ordering::Relaxed),
        }
    }
}

impl Summary {
    /// How many durations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The upper end of the bucket that holds the given share of them, never above the largest; 0
    /// without any.
    #[must_use]
    pub fn quantile_nanoseconds(&self, per_mille: u64) -> u64 {
        let rank = (self.count() * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(bucket).min(self.max);
            }
        }
        0
    }

    /// The line that answers a test.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "count": self.count(),
            "p50_nanoseconds": self.quantile_nanoseconds(500),
            "p99_nanoseconds": self.quantile_nanoseconds(990),
            "p999_nanoseconds": self.quantile_nanoseconds(999),
            "max_nanoseconds": self.max,
        })
    }
}

/// Small values have a bucket each; above, the top four bits choose it.
fn bucket_of(value: u64) -> usize {
    let bucket = if value < SUB_BUCKETS {
        value
    } else {
        let shift = value.ilog2() - SUB_BITS;
        u64::from(shift + 1) * SUB_BUCKETS + ((value >> shift) - SUB_BUCKETS)
    };
    usize::try_from(bucket).expect("there are fewer than 500 buckets")
}

/// The largest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    let low = (SUB_BUCKETS + bucket % SUB_BUCKETS) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_to_an_eighth() {
        for value in (0..100).chain([1_000, 4_095, 4_096, 1_000_000, u64::MAX / 2, u64::MAX]) {
            let last = last_of(bucket_of(value));
            assert!(
                last >= value && last - value <= value / 8,
                "{value} is told as {last}"
            );
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_known_values() {
        let histogram = Histogram::default();
        for nanoseconds in 1..=1000 {
            histogram.record(Duration::from_nanos(nanoseconds));
        }
        let summary = histogram.take();
        assert_eq!(summary.count(), 1000);
        assert_eq!(summary.quantile_nanoseconds(500), 511);
        assert_eq!(summary.quantile_nanoseconds(990), 1000);
        assert_eq!(histogram.take().to_json()["max_nanoseconds"], 0);
        assert_eq!(histogram.take().quantile_nanoseconds(990), 0);
    }
}
