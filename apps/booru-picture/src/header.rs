//! What a picture file is, before its pixels are read: its format by its content (not by its name), size,
//! orientation, whether it moves, and how many bytes reading it will hold.
//!
//! **Cost.** A few KiB; of a JPEG with large metadata its longest segment, 64 KiB, of a PNG what its
//! chunks before the pixels hold, up to the limit. O(bytes before the pixels), but of a GIF O(bytes of its first frame), and of a
//! lossless WebP file also O(a 16th of the pixels).

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat};

use crate::kind::pixels;
use crate::{giffile, jpegfile, pngfile, webpfile};

pub use crate::kind::{Format, Header};

/// How much a file may ask for; a header claims what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels on a side.
    pub side_max: u32,
    /// Bytes that reading may hold at once: the pixels, and what the decoder holds beside them.
    pub memory_bytes_max: u64,
    /// Bytes of the file.
    pub file_bytes_max: u64,
}

impl Limits {
    /// Of a board, which reads several files at once: 80 million pixels of a usual JPEG, 60 million of a
    /// PNG with transparency.
    pub const BOARD: Limits = Limits {
        side_max: 32_768,
        memory_bytes_max: 256 << 20,
        file_bytes_max: 128 << 20,
    };
}

/// What the file is.
///
/// # Errors
/// For what is no file, no picture of a known format, damaged before its pixels, or above the limits;
/// names the file.
pub fn header(path: &Path, limits: &Limits) -> Result<Header> {
    let look = || look(&mut open(path, limits)?, limits);
    look().with_context(|| format!("read the image {}", path.display()))
}

/// What the bytes of a file are.
///
/// # Errors
/// As [`header()`], without a name.
pub fn header_of_bytes(bytes: &[u8], limits: &Limits) -> Result<Header> {
    look(&mut in_memory(bytes, limits)?, limits)
}

/// The bytes of a file within the limit.
pub(crate) fn in_memory<'a>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<BufReader<Cursor<&'a [u8]>>> {
    check_length(bytes.len() as u64, limits)?;
    Ok(BufReader::new(Cursor::new(bytes)))
}

fn check_length(length: u64, limits: &Limits) -> Result<()> {
    let most = limits.file_bytes_max;
    if length > most {
        bail!("it has {length} bytes, the limit is {most}");
    }
    Ok(())
}

/// A regular file within the limit.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<BufReader<File>> {
    let mut options = File::options();
    // A pipe of that name would keep who opens it waiting for somebody who writes.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.read(true).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        bail!("it is no regular file");
    }
    check_length(found.len(), limits)?;
    Ok(BufReader::new(file))
}

/// Bytes from the start that tell the format.
const START_BYTES: u64 = 32;

/// Reads from the start, and goes back to it.
pub(crate) fn look<R: Read + Seek>(file: &mut BufReader<R>, limits: &Limits) -> Result<Header> {
    let mut start = Vec::new();
    file.by_ref().take(START_BYTES).read_to_end(&mut start)?;
    let file_bytes = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let header = match image::guess_format(&start) {
        Ok(ImageFormat::Png) => pngfile::look(&mut *file)?,
        Ok(ImageFormat::Jpeg) => jpegfile::look(&mut *file)?,
        Ok(ImageFormat::WebP) => look_at_webp(&mut *file, file_bytes, limits.memory_bytes_max)?,
        Ok(ImageFormat::Gif) => look_at_gif(&mut *file)?,
        Ok(ImageFormat::Bmp) => look_at_bmp(&mut *file)?,
        _ => bail!("it is no PNG, JPEG, WebP, GIF or BMP file"),
    };
    file.seek(SeekFrom::Start(0))?;
    let (width, height) = (header.width, header.height);
    let side = limits.side_max;
    if width == 0 || height == 0 {
        bail!("{width} x {height} pixels are none");
    }
    if width > side || height > side {
        bail!("it has {width} x {height} pixels, the limit of a side is {side}");
    }
    let (needed, most) = (header.memory_bytes, limits.memory_bytes_max);
    if needed > most {
        bail!("reading {width} x {height} pixels takes {needed} bytes, the limit is {most}");
    }
    Ok(header)
}

fn look_at_webp<R: Read + Seek>(
    file: &mut BufReader<R>,
    file_bytes: u64,
    most: u64,
) -> Result<Header> {
    let first = webpfile::first_frame(&mut *file, file_bytes, most)?;
    file.seek(SeekFrom::Start(0))?;
    let orientation = webpfile::orientation(&mut *file)?;
    file.seek(SeekFrom::Start(0))?;
    let decoder = WebPDecoder::new(file)?;
    let (width, height) = decoder.dimensions();
    // The canvas, and a frame with its planes, its alpha and its colours.
    let frame = first.pixels.max(pixels(width, height));
    // Parts are read into a list that doubles, and copied from it.
    let kept_bytes = file_bytes + first.parts_bytes * 2 + first.codes_bytes;
    Ok(Header {
        format: Format::WebP,
        width,
        height,
        orientation,
        is_animated: decoder.has_animation(),
        memory_bytes: decoder.total_bytes() + frame * 10 + kept_bytes,
        is_color_keyed: false,
        has_print_colors: false,
    })
}

fn look_at_gif<R: Read + Seek>(file: &mut BufReader<R>) -> Result<Header> {
    let found = giffile::look(&mut *file)?;
    file.seek(SeekFrom::Start(0))?;
    let (width, height) = GifDecoder::new(file)?.dimensions();
    Ok(Header {
        format: Format::Gif,
        width,
        height,
        orientation: Orientation::NoTransforms,
        is_animated: found.is_animated,
        memory_bytes: pixels(width, height) * 4 + found.frame_pixels * 5 + GIF_BYTES,
        is_color_keyed: false,
        has_print_colors: false,
    })
}

/// What GIF's decompressor takes.
const GIF_BYTES: u64 = 256 << 10;

fn look_at_bmp<R: Read + Seek>(file: &mut BufReader<R>) -> Result<Header> {
    let decoder = BmpDecoder::new(file)?;
    let (width, height) = decoder.dimensions();
    Ok(Header {
        format: Format::Bmp,
        width,
        height,
        orientation: Orientation::NoTransforms,
        is_animated: false,
        memory_bytes: decoder.total_bytes() + u64::from(width) * 8 + (64 << 10),
        is_color_keyed: false,
        has_print_colors: false,
    })
}
