//! Differences of pictures beside what the original's review of duplicates computes of the same files, by Pillow and
//! numpy.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::Path;

use plimsoll_booru_picture::difference::{Difference, Preview};
use plimsoll_booru_picture::{Limits, read};

fn preview(name: &str) -> Preview {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Preview::new(&read(&folder.join(name), &Limits::BOARD).unwrap())
}

fn compare(a: &str, b: &str) -> Difference {
    let found = preview(a).compare(&preview(b)).unwrap();
    // Whichever comes first.
    assert_eq!(preview(b).compare(&preview(a)), Some(found));
    found
}

#[test]
fn opaque_pictures_differ_as_they_do_there() {
    let check = |a, b, right: [f64; 7]| {
        let found = compare(a, b);
        let found = [
            found.mean_abs_diff,
            found.changed_ratio,
            found.largest_blob_ratio,
            f64::from(found.blob_count),
            found.peak_blob_contrast,
            found.mask_mismatch,
            found.signal(),
        ];
        for (found_one, right_one) in found.iter().zip(right) {
            let off = (found_one - right_one).abs();
            // What is turned is fitted before it is turned here.
            assert!(off < 2e-5, "{a} {b}: {found:?}, not {right:?}");
        }
    };
    check("base.jpg", "base.jpg", [0.0; 7]);
    check(
        "base.jpg",
        "progressive.jpg",
        [
            0.0184940, 0.0000925, 0.0000925, 1.0, 0.0039216, 0.0, 0.0010451,
        ],
    );
    check(
        "base.jpg",
        "palette.png",
        [
            0.0804747, 0.2481509, 0.0361733, 169.0, 0.0829006, 0.0, 0.0778431,
        ],
    );
    check(
        "base.jpg",
        "bits.png",
        [
            0.4463236, 0.9849528, 0.9849528, 1.0, 0.2278032, 0.0, 0.7464178,
        ],
    );
    check(
        "base.jpg",
        "turned.jpg",
        [
            0.5010732, 0.9898045, 0.9898045, 1.0, 0.3148560, 0.4487000, 0.7940122,
        ],
    );
    check(
        "base.jpg",
        "grey.jpg",
        [
            0.2211304, 0.8606463, 0.8516781, 3.0, 0.0040420, 0.0, 0.5985304,
        ],
    );
    check(
        "colors.bmp",
        "lossy.webp",
        [0.0217579, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    );
}

#[test]
fn transparent_pictures_differ_about_as_they_do_there() {
    // Transparency is fitted apart from the colours here, not multiplied into them.
    for (a, b, right) in [
        ("palette.gif", "clear.gif", 0.2297658),
        ("base.jpg", "alpha.webp", 0.7771599),
        ("alpha.webp", "palette-alpha.png", 0.1351824),
    ] {
        let found = compare(a, b).signal();
        assert!(
            (found / right - 1.0).abs() < 0.3,
            "{a} {b}: {found}, not {right}"
        );
    }
}
