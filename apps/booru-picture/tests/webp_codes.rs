//! Lossless WebP files and the codes in them: each is told by what its codes take, also where there are many thousand
//! of them, and none that an encoder makes is taken for damaged. The ledger counts.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod generated;
mod peak;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use peak::{alone, peak_bytes};
use plimsoll_booru_picture::Limits;
use plimsoll_booru_picture::header::header_of_bytes;
use plimsoll_booru_picture::read::read_bytes;

const SLACK_BYTES: u64 = 64 << 10;

/// Writes bits, the lowest of each byte first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    count: usize,
}

impl Writer {
    fn put(&mut self, bits: u32, count: usize) {
        for at in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (bits >> at & 1) as u8;
            self.bytes[self.count / 8] |= bit << (self.count % 8);
            self.count += 1;
        }
    }

    fn put_single(&mut self, symbol: u32) {
        self.put(0b101, 3);
        self.put(symbol, 8);
    }

    /// Eleven symbols, whose codes have 1, 2, … 9, 10 and 10 bits.
    fn put_long(&mut self) {
        self.put(0, 1);
        // Lengths 1 to 10 by codes of 4 bits, 0 and 11 too: 12 codes, and 4 more to make 16 of them.
        self.put(15, 4);
        for place in LENGTH_ORDER {
            self.put(if place <= 15 { 4 } else { 0 }, 3);
        }
        self.put(1, 1);
        // Eleven lengths.
        self.put(1, 3);
        self.put(11 - 2, 4);
        for length in (1..=10_u32).chain([10]) {
            // Codes are written from their highest bit on.
            self.put(length.reverse_bits() >> 28, 4);
        }
    }
}

/// A picture of one pixel that says that it has so many groups of codes, all of them with long ones.
fn frame_of_groups(groups: u32) -> Vec<u8> {
    let mut file = Writer::default();
    file.put(0x2F, 8);
    file.put(0, 14 + 14 + 4);
    // No transform, no colours that are remembered, more groups than one by an image of one pixel.
    file.put(0, 2);
    file.put(1, 1);
    file.put(0, 3 + 1);
    let last = groups - 1;
    for symbol in [last & 0xFF, last >> 8, 0, 0, 0] {
        file.put_single(symbol);
    }
    for _ in 0..groups * 5 {
        file.put_long();
    }
    // The pixel, whose bits are all 0.
    file.put(0, 32);
    file.bytes
}

/// In which order the lengths of the codes for lengths stand (RFC 9649, 3.7.2.1.2).
const LENGTH_ORDER: [u32; 19] = [
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// A file of one chunk.
fn webp(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let padding = length & 1;
    let mut file = b"RIFF".to_vec();
    file.extend((length + padding + 12).to_le_bytes());
    file.extend(b"WEBP");
    file.extend(name);
    file.extend(length.to_le_bytes());
    file.extend(content);
    file.resize(file.len() + padding as usize, 0);
    file
}

#[test]
fn many_groups_of_codes_are_told_before_they_are_read() {
    let _alone = alone();
    let without_limit = Limits {
        memory_bytes_max: u64::MAX,
        ..Limits::BOARD
    };
    for groups in [1, 2, 257, 5000] {
        let file = webp(b"VP8L", &frame_of_groups(groups));
        let (told, peak) = peak_bytes(|| header_of_bytes(&file, &without_limit).unwrap());
        assert!(peak <= SLACK_BYTES, "{groups}: {peak} bytes for the header");
        let (picture, peak) = peak_bytes(|| read_bytes(&file, &without_limit));
        assert_eq!(*picture.unwrap().header(), told);
        let most = told.memory_bytes + SLACK_BYTES;
        assert!(peak <= most, "{groups}: {peak} bytes of {most}");
        // It is no wild guess either.
        assert!(most <= peak * 2 + (1 << 20), "{groups}: {peak} of {most}");
    }
    let file = webp(b"VP8L", &frame_of_groups(1 << 16));
    let (read, peak) = peak_bytes(|| read_bytes(&file, &Limits::BOARD).map(|_| ()));
    let error = read.unwrap_err().to_string();
    assert!(
        error.contains("its codes take more than 268435456 bytes"),
        "{error}"
    );
    assert!(peak <= SLACK_BYTES, "{peak} bytes");
    println!("a file of {} bytes: {error}", file.len());
}

#[test]
fn what_encoders_make_is_read() {
    let _alone = alone();
    let limits = &Limits::BOARD;
    for seed in 0..120 {
        let image = generated::picture(seed);
        let (rgba, alpha) = (image.to_rgba8(), image.color().has_alpha());
        let (width, height) = rgba.dimensions();
        let mut config = webp::WebPConfig::new().unwrap();
        config.lossless = i32::from(seed % 4 > 0);
        config.alpha_compression = 1;
        config.method = (seed % 7) as i32;
        config.quality = (seed * 37 % 101) as f32;
        let rgb = image.to_rgb8();
        let encoder = match alpha {
            true => webp::Encoder::from_rgba(&rgba, width, height),
            false => webp::Encoder::from_rgb(&rgb, width, height),
        };
        let mut stored = Cursor::new(Vec::new());
        let exact = DynamicImage::from(rgba.clone());
        exact.write_to(&mut stored, ImageFormat::WebP).unwrap();
        for file in [
            encoder.encode_advanced(&config).unwrap().to_vec(),
            stored.into_inner(),
        ] {
            let told = header_of_bytes(&file, limits);
            let told = told.unwrap_or_else(|error| panic!("{seed}: {error:#}"));
            let (picture, peak) = peak_bytes(|| read_bytes(&file, limits).unwrap());
            assert_eq!((told.width, told.height), (width, height));
            assert_eq!(*picture.header(), told);
            let most = told.memory_bytes + SLACK_BYTES;
            assert!(peak <= most, "{seed}: {peak} bytes of {most}");
        }
    }
}
