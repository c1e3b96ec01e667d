//! A WebP file's chunks (RFC 9649): how large the first frame is by its own bitstream. The decoder makes room
//! for it before it compares it with the size of the canvas, and for EXIF data before it looks whether they are there.

use std::io::{BufRead, BufReader, Read, Seek};

use anyhow::Result;
use image::metadata::Orientation;

use crate::header::pixels;

/// Chunks that are looked at before the first frame; real files have a handful.
const CHUNKS_MAX: usize = 64;

/// Pixels of the first lossy frame, 0 where there is none: of lossless ones the decoder looks first.
pub(crate) fn largest_frame(file: &mut impl BufRead) -> Result<u64> {
    let mut riff = [0; 12];
    file.read_exact(&mut riff)?;
    for _ in 0..CHUNKS_MAX {
        let mut head = [0; 8];
        if file.read_exact(&mut head).is_err() {
            break;
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let padded = u64::from(length) + u64::from(length & 1);
        match &head[..4] {
            b"VP8 " => {
                let mut frame = [0; 10];
                file.read_exact(&mut frame)?;
                let side =
                    |at: usize| u32::from(u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3FFF);
                return Ok(pixels(side(6), side(8)));
            }
            // A frame of an animation has chunks of its own behind 16 bytes.
            b"ANMF" => skip(file, 16)?,
            b"VP8L" => return Ok(0),
            _ => skip(file, padded)?,
        }
    }
    Ok(0)
}

/// Bytes of EXIF data that are read: the orientation stands at their beginning.
const EXIF_BYTES_MAX: u64 = 64 << 10;

/// What the EXIF data of an extended file says. O(chunks), and up to 64 KiB.
pub(crate) fn orientation<R: Read + Seek>(file: &mut BufReader<R>) -> Result<Orientation> {
    let mut start = [0; 16];
    file.read_exact(&mut start)?;
    let is_extended = &start[12..] == b"VP8X";
    file.seek_relative(-4)?;
    let mut head = [0; 8];
    while is_extended && file.read_exact(&mut head).is_ok() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if &head[..4] == b"EXIF" {
            let mut exif = Vec::new();
            let most = u64::from(length).min(EXIF_BYTES_MAX);
            file.by_ref().take(most).read_to_end(&mut exif)?;
            let said = Orientation::from_exif_chunk(&exif);
            return Ok(said.unwrap_or(Orientation::NoTransforms));
        }
        file.seek_relative(i64::from(length) + i64::from(length & 1))?;
    }
    Ok(Orientation::NoTransforms)
}

fn skip(file: &mut impl BufRead, bytes: u64) -> Result<()> {
    std::io::copy(&mut file.take(bytes), &mut std::io::sink())?;
    Ok(())
}
