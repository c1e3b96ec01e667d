//! A lossless frame of a WebP file, or the alpha of a lossy one (RFC 9649, 3): how many bytes its prefix codes take once
//! they are read. A file of a few MiB can have 65,536 groups of five codes, whose tables would take more than 1 GiB.
//!
//! What stands before the codes is read as the decoder reads it, but kept is none of it. O(bytes before the pixels,
//! and a 16th of the pixels).

use std::io::BufRead;

use anyhow::{Result, bail};

/// Literals of a channel, and copies: how long, how far.
const LITERALS: usize = 256;
const LENGTHS: usize = 24;
const DISTANCES: usize = 40;
const CODES_OF_GROUP: usize = 5;
const CODE_LENGTH_MAX: usize = 15;

/// What the decoder holds of codes: a table by this many bits, two nodes for each longer symbol.
const TABLE_BITS_MAX: usize = 10;
const NODE_BYTES: u64 = 16;
/// Of two lists, and what the allocator takes beside them.
const LISTS_BYTES: u64 = 64;
/// Five codes without their lists, in a list of groups that doubles.
const GROUP_BYTES: u64 = 3 * 5 * 56;

/// The sides that a frame says it has are its own; alpha has those of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sides {
    InFile,
    Of(u32, u32),
}

/// Bytes that all codes take of the frame that begins here, and ends with `file`.
///
/// # Errors
/// More than `most` bytes, and what the decoder would stop at.
pub(crate) fn codes_bytes(file: &mut impl BufRead, sides: Sides, most: u64) -> Result<u64> {
    let mut bits = Bits::new(file);
    let (mut width, height) = match sides {
        Sides::Of(width, height) => (width, height),
        Sides::InFile => {
            if bits.read(8)? != 0x2F {
                bail!("its frame does not begin as a frame does");
            }
            let sides = (bits.read(14)? + 1, bits.read(14)? + 1);
            // Whether there is alpha, and the version.
            bits.read(4)?;
            sides
        }
    };
    let mut bytes = 0;
    let mut seen = [false; 4];
    while bits.read(1)? == 1 {
        let kind = bits.read(2)?;
        if std::mem::replace(&mut seen[kind as usize], true) {
            bail!("its frame is transformed twice in one way");
        }
        match kind {
            // Predictions and colours of blocks.
            0 | 1 => {
                let block = bits.read(3)? + 2;
                let image = (blocks(width, block), blocks(height, block));
                bytes += skip_image(&mut bits, image)?.codes_bytes;
            }
            2 => {}
            _ => {
                let colors = bits.read(8)? + 1;
                bytes += skip_image(&mut bits, (colors, 1))?.codes_bytes;
                width = match colors {
                    0..=2 => blocks(width, 3),
                    3..=4 => blocks(width, 2),
                    5..=16 => blocks(width, 1),
                    _ => width,
                };
            }
        }
    }
    let cached = cached_colors(&mut bits)?;
    let mut groups = 1;
    if bits.read(1)? == 1 {
        let block = bits.read(3)? + 2;
        let image = (blocks(width, block), blocks(height, block));
        let image = skip_image(&mut bits, image)?;
        bytes += image.codes_bytes;
        groups = u64::from(image.number_max) + 1;
    }
    for _ in 0..groups {
        bytes += Group::read(&mut bits, cached)?.bytes();
        if bytes > most {
            bail!("its codes take more than {most} bytes, which is the limit");
        }
    }
    Ok(bytes)
}

fn blocks(side: u32, bits: u32) -> u32 {
    side.div_ceil(1 << bits)
}

/// How many colours are remembered, beside which there are codes for them.
fn cached_colors<R: BufRead>(bits: &mut Bits<'_, R>) -> Result<usize> {
    if bits.read(1)? == 0 {
        return Ok(0);
    }
    match bits.read(4)? {
        count @ 1..=11 => Ok(1 << count),
        count => bail!("it remembers 2^{count} colours"),
    }
}

struct Image {
    codes_bytes: u64,
    /// The largest that red and green make together: the last group of codes.
    number_max: u32,
}

