//! The pictures that requests name, upright: models see what people see. (The original turns none; most
//! collections have no such data.)

use std::path::Path;

use anyhow::{Result, bail};
use image::DynamicImage;
use plimsoll_booru_picture::{Limits, header};

/// One picture is read at a time, and a model that works on it takes more.
pub const LIMITS: Limits = Limits {
    side_max: 32_768,
    memory_bytes_max: 768 << 20,
    file_bytes_max: 256 << 20,
};

/// What was read.
#[derive(Debug)]
pub struct Input {
    /// RGB8 or RGBA8.
    pub image: DynamicImage,
    /// The file ended before its pixels did.
    pub is_truncated: bool,
}

/// Reads a file. O(pixels).
///
/// # Errors
/// As [`plimsoll_booru_picture::read()`] says.
pub fn read(path: &Path) -> Result<Input> {
    let picture = plimsoll_booru_picture::read(path, &LIMITS)?;
    Ok(Input {
        is_truncated: picture.is_truncated(),
        image: picture.upright(),
    })
}

/// Refuses what has several frames, which an upscale would lose; videos are no pictures at all.
///
/// # Errors
/// Where it is one, or can't be read.
pub fn require_still(path: &Path) -> Result<()> {
    if header(path, &LIMITS)?.is_animated {
        let path = path.display();
        bail!("{path}: an animation can't be upscaled, still images can");
    }
    Ok(())
}
