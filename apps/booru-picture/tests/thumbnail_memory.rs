//! What making a thumbnail takes, libwebp's part included, is what was reserved for it: counted by the kernel, of
//! pictures that no encoder makes small.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use plimsoll_booru_picture::Limits;
use plimsoll_booru_picture::read::read_bytes;
use plimsoll_booru_picture::thumbnail::{ThumbnailOptions, memory_bytes, thumbnail};

/// Of `/proc/self/status`, in bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn noise_of_the_best_quality_takes_no_more_than_is_reserved() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for side in [400, 800, 1600] {
        let pixels = (0..side * side * 3).map(|_| noise()).collect();
        let image = RgbImage::from_raw(side, side, pixels).unwrap();
        let mut bmp = Cursor::new(Vec::new());
        image.write_to(&mut bmp, ImageFormat::Bmp).unwrap();
        let picture = read_bytes(bmp.get_ref(), &Limits::BOARD).unwrap();
        drop((image, bmp));
        for quality in [85.0, 100.0] {
            let options = ThumbnailOptions {
                side_max: side,
                quality,
            };
            // The peak is that from here on (proc(5)).
            std::fs::write("/proc/self/clear_refs", "5").unwrap();
            let before = status("VmRSS");
            let bytes = thumbnail(&picture, &options).unwrap();
            let taken = status("VmHWM").saturating_sub(before);
            drop(bytes);
            let pixels = u64::from(side).pow(2);
            let most = memory_bytes(pixels, &options);
            println!("{side} pixels, quality {quality}: {taken} bytes of {most}");
            // It is counted at all: the thumbnail's pixels alone are 3 bytes each.
            assert!(taken > pixels * 6 && taken <= most, "{taken} of {most}");
        }
    }
}
