//! From pixels to what a model takes: resized, padded, in its order of channels and its range.
//!
//! Resizing is Pillow's, as the models were fed by it; `tests/answers.rs` compares with values that Pillow
//! and numpy made.
//!
//! **Cost.** The resized picture and 12 bytes a pixel of the tensor.

use image::{DynamicImage, Rgb, RgbImage};
use plimsoll_booru_picture::pixels::{drop_alpha, on_white};
use plimsoll_booru_picture::resize::{Filter, resize_rgb};

use crate::runtime::Tensor;

/// What the original pads with: the mean colour of ImageNet.
const MEAN_COLOR: Rgb<u8> = Rgb([124, 116, 104]);
const WHITE: Rgb<u8> = Rgb([255; 3]);
/// Of ImageNet, by channel, of values from 0 to 1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// How pixels become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Camie: fitted into the square by Lanczos, centred on the mean colour, normalised, NCHW.
    Camie,
    /// WD14: on white, padded to a square, bicubic, BGR from 0 to 255, NHWC.
    Wd14,
    /// SigLIP: stretched to the square, bicubic, RGB from 0 to 1, NCHW.
    Siglip,
    /// As the original feeds a WD14 model for embeddings: as [`Scheme::Camie`], but NHWC. Its
    /// stored embeddings were made so, and must stay comparable.
    CamieNhwc,
}

/// The tensor of `image` for a model with a square of `side` pixels. O(pixels).
#[must_use]
pub fn tensor(image: &DynamicImage, side: u32, scheme: Scheme) -> Tensor {
    let side_index = side as usize;
    let nchw = vec![1, 3, side_index, side_index];
    let nhwc = vec![1, side_index, side_index, 3];
    let normal =
        |value: u8, channel: usize| (f32::from(value) / 255.0 - MEAN[channel]) / DEVIATION[channel];
    match scheme {
        Scheme::Camie => planes(&fitted(image, side), nchw, normal),
        Scheme::CamieNhwc => interleaved(&fitted(image, side), nhwc, [0, 1, 2], normal),
        Scheme::Siglip => {
            let square = resize_rgb(&drop_alpha(image), (side, side), Filter::Bicubic);
            planes(&square, nchw, |value, _| f32::from(value) / 255.0)
        }
        Scheme::Wd14 => {
            let padded = pad_to_square(&on_white(image));
            let square = resize_rgb(&padded, (side, side), Filter::Bicubic);
            interleaved(&square, nhwc, [2, 1, 0], |value, _| f32::from(value))
        }
    }
}

/// RGB planes one after the other, each value from 0 to 1.
pub(crate) fn unit_planes(image: &RgbImage) -> Tensor {
    let (width, height) = image.dimensions();
    let shape = vec![1, 3, height as usize, width as usize];
    planes(image, shape, |value, _| f32::from(value) / 255.0)
}

fn fitted(image: &DynamicImage, side: u32) -> RgbImage {
    let image = drop_alpha(image);
    let (width, height) = image.dimensions();
    let scale = f64::from(side) / f64::from(width.max(height));
    // Python's int() cuts, and so does this.
    let scaled = |length: u32| ((f64::from(length) * scale) as u32).clamp(1, side);
    let small = resize_rgb(&image, (scaled(width), scaled(height)), Filter::Lanczos);
    let mut square = RgbImage::from_pixel(side, side, MEAN_COLOR);
    let left = (side - small.width()) / 2;
    let top = (side - small.height()) / 2;
    image::imageops::replace(&mut square, &small, left.into(), top.into());
    square
}

fn pad_to_square(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let side = width.max(height);
    let mut square = RgbImage::from_pixel(side, side, WHITE);
    let left = (side - width) / 2;
    let top = (side - height) / 2;
    image::imageops::replace(&mut square, image, left.into(), top.into());
    square
}

fn planes(image: &RgbImage, shape: Vec<usize>, value: impl Fn(u8, usize) -> f32) -> Tensor {
    let mut data = Vec::with_capacity(image.as_raw().len());
    for channel in 0..3 {
        data.extend(image.pixels().map(|pixel| value(pixel.0[channel], channel)));
    }
    Tensor { shape, data }
}

fn interleaved(
    image: &RgbImage,
    shape: Vec<usize>,
    order: [usize; 3],
    value: impl Fn(u8, usize) -> f32,
) -> Tensor {
    let mut data = Vec::with_capacity(image.as_raw().len());
    for pixel in image.pixels() {
        data.extend(order.map(|channel| value(pixel.0[channel], channel)));
    }
    Tensor { shape, data }
}
