//! Some thousand files that were pictures until something was changed in them, always the same ones. The fuzz target
//! `picture` looks for others by the same checks.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod any_bytes;
mod chunk_sum;

use std::io::Cursor;

use any_bytes::{LIMITS, check};
use chunk_sum::crc32;
use image::{DynamicImage, ImageFormat, RgbImage};
use plimsoll::ledger::Ledger;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

/// Files that are made of each picture.
const EACH: u64 = 200;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Makes the sums of a PNG file's chunks right: else no change would reach what is behind them.
fn mend_sums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = at.saturating_add(8).saturating_add(length);
        if end.saturating_add(4) > png.len() {
            return;
        }
        let sum = crc32(&png[at + 4..end]);
        png[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
}

const EXIF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

/// An indexed PNG of two frames with a transparent colour, stored in two passes or more, turned by its EXIF data.
fn indexed_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Four);
    encoder.set_palette((0..48).map(|at| at * 5).collect::<Vec<u8>>());
    encoder.set_trns(vec![0, 100]);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(png::chunk::eXIf, EXIF).unwrap();
    let row = (width as usize).div_ceil(2);
    let pixels: Vec<u8> = (0..row * height as usize)
        .map(|at| (at * 7) as u8)
        .collect();
    writer.write_image_data(&pixels).unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

fn jpeg(image: &RgbImage, is_progressive: bool) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(image.width() as usize, image.height() as usize);
    encoder.set_quality(80.0);
    if is_progressive {
        encoder.set_progressive_mode();
    }
    let mut encoder = encoder.start_compress(Vec::new()).unwrap();
    encoder.write_scanlines(image.as_raw()).unwrap();
    let bytes = encoder.finish().unwrap();
    // Behind the start of the file.
    let mut turned = bytes[..2].to_vec();
    let length = (EXIF.len() + 8) as u16;
    turned.extend([0xFF, 0xE1]);
    turned.extend(length.to_be_bytes());
    turned.extend(b"Exif\0\0");
    turned.extend(EXIF);
    turned.extend(&bytes[2..]);
    turned
}

/// One of each kind that is decoded in its own way.
fn pictures() -> Vec<(&'static str, Vec<u8>)> {
    let image = RgbImage::from_fn(45, 31, |x, y| {
        image::Rgb([(x * y) as u8, (x * 5) as u8, (x ^ (y * 3)) as u8])
    });
    let photo = DynamicImage::from(image.clone());
    let mut clear = photo.to_rgba8();
    for (x, _, pixel) in clear.enumerate_pixels_mut() {
        pixel.0[3] = (x * 5) as u8;
    }
    let clear = DynamicImage::from(clear);
    let stored = |image: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    vec![
        ("PNG", stored(&photo, ImageFormat::Png)),
        ("PNG, transparent", stored(&clear, ImageFormat::Png)),
        (
            "PNG, 16 bits",
            stored(&photo.to_luma16().into(), ImageFormat::Png),
        ),
        ("PNG, indexed", indexed_png(45, 31)),
        ("JPEG", jpeg(&image, false)),
        ("JPEG, progressive", jpeg(&image, true)),
        ("GIF", stored(&clear, ImageFormat::Gif)),
        ("WebP", stored(&clear, ImageFormat::WebP)),
        (
            "WebP, lossy",
            webp::Encoder::from_rgba(clear.as_bytes(), 45, 31)
                .encode(70.0)
                .to_vec(),
        ),
        ("BMP", stored(&photo, ImageFormat::Bmp)),
        ("BMP, transparent", stored(&clear, ImageFormat::Bmp)),
    ]
}

/// Numbers at which lengths, sides and counters turn over.
const EDGES: [u32; 9] = [
    0,
    1,
    0x7F,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    u32::MAX,
];

/// Changes something, mostly where files tell what they are.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let most = match random.below(2) {
        0 => bytes.len(),
        _ => bytes.len().min(80),
    };
    let at = random.below(most);
    let end = (at + 1 + random.below(24)).min(bytes.len());
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 | 3 => {
            let edge = EDGES[random.below(EDGES.len())];
            let whole = match random.below(2) {
                0 => edge.to_le_bytes(),
                _ => edge.to_be_bytes(),
            };
            // Of two bytes the lower ones.
            let part = match (random.below(2), whole) {
                (0, [a, b, 0, 0]) | (0, [0, 0, a, b]) => vec![a, b],
                (_, whole) => whole.to_vec(),
            };
            let room = part.len().min(bytes.len() - at);
            bytes[at..at + room].copy_from_slice(&part[..room]);
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => bytes.truncate(at),
        _ => {
            let from = random.below(other.len());
            let part = other[from..(from + end - at).min(other.len())].to_vec();
            bytes.splice(at..end, part);
        }
    }
}

/// Says which file it was, where a check fails.
struct Which<'a>(&'a str, u64, &'a [u8]);

impl Drop for Which<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, file {}: {:02x?}", self.0, self.1, self.2);
        }
    }
}

/// The only test of this program: peaks are of the process.
#[test]
fn files_that_were_pictures_are_some_within_the_limits_or_errors() {
    let pictures = pictures();
    for (number, (name, whole)) in pictures.iter().enumerate() {
        assert!(check(whole), "{name}");
        let mut read = 0;
        for file in 0..EACH {
            let mut random = Random(file << 8 | number as u64);
            let mut bytes = whole.clone();
            let other = &pictures[random.below(pictures.len())].1;
            for _ in 0..=random.below(3) {
                mutate(&mut bytes, other, &mut random);
            }
            if name.starts_with("PNG") && random.below(4) > 0 {
                mend_sums(&mut bytes);
            }
            let which = Which(name, file, &bytes);
            read += u64::from(check(&bytes));
            drop(which);
        }
        println!("{name}: {read} of {EACH} are still pictures");
        // Neither what decoders do nor what is refused is left out.
        let expected = EACH / 50..=EACH * 19 / 20;
        assert!(expected.contains(&read), "{name}: {read}");
    }
    // Of one that is larger than files may be no more is looked at.
    let (_, mut bytes) = pictures.into_iter().next().unwrap();
    bytes.resize(LIMITS.file_bytes_max as usize, 0);
    assert!(check(&bytes));
    bytes.push(0);
    assert!(!check(&bytes));
}
