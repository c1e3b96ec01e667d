//! Image files written from bands of finished rows.
//!
//! PNG rows go through the encoder as they come, so memory is a few rows. WebP's encoder
//! (`image-webp`, lossless) takes the picture whole: 3 bytes a pixel are held until the end.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use plimsoll::stream::AtomicFile;
use plimsoll_booru_picture::resize::{Filter, resize_rgb};

/// WebP's own limit of a side, pixels.
pub const WEBP_SIDE_MAX: u32 = 16_383;
/// Bytes of a WebP picture held whole.
const WEBP_HELD_MAX: u64 = 1 << 30;

/// What stands before an error of the file that is written, so that it can be told from a model's.
#[derive(Debug)]
pub struct Unwritable(pub PathBuf);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {}", self.0.display())
    }
}

/// A file that the PNG encoder writes and does not give back.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<BufWriter<AtomicFile>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// A file that becomes an image by rows.
pub enum Encoder {
    /// Row by row.
    Png {
        /// Compresses and writes.
        writer: Box<png::StreamWriter<'static, Shared>>,
        /// Put in place at the end.
        file: Shared,
    },
    /// Whole at the end.
    Webp {
        /// Put in place at the end.
        file: AtomicFile,
        /// Pixels of a row, rows in all.
        size: (u32, u32),
        /// What came so far.
        held: Vec<u8>,
    },
}

impl Encoder {
    /// Begins `path` in `format`, `png` or `webp`, for RGB rows.
    ///
    /// # Errors
    /// For another format, too large a picture, or a file that can't be made.
    pub fn create(path: &Path, format: &str, width: u32, height: u32) -> Result<Encoder> {
        let file = || AtomicFile::create(path);
        match format {
            "png" => {
                let file = Shared(Rc::new(RefCell::new(BufWriter::new(file()?))));
                let mut encoder = png::Encoder::new(file.clone(), width, height);
                encoder.set_color(png::ColorType::Rgb);
                encoder.set_depth(png::BitDepth::Eight);
                let writer = encoder.write_header()?;
                let writer = Box::new(writer.into_stream_writer()?);
                Ok(Encoder::Png { writer, file })
            }
            "webp" => {
                let bytes = u64::from(width) * u64::from(height) * 3;
                ensure!(
                    bytes <= WEBP_HELD_MAX,
                    "a WebP of {width} x {height} pixels would be held whole, {bytes} bytes of at most \
                     {WEBP_HELD_MAX}; output_format png is written by rows"
                );
                Ok(Encoder::Webp {
                    file: file()?,
                    size: (width, height),
                    held: Vec::with_capacity(usize::try_from(bytes)?),
                })
            }
            _ => bail!("{format:?} is no output_format; there are png and webp"),
        }
    }

    /// Takes whole rows.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn write_rows(&mut self, rows: &[u8]) -> Result<()> {
        match self {
            Encoder::Png { writer, .. } => writer.write_all(rows)?,
            Encoder::Webp { held, .. } => held.extend_from_slice(rows),
        }
        Ok(())
    }

    /// Makes the file whole and puts it in place; returns the size that it has: WebP sides end at
    /// [`WEBP_SIDE_MAX`], and a larger picture is made smaller, as in the original.
    ///
    /// # Errors
    /// Where rows are missing or the file can't be written.
    pub fn finish(self, size: (u32, u32)) -> Result<(u32, u32)> {
        match self {
            Encoder::Png { writer, file } => {
                writer.finish()?;
                let file = Rc::into_inner(file.0).context("the encoder keeps the file")?;
                let file = file.into_inner().into_inner();
                file.map_err(io::IntoInnerError::into_error)?.commit()?;
                Ok(size)
            }
            Encoder::Webp {
                mut file,
                size: (width, height),
                held,
            } => {
                let image = RgbImage::from_raw(width, height, held).context("rows are missing")?;
                let (small_width, small_height) = clamp(width, height);
                let image = match (small_width, small_height) == (width, height) {
                    true => image,
                    false => resize_rgb(&image, (small_width, small_height), Filter::Lanczos),
                };
                let encoder = image_webp::WebPEncoder::new(BufWriter::new(&mut file));
                encoder.encode(
                    image.as_raw(),
                    small_width,
                    small_height,
                    image_webp::ColorType::Rgb8,
                )?;
                file.commit()?;
                Ok((small_width, small_height))
            }
        }
    }
}

fn clamp(width: u32, height: u32) -> (u32, u32) {
    let long = width.max(height);
    if long <= WEBP_SIDE_MAX {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(WEBP_SIDE_MAX) / u64::from(long);
        u32::try_from(side).unwrap_or(WEBP_SIDE_MAX).max(1)
    };
    (scaled(width), scaled(height))
}
