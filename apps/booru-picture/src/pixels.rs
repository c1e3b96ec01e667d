//! Colours of stored pixels: without transparency, on white, as grey.

use image::{DynamicImage, Rgb, RgbImage, Rgba};

/// The colours as they are stored, whatever the transparency says. O(pixels), 3 bytes each.
#[must_use]
pub fn drop_alpha(image: &DynamicImage) -> RgbImage {
    image.to_rgb8()
}

/// Transparent pixels on a white ground. O(pixels), 3 bytes each.
#[must_use]
pub fn on_white(image: &DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(image) = image else {
        return image.to_rgb8();
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        Rgb(white_below(image.get_pixel(x, y).0))
    })
}

/// One pixel on white: Pillow's paste with a mask, rounded to nearest.
#[must_use]
pub fn white_below([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let blend = |value: u8| {
        let sum = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 128;
        ((sum + (sum >> 8)) >> 8) as u8
    };
    [blend(red), blend(green), blend(blue)]
}

/// Pillow's `convert("L")`: ITU-R 601-2 by whole numbers.
#[must_use]
pub fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

/// How transparent pixels become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// As [`on_white`].
    White,
    /// As [`drop_alpha`].
    None,
}

/// The colours of row `y`, without a copy of the picture; RGB8 and RGBA8, which [`crate::read()`] gives.
pub(crate) fn row_colors(
    image: &DynamicImage,
    y: u32,
    ground: Ground,
    mut each: impl FnMut([u8; 3]),
) {
    let width = image.width() as usize;
    let row = |channels: usize| y as usize * width * channels..(y as usize + 1) * width * channels;
    match image {
        DynamicImage::ImageRgb8(image) => {
            for pixel in image.as_raw()[row(3)].chunks_exact(3) {
                each([pixel[0], pixel[1], pixel[2]]);
            }
        }
        DynamicImage::ImageRgba8(image) => {
            for pixel in image.as_raw()[row(4)].chunks_exact(4) {
                let Rgba(pixel) = Rgba([pixel[0], pixel[1], pixel[2], pixel[3]]);
                match ground {
                    Ground::White => each(white_below(pixel)),
                    Ground::None => each([pixel[0], pixel[1], pixel[2]]),
                }
            }
        }
        _ => unreachable!("a picture that was read is RGB8 or RGBA8"),
    }
}
