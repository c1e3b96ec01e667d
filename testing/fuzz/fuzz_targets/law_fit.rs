//! `fit` of peaks: any numbers give a law or the reason why not; figures are finite, weights sum to 1,
//! and the law that is named is one that was fitted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_analysis::law::{LawOptions, fit};
use plimsoll_model::{Bytes, SizedPeak};

/// More peaks take long and reach no other code.
const PEAKS_MAX: usize = 60;

fuzz_target!(|bytes: &[u8]| {
    let [mode, bytes @ ..] = bytes else {
        return;
    };
    let peaks = if mode & 1 == 0 {
        any_numbers(bytes)
    } else {
        sizes(bytes)
    };
    let options = LawOptions {
        budget: (mode & 2 != 0).then_some(Bytes::gib(1)),
        predict_at: peaks.iter().map(|peak| peak.n * 10.0).take(3).collect(),
        resamples: 50,
        ..LawOptions::default()
    };
    let Ok(law) = fit(&peaks, &options) else {
        return;
    };
    assert!(!law.classes.is_empty());
    let weights: f64 = law.fits.iter().map(|fit| fit.weight).sum();
    assert!((weights - 1.0).abs() < 1e-6, "{weights}");
    for class in &law.classes {
        assert!(law.fits.iter().any(|fit| fit.class == *class), "{law:?}");
    }
    for figure in [law.intercept, law.marginal] {
        assert!(figure.low <= figure.high, "{law:?}");
        assert!(figure.low.is_finite() && figure.high.is_finite(), "{law:?}");
    }
});

/// Whatever a float can be.
fn any_numbers(bytes: &[u8]) -> Vec<SizedPeak> {
    let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let pairs = bytes.chunks_exact(16).take(PEAKS_MAX);
    pairs
        .map(|pair| SizedPeak {
            n: number(&pair[..8]),
            bytes: number(&pair[8..]),
        })
        .collect()
}

/// Sizes as they are given, and peaks in pages.
fn sizes(bytes: &[u8]) -> Vec<SizedPeak> {
    let parts = bytes.chunks_exact(4).take(PEAKS_MAX);
    parts
        .map(|part| SizedPeak {
            n: f64::from(part[0] % 8 + 1) * 10_f64.powi(i32::from(part[1] % 7)),
            bytes: 4096.0 * f64::from(u16::from_le_bytes([part[2], part[3]])),
        })
        .collect()
}
