//! A picture file as RGB or RGBA pixels, within limits.
//!
//! Formats: PNG, JPEG, WebP, GIF and BMP, told by their content; of several frames the first. Sixteen bits
//! a channel become eight, their upper half, as in Pillow. A file that ends too early gives what came before
//! its end and says so, as far as the decoder tells an early end from damage: PNG and JPEG do.
//!
//! **Cost.** 3 bytes a pixel (4 with transparency) once it is read, [`Header::memory_bytes`] while it is.

use std::io::{BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, Rgb, Rgba};

use crate::header::{self, Format, Header, Limits};
use crate::pixels::Ground;
use crate::{jpegfile, pngfile};

/// What was read.
#[derive(Debug)]
pub struct Picture {
    pub(crate) stored: DynamicImage,
    header: Header,
    is_truncated: bool,
}

impl Picture {
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file ended before its pixels did.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The pixels as the file has them, RGB8 or RGBA8.
    #[must_use]
    pub fn stored(&self) -> &DynamicImage {
        &self.stored
    }

    /// The pixels turned as the EXIF data says, as viewers show them. O(pixels), and a second copy of them
    /// where it lies on its side.
    #[must_use]
    pub fn upright(self) -> DynamicImage {
        let mut image = self.stored;
        image.apply_orientation(self.header.orientation);
        image
    }

    /// Which ground Pillow's programs see below transparent pixels.
    pub(crate) fn ground(&self) -> Ground {
        match self.header.is_color_keyed {
            true => Ground::None,
            false => Ground::White,
        }
    }
}

/// Reads the file. O(pixels).
///
/// # Errors
/// For what is no file, no picture of a known format, damaged, or above the limits; names the file.
pub fn read(path: &Path, limits: &Limits) -> Result<Picture> {
    let read = || read_from(&mut header::open(path, limits)?, limits);
    read().with_context(|| format!("read the image {}", path.display()))
}

/// Reads the bytes of a file.
///
/// # Errors
/// As [`read`], without a name.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Picture> {
    read_from(&mut header::in_memory(bytes, limits)?, limits)
}

fn read_from<R: Read + Seek>(file: &mut BufReader<R>, limits: &Limits) -> Result<Picture> {
    let header = header::look(file, limits)?;
    let (color, pixels, is_truncated) = match header.format {
        Format::Png => pngfile::stored_pixels(file)?,
        Format::Jpeg => {
            jpegfile::look(file)?;
            let is_truncated = !jpegfile::has_end(file)?;
            file.rewind()?;
            let pixels = jpegfile::rgb_pixels(file, header.has_print_colors)?;
            (ColorType::Rgb8, pixels, is_truncated)
        }
        Format::WebP => stored_pixels(WebPDecoder::new(file)?)?,
        Format::Gif => stored_pixels(GifDecoder::new(file)?)?,
        Format::Bmp => stored_pixels(BmpDecoder::new(file)?)?,
    };
    let stored = to_colors(color, header.width, header.height, pixels)?;
    Ok(Picture {
        stored,
        header,
        is_truncated,
    })
}

/// Other formats can't be told from damaged ones where they end early.
fn stored_pixels(decoder: impl ImageDecoder) -> Result<(ColorType, Vec<u8>, bool)> {
    let color = decoder.color_type();
    let mut pixels = vec![0; usize::try_from(decoder.total_bytes())?];
    decoder.read_image(&mut pixels)?;
    Ok((color, pixels, false))
}

fn to_colors(color: ColorType, width: u32, height: u32, pixels: Vec<u8>) -> Result<DynamicImage> {
    let pixels = match color {
        ColorType::Rgb8 | ColorType::Rgba8 => pixels,
        ColorType::L8 => exactly(pixels.iter().flat_map(|grey| [*grey; 3]), pixels.len() * 3),
        ColorType::La8 => {
            let pairs = pixels.chunks_exact(2);
            let colors = pairs.flat_map(|pair| [pair[0], pair[0], pair[0], pair[1]]);
            exactly(colors, pixels.len() * 2)
        }
        other => bail!("pixels of the kind {other:?} are not known"),
    };
    let image = match color.has_alpha() {
        true => ImageBuffer::<Rgba<u8>, _>::from_raw(width, height, pixels).map(DynamicImage::from),
        false => ImageBuffer::<Rgb<u8>, _>::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    image.context("the decoder gives fewer pixels than it announces")
}

fn exactly(bytes: impl Iterator<Item = u8>, length: usize) -> Vec<u8> {
    let mut exact = Vec::with_capacity(length);
    exact.extend(bytes);
    exact
}
