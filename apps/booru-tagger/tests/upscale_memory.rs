//! An upscale's memory beside the picture: a band of tiles, whatever the picture's height.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::alloc::System;

use anyhow::Result;
use image::{Rgb, RgbImage};
use plimsoll::ledger::Ledger;
use plimsoll::stage::Stage;
use plimsoll_booru_tagger::runtime::{Model, Tensor};
use plimsoll_booru_tagger::upscaler;
use plimsoll_booru_worker_protocol::message::UpscaleImage;

#[global_allocator]
static LEDGER: Ledger = Ledger::new(System);

/// Each pixel four times in each direction; what a model needs inside is not measured here.
struct Nearest;

impl Model for Nearest {
    fn input_shape(&self) -> &[Option<usize>] {
        &[Some(1), Some(3), None, None]
    }

    fn run(&mut self, input: Tensor) -> Result<Vec<Tensor>> {
        let (rows, columns) = (input.shape[2], input.shape[3]);
        let mut data = Vec::with_capacity(input.data.len() * 16);
        for line in input.data.chunks_exact(columns) {
            for _ in 0..4 {
                data.extend(line.iter().flat_map(|value| [*value; 4]));
            }
        }
        let shape = vec![1, 3, rows * 4, columns * 4];
        Ok(vec![Tensor { shape, data }])
    }
}

fn peak_bytes(width: u32, height: u32) -> u64 {
    let output = std::env::temp_dir().join(format!("booru-tagger-tall-{}.png", std::process::id()));
    let request: UpscaleImage = serde_json::from_value(serde_json::json!({
        "image_path": "", "model_name": "", "output_path": output, "tile_size": 64, "tile_pad": 8,
    }))
    .unwrap();
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let stage = Stage::begin("upscale");
    let upscaled = upscaler::upscale(&mut Nearest, &picture, &request, |_| {}).unwrap();
    let live = stage.end().live.unwrap();
    assert_eq!(upscaled.size, (width * 4, height * 4));
    let written = image::open(&output).unwrap().to_rgb8();
    std::fs::remove_file(&output).unwrap();
    // The last rows are there, and right.
    let last = written.get_pixel(width * 4 - 1, height * 4 - 1);
    assert_eq!(last, picture.get_pixel(width - 1, height - 1));
    live.peak_bytes.unwrap() - live.begin_bytes
}

#[test]
fn memory_does_not_grow_with_the_height() {
    let (width, tile, pad) = (200, 64_u64, 8_u64);
    let short = peak_bytes(width, 256);
    let tall = peak_bytes(width, 2048);
    // Eight times the rows; the results have 2 and 20 MB.
    assert!(
        tall < short + (64 << 10),
        "{short} bytes of 256 rows, {tall} of 2048"
    );
    let band = u64::from(width) * 4 * tile * 4 * 3;
    let side = tile + 2 * pad;
    let tiles = side * side * 3 * 4 * (1 + 16);
    // And what PNG's compressor holds, and a picture of a tile.
    let most = band + tiles + (2 << 20);
    assert!(tall < most, "{tall} bytes, at most {most} were expected");
}
