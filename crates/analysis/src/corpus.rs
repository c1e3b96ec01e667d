//! The published corpus: series of known truth on which the leak judge is measured.
//!
//! Each family is a process that real programs show; length, size, noise and phase are drawn from a
//! seed. The same seed gives the same series, so that a rate printed in the documentation can be
//! checked by anyone (but for a last digit where a machine's logarithm differs). One corpus holds
//! 880 series, about 8 MB.
//!
//! What no judge can tell is left out on purpose and said here: a part of one tooth of 120 points or
//! more is a straight line, as a leak is; and a cache that is far from full fills as straight.

use std::f64::consts::TAU;

use fastrand::Rng;
use plimsoll_model::{Growth, GrowthClass, GrowthPoint};

/// Series of each family in one corpus.
pub const SPECIMENS_PER_FAMILY: u64 = 40;

/// A leak of so many times the limit that a verdict states must have been found.
pub const CERTAIN_LIMITS: f64 = 3.0;

/// A process that makes a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A level with independent noise, in bytes or in pages; now and then without any.
    Noise,
    /// A level whose neighbours are alike: AR(1) with a correlation of 0.2 to 0.8.
    CorrelatedNoise,
    /// A level with noise and lone peaks far above it.
    Spikes,
    /// One step up in the first third, level after it.
    WarmUpStep,
    /// Two to four steps up in the first 40 %, at any distance.
    WarmUpSteps,
    /// A cache that fills early and stops.
    FilledCache,
    /// A cache that is still filling at the end: one to two time constants.
    FillingCache,
    /// Regular teeth on a level floor; 30 to 119 points may be a part of one.
    Teeth,
    /// Teeth whose length, floor and ceiling vary by 3 to 15 %.
    LooseTeeth,
    /// Small teeth on steps that fall back after three to eight of them, as a collector with
    /// generations makes.
    NestedTeeth,
    /// On and off by turns, as a batch that loads and drops its data.
    OnOff,
    /// A slow wave of 1.5 to 6 periods, as day and night make.
    Wave,
    /// Capacity that doubles as work doubles.
    Doubling,
    /// A level that wanders far but is drawn back: AR(1) with a correlation of 0.95 to 0.995.
    Wander,
    /// A random walk without drift, with or without noise on it.
    Walk,
    /// A leak in noise, independent or correlated.
    Leak,
    /// A leak seen in pages of 4096 bytes.
    PagedLeak,
    /// A leak under teeth, regular or loose.
    LeakUnderTeeth,
    /// A leak under teeth whose releases start at a fixed ceiling: they come ever more often.
    LeakUnderCeiling,
    /// A leak that begins after 20 to 60 % of the run.
    LateLeak,
    /// A leak after a warm-up: a step, or a cache that fills.
    LeakAfterWarmUp,
    /// A leak of a random size each time: a random walk with drift.
    RandomLeak,
}

/// All families, as they are printed.
pub const FAMILIES: [Family; 22] = [
    Family::Noise,
    Family::CorrelatedNoise,
    Family::Spikes,
    Family::WarmUpStep,
    Family::WarmUpSteps,
    Family::FilledCache,
    Family::FillingCache,
    Family::Teeth,
    Family::LooseTeeth,
    Family::NestedTeeth,
    Family::OnOff,
    Family::Wave,
    Family::Doubling,
    Family::Wander,
    Family::Walk,
    Family::Leak,
    Family::PagedLeak,
    Family::LeakUnderTeeth,
    Family::LeakUnderCeiling,
    Family::LateLeak,
    Family::LeakAfterWarmUp,
    Family::RandomLeak,
];

/// What is true of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truth {
    /// It does not grow: `Flat` or `Bounded`.
    Level,
    /// It moves without growing for ever, and does not show it: not `Growing`.
    NotGrowing,
    /// It has not shown yet what becomes of it: `Inconclusive`.
    Open,
    /// It grows by ever rarer steps: `Growing` or `Inconclusive`.
    Steps,
    /// It grows by so many bytes for one unit of work.
    Leak(f64),
}

/// How a verdict compares with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Right,
    /// A false alarm, a leak missed that is [`CERTAIN_LIMITS`] times the stated limit, or a level
    /// promised that is none.
    Wrong,
    /// No answer where there was one to give.
    Inconclusive,
    /// A leak called flat that is too small for the limit that was stated.
    BelowLimit,
}

/// One series with its truth.
#[derive(Clone, Debug)]
pub struct Specimen {
    pub family: Family,
    pub seed: u64,
    pub points: Vec<GrowthPoint>,
    pub truth: Truth,
}

