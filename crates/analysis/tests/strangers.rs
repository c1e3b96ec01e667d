//! Processes that the corpus does not hold and the judge was not shaped on: none is called growing.

use plimsoll_analysis::leak::{LeakOptions, judge};
use plimsoll_model::{GrowthClass, GrowthPoint};

const SERIES: u64 = 100;

/// A normal value (Box and Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

/// Judges series of 60 to 2000 points, in units of 256 bytes, and counts those called growing.
fn growing(process: impl Fn(&mut fastrand::Rng, usize) -> Vec<f64>) -> u64 {
    (0..SERIES)
        .filter(|&seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = (60.0 * (2000.0_f64 / 60.0).powf(random.f64())) as usize;
            let points: Vec<GrowthPoint> = process(&mut random, count)
                .into_iter()
                .enumerate()
                .map(|(index, level)| GrowthPoint {
                    work: index as f64,
                    bytes: 1e9 + (level * 256.0).round(),
                })
                .collect();
            judge(&points, &LeakOptions::default()).class == GrowthClass::Growing
        })
        .count() as u64
}

/// Noise of deviation 1 on a course over the share (0 to 1) of the run.
fn noisy(random: &mut fastrand::Rng, count: usize, course: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..count)
        .map(|index| course(index as f64 / count as f64) + normal(random))
        .collect()
}

#[test]
fn walks_of_rare_or_far_steps() {
    let heavy = growing(|random, count| {
        let mut level = 0.0;
        (0..count)
            .map(|_| {
                // Student's t with 3 degrees of freedom.
                let squares: f64 = (0..3).map(|_| normal(random).powi(2)).sum();
                level += normal(random) / (squares / 3.0).sqrt();
                level
            })
            .collect()
    });
    let rare = growing(|random, count| {
        let share = 0.002 + 0.05 * random.f64();
        let mut level = 0.0;
        (0..count)
            .map(|_| {
                if random.f64() < share {
                    level += 30.0 * normal(random);
                }
                level + normal(random)
            })
            .collect()
    });
    assert_eq!((heavy, rare), (0, 0));
}

#[test]
fn noise_of_all_lengths() {
    // Voss and McCartney's pink noise: sources that change every 1, 2, 4 … points.
    let pink = growing(|random, count| {
        let mut sources = [0.0; 10];
        (0..count)
            .map(|index| {
                for (power, source) in sources.iter_mut().enumerate() {
                    if index % (1 << power) == 0 {
                        *source = normal(random);
                    }
                }
                sources.iter().sum()
            })
            .collect()
    });
    let swelling = growing(|random, count| {
        (0..count)
            .map(|index| normal(random) * (1.0 + 5.0 * index as f64 / count as f64))
            .collect()
    });
    assert_eq!((pink, swelling), (0, 0));
}

#[test]
fn growth_that_ends_or_slows_down() {
    let logarithmic = growing(|random, count| {
        let (time, height) = (0.01 + 0.2 * random.f64(), 20.0 + 200.0 * random.f64());
        noisy(random, count, |share| height * (share / time).ln_1p())
    });
    let full_at_once = growing(|random, count| {
        let (end, height) = (0.46 + 0.44 * random.f64(), 20.0 + 500.0 * random.f64());
        noisy(random, count, |share| height * (share / end).min(1.0))
    });
    let triangle = growing(|random, count| {
        let (period, phase) = (0.1 + 0.5 * random.f64(), random.f64());
        let height = 10.0 + 50.0 * random.f64();
        noisy(random, count, |share| {
            let turn = (share / period + phase).fract();
            height * (1.0 - (2.0 * turn - 1.0).abs())
        })
    });
    assert_eq!((logarithmic, full_at_once, triangle), (0, 0, 0));
}
