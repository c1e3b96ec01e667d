//! Thumbnails: WebP, lossy, upright, transparency on white, the longest side at most so many pixels and never
//! more than the picture has.
//!
//! **Cost.** O(pixels); a few rows of the picture and the thumbnail, 2 MiB at 800 pixels, and what libwebp
//! takes to encode it, about 9 bytes for each of its pixels, of noise up to 29: [`memory_bytes`] at most.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use plimsoll::stream::AtomicFile;
use webp::{Encoder, WebPConfig};

use crate::pixels::{Ground, row_colors};
use crate::read::Picture;
use crate::resize::{Filter, Size, resize};

/// How thumbnails are made; the defaults are the original's `THUMB_SIZE` and `THUMB_QUALITY`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThumbnailOptions {
    /// Pixels of the longest side, 1 to 16,383.
    pub side_max: u32,
    /// Of WebP, 0 to 100.
    pub quality: f32,
}

impl Default for ThumbnailOptions {
    fn default() -> ThumbnailOptions {
        ThumbnailOptions {
            side_max: 800,
            quality: 85.0,
        }
    }
}

/// WebP has no longer sides.
const SIDE_MAX: u32 = 16_383;

/// Effort of the encoder, 0 to 6. The original's 6 takes 1.4 to 3.3 times the time of 4 for 1 to 2 % fewer bytes (two
/// pictures of 800 x 600, libwebp 1.6).
const METHOD: i32 = 4;

/// Of a few rows of a picture with sides of up to 32,768 pixels, with their weights.
const ROWS_BYTES: u64 = 4 << 20;
/// Of a pixel of the thumbnail: 29 were measured of noise of quality 100.
const PIXEL_BYTES: u64 = 32;

/// Bytes that making the thumbnail of a picture of so many pixels takes at most beside the picture: to reserve
/// before it.
#[must_use]
pub fn memory_bytes(pixels: u64, options: &ThumbnailOptions) -> u64 {
    let most = u64::from(options.side_max).pow(2);
    ROWS_BYTES.saturating_add(pixels.min(most).saturating_mul(PIXEL_BYTES))
}

/// Makes the thumbnail of a picture; the bytes of a WebP file. O(pixels).
///
/// # Errors
/// Options out of range, and what libwebp says.
pub fn thumbnail(picture: &Picture, options: &ThumbnailOptions) -> Result<Vec<u8>> {
    let most = options.side_max;
    if most == 0 || most > SIDE_MAX {
        bail!("a thumbnail has 1 to {SIDE_MAX} pixels on its longest side, not {most}");
    }
    let small = shrink(picture, most);
    let mut config = WebPConfig::new().map_err(|()| anyhow!("libwebp is of another version"))?;
    config.quality = options.quality;
    config.method = METHOD;
    let encoder = Encoder::from_rgb(small.as_raw(), small.width(), small.height());
    let encoded = encoder.encode_advanced(&config).map_err(|error| {
        anyhow!(
            "encode a thumbnail of quality {}: {error:?}",
            options.quality
        )
    })?;
    Ok(encoded.to_vec())
}

/// Writes the thumbnail of a picture to a file that appears whole or not at all; its folder is made.
///
/// # Errors
/// As [`thumbnail`], and what the system refuses; names the file.
pub fn write_thumbnail(picture: &Picture, path: &Path, options: &ThumbnailOptions) -> Result<()> {
    let write = || -> Result<()> {
        let bytes = thumbnail(picture, options)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = AtomicFile::create(path)?;
        file.write_all(&bytes)?;
        file.commit()?;
        Ok(())
    };
    write().with_context(|| format!("write the thumbnail {}", path.display()))
}

/// The picture upright and on white, its longest side at most `side_max` pixels. It is turned when it is small.
pub(crate) fn shrink(picture: &Picture, side_max: u32) -> RgbImage {
    let image = &picture.stored;
    let from = (image.width(), image.height());
    let to = fit(from, side_max);
    let rows = |y: u32, row: &mut [u8]| {
        let mut places = row.chunks_exact_mut(3);
        row_colors(image, y, Ground::White, |color| {
            if let Some(place) = places.next() {
                place.copy_from_slice(&color);
            }
        });
    };
    let pixels = resize::<3>(from, to, Filter::Lanczos, rows);
    turned(pixels, to, picture.header().orientation)
}

/// RGB pixels as viewers show them.
pub(crate) fn turned(pixels: Vec<u8>, (width, height): Size, orientation: Orientation) -> RgbImage {
    let image = RgbImage::from_raw(width, height, pixels).expect("three bytes for each pixel");
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
}

/// The size that Pillow's `thumbnail` gives: the shorter side is the whole number whose ratio to the longer one
/// is nearer.
pub(crate) fn fit((width, height): Size, side_max: u32) -> Size {
    if width.max(height) <= side_max {
        return (width, height);
    }
    let ratio = f64::from(width) / f64::from(height);
    let most = f64::from(side_max);
    let nearer = |exact: f64, off: &dyn Fn(f64) -> f64| {
        let (low, high) = (exact.floor(), exact.ceil());
        let nearer = if off(high) < off(low) { high } else { low };
        (nearer as u32).max(1)
    };
    match ratio <= 1.0 {
        true => (
            nearer(most * ratio, &|width| (ratio - width / most).abs()),
            side_max,
        ),
        false => (
            side_max,
            nearer(most / ratio, &|height| (ratio - most / height).abs()),
        ),
    }
}