impl Specimen {
    /// The specimen that `seed` gives.
    #[must_use]
    pub fn new(family: Family, seed: u64) -> Self {
        let mut maker = Maker::new(family, seed);
        let (mut bytes, truth) = maker.make();
        maker.round(&mut bytes);
        let per_point = maker.work;
        let points = bytes
            .into_iter()
            .enumerate()
            .map(|(index, bytes)| GrowthPoint {
                work: index as f64 * per_point,
                bytes,
            })
            .collect();
        let truth = match truth {
            Truth::Leak(slope) => Truth::Leak(slope / per_point),
            other => other,
        };
        Self {
            family,
            seed,
            points,
            truth,
        }
    }

    /// Compares a verdict on this series with the truth.
    #[must_use]
    pub fn outcome(&self, growth: &Growth) -> Outcome {
        let class = growth.class;
        match self.truth {
            Truth::Leak(_) if class == GrowthClass::Growing => Outcome::Right,
            Truth::Leak(_) if self.must_be_found(growth) => Outcome::Wrong,
            Truth::Leak(_) if class != GrowthClass::Inconclusive => Outcome::BelowLimit,
            Truth::NotGrowing if class != GrowthClass::Growing => Outcome::Right,
            Truth::Open if class == GrowthClass::Inconclusive => Outcome::Right,
            Truth::Steps if matches!(class, GrowthClass::Growing | GrowthClass::Inconclusive) => {
                Outcome::Right
            }
            Truth::Level if matches!(class, GrowthClass::Flat | GrowthClass::Bounded) => {
                Outcome::Right
            }
            _ if class == GrowthClass::Inconclusive => Outcome::Inconclusive,
            _ => Outcome::Wrong,
        }
    }

    /// True for a leak of at least [`CERTAIN_LIMITS`] times the limit that the verdict states.
    #[must_use]
    pub fn must_be_found(&self, growth: &Growth) -> bool {
        match (self.truth, growth.detection_limit) {
            (Truth::Leak(slope), Some(limit)) => slope >= CERTAIN_LIMITS * limit,
            _ => false,
        }
    }
}

/// The corpus of a base seed, family by family.
pub fn corpus(base_seed: u64) -> impl Iterator<Item = Specimen> {
    FAMILIES.into_iter().flat_map(move |family| {
        (0..SPECIMENS_PER_FAMILY)
            .map(move |number| Specimen::new(family, base_seed * SPECIMENS_PER_FAMILY + number))
    })
}

/// Draws one series.
struct Maker {
    family: Family,
    random: Rng,
    count: usize,
    /// Level of the series: 4 KB to 4 GB.
    base: f64,
    /// Deviation of the noise: 0.01 to 3 % of the level.
    noise: f64,
    /// Work between points.
    work: f64,
}

