//! How two pictures differ to the eye: both fitted into the same square and laid over one another, as the
//! original's review of duplicates does it. Compression changes many pixels a little; a variation changes
//! some places much.
//!
//! **Cost.** O(pixels) for a preview, 10 bytes for each of its 65,536 pixels; O(those) for a comparison.

use image::RgbImage;

use crate::pixels::{Ground, grey, row_colors};
use crate::read::Picture;
use crate::resize::{Filter, resize};
use crate::thumbnail::turned;

/// Pixels of a side of a preview.
pub const SIDE: u32 = 256;
const PIXELS: usize = (SIDE * SIDE) as usize;

/// A change of any colour that counts.
const CHANGE_MIN: f32 = 24.0 / 255.0;
/// A changed pixel counts where this many of the nine around it, itself included, have changed.
const NEIGHBORS_MIN: usize = 4;

/// A picture fitted into a square, to be compared with others.
#[derive(Clone, Debug)]
pub struct Preview {
    /// On white.
    colors: Vec<[u8; 3]>,
    /// Softened, so that edges that moved by a part of a pixel count less.
    greys: Vec<u8>,
    /// How much of a pixel is the picture.
    mask: Vec<u8>,
}

/// What two previews differ by; all but `blob_count` from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Of the colour that differs most, over all pixels that either picture has.
    pub mean_abs_diff: f64,
    /// Pixels that have changed, speckles left out.
    pub changed_ratio: f64,
    /// Pixels of the largest changed region.
    pub largest_blob_ratio: f64,
    pub blob_count: u32,
    /// Mean change of grey in the region where that is highest.
    pub peak_blob_contrast: f64,
    /// How much the outlines differ.
    pub mask_mismatch: f64,
}

impl Difference {
    /// All of it in one number: 0 is the same picture.
    #[must_use]
    pub fn signal(&self) -> f64 {
        self.largest_blob_ratio * 0.55
            + self.peak_blob_contrast * 0.25
            + self.changed_ratio * 0.15
            + self.mask_mismatch * 0.05
    }
}

impl Preview {
    /// Fits a picture into the square, larger if it is smaller. O(pixels).
    #[must_use]
    pub fn new(picture: &Picture) -> Preview {
        let image = &picture.stored;
        let from = (image.width(), image.height());
        let to = contain(from);
        let colors = |y: u32, row: &mut [u8]| {
            let mut places = row.chunks_exact_mut(3);
            row_colors(image, y, Ground::White, |color| {
                if let Some(place) = places.next() {
                    place.copy_from_slice(&color);
                }
            });
        };
        let orientation = picture.header().orientation;
        let colors = turned(
            resize::<3>(from, to, Filter::Lanczos, colors),
            to,
            orientation,
        );
        let alpha = image.as_rgba8().map(|image| {
            let rows = |y: u32, row: &mut [u8]| {
                let pixels = (0..from.0).map(|x| image.get_pixel(x, y).0[3]);
                row.iter_mut()
                    .zip(pixels)
                    .for_each(|(place, alpha)| *place = alpha);
            };
            let alpha = resize::<1>(from, to, Filter::Lanczos, rows);
            let three = alpha.iter().flat_map(|alpha| [*alpha; 3]).collect();
            turned(three, to, orientation)
        });
        Preview::of_parts(&colors, alpha.as_ref())
    }

    fn of_parts(colors: &RgbImage, alpha: Option<&RgbImage>) -> Preview {
        let (width, height) = colors.dimensions();
        let left = (SIDE - width) / 2;
        let top = (SIDE - height) / 2;
        let mut preview = Preview {
            colors: vec![[255; 3]; PIXELS],
            greys: Vec::new(),
            mask: vec![0; PIXELS],
        };
        for (x, y, color) in colors.enumerate_pixels() {
            let place = ((top + y) * SIDE + left + x) as usize;
            preview.colors[place] = color.0;
            preview.mask[place] = alpha.map_or(255, |alpha| alpha.get_pixel(x, y).0[0]);
        }
        preview.greys = preview.colors.iter().copied().map(grey).collect();
        soften(&mut preview.greys);
        preview
    }

