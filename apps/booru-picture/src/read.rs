//! A picture file as RGB or RGBA pixels, within limits.
//!
//! Formats: PNG, JPEG, WebP, GIF and BMP, told by their content; of several frames the first. Sixteen bits
//! a channel become eight, their upper half, as in Pillow. A file that ends too early gives what came before
//! its end and says so, as far as the decoder tells an early end from damage: PNG and JPEG do.
//!
//! **Cost.** 3 bytes a pixel (4 with transparency) once it is read, [`Header::memory_bytes`] while it is.

use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageError, Rgb, Rgba};

use crate::header::{self, Format, Header, Limits, png_limits};
use crate::jpegfile;
use crate::pixels::Ground;

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
    let (length, most) = (bytes.len() as u64, limits.file_bytes_max);
    if length > most {
        bail!("it has {length} bytes, the limit is {most}");
    }
    read_from(&mut BufReader::new(Cursor::new(bytes)), limits)
}

fn read_from<R: Read + Seek>(file: &mut BufReader<R>, limits: &Limits) -> Result<Picture> {
    let header = header::look(file, limits)?;
    let (stored, is_truncated) = match header.format {
        Format::Png => pixels(PngDecoder::with_limits(file, png_limits(limits))?)?,
        Format::Jpeg => {
            jpegfile::look(file)?;
            let is_truncated = !jpegfile::has_end(file)?;
            file.rewind()?;
            let pixels = jpegfile::rgb_pixels(file, header.has_print_colors)?;
            let (width, height) = (header.width, header.height);
            (
                to_eight_bits(ColorType::Rgb8, width, height, pixels)?,
                is_truncated,
            )
        }
        Format::WebP => pixels(WebPDecoder::new(file)?)?,
        Format::Gif => pixels(GifDecoder::new(file)?)?,
        Format::Bmp => pixels(BmpDecoder::new(file)?)?,
    };
    Ok(Picture {
        stored,
        header,
        is_truncated,
    })
}

/// And whether they end early.
fn pixels(decoder: impl ImageDecoder) -> Result<(DynamicImage, bool)> {
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    let mut pixels = vec![0; usize::try_from(decoder.total_bytes())?];
    let is_truncated = match decoder.read_image(&mut pixels) {
        Ok(()) => false,
        Err(error) if is_early_end(&error) && pixels.iter().any(|byte| *byte != 0) => true,
        Err(error) => return Err(error.into()),
    };
    Ok((to_eight_bits(color, width, height, pixels)?, is_truncated))
}

fn is_early_end(error: &ImageError) -> bool {
    matches!(error, ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof)
}

fn to_eight_bits(
    color: ColorType,
    width: u32,
    height: u32,
    mut pixels: Vec<u8>,
) -> Result<DynamicImage> {
    if matches!(
        color,
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16
    ) {
        keep_upper_halves(&mut pixels);
    }
    let pixels = match color {
        ColorType::Rgb8 | ColorType::Rgba8 | ColorType::Rgb16 | ColorType::Rgba16 => pixels,
        ColorType::L8 | ColorType::L16 => {
            let colors = pixels.iter().flat_map(|grey| [*grey; 3]);
            exactly(colors, pixels.len() * 3)
        }
        ColorType::La8 | ColorType::La16 => {
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

/// In place.
fn keep_upper_halves(pixels: &mut Vec<u8>) {
    let length = pixels.len() / 2;
    for place in 0..length {
        let value = u16::from_ne_bytes([pixels[2 * place], pixels[2 * place + 1]]);
        pixels[place] = (value >> 8) as u8;
    }
    pixels.truncate(length);
    pixels.shrink_to_fit();
}

fn exactly(bytes: impl Iterator<Item = u8>, length: usize) -> Vec<u8> {
    let mut exact = Vec::with_capacity(length);
    exact.extend(bytes);
    exact
}
