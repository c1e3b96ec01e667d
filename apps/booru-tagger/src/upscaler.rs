//! A larger image by an ESRGAN-like model, tile by tile.
//!
//! A band of tiles is computed, its rows go to the encoder, and the next band takes its place. Every
//! tile has the same size, so that the model is planned once: what lies beyond the picture repeats its
//! border (the original gives its network smaller tiles there).
//!
//! **Cost.** The decoded picture (3 bytes a pixel), one band of the result (its width x tile x scale² x
//! 3 bytes), one tile inside the model; WebP holds the whole result besides ([`crate::encode`]).
//! Without the picture itself, memory does not grow with its height.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use plimsoll_booru_worker_protocol::message::{Progress, UpscaleImage};

use crate::encode::{Encoder, Unwritable};
use crate::preprocess;
use crate::runtime::{Model, Tensor};

/// Of a tile, pixels of the input: a tile of 1,024 with its result takes some 70 MiB in f32, and the
/// network's layers many times that.
const TILE_MAX: u32 = 1024;
/// How much larger a model may make things.
const SCALE_MAX: usize = 8;

/// What came out.
#[derive(Debug)]
pub struct Upscaled {
    /// Pixels of the result.
    pub size: (u32, u32),
    /// WebP's limit made it smaller than the model did.
    pub is_clamped: bool,
    /// Memory ran out, and tiles of this size went through.
    pub tile_size: u32,
}

/// Upscales `image` into the request's output file, which appears whole or not at all.
///
/// # Errors
/// For a model that is no upscaler, sizes that make no sense, no memory for the smallest tile, or a
/// file that can't be written.
pub fn upscale(
    model: &mut dyn Model,
    image: &RgbImage,
    request: &UpscaleImage,
    mut progress: impl FnMut(&Progress),
) -> Result<Upscaled> {
    let (width, height) = image.dimensions();
    check(request)?;
    // No tile larger than the picture.
    let mut tile = request.tile_size.min(width.max(height));
    let scale = loop {
        match find_scale(model, image, tile, request.tile_pad) {
            Ok(scale) => break scale,
            Err(error) => tile = smaller(tile, request, error)?,
        }
    };
    let larger = |side: u32| side.checked_mul(scale).context("the result is too large");
    let size = (larger(width)?, larger(height)?);
    let output = Path::new(&request.output_path);
    let unwritable = || Unwritable(output.to_owned());
    let encoder = Encoder::create(output, &request.output_format, size.0, size.1);
    let mut encoder = encoder.with_context(unwritable)?;
    let mut top = 0;
    let mut done = 0;
    while top < height {
        let band = Band {
            top,
            rows: tile.min(height - top),
            tile,
            pad: request.tile_pad,
            scale,
        };
        let across = u64::from(width.div_ceil(tile));
        let total = done + across * u64::from((height - top).div_ceil(tile));
        let finished = band.compute(model, image, |column| {
            let current = done + column;
            let message = format!("tile {current} of {total}");
            progress(&Progress::new(current, total, message));
        });
        match finished {
            Ok(rows) => {
                encoder.write_rows(&rows).with_context(unwritable)?;
                top += band.rows;
                done += across;
            }
            Err(error) => tile = smaller(tile, request, error)?,
        }
    }
    let written = encoder.finish(size).with_context(unwritable)?;
    Ok(Upscaled {
        size: written,
        is_clamped: written != size,
        tile_size: tile,
    })
}

fn check(request: &UpscaleImage) -> Result<()> {
    let (tile, pad) = (request.tile_size, request.tile_pad);
    ensure!(
        (8..=TILE_MAX).contains(&tile),
        "tile_size {tile} is not from 8 to {TILE_MAX}"
    );
    ensure!(pad <= tile, "tile_pad {pad} is above tile_size {tile}");
    ensure!(request.min_tile_size >= 8, "min_tile_size is below 8");
    // Said before an hour of work.
    let format = request.output_format.as_str();
    ensure!(
        matches!(format, "png" | "webp"),
        "{format:?} is no output_format; there are png and webp"
    );
    Ok(())
}

