//! Perceptual hashes, bit for bit those of Python's `imagehash.phash` as an image board feeds it: on white,
//! grey, made a square of four times the side by Pillow's Lanczos, the lowest frequencies of its cosine
//! transform, each above their median or not. Pictures that look alike differ in few bits.
//!
//! Pixels are hashed as stored, not turned by EXIF data, as by the original: hashes of an existing
//! board stay comparable.
//!
//! **Cost.** O(pixels); 64 bytes for each row that one of the square is made of, 40 KiB besides.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::pixels::{grey, row_colors};
use crate::read::Picture;
use crate::resize::{Filter, resize};
use crate::transform::Cosine;

/// Bits of a hash, the square of imagehash's `hash_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashSize {
    /// `hash_size` 8.
    Bits64,
    /// `hash_size` 16.
    Bits256,
}

impl HashSize {
    fn side(self) -> usize {
        match self {
            HashSize::Bits64 => 8,
            HashSize::Bits256 => 16,
        }
    }

    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            HashSize::Bits64 => 64,
            HashSize::Bits256 => 256,
        }
    }
}

/// A perceptual hash. Printed and parsed as imagehash's hex digits, 16 or 64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phash {
    Bits64(u64),
    /// The first bits in the first word, uppermost.
    Bits256([u64; 4]),
}

impl Phash {
    #[must_use]
    pub fn size(&self) -> HashSize {
        match self {
            Phash::Bits64(_) => HashSize::Bits64,
            Phash::Bits256(_) => HashSize::Bits256,
        }
    }

    /// Bits that differ; `None` of hashes of two sizes.
    #[must_use]
    pub fn distance(&self, other: &Phash) -> Option<u32> {
        match (self, other) {
            (Phash::Bits64(a), Phash::Bits64(b)) => Some((a ^ b).count_ones()),
            (Phash::Bits256(a), Phash::Bits256(b)) => {
                Some(a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Phash {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phash::Bits64(word) => write!(text, "{word:016x}"),
            Phash::Bits256(words) => words
                .iter()
                .try_for_each(|word| write!(text, "{word:016x}")),
        }
    }
}

impl FromStr for Phash {
    type Err = anyhow::Error;

    /// # Errors
    /// Anything but 16 or 64 hex digits.
    fn from_str(text: &str) -> Result<Phash> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let word = |at: usize| u64::from_str_radix(&text[at * 16..at * 16 + 16], 16);
        match text.len() {
            16 if is_hex => Ok(Phash::Bits64(word(0)?)),
            64 if is_hex => Ok(Phash::Bits256([word(0)?, word(1)?, word(2)?, word(3)?])),
            length => bail!(
                "a perceptual hash is 16 or 64 hex digits, and not {length} characters: {text:?}"
            ),
        }
    }
}

/// imagehash's `highfreq_factor`.
const FACTOR: usize = 4;

/// The hash of a picture as it is stored. O(pixels).
#[must_use]
pub fn phash(picture: &Picture, size: HashSize) -> Phash {
    let side = size.side() * FACTOR;
    let image = &picture.stored;
    let ground = picture.ground();
    let rows = |y: u32, row: &mut [u8]| {
        let mut places = row.iter_mut();
        row_colors(image, y, ground, |color| {
            if let Some(place) = places.next() {
                *place = grey(color);
            }
        });
    };
    let square = (side as u32, side as u32);
    let greys = resize::<1>(
        (image.width(), image.height()),
        square,
        Filter::Lanczos,
        rows,
    );
    of_greys(&greys, size)
}

fn of_greys(greys: &[u8], size: HashSize) -> Phash {
    let lowest = lowest_frequencies(greys, size);
    let mut sorted = lowest.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = (sorted[middle - 1] + sorted[middle]) / 2.0;
    let mut words = [0; 4];
    for (place, value) in lowest.iter().enumerate() {
        let bit = u64::from(*value > median);
        words[place / 64] |= bit << (63 - place % 64);
    }
    match size {
        HashSize::Bits64 => Phash::Bits64(words[0]),
        HashSize::Bits256 => Phash::Bits256(words),
    }
}

/// Of the transform of columns, then of rows, the upper left square, row by row.
fn lowest_frequencies(greys: &[u8], size: HashSize) -> Vec<f64> {
    let kept = size.side();
    let side = kept * FACTOR;
    let cosine = Cosine::new(side);
    let mut rows = vec![0.0; kept * side];
    let mut line = vec![0.0; side];
    for x in 0..side {
        for (y, value) in line.iter_mut().enumerate() {
            *value = f64::from(greys[y * side + x]);
        }
        cosine.transform(&mut line);
        for y in 0..kept {
            rows[y * side + x] = line[y];
        }
    }
    let mut lowest = Vec::with_capacity(kept * kept);
    for row in rows.chunks_exact_mut(side) {
        cosine.transform(row);
        lowest.extend_from_slice(&row[..kept]);
    }
    lowest
}
