//! A lossy frame of a WebP file, which is a key frame of VP8 (RFC 6386): its size, and that its parts are as long as
//! it says. The decoder makes room for each part, up to 16 MiB, before it reads it.

use std::io::{BufRead, Read};

use anyhow::{Result, bail};

use crate::kind::pixels;

/// What stands before the first part.
const HEAD_BYTES: usize = 10;
/// Of the first part, more than there are before the number of the others: 180 bits that are as likely 0 as 1.
const START_BYTES: u64 = 64;

/// Pixels of the frame that begins here, of which `bytes` are in the file.
pub(crate) fn look(file: &mut impl BufRead, bytes: u64) -> Result<u64> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact(&mut head)?;
    let tag = u64::from(u32::from_le_bytes([head[0], head[1], head[2], 0]));
    if tag & 1 != 0 || head[3..6] != [0x9D, 0x01, 0x2A] {
        bail!("its frame does not begin as a frame does");
    }
    let first_bytes = tag >> 5;
    let mut start = Vec::new();
    let start_bytes = first_bytes.min(START_BYTES);
    file.by_ref().take(start_bytes).read_to_end(&mut start)?;
    let rest = first_bytes - start.len() as u64;
    std::io::copy(&mut file.by_ref().take(rest), &mut std::io::sink())?;
    // Three bytes for the length of each further one, but for the last, which takes what is left.
    let mut lengths = Vec::new();
    let lengths_bytes = 3 * (parts(&start) - 1);
    file.by_ref()
        .take(lengths_bytes)
        .read_to_end(&mut lengths)?;
    let length = |three: &[u8]| u64::from(u32::from_le_bytes([three[0], three[1], three[2], 0]));
    let others_bytes: u64 = lengths.chunks_exact(3).map(length).sum();
    let claimed = HEAD_BYTES as u64 + first_bytes + lengths_bytes + others_bytes;
    if claimed > bytes {
        bail!("the parts of its frame have {claimed} bytes, and there are {bytes}");
    }
    let side = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3FFF);
    Ok(pixels(side(6), side(8)))
}

/// How many parts follow the first one, whose beginning this is (19.2).
fn parts(first: &[u8]) -> u64 {
    let mut bits = Bits::new(first);
    // Kind of colours, clamping.
    bits.skip(2);
    let has_segments = bits.next();
    if has_segments {
        let has_map = bits.next();
        if bits.next() {
            bits.skip(1);
            // Steps and strengths of filters, with their signs.
            bits.skip_optional(4, 8);
            bits.skip_optional(4, 7);
        }
        if has_map {
            bits.skip_optional(3, 8);
        }
    }
    // Kind, strength and sharpness of the filter, and by how much it is another for some blocks.
    bits.skip(1 + 6 + 3);
    if bits.next() && bits.next() {
        bits.skip_optional(8, 7);
    }
    1 << (u32::from(bits.next()) * 2 + u32::from(bits.next()))
}

/// The arithmetic decoder (7.3), of bits that are as likely 0 as 1. Behind the end there are zeros.
struct Bits<'a> {
    bytes: &'a [u8],
    value: u32,
    range: u32,
    shifts: u32,
}

impl Bits<'_> {
    fn new(bytes: &[u8]) -> Bits<'_> {
        let mut bits = Bits {
            bytes,
            value: 0,
            range: 255,
            shifts: 0,
        };
        bits.value = bits.byte() << 8 | bits.byte();
        bits
    }

    fn byte(&mut self) -> u32 {
        let byte = self.bytes.split_off_first();
        byte.copied().unwrap_or(0).into()
    }

    fn next(&mut self) -> bool {
        let split = 1 + (((self.range - 1) * 128) >> 8);
        let is = self.value >= split << 8;
        match is {
            true => {
                self.range -= split;
                self.value -= split << 8;
            }
            false => self.range = split,
        }
        while self.range < 128 {
            self.range <<= 1;
            self.value <<= 1;
            self.shifts += 1;
            if self.shifts == 8 {
                self.shifts = 0;
                self.value |= self.byte();
            }
        }
        is
    }

    fn skip(&mut self, bits: u32) {
        for _ in 0..bits {
            self.next();
        }
    }

    /// Numbers of so many bits, each of which may be left out.
    fn skip_optional(&mut self, numbers: u32, bits: u32) {
        for _ in 0..numbers {
            if self.next() {
                self.skip(bits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libwebp makes of some noise, from its frame on.
    fn frame(parts_bits: i32, segments: i32) -> Vec<u8> {
        let noise: Vec<u8> = (0..64 * 160 * 3_u32)
            .map(|at| (at.wrapping_mul(0x9E37_79B9) >> 24) as u8)
            .collect();
        let mut config = webp::WebPConfig::new().unwrap();
        config.partitions = parts_bits;
        // With more effort there is only one.
        config.method = 1;
        config.segments = segments;
        config.quality = 70.0;
        let encoder = webp::Encoder::from_rgb(&noise, 64, 160);
        let webp = encoder.encode_advanced(&config).unwrap();
        let at = webp.windows(4).position(|name| name == b"VP8 ").unwrap();
        webp[at + 8..].to_vec()
    }

    #[test]
    fn parts_are_counted_as_they_were_stored() {
        for (bits, segments) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 1),
            (0, 4),
            (1, 4),
            (2, 4),
            (3, 4),
        ] {
            let frame = frame(bits, segments);
            assert_eq!(
                parts(&frame[HEAD_BYTES..]),
                1 << bits,
                "{segments} segments"
            );
            let bytes = frame.len() as u64;
            assert_eq!(look(&mut &frame[..], bytes).unwrap(), 64 * 160);
        }
    }

    #[test]
    fn parts_that_are_longer_than_the_file_are_refused() {
        let whole = frame(3, 4);
        let first = (u32::from_le_bytes([whole[0], whole[1], whole[2], 0]) >> 5) as usize;
        let lengths = HEAD_BYTES + first;
        for at in [2, lengths + 2, lengths + 20] {
            let mut frame = whole.clone();
            frame[at] = 0xFF;
            let error = look(&mut &frame[..], whole.len() as u64).err().unwrap();
            assert!(
                error.to_string().contains("the parts of its frame have"),
                "{error}"
            );
        }
        // Cut where the lengths stand, and before.
        for bytes in [lengths + 5, lengths, 12] {
            assert!(look(&mut &whole[..bytes], bytes as u64).is_err());
        }
    }
}
