//! What a file is, by its first bytes and not by its name.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::digest::open_regular;

/// A file that a board takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Png,
    Jpeg,
    WebP,
    Gif,
    Bmp,
    Mp4,
    WebM,
    /// Pictures one after the other, as of an ugoira.
    Zip,
}

/// Endings of files that a walk through folders looks at.
const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "avif", "mp4", "webm", "zip",
];

/// Whether a name is one of a picture, video or archive.
pub(super) fn has_known_ending(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

impl Content {
    /// Endings that fit it; a stored file that has none of them gets the first.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Content::Png => &["png"],
            Content::Jpeg => &["jpg", "jpeg"],
            Content::WebP => &["webp"],
            Content::Gif => &["gif"],
            Content::Bmp => &["bmp"],
            Content::Mp4 => &["mp4"],
            Content::WebM => &["webm"],
            Content::Zip => &["zip"],
        }
    }

    /// What a file is; its first 64 bytes are read.
    ///
    /// # Errors
    /// What is none of these, or can't be read.
    pub(super) fn of(path: &Path) -> Result<Content> {
        let mut start = Vec::with_capacity(START_BYTES as usize);
        let file = open_regular(path).with_context(|| format!("open {}", path.display()))?;
        file.take(START_BYTES)
            .read_to_end(&mut start)
            .with_context(|| format!("read {}", path.display()))?;
        Content::of_bytes(&start)
    }

    fn of_bytes(start: &[u8]) -> Result<Content> {
        let at = |from: usize, text: &[u8]| start.get(from..from + text.len()) == Some(text);
        Ok(match start {
            [] => bail!("it is empty"),
            _ if at(0, b"\x89PNG\r\n\x1a\n") => Content::Png,
            _ if at(0, b"\xff\xd8\xff") => Content::Jpeg,
            _ if at(0, b"RIFF") && at(8, b"WEBP") => Content::WebP,
            _ if at(0, b"GIF87a") || at(0, b"GIF89a") => Content::Gif,
            _ if at(0, b"BM") => Content::Bmp,
            _ if at(4, b"ftyp") => return Content::of_brand(start.get(8..12).unwrap_or(b"")),
            _ if at(0, b"\x1a\x45\xdf\xa3") => match start.windows(4).any(|part| part == b"webm") {
                true => Content::WebM,
                false => bail!("it is a Matroska video, and of these only WebM is taken in"),
            },
            _ if at(0, b"PK\x03\x04") => Content::Zip,
            _ => bail!(
                "it is none of PNG, JPEG, GIF, WebP, BMP, MP4, WebM and ZIP by its first bytes, whatever its \
                 name says"
            ),
        })
    }

    /// The kind of an ISO media file (ISO/IEC 14496-12, box `ftyp`).
    fn of_brand(brand: &[u8]) -> Result<Content> {
        match brand {
            b"avif" | b"avis" => {
                bail!("it is an AVIF picture, which can't be decoded here; convert it")
            }
            b"heic" | b"heix" | b"mif1" | b"msf1" => {
                bail!("it is a HEIF picture, which can't be decoded here; convert it")
            }
            b"qt  " => {
                bail!("it is a QuickTime video, which browsers do not play; convert it to MP4")
            }
            _ => Ok(Content::Mp4),
        }
    }
}

/// The kind of a WebM file stands within these.
const START_BYTES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_their_bytes_say() {
        let check = |start: &[u8], expected: Option<Content>| {
            assert_eq!(Content::of_bytes(start).ok(), expected, "{start:?}");
        };
        check(b"\x89PNG\r\n\x1a\n....", Some(Content::Png));
        check(b"\xff\xd8\xff\xe0", Some(Content::Jpeg));
        check(b"RIFF....WEBPVP8 ", Some(Content::WebP));
        check(b"RIFF....WAVE", None);
        check(b"GIF89a", Some(Content::Gif));
        check(b"\0\0\0\x20ftypisom", Some(Content::Mp4));
        check(b"\0\0\0\x20ftypavif", None);
        check(
            b"\x1a\x45\xdf\xa3\x01\0\0\0\x42\x82\x84webm",
            Some(Content::WebM),
        );
        check(b"\x1a\x45\xdf\xa3\x01\0\0\0\x42\x82\x88matroska", None);
        check(b"PK\x03\x04", Some(Content::Zip));
        check(b"", None);
        check(b"#!/bin/sh", None);
        check(b"\x89PN", None);
    }

    #[test]
    fn a_walk_takes_names_by_their_ending() {
        assert!(has_known_ending("a.b.JPG") && has_known_ending("x.webm"));
        assert!(!has_known_ending("a.jpg.txt") && !has_known_ending("png"));
    }
}