impl Maker {
    fn new(family: Family, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed.wrapping_mul(31) + family as u64 * 1_000_003);
        let mut logarithmic = |from: f64, to: f64| from * (to / from).powf(random.f64());
        let shortest = match family {
            // Shorter ones cannot show what the family is about.
            Family::Doubling | Family::FillingCache | Family::Wave => 100.0,
            _ => 30.0,
        };
        let count = logarithmic(shortest, 2000.0) as usize;
        let base = logarithmic(4e3, 4e9);
        let noise = base * logarithmic(1e-4, 3e-2);
        let work = logarithmic(1.0, 1000.0).round();
        Self {
            family,
            random,
            count,
            base,
            noise,
            work,
        }
    }

    fn make(&mut self) -> (Vec<f64>, Truth) {
        match self.family {
            Family::Noise => {
                if self.random.u8(..) < 32 {
                    self.noise = 0.0;
                }
                (self.noisy(|_| 0.0), Truth::Level)
            }
            Family::CorrelatedNoise => {
                let correlation = self.between(0.2, 0.8);
                (self.correlated(correlation), Truth::Level)
            }
            Family::Spikes => (self.spikes(), Truth::Level),
            Family::WarmUpStep
            | Family::WarmUpSteps
            | Family::FilledCache
            | Family::FillingCache => self.warm_up(),
            Family::Teeth => (self.teeth(0.0), Truth::Level),
            Family::LooseTeeth => {
                let looseness = self.between(0.03, 0.15);
                (self.teeth(looseness), Truth::Level)
            }
            Family::Wave => {
                let height = self.noise * self.between(5.0, 50.0);
                let turn = TAU * self.between(1.5, 6.0) / self.count as f64;
                let phase = self.between(0.0, TAU);
                let course = move |index| height * (turn * index as f64 + phase).sin();
                (self.noisy(course), Truth::NotGrowing)
            }
            Family::NestedTeeth => (self.nested_teeth(), Truth::Level),
            Family::OnOff => {
                let height = self.noise * self.between(10.0, 60.0);
                let period = self.count as f64 * self.between(0.1, 0.5);
                let phase = self.between(0.0, 1.0);
                let course = move |index| {
                    let turn = (index as f64 / period + phase).fract();
                    if turn < 0.5 { 0.0 } else { height }
                };
                (self.noisy(course), Truth::Level)
            }
            Family::Wander => {
                let correlation = self.between(0.95, 0.995);
                (self.correlated(correlation), Truth::NotGrowing)
            }
            Family::Doubling => (self.doubling(), Truth::Steps),
            Family::Walk => (self.walk(0.0), Truth::NotGrowing),
            Family::RandomLeak => {
                let drift = self.noise * self.between(0.1, 2.0);
                (self.walk(drift), Truth::Leak(drift))
            }
            _ => self.leak(),
        }
    }

    fn warm_up(&mut self) -> (Vec<f64>, Truth) {
        match self.family {
            Family::WarmUpStep => {
                let at = self.place(0.03, 0.33);
                let step = self.noise * self.between(5.0, 100.0);
                let course = move |index| if index < at { 0.0 } else { step };
                (self.noisy(course), Truth::Level)
            }
            Family::WarmUpSteps => {
                let steps = self.random.usize(2..=4);
                let at: Vec<usize> = (0..steps).map(|_| self.place(0.0, 0.4)).collect();
                let step = self.noise * self.between(5.0, 50.0);
                let course =
                    move |index| step * at.iter().filter(|&&at| at <= index).count() as f64;
                (self.noisy(course), Truth::Level)
            }
            Family::FilledCache => {
                let size = self.noise * self.between(10.0, 100.0);
                let time = self.count as f64 * self.between(0.01, 0.05);
                let course = move |index: usize| size * -(-(index as f64) / time).exp_m1();
                (self.noisy(course), Truth::Level)
            }
            _ => {
                let size = self.noise * self.between(30.0, 1000.0);
                let time = self.count as f64 * self.between(0.5, 1.0);
                let course = move |index: usize| size * -(-(index as f64) / time).exp_m1();
                (self.noisy(course), Truth::Open)
            }
        }
    }

    fn leak(&mut self) -> (Vec<f64>, Truth) {
        let count = self.count as f64;
        // What it grows by over the run: from lost in the noise to far above it.
        let slope = self.noise * 200_f64.powf(self.random.f64()) / count;
        let bytes = match self.family {
            Family::PagedLeak => {
                self.base = self.base.max(1e6);
                self.noise = 0.0;
                let pages = self.between(1.0, 100.0);
                let slope = 4096.0 * pages / count;
                let bytes = self.noisy(move |index| slope * index as f64);
                return (bytes, Truth::Leak(slope));
            }
            Family::LeakUnderTeeth => {
                let looseness = if self.random.bool() { 0.0 } else { 0.05 };
                let slope = slope * self.between(1.0, 10.0);
                let teeth = self.teeth(looseness);
                let leaked = |(index, bytes)| bytes + slope * index as f64;
                return (
                    teeth.into_iter().enumerate().map(leaked).collect(),
                    Truth::Leak(slope),
                );
            }
            Family::LeakUnderCeiling => return self.leak_under_ceiling(),
            Family::LateLeak => {
                let at = self.place(0.2, 0.6);
                self.noisy(move |index| slope * index.saturating_sub(at) as f64)
            }
            Family::LeakAfterWarmUp => {
                let size = self.noise * self.between(5.0, 50.0);
                let time = count * self.between(0.001, 0.04);
                self.noisy(move |index| {
                    let index = index as f64;
                    slope * index + size * -(-index / time).exp_m1()
                })
            }
            _ => {
                let correlation = self.between(0.0, 0.7);
                let noise = self.correlated(correlation);
                let leaked = |(index, bytes)| bytes + slope * index as f64;
                noise.into_iter().enumerate().map(leaked).collect()
            }
        };
        (bytes, Truth::Leak(slope))
    }

    /// Whole bytes; in every second series whole pages, where the figures are large enough.
    fn round(&mut self, bytes: &mut [f64]) {
        let paged = self.family == Family::PagedLeak
            || (self.family != Family::LeakUnderTeeth && self.noise > 4096.0 && self.random.bool());
        let step = if paged { 4096.0 } else { 1.0 };
        for value in bytes {
            *value = (*value / step).round() * step;
        }
    }

    fn noisy(&mut self, course: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.count)
            .map(|index| self.base + course(index) + self.noise * self.normal())
            .collect()
    }

    fn correlated(&mut self, correlation: f64) -> Vec<f64> {
        let fresh = (1.0 - correlation * correlation).sqrt();
        let mut value = self.normal();
        (0..self.count)
            .map(|_| {
                value = correlation * value + fresh * self.normal();
                self.base + self.noise * value
            })
            .collect()
    }

    fn spikes(&mut self) -> Vec<f64> {
        let mut bytes = self.noisy(|_| 0.0);
        for value in &mut bytes {
            if self.random.f64() < 0.03 {
                *value += self.noise * (10.0 + 90.0 * self.random.f64());
            }
        }
        bytes
    }

    /// Teeth that are `loose` by so large a share in length, floor and ceiling.
    fn teeth(&mut self, loose: f64) -> Vec<f64> {
        let count = self.count as f64;
        let most = if self.count < 120 { 1.5 } else { 0.45 };
        let period = (count * self.between(0.02, most)).max(8.0);
        let height = self.noise * self.between(30.0, 300.0);
        let noise = self.noise * self.between(0.0, 2.0);
        let mut bytes = Vec::with_capacity(self.count);
        let mut skip = self.between(0.0, period) as usize;
        while bytes.len() < self.count {
            let length = period * (1.0 + loose * self.normal()).max(0.3);
            let floor = height * loose * self.normal();
            let ceiling = height * (1.0 + loose * self.normal());
            for index in skip..(length.round() as usize).max(3) {
                let risen = (ceiling - floor) * index as f64 / length;
                bytes.push(self.base + floor + risen + noise * self.normal());
            }
            skip = 0;
        }
        bytes.truncate(self.count);
        bytes
    }

    fn nested_teeth(&mut self) -> Vec<f64> {
        let period = (self.count as f64 * self.between(0.01, 0.06))
            .max(5.0)
            .round() as usize;
        let steps = self.random.usize(3..9);
        let height = self.noise * self.between(20.0, 120.0);
        let phase = self.random.usize(..period * steps);
        self.noisy(move |index| {
            let index = index + phase;
            let inside = (index % period) as f64 / period as f64;
            height * (inside + 0.3 * (index / period % steps) as f64)
        })
    }

    fn leak_under_ceiling(&mut self) -> (Vec<f64>, Truth) {
        let count = self.count as f64;
        let ceiling = self.noise * self.between(50.0, 500.0);
        // At the end 10 to 70 % of the room is lost.
        let slope = ceiling * self.between(0.1, 0.7) / count;
        let rate = ceiling / (count * self.between(0.02, 0.1)).max(8.0);
        let mut gathered = 0.0;
        let mut bytes = Vec::with_capacity(self.count);
        for index in 0..self.count {
            let leaked = slope * index as f64;
            gathered += rate;
            if leaked + gathered > ceiling {
                gathered = 0.0;
            }
            bytes.push(self.base + leaked + gathered + self.noise * self.normal());
        }
        (bytes, Truth::Leak(slope))
    }

    /// Capacity for what is stored, which grows with work: 3 to 8 doublings in the run.
    fn doubling(&mut self) -> Vec<f64> {
        let first = self.count as f64 / 2_f64.powf(self.between(3.0, 8.0));
        let unit = self.noise * self.between(20.0, 200.0);
        let noise = if self.random.bool() { self.noise } else { 0.0 };
        self.noise = noise;
        self.noisy(move |index| {
            let full = (index as f64 / first).max(1.0).log2().ceil();
            unit * full.exp2()
        })
    }

    fn walk(&mut self, drift: f64) -> Vec<f64> {
        let seen = if self.random.bool() { self.noise } else { 0.0 };
        let mut level = self.base;
        (0..self.count)
            .map(|_| {
                level += drift + self.noise * self.normal();
                level + seen * self.normal()
            })
            .collect()
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.random.f64()
    }

    fn place(&mut self, from: f64, to: f64) -> usize {
        (self.count as f64 * self.between(from, to)) as usize
    }

    /// A normal value (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.f64()).ln()).sqrt();
        radius * (TAU * self.random.f64()).cos()
    }
}
