//! A JPEG file (ITU-T T.81, annex B): what its segments tell before the pixels, and its pixels by libjpeg.
//!
//! libjpeg-turbo is what Pillow decodes with, and its pixels are what hashes are made of. It is fed from the file
//! and gives row by row; all coefficients are held only of files that are stored in several scans.

use std::any::Any;
use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow, bail};
use image::metadata::Orientation;
use mozjpeg::{ColorSpace, Decompress};

use crate::kind::{Format, Header, pixels};

/// Rows of blocks of each component that the decoder holds, as samples and as colours, for each pixel of the width.
const BAND_BYTES: u64 = 16 * 4 * 4;
/// Tables of the decoder.
const TABLES_BYTES: u64 = 512 << 10;

/// From the start of the file, to the first pixels.
pub(crate) fn look(file: &mut impl BufRead) -> Result<Header> {
    let mut orientation = Orientation::NoTransforms;
    let mut frame: Option<(u8, Vec<u8>)> = None;
    let mut marker = [0; 2];
    file.read_exact(&mut marker)?;
    loop {
        let kind = next_marker(file)?;
        match (kind, &frame) {
            // Without a segment.
            (0x01 | 0xD0..=0xD8, _) => {}
            (0xDA, Some((kind, frame))) => {
                let scan = segment(file)?;
                let components = scan.first().copied().unwrap_or(0);
                let frame = Frame::parse(*kind, frame, components)?;
                return Ok(frame.header(orientation));
            }
            (0xD9 | 0xDA, _) => bail!("it has no pixels where they should begin"),
            // Start of frame, but for tables (C4, CC) and an extension (C8) that stand among them.
            (0xC0..=0xCF, None) if !matches!(kind, 0xC4 | 0xC8 | 0xCC) => {
                frame = Some((kind, segment(file)?));
            }
            (0xE1, _) => {
                let segment = segment(file)?;
                if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
                    orientation = Orientation::from_exif_chunk(exif).unwrap_or(orientation);
                }
            }
            _ => {
                segment(file)?;
            }
        }
    }
}

/// Scans of a file; real ones have about ten, and each is a walk over all pixels.
const SCANS_MAX: u32 = 500;

/// Whether the end of the picture is there, from the first pixels on: they can't hold its marker.
pub(crate) fn has_end(file: &mut impl BufRead) -> Result<bool> {
    let mut scans = 1;
    let mut was_mark = false;
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        for byte in bytes {
            match byte {
                0xD9 if was_mark => return Ok(true),
                0xDA if was_mark => scans += 1,
                _ => {}
            }
            was_mark = *byte == 0xFF;
        }
        if scans > SCANS_MAX {
            bail!("it has more than {SCANS_MAX} scans");
        }
        let length = bytes.len();
        file.consume(length);
    }
}

/// RGB, from the start of the file; what is missing behind an early end is grey.
pub(crate) fn rgb_pixels(file: &mut impl BufRead, has_print_colors: bool) -> Result<Vec<u8>> {
    // libjpeg's way out of an error is through a function that never returns: here, it unwinds.
    let decode = || -> Result<Vec<u8>> {
        let decoder = Decompress::new_reader(file)?;
        Ok(match has_print_colors {
            true => light_colors(
                decoder
                    .to_colorspace(ColorSpace::JCS_CMYK)?
                    .read_scanlines()?,
            ),
            false => decoder.rgb()?.read_scanlines()?,
        })
    };
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(pixels) => pixels,
        Err(thrown) => Err(anyhow!("{}", message(thrown.as_ref()))),
    }
}

/// Print colours, stored as what is left white, as RGB, in place; as Pillow does it, without a profile.
fn light_colors(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for place in 0..count {
        let [rest @ .., white] = [0, 1, 2, 3].map(|at| pixels[place * 4 + at]);
        for (at, rest) in rest.into_iter().enumerate() {
            let product = u32::from(255 - rest) * u32::from(white) + 128;
            let ink = (product + (product >> 8)) >> 8;
            pixels[place * 3 + at] = (u32::from(white) - ink) as u8;
        }
    }
    pixels.truncate(count * 3);
    pixels
}

fn message(thrown: &(dyn Any + Send)) -> &str {
    let text = thrown.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| thrown.downcast_ref::<&str>().copied());
    text.unwrap_or("libjpeg gives up")
}

/// Bytes that are none are passed over, as decoders do.
fn next_marker(file: &mut impl Read) -> Result<u8> {
    let mut byte = [0];
    loop {
        while byte[0] != 0xFF {
            file.read_exact(&mut byte)?;
        }
        while byte[0] == 0xFF {
            file.read_exact(&mut byte)?;
        }
        if byte[0] != 0 {
            return Ok(byte[0]);
        }
    }
}

fn segment(file: &mut impl Read) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    file.read_exact(&mut length)?;
    let Some(length) = u16::from_be_bytes(length).checked_sub(2) else {
        bail!("a segment is shorter than its own length");
    };
    let mut bytes = vec![0; usize::from(length)];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The segment that tells how the pixels are stored.
struct Frame {
    width: u32,
    height: u32,
    components: u8,
    /// Bytes of all coefficients, in 16 bits each, where they are held.
    coefficient_bytes: u64,
}

impl Frame {
    fn parse(kind: u8, bytes: &[u8], components_of_scan: u8) -> Result<Frame> {
        let [_, h1, h0, w1, w0, components, rest @ ..] = bytes else {
            bail!("the segment that tells the size is too short");
        };
        let height = u32::from(u16::from_be_bytes([*h1, *h0]));
        let width = u32::from(u16::from_be_bytes([*w1, *w0]));
        let samplings = rest.chunks_exact(3).take(usize::from(*components));
        let (across, down): (Vec<u64>, Vec<u64>) = samplings
            .map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15)))
            .unzip();
        let most = |of: &[u64]| of.iter().copied().max().unwrap_or(1).max(1);
        // Rounded up to whole groups of blocks.
        let columns = u64::from(width).div_ceil(8 * most(&across));
        let rows = u64::from(height).div_ceil(8 * most(&down));
        let samples: u64 = across.iter().zip(&down).map(|(a, b)| a * b * 64).sum();
        let is_progressive = matches!(kind, 0xC2 | 0xC6 | 0xCA | 0xCE);
        let has_several_scans = is_progressive || components_of_scan < *components;
        Ok(Frame {
            width,
            height,
            components: *components,
            coefficient_bytes: match has_several_scans {
                true => columns * rows * samples * 2,
                false => 0,
            },
        })
    }

    fn header(&self, orientation: Orientation) -> Header {
        let (width, height) = (self.width, self.height);
        let has_print_colors = self.components == 4;
        let channels = if has_print_colors { 4 } else { 3 };
        let band = u64::from(width) * BAND_BYTES + TABLES_BYTES;
        Header {
            format: Format::Jpeg,
            width,
            height,
            orientation,
            is_animated: false,
            memory_bytes: pixels(width, height) * channels + self.coefficient_bytes + band,
            is_color_keyed: false,
            has_print_colors,
        }
    }
}
