//! Pillow's `Image.resize` of 8-bit pixels, to the last bit: hashes and models were made with it. (Pillow of
//! versions to 12; 13 makes columns shorter first where that is less work, which rounds otherwise.)
//!
//! The same steps as in Pillow's `Resample.c`: weights in `f64`, made whole numbers of 22 bits behind the
//! point, rows made narrower (or wider) first, rounded to 8 bits, then columns. (`fast_image_resize`
//! keeps weights in 16 bits, and is off by one here and there.)
//!
//! **Cost.** O(width × height of the source × 6 for each step that makes it smaller). Rows are asked for one
//! by one, and only those that the next row of the result needs are kept: `width of the result × channels ×
//! (6 × scale + 1)` bytes, and 4 bytes for each weight, about 6 for a pixel of either side.

use std::collections::VecDeque;
use std::f64::consts::PI;

use image::RgbImage;

/// Bits behind the point of a weight: 32, less 8 of a pixel, less 2 as the sum of weights may leave 0 to 1.
const PRECISION_BITS: u32 = 22;

/// What a pixel of the result is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Pillow's `BICUBIC`, with a = -0.5.
    Bicubic,
    /// Pillow's `LANCZOS`, of three lobes.
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Bicubic => bicubic(x.abs()),
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// Width and height.
pub type Size = (u32, u32);

/// Pillow's `resize` of an RGB picture. O(pixels of both).
#[must_use]
pub fn resize_rgb(image: &RgbImage, to: Size, filter: Filter) -> RgbImage {
    let length = image.width() as usize * 3;
    let rows = |y: u32, row: &mut [u8]| {
        let start = y as usize * length;
        row.copy_from_slice(&image.as_raw()[start..start + length]);
    };
    let pixels = resize::<3>(image.dimensions(), to, filter, rows);
    RgbImage::from_raw(to.0, to.1, pixels).expect("as many pixels as were asked for")
}

/// Pillow's `resize` of a picture of `CHANNELS` bytes a pixel, whose rows `read_row` writes: each once,
/// from above, those that nothing needs left out. The result's rows, one after the other.
///
/// A side of 0 gives nothing.
#[must_use]
pub fn resize<const CHANNELS: usize>(
    from: Size,
    to: Size,
    filter: Filter,
    read_row: impl FnMut(u32, &mut [u8]),
) -> Vec<u8> {
    // What is tall and very narrow is made lower first, as `Image.resize` has it.
    if u64::from(from.1) > u64::from(from.0) * 100 && to.1 < from.1 {
        let middle = (from.0, to.1);
        let low = resize_evenly::<CHANNELS>(from, middle, filter, read_row);
        let length = from.0 as usize * CHANNELS;
        return resize_evenly::<CHANNELS>(middle, to, filter, |y, row| {
            let start = y as usize * length;
            row.copy_from_slice(&low[start..start + length]);
        });
    }
    resize_evenly::<CHANNELS>(from, to, filter, read_row)
}

fn resize_evenly<const CHANNELS: usize>(
    from: Size,
    to: Size,
    filter: Filter,
    mut read_row: impl FnMut(u32, &mut [u8]),
) -> Vec<u8> {
    let length = to.0 as usize * CHANNELS;
    let mut pixels = Vec::with_capacity(length * to.1 as usize);
    if from.0 == 0 || from.1 == 0 {
        return pixels;
    }
    let columns = Windows::new(from.0, to.0, filter);
    let rows = Windows::new(from.1, to.1, filter);
    let mut source = vec![0; from.0 as usize * CHANNELS];
    let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
    let mut kept_from = 0;
    let mut sums = vec![0; length];
    for window in rows.iter() {
        // Windows go down with the rows of the result, so that rows above one are done with.
        let end = window.start + window.weights.len();
        let mut spare = Vec::new();
        while kept_from < window.start {
            spare = kept.pop_front().unwrap_or_default();
            kept_from += 1;
        }
        while kept_from + kept.len() < end {
            let y = (kept_from + kept.len()) as u32;
            read_row(y, &mut source);
            let mut row = std::mem::take(&mut spare);
            row.clear();
            narrow::<CHANNELS>(&source, &columns, &mut row);
            kept.push_back(row);
        }
        sums.fill(HALF);
        for (row, weight) in kept.iter().zip(window.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = i32::from(*value).wrapping_mul(*weight).wrapping_add(*sum);
            }
        }
        pixels.extend(sums.iter().copied().map(clip));
    }
    pixels
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn narrow<const CHANNELS: usize>(source: &[u8], columns: &Windows, row: &mut Vec<u8>) {
    for window in columns.iter() {
        let mut sums = [HALF; CHANNELS];
        let pixels = source[window.start * CHANNELS..].chunks_exact(CHANNELS);
        for (pixel, weight) in pixels.zip(window.weights) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum = i32::from(*value).wrapping_mul(*weight).wrapping_add(*sum);
            }
        }
        row.extend(sums.map(clip));
    }
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Of each pixel of one side of the result, which ones of the source it is made of, and by which weights.
struct Windows {
    starts: Vec<u32>,
    /// Where in `weights` those of a pixel begin, and where the last ones end.
    bounds: Vec<u32>,
    weights: Vec<i32>,
}

struct Window<'a> {
    start: usize,
    weights: &'a [i32],
}

impl Windows {
    fn new(from: u32, to: u32, filter: Filter) -> Windows {
        let scale = f64::from(from) / f64::from(to);
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let shrink = 1.0 / stretch;
        let mut windows = Windows {
            starts: Vec::with_capacity(to as usize),
            bounds: vec![0],
            weights: Vec::new(),
        };
        let mut weights = Vec::new();
        for place in 0..to {
            let center = (f64::from(place) + 0.5) * scale;
            // Cut as C does; a negative one is taken for 0.
            let start = (center - support + 0.5) as u32;
            let end = ((center + support + 0.5) as u32).min(from);
            weights.clear();
            weights.extend((start..end).map(|x| {
                let x = f64::from(x) - center + 0.5;
                filter.weight(x * shrink)
            }));
            let sum: f64 = weights.iter().sum();
            let whole = weights.iter().map(|weight| match sum == 0.0 {
                true => whole(*weight),
                false => whole(*weight / sum),
            });
            windows.weights.extend(whole);
            windows.starts.push(start);
            windows.bounds.push(windows.weights.len() as u32);
        }
        windows
    }

    fn iter(&self) -> impl Iterator<Item = Window<'_>> {
        let bounds = self.bounds.windows(2);
        self.starts
            .iter()
            .zip(bounds)
            .map(|(start, bounds)| Window {
                start: *start as usize,
                weights: &self.weights[bounds[0] as usize..bounds[1] as usize],
            })
    }
}

/// Rounded half away from zero, as Pillow does it.
fn whole(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    match weight < 0.0 {
        true => (-0.5 + scaled) as i32,
        false => (0.5 + scaled) as i32,
    }
}
