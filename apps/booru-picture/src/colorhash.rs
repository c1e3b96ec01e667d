//! Hashes of colours, bit for bit those of Python's `imagehash.colorhash(binbits=3)`: which part of a picture
//! is black, grey, and of six hues, faint and bright, in 14 groups of three bits.
//!
//! **Cost.** O(pixels); nothing is kept of them.

use std::fmt;

use crate::pixels::{Ground, grey, row_colors};
use crate::read::Picture;

const HUES: usize = 6;
/// Groups of a hash: black, grey, faint hues, bright hues.
const GROUPS: usize = 2 + 2 * HUES;
const BITS: u32 = 3;

/// A hash of colours; printed as imagehash's 11 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColorHash(u64);

impl ColorHash {
    /// Bits that differ, of 42.
    #[must_use]
    pub fn distance(&self, other: &ColorHash) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

impl fmt::Display for ColorHash {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "{:011x}", self.0)
    }
}

/// The hash of a picture's colours, whatever its transparency says. O(pixels).
#[must_use]
pub fn colorhash(picture: &Picture) -> ColorHash {
    let mut counts = Counts::default();
    for y in 0..picture.stored.height() {
        row_colors(&picture.stored, y, Ground::None, |color| counts.add(color));
    }
    counts.hash()
}

#[derive(Default)]
struct Counts {
    pixels: u64,
    black: u64,
    grey: u64,
    colored: u64,
    faint: [u64; HUES],
    bright: [u64; HUES],
}

impl Counts {
    fn add(&mut self, color: [u8; 3]) {
        self.pixels += 1;
        if grey(color) < 32 {
            self.black += 1;
            return;
        }
        let (hue, saturation) = hue_and_saturation(color);
        if saturation < 85 {
            self.grey += 1;
            return;
        }
        self.colored += 1;
        // Bins of 42.5.
        let hue = (usize::from(hue) * 2 / 85).min(HUES - 1);
        // imagehash counts what is just between the two in neither.
        match saturation {
            85..=169 => self.faint[hue] += 1,
            171..=255 => self.bright[hue] += 1,
            _ => {}
        }
    }

    fn hash(&self) -> ColorHash {
        let most = f64::from(1_u32 << BITS);
        let part = |count: u64, of: u64| ((count as f64) / (of as f64) * most) as u64;
        let of_colored = |count: &u64| (*count as f64 * most / self.colored.max(1) as f64) as u64;
        let mut groups = Vec::with_capacity(GROUPS);
        groups.push(part(self.black, self.pixels));
        groups.push(part(self.grey, self.pixels));
        groups.extend(self.faint.iter().map(of_colored));
        groups.extend(self.bright.iter().map(of_colored));
        let mut hash = 0;
        for group in groups {
            let group = group.min((1 << BITS) - 1);
            for bit in 0..BITS {
                // As imagehash has it: the second bit is also set where the first alone should be.
                let part = (group >> (BITS - 1 - bit)) % (1 << (BITS - bit));
                hash = hash << 1 | u64::from(part > 0);
            }
        }
        ColorHash(hash)
    }
}

/// Pillow's `convert("HSV")`, in its mixture of 32 and 64 bits.
fn hue_and_saturation([red, green, blue]: [u8; 3]) -> (u8, u8) {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most == least {
        return (0, 0);
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let below = |value: u8| f32::from(most - value) / range;
    let (r, g, b) = (below(red), below(green), below(blue));
    let hue = if red == most {
        b - g
    } else if green == most {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    let byte = |part: f32| (f64::from(part) * 255.0) as i32 as u8;
    (byte(hue), byte(saturation))
}