/// Half the tile where memory ran out and the request allows it.
fn smaller(tile: u32, request: &UpscaleImage, error: anyhow::Error) -> Result<u32> {
    let half = tile / 2;
    let text = format!("{error:#}").to_ascii_lowercase();
    let is_memory = ["out of memory", "allocate", "bad_alloc", "oom"]
        .iter()
        .any(|words| text.contains(words));
    match is_memory && half >= request.min_tile_size {
        true => Ok(half),
        false => Err(error),
    }
}

/// Computes one tile to see by how much it grows.
fn find_scale(model: &mut dyn Model, image: &RgbImage, tile: u32, pad: u32) -> Result<u32> {
    let input = cut(image, 0, 0, tile, pad);
    let (rows, columns) = (input.shape[2], input.shape[3]);
    let output = run(model, input)?;
    let grown = (output.shape[2] / rows, output.shape[3] / columns);
    let fits = output.shape[2] == grown.0 * rows && output.shape[3] == grown.1 * columns;
    ensure!(
        fits && grown.0 == grown.1 && (1..=SCALE_MAX).contains(&grown.0),
        "the model makes {:?} of {rows} x {columns} pixels, which is no upscaler's answer",
        output.shape
    );
    Ok(u32::try_from(grown.0)?)
}

fn run(model: &mut dyn Model, input: Tensor) -> Result<Tensor> {
    let outputs = model.run(input).context("run the upscaler")?;
    let output = outputs
        .into_iter()
        .next()
        .context("the upscaler has no output")?;
    ensure!(
        matches!(output.shape[..], [1, 3, _, _]),
        "the upscaler's output is {:?}; [1, 3, rows, columns] is an image",
        output.shape
    );
    Ok(output)
}

/// One row of tiles.
struct Band {
    top: u32,
    rows: u32,
    tile: u32,
    pad: u32,
    scale: u32,
}

impl Band {
    fn compute(
        &self,
        model: &mut dyn Model,
        image: &RgbImage,
        mut finished: impl FnMut(u64),
    ) -> Result<Vec<u8>> {
        let width = image.width();
        let scale = self.scale as usize;
        let row_bytes = width as usize * scale * 3;
        let mut rows = vec![0; self.rows as usize * scale * row_bytes];
        for (index, left) in (0..width).step_by(self.tile as usize).enumerate() {
            let columns = self.tile.min(width - left);
            let input = cut(image, left, self.top, self.tile, self.pad);
            let expected = [1, 3, input.shape[2] * scale, input.shape[3] * scale];
            let output = run(model, input)?;
            ensure!(
                output.shape == expected,
                "the upscaler makes {:?} where it made {expected:?} before",
                output.shape
            );
            let (out_rows, out_columns) = (expected[2], expected[3]);
            let pad = self.pad as usize * scale;
            for row in 0..self.rows as usize * scale {
                let to = row * row_bytes + left as usize * scale * 3;
                for column in 0..columns as usize * scale {
                    for channel in 0..3 {
                        let plane = channel * out_rows * out_columns;
                        let at = plane + (row + pad) * out_columns + column + pad;
                        rows[to + column * 3 + channel] = to_byte(output.data[at]);
                    }
                }
            }
            finished(index as u64 + 1);
        }
        Ok(rows)
    }
}

/// A tile with its surroundings; what lies beyond the picture repeats the nearest pixel.
fn cut(image: &RgbImage, left: u32, top: u32, tile: u32, pad: u32) -> Tensor {
    let side = tile + 2 * pad;
    let near =
        |from: u32, offset: u32, length: u32| (from + offset).saturating_sub(pad).min(length - 1);
    let (width, height) = image.dimensions();
    let piece = RgbImage::from_fn(side, side, |x, y| {
        *image.get_pixel(near(left, x, width), near(top, y, height))
    });
    preprocess::unit_planes(&piece)
}

/// As numpy does it in the original: clipped to 0 to 1, times 255, to nearest (even at a half).
fn to_byte(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}
