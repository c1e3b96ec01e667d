//! Hashes beside imagehash's (tests/fixtures/make.py): of pictures made here from the same numbers, and of files
//! that Pillow wrote.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod generated;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use plimsoll_booru_picture::colorhash::colorhash;
use plimsoll_booru_picture::phash::{HashSize, Phash, phash};
use plimsoll_booru_picture::read::read_bytes;
use plimsoll_booru_picture::{Limits, Picture, read};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn generated_picture(seed: u64) -> Picture {
    let mut png = Cursor::new(Vec::new());
    generated::picture(seed)
        .write_to(&mut png, ImageFormat::Png)
        .unwrap();
    read_bytes(png.get_ref(), &Limits::BOARD).unwrap()
}

fn hashes(picture: &Picture) -> [String; 3] {
    [
        phash(picture, HashSize::Bits256).to_string(),
        phash(picture, HashSize::Bits64).to_string(),
        colorhash(picture).to_string(),
    ]
}

#[test]
fn hashes_are_imagehash_s_to_the_last_bit() {
    let table = std::fs::read_to_string(fixtures().join("hashes.txt")).unwrap();
    let (mut generated, mut files) = (0, 0);
    for line in table.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let right: Vec<_> = words.collect();
        let picture = match name.parse() {
            Ok(seed) => {
                generated += 1;
                generated_picture(seed)
            }
            Err(_) => {
                files += 1;
                read(&fixtures().join(name), &Limits::BOARD).unwrap()
            }
        };
        assert_eq!(hashes(&picture), *right, "{name}");
    }
    assert_eq!((generated, files), (560, 21));
}

#[test]
fn printed_hashes_are_read_again() {
    for seed in 0..20 {
        let picture = generated_picture(seed);
        for size in [HashSize::Bits64, HashSize::Bits256] {
            let hash = phash(&picture, size);
            let text = hash.to_string();
            assert_eq!(text.len() as u32 * 4, size.bits());
            assert_eq!(text.parse::<Phash>().unwrap(), hash);
            assert_eq!(text.to_uppercase().parse::<Phash>().unwrap(), hash);
        }
    }
    for bad in [
        "",
        "12",
        "g000000000000000",
        "é00000000000000",
        &"0".repeat(63),
    ] {
        let error = bad.parse::<Phash>().unwrap_err().to_string();
        assert!(error.contains("hex digits"), "{error}");
    }
    let one: Phash = "8000000000000001".parse().unwrap();
    let two: Phash = "0000000000000003".parse().unwrap();
    assert_eq!(one.distance(&two), Some(2));
    assert_eq!(one.distance(&"0".repeat(64).parse().unwrap()), None);
}
