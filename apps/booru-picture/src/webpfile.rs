//! A WebP file's chunks (RFC 9649): the frame that is decoded, of which a lossy one says by itself how large it is. The
//! decoder makes room for it before it compares it with the size of the canvas, for all codes of a lossless one, and for
//! EXIF data before it looks whether they are there.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use anyhow::Result;
use image::metadata::Orientation;

use crate::vp8file;
use crate::vp8lfile::{self, Sides};

/// What an extended file says of itself: that it moves, that it has alpha.
const IS_ANIMATED: u8 = 0x02;
const HAS_ALPHA: u8 = 0x10;
/// What alpha says of itself: that it is stored as a lossless frame is.
const IS_LOSSLESS: u8 = 0x01;

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

    fn padded(&self) -> u64 {
        u64::from(self.length) + u64::from(self.length & 1)
    }

    /// What is left of it in the file, from its content on.
    fn bytes<R: Read + Seek>(&self, file: &mut BufReader<R>, file_bytes: u64) -> Result<u64> {
        let left = file_bytes.saturating_sub(file.stream_position()?);
        Ok(left.min(self.length.into()))
    }
}

/// Chunks that are decoded, the first of each kind.
const KINDS: [[u8; 4]; 3] = [*b"VP8 ", *b"VP8L", *b"ALPH"];

/// What the decoder begins with.
#[derive(Default)]
pub(crate) struct First {
    /// Of a lossy frame, which may be larger than the canvas. Of a lossless one the decoder looks at the size first.
    pub(crate) pixels: u64,
    /// Of its parts, which are read whole.
    pub(crate) parts_bytes: u64,
    /// Of the codes of a lossless frame, or of alpha, once they are read.
    pub(crate) codes_bytes: u64,
    /// Codes that take more are refused.
    codes_bytes_max: u64,
    /// Which kinds of chunks there were.
    seen: [bool; KINDS.len()],
    /// Alpha is looked at.
    has_alpha: bool,
}

impl First {
    /// Takes the content of a chunk into account, unless there was one of its kind before; goes behind it.
    fn add<R: Read + Seek>(
        &mut self,
        chunk: &Chunk,
        (file, file_bytes): (&mut BufReader<R>, u64),
        sides: (u32, u32),
    ) -> Result<()> {
        let kind = KINDS.iter().position(|name| *name == chunk.name);
        let kind = kind.filter(|kind| !std::mem::replace(&mut self.seen[*kind], true));
        let Some(kind) = kind else {
            file.seek_relative(chunk.padded() as i64)?;
            return Ok(());
        };
        let begin = file.stream_position()?;
        let bytes = chunk.bytes(file, file_bytes)?;
        match kind {
            0 => self.add_lossy(file, bytes)?,
            1 => self.add_codes(&mut file.by_ref().take(bytes), Sides::InFile)?,
            _ if self.has_alpha => self.add_alpha(&mut file.by_ref().take(bytes), sides)?,
            _ => {}
        }
        file.seek(SeekFrom::Start(begin + chunk.padded()))?;
        Ok(())
    }

    fn add_codes(&mut self, frame: &mut impl BufRead, sides: Sides) -> Result<()> {
        self.codes_bytes += vp8lfile::codes_bytes(frame, sides, self.codes_bytes_max)?;
        Ok(())
    }

    fn add_lossy<R: Read + Seek>(&mut self, file: &mut BufReader<R>, bytes: u64) -> Result<()> {
        self.parts_bytes = bytes;
        self.pixels = vp8file::look(file, bytes)?;
        Ok(())
    }

    fn add_alpha(&mut self, content: &mut impl BufRead, (width, height): (u32, u32)) -> Result<()> {
        let mut way = [0];
        content.read_exact(&mut way)?;
        match way[0] & IS_LOSSLESS {
            0 => Ok(()),
            _ => self.add_codes(content, Sides::Of(width, height)),
        }
    }
}

/// What there is of the frame that the decoder begins with, wherever the chunks say that it lies. O(chunks, and what
/// [`vp8lfile`] says).
pub(crate) fn first_frame<R: Read + Seek>(
    file: &mut BufReader<R>,
    file_bytes: u64,
    codes_bytes_max: u64,
) -> Result<First> {
    let mut first = First {
        codes_bytes_max,
        ..First::default()
    };
    let mut riff = [0; 12];
    file.read_exact(&mut riff)?;
    let Some(chunk) = Chunk::read(file) else {
        return Ok(first);
    };
    if &chunk.name != b"VP8X" {
        first.add(&chunk, (file, file_bytes), (0, 0))?;
        return Ok(first);
    }
    let mut extended = [0; 10];
    file.read_exact(&mut extended)?;
    let is_animated = extended[0] & IS_ANIMATED != 0;
    // Frames of an animation have it where it is there.
    first.has_alpha = is_animated || extended[0] & HAS_ALPHA != 0;
    let canvas = (side(&extended[4..]), side(&extended[7..]));
    file.seek_relative(chunk.padded() as i64 - 10)?;
    let mut animation = None;
    while let Some(chunk) = Chunk::read(file) {
        if &chunk.name == b"ANMF" {
            animation = animation.or(Some(file.stream_position()?));
            if is_animated {
                break;
            }
        }
        match is_animated {
            true => file.seek_relative(chunk.padded() as i64)?,
            false => first.add(&chunk, (file, file_bytes), canvas)?,
        }
    }
    if let Some(begin) = animation {
        file.seek(SeekFrom::Start(begin))?;
        let mut frame = [0; 16];
        file.read_exact(&mut frame)?;
        let sides = match is_animated {
            true => (side(&frame[6..]), side(&frame[9..])),
            false => canvas,
        };
        add_animation(&mut first, (file, file_bytes), sides, is_animated)?;
    }
    Ok(first)
}

/// The first frame of an animation has its pixels, or alpha and then pixels. Without the flag that it moves, what is
/// not there in any other chunk is taken from these.
fn add_animation<R: Read + Seek>(
    first: &mut First,
    (file, file_bytes): (&mut BufReader<R>, u64),
    sides: (u32, u32),
    is_animated: bool,
) -> Result<()> {
    let Some(chunk) = Chunk::read(file) else {
        return Ok(());
    };
    first.add(&chunk, (file, file_bytes), sides)?;
    let Some(mut next) = Chunk::read(file) else {
        return Ok(());
    };
    if is_animated && &chunk.name == b"ALPH" {
        // Whatever it is called, it is decoded as a frame.
        next.name = *b"VP8 ";
    }
    if is_animated && &chunk.name != b"ALPH" {
        return Ok(());
    }
    first.add(&next, (file, file_bytes), sides)
}

/// Three bytes, for one less.
fn side(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1
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
        file.seek_relative(chunk.padded() as i64)?;
    }
    Ok(Orientation::NoTransforms)
}
