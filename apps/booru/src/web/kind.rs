//! What a file is by its first bytes, whatever it is called.

use std::fs::File;
use std::io::Read;

use anyhow::Result;

/// What it is by its first bytes, of what is shown within a page; names are often wrong.
pub(super) fn kind_of(file: &File) -> Result<Option<&'static str>> {
    let mut head = [0; 16];
    let mut len = 0;
    let mut reader = file;
    while len < head.len() {
        match reader.read(&mut head[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(kind(&head[..len]))
}

pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let brand = |from: usize| head.get(from..from + 4).unwrap_or(&[]);
    Some(match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'B', b'M', ..] => "image/bmp",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "video/webm",
        [b'R', b'I', b'F', b'F', ..] if brand(8) == b"WEBP" => "image/webp",
        _ if brand(4) == b"ftyp" && matches!(brand(8), b"avif" | b"avis") => "image/avif",
        _ if brand(4) == b"ftyp" => "video/mp4",
        _ => return None,
    })
}

/// A ZIP file, which holds the pictures of an animation.
pub(super) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_page_shows_has_a_kind() {
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"\0\0\0\x1cftypavif", Some("image/avif")),
            (b"\0\0\0\x1cftypisom", Some("video/mp4")),
            (b"\x1a\x45\xdf\xa3", Some("video/webm")),
            (b"<svg xmlns=", None),
            (b"<!doctype html>", None),
            (b"PK\x03\x04", None),
            (b"", None),
        ] {
            assert_eq!(kind(head), expected, "{head:?}");
        }
    }
}
