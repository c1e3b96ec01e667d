//! A WebP file's chunks (RFC 9649): the lossy frame that is decoded, which says by itself how large it is. The decoder
//! makes room for it before it compares it with the size of the canvas, and for EXIF data before it looks whether they
//! are there.

use std::io::{BufReader, Read, Seek};

use anyhow::Result;
use image::metadata::Orientation;

use crate::vp8file::{self, Frame};

/// What an extended file says of itself: that it moves.
const IS_ANIMATED: u8 = 0x02;
/// Place, size and time of a frame, before its chunks.
const FRAME_HEAD_BYTES: i64 = 16;

struct Chunk {
    name: [u8; 4],
    length: u32,
}

impl Chunk {
    /// `None` where the file ends.
    fn read(file: &mut impl Read) -> Option<Chunk> {
        let mut head = [0; 8];
        file.read_exact(&mut head).ok()?;
        let [name @ .., a, b, c, d] = head;
        Some(Chunk {
            name,
            length: u32::from_le_bytes([a, b, c, d]),
        })
    }

    fn padded(&self) -> i64 {
        i64::from(self.length) + i64::from(self.length & 1)
    }

    /// The frame that is its content.
    fn frame<R: Read + Seek>(&self, file: &mut BufReader<R>, file_bytes: u64) -> Result<Frame> {
        let left = file_bytes.saturating_sub(file.stream_position()?);
        vp8file::look(file, left.min(self.length.into()))
    }
}

/// The lossy frame that the decoder begins with; `None` where it is lossless, of which it looks at the size first, or
/// where there is none. O(chunks before it).
pub(crate) fn lossy_frame<R: Read + Seek>(
    file: &mut BufReader<R>,
    file_bytes: u64,
) -> Result<Option<Frame>> {
    let mut riff = [0; 12];
    file.read_exact(&mut riff)?;
    let Some(first) = Chunk::read(file) else {
        return Ok(None);
    };
    match &first.name {
        b"VP8 " => return first.frame(file, file_bytes).map(Some),
        b"VP8X" => {}
        _ => return Ok(None),
    }
    let mut flags = [0];
    file.read_exact(&mut flags)?;
    file.seek_relative(first.padded() - 1)?;
    let is_animated = flags[0] & IS_ANIMATED != 0;
    while let Some(chunk) = Chunk::read(file) {
        match &chunk.name {
            b"VP8 " if !is_animated => return chunk.frame(file, file_bytes).map(Some),
            b"ANMF" if is_animated => {
                file.seek_relative(FRAME_HEAD_BYTES)?;
                return lossy_frame_of_animation(file, file_bytes);
            }
            _ => file.seek_relative(chunk.padded())?,
        }
    }
    Ok(None)
}

fn lossy_frame_of_animation<R: Read + Seek>(
    file: &mut BufReader<R>,
    file_bytes: u64,
) -> Result<Option<Frame>> {
    let chunk = Chunk::read(file);
    let frame = match chunk {
        Some(chunk) if &chunk.name == b"ALPH" => {
            file.seek_relative(chunk.padded())?;
            // Whatever it is called, it is decoded as a frame.
            Chunk::read(file)
        }
        chunk => chunk.filter(|chunk| &chunk.name == b"VP8 "),
    };
    frame.map(|frame| frame.frame(file, file_bytes)).transpose()
}

/// Bytes of EXIF data that are read: the orientation stands at their beginning.
const EXIF_BYTES_MAX: u64 = 64 << 10;

/// What the EXIF data of an extended file says. O(chunks), and up to 64 KiB.
pub(crate) fn orientation<R: Read + Seek>(file: &mut BufReader<R>) -> Result<Orientation> {
    let mut start = [0; 16];
    file.read_exact(&mut start)?;
    let is_extended = &start[12..] == b"VP8X";
    file.seek_relative(-4)?;
    while is_extended && let Some(chunk) = Chunk::read(file) {
        if &chunk.name == b"EXIF" {
            let mut exif = Vec::new();
            let most = u64::from(chunk.length).min(EXIF_BYTES_MAX);
            file.by_ref().take(most).read_to_end(&mut exif)?;
            let said = Orientation::from_exif_chunk(&exif);
            return Ok(said.unwrap_or(Orientation::NoTransforms));
        }
        file.seek_relative(chunk.padded())?;
    }
    Ok(Orientation::NoTransforms)
}