    /// What this and another picture differ by; `None` where neither has a pixel that is seen. O(pixels of
    /// a preview).
    #[must_use]
    pub fn compare(&self, other: &Preview) -> Option<Difference> {
        let is_seen = |place: usize| self.mask[place].max(other.mask[place]) > 0;
        let seen = (0..PIXELS).filter(|place| is_seen(*place)).count();
        if seen == 0 {
            return None;
        }
        let color_diff = |place: usize| {
            let pair = self.colors[place].iter().zip(&other.colors[place]);
            pair.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
        };
        let sum: u64 = (0..PIXELS)
            .filter(|place| is_seen(*place))
            .map(|place| u64::from(color_diff(place)))
            .sum();
        let raw: Vec<bool> = (0..PIXELS)
            .map(|place| is_seen(place) && has_changed(self.colors[place], other.colors[place]))
            .collect();
        let changed = without_speckles(&raw);
        let changed_pixels = changed.iter().filter(|changed| **changed).count();
        let outlines = self.mask.iter().zip(&other.mask);
        let outlines: u64 = outlines.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let regions = self.regions(other, changed);
        let of_seen = |count: usize| count as f64 / seen as f64;
        Some(Difference {
            mean_abs_diff: sum as f64 / 255.0 / seen as f64,
            changed_ratio: of_seen(changed_pixels),
            largest_blob_ratio: of_seen(regions.largest),
            blob_count: regions.count,
            peak_blob_contrast: regions.contrast_max,
            mask_mismatch: outlines as f64 / 255.0 / PIXELS as f64,
        })
    }

    /// Changed pixels that touch, at their corners too. Each is taken out of `changed` when it is found.
    fn regions(&self, other: &Preview, mut changed: Vec<bool>) -> Regions {
        let mut regions = Regions::default();
        let mut open = Vec::new();
        for start in 0..PIXELS {
            if !std::mem::take(&mut changed[start]) {
                continue;
            }
            open.push(start);
            let (mut pixels, mut contrast) = (0, 0);
            while let Some(place) = open.pop() {
                pixels += 1;
                contrast += u64::from(self.greys[place].abs_diff(other.greys[place]));
                for near in around(place) {
                    if std::mem::take(&mut changed[near]) {
                        open.push(near);
                    }
                }
            }
            regions.count += 1;
            regions.largest = regions.largest.max(pixels);
            let contrast = contrast as f64 / 255.0 / pixels as f64;
            regions.contrast_max = regions.contrast_max.max(contrast);
        }
        regions
    }
}

/// As numpy subtracts parts of 255 in 32 bits: of a difference just at the limit, rounding tells.
fn has_changed(a: [u8; 3], b: [u8; 3]) -> bool {
    let part = |value: u8| f32::from(value) / 255.0;
    let mut pairs = a.into_iter().zip(b);
    pairs.any(|(a, b)| (part(a) - part(b)).abs() >= CHANGE_MIN)
}

#[derive(Default)]
struct Regions {
    count: u32,
    largest: usize,
    contrast_max: f64,
}

/// The pixel and those that touch it.
fn around(place: usize) -> impl Iterator<Item = usize> {
    let side = SIDE as usize;
    let (x, y) = (place % side, place / side);
    let rows = y.saturating_sub(1)..(y + 2).min(side);
    rows.flat_map(move |y| {
        let columns = x.saturating_sub(1)..(x + 2).min(side);
        columns.map(move |x| y * side + x)
    })
}

fn without_speckles(raw: &[bool]) -> Vec<bool> {
    let is_kept = |place: usize| {
        raw[place] && around(place).filter(|near| raw[*near]).count() >= NEIGHBORS_MIN
    };
    (0..PIXELS).map(is_kept).collect()
}

/// Pillow's `ImageOps.contain`.
fn contain((width, height): (u32, u32)) -> (u32, u32) {
    let side = f64::from(SIDE);
    // Python rounds halves to even.
    let scaled = |short: u32, long: u32| {
        let exact = f64::from(short) / f64::from(long) * side;
        (exact.round_ties_even() as u32).clamp(1, SIDE)
    };
    match width >= height {
        true => (SIDE, scaled(height, width)),
        false => (scaled(width, height), SIDE),
    }
}

/// Pillow's Gaussian blur of radius 0.4: three box blurs along each axis, each rounded to 8 bits.
fn soften(greys: &mut [u8]) {
    let side = SIDE as usize;
    for _ in 0..3 {
        for y in 0..side {
            soften_line(greys, y * side, 1);
        }
    }
    for _ in 0..3 {
        for x in 0..side {
            soften_line(greys, x, side);
        }
    }
}

/// A box that reaches this far into the pixels beside the one in its middle: its variance three times is that of
/// the Gaussian.
const BOX_RADIUS: f32 = 0.16 / 5.68;

fn soften_line(greys: &mut [u8], start: usize, step: usize) {
    let side = SIDE as usize;
    let one = 1_u32 << 24;
    let middle = (one as f32 / (BOX_RADIUS * 2.0 + 1.0)) as u32;
    let beside = (one - middle) / 2;
    let mut before = greys[start];
    for place in 0..side {
        let at = start + place * step;
        let value = greys[at];
        let after = greys[start + (place + 1).min(side - 1) * step];
        let sum = u32::from(value) * middle + (u32::from(before) + u32::from(after)) * beside;
        greys[at] = ((sum + (one >> 1)) >> 24) as u8;
        before = value;
    }
}