/// Reads an image of one group of codes. Copies and remembered colours give numbers that were there before.
fn skip_image<R: BufRead>(bits: &mut Bits<'_, R>, (width, height): (u32, u32)) -> Result<Image> {
    let cached = cached_colors(bits)?;
    let group = Group::read(bits, cached)?;
    let [green, red, blue, alpha, distance] = &group.codes;
    let mut image = Image {
        codes_bytes: group.bytes(),
        number_max: 0,
    };
    let mut left = u64::from(width) * u64::from(height);
    while left > 0 {
        let code = usize::from(green.next(bits)?);
        match code {
            0..LITERALS => {
                let red = red.next(bits)?;
                blue.next(bits)?;
                alpha.next(bits)?;
                image.number_max = image.number_max.max(u32::from(red) << 8 | code as u32);
                left -= 1;
            }
            LITERALS..CACHED => {
                let length = copied(bits, code - LITERALS)?;
                let far = distance.next(bits)?;
                copied(bits, far.into())?;
                if length > left {
                    bail!("more is copied than there are pixels");
                }
                left -= length;
            }
            _ => left -= 1,
        }
        // Where no pixel takes a bit, all are as this one.
        let are_all_so = match code {
            0..LITERALS => group.codes[..4].iter().all(Code::is_single),
            _ => green.is_single(),
        };
        if are_all_so && (LITERALS..CACHED).contains(&code) {
            bail!("its first pixel is a copy");
        }
        if are_all_so {
            break;
        }
    }
    Ok(image)
}

/// Codes from here on are of remembered colours.
const CACHED: usize = LITERALS + LENGTHS;

/// A length or a distance by its prefix.
fn copied<R: BufRead>(bits: &mut Bits<'_, R>, prefix: usize) -> Result<u64> {
    if prefix < 4 {
        return Ok(prefix as u64 + 1);
    }
    let more = (prefix as u32 - 2) >> 1;
    let offset = (2 + (prefix as u64 & 1)) << more;
    Ok(offset + u64::from(bits.read(more)?) + 1)
}

struct Group {
    codes: [Code; CODES_OF_GROUP],
}

impl Group {
    fn read<R: BufRead>(bits: &mut Bits<'_, R>, cached: usize) -> Result<Group> {
        let mut codes = [const { Code::Single(0) }; CODES_OF_GROUP];
        let symbols = [CACHED + cached, LITERALS, LITERALS, LITERALS, DISTANCES];
        for (code, symbols) in codes.iter_mut().zip(symbols) {
            *code = Code::read(bits, symbols)?;
        }
        Ok(Group { codes })
    }

    fn bytes(&self) -> u64 {
        GROUP_BYTES + self.codes.iter().map(Code::bytes).sum::<u64>()
    }
}

/// A prefix code.
enum Code {
    /// It takes no bits.
    Single(u16),
    Several {
        /// How many symbols have a code of each length.
        counts: [u16; CODE_LENGTH_MAX + 1],
        /// In the order of their codes.
        symbols: Vec<u16>,
    },
}

