//! A WebP file's chunks (RFC 9649): how large the first frame is by its own bitstream. The decoder makes room
//! for it before it compares it with the size of the canvas.

use std::io::{BufRead, Read};

use anyhow::Result;

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

fn skip(file: &mut impl BufRead, bytes: u64) -> Result<()> {
    std::io::copy(&mut file.take(bytes), &mut std::io::sink())?;
    Ok(())
}
