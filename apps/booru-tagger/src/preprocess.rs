//! From pixels to what a model takes: resized, padded, in its order of channels and its range.
//!
//! Resizing follows Pillow (`fast_image_resize` has its filters), though not to the last bit, as the
//! models were fed by it; `tests/answers.rs` compares with values that Pillow and numpy made.
//!
//! **Cost.** The resized picture and 12 bytes a pixel of the tensor.

use anyhow::{Context, Result};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, Rgb, RgbImage};

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
///
/// # Errors
/// Where the picture can't be resized.
pub fn tensor(image: &DynamicImage, side: u32, scheme: Scheme) -> Result<Tensor> {
    let side_index = side as usize;
    let nchw = vec![1, 3, side_index, side_index];
    let nhwc = vec![1, side_index, side_index, 3];
    let normal =
        |value: u8, channel: usize| (f32::from(value) / 255.0 - MEAN[channel]) / DEVIATION[channel];
    Ok(match scheme {
        Scheme::Camie => planes(&fitted(image, side)?, nchw, normal),
        Scheme::CamieNhwc => interleaved(&fitted(image, side)?, nhwc, [0, 1, 2], normal),
        Scheme::Siglip => {
            let square = resize(&drop_alpha(image), side, side, FilterType::CatmullRom)?;
            planes(&square, nchw, |value, _| f32::from(value) / 255.0)
        }
        Scheme::Wd14 => {
            let padded = pad_to_square(&on_white(image));
            let square = resize(&padded, side, side, FilterType::CatmullRom)?;
            interleaved(&square, nhwc, [2, 1, 0], |value, _| f32::from(value))
        }
    })
}

/// RGB planes one after the other, each value from 0 to 1.
pub(crate) fn unit_planes(image: &RgbImage) -> Tensor {
    let (width, height) = image.dimensions();
    let shape = vec![1, 3, height as usize, width as usize];
    planes(image, shape, |value, _| f32::from(value) / 255.0)
}

/// The colours as they are stored, whatever the transparency says.
#[must_use]
pub fn drop_alpha(image: &DynamicImage) -> RgbImage {
    image.to_rgb8()
}

fn fitted(image: &DynamicImage, side: u32) -> Result<RgbImage> {
    let image = drop_alpha(image);
    let (width, height) = image.dimensions();
    let scale = f64::from(side) / f64::from(width.max(height));
    // Python's int() cuts, and so does this.
    let scaled = |length: u32| ((f64::from(length) * scale) as u32).clamp(1, side);
    let small = resize(&image, scaled(width), scaled(height), FilterType::Lanczos3)?;
    let mut square = RgbImage::from_pixel(side, side, MEAN_COLOR);
    let left = (side - small.width()) / 2;
    let top = (side - small.height()) / 2;
    image::imageops::replace(&mut square, &small, left.into(), top.into());
    Ok(square)
}

fn on_white(image: &DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(image) = image else {
        return image.to_rgb8();
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        // Pillow's paste with a mask: rounded to nearest.
        let blend = |value: u8| {
            let sum = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 128;
            ((sum + (sum >> 8)) >> 8) as u8
        };
        Rgb([blend(red), blend(green), blend(blue)])
    })
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

/// Pillow's `resize` of RGB bytes.
pub(crate) fn resize(
    image: &RgbImage,
    width: u32,
    height: u32,
    filter: FilterType,
) -> Result<RgbImage> {
    let (from_width, from_height) = image.dimensions();
    let from = ImageRef::new(from_width, from_height, image.as_raw(), PixelType::U8x3)?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new()
        .resize(&from, &mut to, &options)
        .with_context(|| format!("resize {from_width} x {from_height} to {width} x {height}"))?;
    RgbImage::from_raw(width, height, to.into_vec()).context("the resized picture is too short")
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