/// In which order the lengths of the codes for lengths stand.
const LENGTH_ORDER: [usize; 19] = [
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

impl Code {
    fn read<R: BufRead>(bits: &mut Bits<'_, R>, symbols: usize) -> Result<Code> {
        if bits.read(1)? == 1 {
            return Code::read_simple(bits, symbols);
        }
        let mut lengths = [0; LENGTH_ORDER.len()];
        let count = 4 + bits.read(4)? as usize;
        for place in &LENGTH_ORDER[..count] {
            lengths[*place] = bits.read(3)? as u8;
        }
        let of_lengths = Code::of_lengths(&lengths)?;
        Code::of_lengths(&read_lengths(bits, &of_lengths, symbols)?)
    }

    /// One symbol, or two.
    fn read_simple<R: BufRead>(bits: &mut Bits<'_, R>, symbols: usize) -> Result<Code> {
        let are_two = bits.read(1)? == 1;
        let first_bits = if bits.read(1)? == 1 { 8 } else { 1 };
        let first = bits.read(first_bits)? as u16;
        let second = if are_two { bits.read(8)? as u16 } else { 0 };
        if usize::from(first.max(second)) >= symbols {
            bail!("a code has a symbol that is none");
        }
        if !are_two {
            return Ok(Code::Single(first));
        }
        let mut counts = [0; CODE_LENGTH_MAX + 1];
        counts[1] = 2;
        Ok(Code::Several {
            counts,
            symbols: vec![first, second],
        })
    }

    fn of_lengths(lengths: &[u8]) -> Result<Code> {
        let mut counts = [0_u16; CODE_LENGTH_MAX + 1];
        for length in lengths.iter().filter(|length| **length > 0) {
            counts[usize::from(*length)] += 1;
        }
        let mut symbols: Vec<u16> = (0..lengths.len() as u16).collect();
        symbols.retain(|symbol| lengths[usize::from(*symbol)] > 0);
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]);
        match symbols[..] {
            [] => bail!("a code has no symbol"),
            [symbol] => return Ok(Code::Single(symbol)),
            _ => {}
        }
        // Each bit string is the beginning of one code, or has one as its beginning.
        let taken = (1..=CODE_LENGTH_MAX).map(|length| u32::from(counts[length]) << (15 - length));
        if taken.sum::<u32>() != 1 << CODE_LENGTH_MAX {
            bail!("a code is none");
        }
        Ok(Code::Several { counts, symbols })
    }

    fn is_single(&self) -> bool {
        matches!(self, Code::Single(_))
    }

    /// That the decoder holds.
    fn bytes(&self) -> u64 {
        let Code::Several { counts, .. } = self else {
            return 0;
        };
        let longest = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let table_bits = longest.min(TABLE_BITS_MAX);
        let behind: u64 = counts[table_bits + 1..]
            .iter()
            .map(|count| u64::from(*count))
            .sum();
        // Of two symbols there are three nodes in any case.
        (4 << table_bits) + (behind * 2).max(3) * NODE_BYTES + LISTS_BYTES
    }

    fn next<R: BufRead>(&self, bits: &mut Bits<'_, R>) -> Result<u16> {
        let (counts, symbols) = match self {
            Code::Single(symbol) => return Ok(*symbol),
            Code::Several { counts, symbols } => (counts, symbols),
        };
        // Codes of one length follow each other, and begin with twice what follows the last shorter one.
        let (mut code, mut first, mut place) = (0, 0, 0);
        for count in &counts[1..] {
            code |= bits.read(1)?;
            let count = u32::from(*count);
            if code < first + count {
                return Ok(symbols[(place + code - first) as usize]);
            }
            place += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        bail!("a code is none")
    }
}

/// Lengths of the codes of all symbols, themselves written by a code.
fn read_lengths<R: BufRead>(
    bits: &mut Bits<'_, R>,
    of_lengths: &Code,
    symbols: usize,
) -> Result<Vec<u8>> {
    let mut most = symbols;
    if bits.read(1)? == 1 {
        let count = 2 + 2 * bits.read(3)?;
        most = 2 + bits.read(count)? as usize;
        if most > symbols {
            bail!("a code has more lengths than symbols");
        }
    }
    let mut lengths = Vec::with_capacity(symbols);
    let mut last = 8;
    for _ in 0..most {
        if lengths.len() == symbols {
            break;
        }
        let (length, times) = match of_lengths.next(bits)? {
            16 => (last, 3 + bits.read(2)?),
            17 => (0, 3 + bits.read(3)?),
            18 => (0, 11 + bits.read(7)?),
            length => {
                let length = length as u8;
                last = if length > 0 { length } else { last };
                (length, 1)
            }
        };
        if lengths.len() + times as usize > symbols {
            bail!("a code has more lengths than symbols");
        }
        lengths.extend(std::iter::repeat_n(length, times as usize));
    }
    lengths.resize(symbols, 0);
    Ok(lengths)
}

/// Bits of a file, the lowest of each byte first.
struct Bits<'a, R> {
    file: &'a mut R,
    held: u64,
    count: u32,
}

impl<'a, R: BufRead> Bits<'a, R> {
    fn new(file: &'a mut R) -> Bits<'a, R> {
        Bits {
            file,
            held: 0,
            count: 0,
        }
    }

    /// Up to 32.
    fn read(&mut self, count: u32) -> Result<u32> {
        while self.count < count {
            let buffer = self.file.fill_buf()?;
            let Some(byte) = buffer.first() else {
                bail!("its frame ends early");
            };
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.file.consume(1);
        }
        let read = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Ok(read as u32)
    }
}
