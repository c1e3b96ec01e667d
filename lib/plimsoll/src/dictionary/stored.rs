//! A dictionary as bytes, version 1:
//!
//! ```text
//! header  "plimdict", version u32, number of strings u32, checksum u32
//! frame   length u32 (1 to 64 KiB), entries, checksum u32            any number of these
//! end     length 0, checksum u32
//! entry   id, bytes shared with the string before, length of the rest (varints), the rest
//! ```
//!
//! Numbers are little-endian. A checksum is of everything before it but checksums, so a frame that is
//! missing, doubled or moved is damage too. Entries are in the order of their strings and never cross
//! frames. Memory: one frame, and to read the base that is built, up to twice while its text
//! moves to grow, and 5 bytes a string.

use std::io::{self, Read, Write};
use std::str;

use crc32fast::Hasher;

use crate::dictionary::base::{Base, Builder, common_prefix};
use crate::dictionary::{DictionaryView, TERM_BYTES_MAX};
use crate::varint::{VARINT_BYTES_MAX, put_varint, take_varint};
use crate::{Error, ErrorKind};

const MAGIC: &[u8; 8] = b"plimdict";
const VERSION: u32 = 1;

/// A frame is written once it is this long: few enough calls, small enough to hold.
const FRAME_BYTES: usize = 32 << 10;
/// None is longer than that and one entry; more is damage and not worth allocating.
const FRAME_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(FRAME_BYTES + TERM_BYTES_MAX + 3 * VARINT_BYTES_MAX <= FRAME_BYTES_MAX);

pub(super) fn write(view: &DictionaryView, mut to: impl Write) -> Result<(), Error> {
    write_all(view, &mut to).map_err(|error| {
        let message = format!("write a dictionary of {} strings", view.len());
        Error::with_source(ErrorKind::Io, message, error)
    })
}

fn write_all(view: &DictionaryView, to: &mut impl Write) -> io::Result<()> {
    let mut sum = Hasher::new();
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&view.len().to_le_bytes());
    write_summed(to, &mut sum, &header)?;
    let mut frame = Vec::with_capacity(FRAME_BYTES_MAX);
    let mut last = Vec::new();
    let mut walk = view.walk("");
    while let Some((id, text)) = walk.next_term() {
        let shared = common_prefix(&last, text.as_bytes());
        let rest = &text.as_bytes()[shared..];
        put_varint(&mut frame, id.get());
        put_varint(&mut frame, shared as u32);
        put_varint(&mut frame, rest.len() as u32);
        frame.extend_from_slice(rest);
        last.truncate(shared);
        last.extend_from_slice(rest);
        if frame.len() >= FRAME_BYTES {
            write_frame(to, &mut sum, &mut frame)?;
        }
    }
    if !frame.is_empty() {
        write_frame(to, &mut sum, &mut frame)?;
    }
    write_summed(to, &mut sum, &0_u32.to_le_bytes())?;
    to.flush()
}

fn write_frame(to: &mut impl Write, sum: &mut Hasher, frame: &mut Vec<u8>) -> io::Result<()> {
    let len = (frame.len() as u32).to_le_bytes();
    sum.update(&len);
    to.write_all(&len)?;
    write_summed(to, sum, frame)?;
    frame.clear();
    Ok(())
}

fn write_summed(to: &mut impl Write, sum: &mut Hasher, bytes: &[u8]) -> io::Result<()> {
    sum.update(bytes);
    to.write_all(bytes)?;
    to.write_all(&sum.clone().finalize().to_le_bytes())
}

pub(super) fn read(from: impl Read) -> Result<Base, Error> {
    let mut source = Source {
        from,
        sum: Hasher::new(),
        position: 0,
    };
    let mut header = [0; 16];
    source.take(&mut header)?;
    let (magic, numbers) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(source.malformed("it does not start with \"plimdict\": this is something else"));
    }
    let (version, terms) = (number(&numbers[..4]), number(&numbers[4..]));
    source.check_sum()?;
    if version != VERSION {
        let message = format!(
            "read a dictionary of version {version}: only version {VERSION} is known; a later plimsoll \
             wrote it"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let mut builder = Builder::with_capacity(0, 0);
    let mut frame = Vec::new();
    loop {
        let mut len = [0; 4];
        source.take(&mut len)?;
        let len = number(&len) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(source.malformed("a frame is longer than any that is written"));
        }
        frame.resize(len, 0);
        source.take(&mut frame)?;
        source.check_sum()?;
        if frame.is_empty() {
            break;
        }
        read_entries(&frame, &mut builder).map_err(|what| source.malformed(what))?;
    }
    if builder.len() as u64 != u64::from(terms) {
        return Err(source.malformed("it has another number of strings than its header says"));
    }
    if !builder.ids_are_dense() {
        return Err(source.malformed("an id is missing or there twice"));
    }
    Ok(builder.finish())
}

/// The checksum has held: what is wrong here was written wrongly, on purpose or not.
fn read_entries(frame: &[u8], builder: &mut Builder) -> Result<(), &'static str> {
    let mut position = 0;
    let mut text = builder.last().to_vec();
    while position < frame.len() {
        let mut number = || take_varint(frame, &mut position).ok_or("an entry is cut off");
        let (id, shared, len) = (number()?, number()? as usize, number()? as usize);
        if shared > text.len() || shared + len > TERM_BYTES_MAX {
            return Err("a string is longer than any that is written");
        }
        let rest = frame.get(position..position + len);
        let rest = rest.ok_or("an entry is cut off")?;
        position += len;
        text.truncate(shared);
        text.extend_from_slice(rest);
        if builder.len() > 0 && text.as_slice() <= builder.last() {
            return Err("strings are not in order");
        }
        let valid = str::from_utf8(&text).map_err(|_| "a string is not UTF-8")?;
        builder.push(id, valid);
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

struct Source<R> {
    from: R,
    sum: Hasher,
    position: u64,
}

impl<R: Read> Source<R> {
    fn take(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.take_unsummed(into)?;
        self.sum.update(into);
        Ok(())
    }

    fn take_unsummed(&mut self, into: &mut [u8]) -> Result<(), Error> {
        match self.from.read_exact(into) {
            Ok(()) => {
                self.position += into.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed("it ends in the middle"))
            }
            Err(error) => {
                let message = format!("read a dictionary at byte {}", self.position);
                Err(Error::with_source(ErrorKind::Io, message, error))
            }
        }
    }

    fn check_sum(&mut self) -> Result<(), Error> {
        let mut stored = [0; 4];
        self.take_unsummed(&mut stored)?;
        if number(&stored) == self.sum.clone().finalize() {
            return Ok(());
        }
        Err(self.malformed("a checksum does not hold: bytes before it are damaged"))
    }

    fn malformed(&self, what: &str) -> Error {
        let message = format!(
            "read a dictionary, by byte {}: {what}; take it from a copy or build it anew",
            self.position
        );
        Error::new(ErrorKind::Malformed, message)
    }
}
