//! What a picture is: format, size, and what reading it takes.

use image::metadata::Orientation;

/// What is read; all else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    WebP,
    Gif,
    Bmp,
}

impl Format {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
        }
    }
}

/// A file that is within the limits, as far as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// As stored; turned by `orientation` it is [`Header::upright_size`].
    pub width: u32,
    pub height: u32,
    /// What the EXIF data says.
    pub orientation: Orientation,
    /// It has more than one frame; the first is read.
    pub is_animated: bool,
    /// Bytes that reading holds at most, the pixels included: to reserve before it.
    pub memory_bytes: u64,
    /// Some colour, and no channel, says what is transparent: Pillow takes no notice of it, viewers do.
    pub(crate) is_color_keyed: bool,
    /// Cyan, magenta, yellow and black.
    pub(crate) has_print_colors: bool,
}

impl Header {
    /// Width and height as viewers show it.
    #[must_use]
    pub fn upright_size(&self) -> (u32, u32) {
        match is_on_its_side(self.orientation) {
            true => (self.height, self.width),
            false => (self.width, self.height),
        }
    }
}

fn is_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

pub(crate) fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}
