//! An image file as RGB or RGBA pixels, within limits.
//!
//! Formats: PNG, JPEG, WebP, GIF and BMP, told by their first bytes, not by the name; of several
//! frames the first. The orientation in the EXIF data is applied, as viewers do: models see what
//! people see. (The original does not; most collections have no such data.) Sixteen bits a channel become
//! eight. A file that ends too early gives what came before its end, the rest black, and says so, as far
//! as the decoder tells an early end from damage: PNG and JPEG do.
//!
//! **Cost.** 3 bytes a pixel (4 with transparency), at most [`DECODED_MAX`], and the file itself is not
//! held whole.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// Pixels on a side; a header claims what it likes.
pub const SIDE_MAX: u32 = 32_768;
/// Bytes of decoded pixels: 134 million pixels of three bytes.
pub const DECODED_MAX: u64 = 384 << 20;
/// Bytes of the file.
pub const FILE_MAX: u64 = 256 << 20;

/// What was read.
#[derive(Debug)]
pub struct Picture {
    /// RGB8 or RGBA8.
    pub image: DynamicImage,
    /// The file ended before its pixels did.
    pub truncated: bool,
}

/// Reads the file. O(pixels).
///
/// # Errors
/// For what is no file, no image of a known format, damaged, or above the limits; names the file.
pub fn read(path: &Path) -> Result<Picture> {
    read_file(path).with_context(|| format!("read the image {}", path.display()))
}

/// Refuses what has several frames or is a video, which an upscale would lose.
///
/// # Errors
/// Where it is one, or can't be read.
pub fn require_still(path: &Path) -> Result<()> {
    let name = path.extension().map(|name| name.to_ascii_lowercase());
    let name = name.as_deref().and_then(|name| name.to_str()).unwrap_or("");
    if matches!(name, "gif" | "apng" | "mp4" | "webm") {
        bail!(
            "{}: {name} files can't be upscaled, still images can",
            path.display()
        );
    }
    let reader = open(path).with_context(|| format!("read the image {}", path.display()))?;
    let animated = match reader.format() {
        Some(ImageFormat::Gif) => true,
        Some(ImageFormat::Png) => {
            let decoder = image::codecs::png::PngDecoder::new(reader.into_inner())?;
            decoder.is_apng()?
        }
        Some(ImageFormat::WebP) => {
            let decoder = image::codecs::webp::WebPDecoder::new(reader.into_inner())?;
            decoder.has_animation()
        }
        _ => false,
    };
    if animated {
        bail!(
            "{}: an animation can't be upscaled, still images can",
            path.display()
        );
    }
    Ok(())
}

fn open(path: &Path) -> Result<ImageReader<BufReader<File>>> {
    // A pipe of that name would keep who opens it waiting for a writer.
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        bail!("it is no regular file");
    }
    if found.len() > FILE_MAX {
        let length = found.len();
        bail!("it has {length} bytes, the limit is {FILE_MAX}");
    }
    Ok(ImageReader::new(BufReader::new(file)).with_guessed_format()?)
}

fn read_file(path: &Path) -> Result<Picture> {
    let mut reader = open(path)?;
    if reader.format().is_none() {
        bail!("it is no PNG, JPEG, WebP, GIF or BMP file");
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    // Grey ones too become three bytes a pixel.
    let held = bytes.max(u64::from(width) * u64::from(height) * 3);
    if held > DECODED_MAX {
        bail!("{width} x {height} pixels take {held} bytes, the limit is {DECODED_MAX}");
    }
    let color = decoder.color_type();
    let mut pixels = vec![0; usize::try_from(bytes)?];
    let truncated = match decoder.read_image(&mut pixels) {
        Ok(()) => false,
        Err(error) if is_early_end(&error) && pixels.iter().any(|byte| *byte != 0) => true,
        Err(error) => return Err(error.into()),
    };
    let mut image = to_eight_bits(color, width, height, pixels)?;
    image.apply_orientation(orientation);
    Ok(Picture { image, truncated })
}

fn is_early_end(error: &ImageError) -> bool {
    matches!(error, ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof)
}

fn to_eight_bits(
    color: image::ColorType,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
) -> Result<DynamicImage> {
    use image::{ColorType, ImageBuffer};
    let short = "the decoder gives fewer pixels than it announces";
    let wide = |pixels: &[u8]| -> Vec<u16> {
        let pairs = pixels.chunks_exact(2);
        pairs
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect()
    };
    let image = match color {
        ColorType::Rgb8 => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        ColorType::Rgba8 => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgba8)
        }
        ColorType::L8 => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        ColorType::La8 => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLumaA8)
        }
        ColorType::Rgb16 => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageRgb16)
        }
        ColorType::Rgba16 => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageRgba16)
        }
        ColorType::L16 => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageLuma16)
        }
        ColorType::La16 => {
            ImageBuffer::from_raw(width, height, wide(&pixels)).map(DynamicImage::ImageLumaA16)
        }
        other => bail!("pixels of the kind {other:?} are not known"),
    };
    let image = image.context(short)?;
    Ok(match image.color().has_alpha() {
        true => DynamicImage::ImageRgba8(image.into_rgba8()),
        false => DynamicImage::ImageRgb8(image.into_rgb8()),
    })
}
