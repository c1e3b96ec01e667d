//! A PNG file: what its chunks tell before the pixels, and its pixels in 8 bits a channel. Texts and colour profiles are
//! not kept: they can be packed a thousandfold.

use std::io::{BufRead, Seek};

use anyhow::Result;
use image::metadata::Orientation;
use png::{ColorType, Decoder, DecodingError, Reader, Transformations};

use crate::kind::{Format, Header, pixels};

/// Of a chunk that is kept, or a row.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// What the decompressor and a few rows take.
const WINDOW_BYTES: u64 = 192 << 10;

fn open<R: BufRead + Seek>(file: R) -> Result<Reader<R>> {
    let mut decoder = Decoder::new_with_limits(
        file,
        png::Limits {
            bytes: KEPT_BYTES_MAX,
        },
    );
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Colours of a palette, transparency as a channel, and the upper half of 16 bits.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    Ok(decoder.read_info()?)
}

/// From the start of the file, to the first pixels.
pub(crate) fn look(file: impl BufRead + Seek) -> Result<Header> {
    let reader = open(file)?;
    let info = reader.info();
    let (width, height) = info.size();
    let (color, _) = reader.output_color_type();
    let has_alpha = has_alpha(color);
    let stored_bytes = pixels(width, height) * color.samples() as u64;
    // Grey becomes colours, for which there is a second copy.
    let copy_bytes = match color {
        ColorType::Rgb | ColorType::Rgba => 0,
        _ => pixels(width, height) * if has_alpha { 4 } else { 3 },
    };
    let exif = info.exif_metadata.as_deref();
    let kept_bytes = exif.map_or(0, <[u8]>::len) as u64;
    let row_bytes = u64::from(width) * 8 * 4;
    let is_told_by_channel = matches!(
        info.color_type,
        ColorType::GrayscaleAlpha | ColorType::Rgba | ColorType::Indexed
    );
    Ok(Header {
        format: Format::Png,
        width,
        height,
        orientation: exif
            .and_then(Orientation::from_exif_chunk)
            .unwrap_or(Orientation::NoTransforms),
        is_animated: info.animation_control.is_some(),
        memory_bytes: stored_bytes + copy_bytes + row_bytes + kept_bytes * 2 + WINDOW_BYTES,
        is_color_keyed: has_alpha && !is_told_by_channel,
        has_print_colors: false,
    })
}

/// Pixels of 1 to 4 channels, and whether they end early; the rest is 0 then.
pub(crate) fn stored_pixels(
    file: impl BufRead + Seek,
) -> Result<(image::ColorType, Vec<u8>, bool)> {
    let mut reader = open(file)?;
    let (color, _) = reader.output_color_type();
    let (width, height) = reader.info().size();
    let bytes = pixels(width, height) * color.samples() as u64;
    let mut pixels = vec![0; usize::try_from(bytes)?];
    let is_truncated = match reader.next_frame(&mut pixels) {
        Ok(_) => false,
        Err(error) if is_early_end(&error) && pixels.iter().any(|byte| *byte != 0) => true,
        Err(error) => return Err(error.into()),
    };
    let color = match color {
        ColorType::Grayscale | ColorType::Indexed => image::ColorType::L8,
        ColorType::GrayscaleAlpha => image::ColorType::La8,
        ColorType::Rgb => image::ColorType::Rgb8,
        ColorType::Rgba => image::ColorType::Rgba8,
    };
    Ok((color, pixels, is_truncated))
}

fn has_alpha(color: ColorType) -> bool {
    matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba)
}

fn is_early_end(error: &DecodingError) -> bool {
    matches!(error, DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}
