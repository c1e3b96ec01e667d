//! Entries in a frame: each key as the number of bytes that it shares with the key before it, and the
//! rest.
//!
//! ```text
//! entry  bytes shared with the key before, length of the rest, length of the value (varints),
//!        the rest, the value
//! ```
//!
//! The first key of a frame shares nothing, so every frame can be read alone. Memory: the frame, and
//! one key.

use super::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::grow;
use crate::varint::{VARINT_BYTES_MAX, put_varint, take_varint};

/// The most bytes that one entry takes in a frame.
pub(super) const ENTRY_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + 3 * VARINT_BYTES_MAX;

/// A frame that is being filled.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) first: Vec<u8>,
    last: Vec<u8>,
}

impl Block {
    /// One that is full at `bytes`, with room for the entry that goes beyond unless that is a long one.
    pub(super) fn with_capacity(bytes: usize) -> Block {
        const BEYOND: usize = 2 << 10;
        Block {
            bytes: Vec::with_capacity(bytes + BEYOND),
            first: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Appends an entry, whose key is above all before it.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let shared = if self.bytes.is_empty() {
            replace(&mut self.first, key);
            0
        } else {
            common_prefix(&self.last, key)
        };
        let rest = &key[shared..];
        grow::vec(
            &mut self.bytes,
            rest.len() + value.len() + 3 * VARINT_BYTES_MAX,
        );
        put_varint(&mut self.bytes, shared as u32);
        put_varint(&mut self.bytes, rest.len() as u32);
        put_varint(&mut self.bytes, value.len() as u32);
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(value);
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
    }

    /// The key that was pushed last, also when the block was cleared since.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// Where in a frame's raw bytes one is, and the key there.
#[derive(Debug, Default)]
pub(super) struct Position {
    next: usize,
    value: (usize, usize),
    pub(super) key: Vec<u8>,
    /// Whether `key` is of this frame; else it is the last one of the frame before.
    is_within: bool,
}

impl Position {
    /// To the start of a frame that follows the one of before: its keys have to be above.
    pub(super) fn begin_next(&mut self) {
        self.next = 0;
        self.is_within = false;
    }

    /// To the start of any frame.
    pub(super) fn begin_any(&mut self) {
        self.begin_next();
        self.key.clear();
    }

    /// To the next entry; false at the end. The checksum held, so what is wrong was written wrongly.
    /// `is_first` says that no key came before: the empty key is one.
    pub(super) fn advance(&mut self, raw: &[u8], is_first: bool) -> Result<bool, &'static str> {
        if self.next == raw.len() {
            return Ok(false);
        }
        let mut at = self.next;
        let mut number = || take_varint(raw, &mut at).ok_or("an entry is cut off");
        let (shared, rest, value) = (number()? as usize, number()? as usize, number()? as usize);
        if shared > self.key.len()
            || shared.saturating_add(rest) > KEY_BYTES_MAX
            || value > VALUE_BYTES_MAX
        {
            return Err("a key or a value is longer than any that is written");
        }
        if !self.is_within && shared > 0 {
            return Err("the first key of a frame is not whole");
        }
        let value_at = at + rest;
        let end = value_at + value;
        let bytes = raw.get(at..value_at).ok_or("an entry is cut off")?;
        if end > raw.len() {
            return Err("an entry is cut off");
        }
        if !is_first && bytes <= &self.key[shared..] {
            return Err("keys are not in order");
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(bytes);
        self.value = (value_at, end);
        self.next = end;
        self.is_within = true;
        Ok(true)
    }

    pub(super) fn value<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.value.0..self.value.1]
    }
}

fn replace(into: &mut Vec<u8>, bytes: &[u8]) {
    into.clear();
    into.extend_from_slice(bytes);
}

/// How many bytes both begin with. Eight at a step: keys of one folder share a hundred.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let (wide_a, _) = a.as_chunks::<8>();
    let (wide_b, _) = b.as_chunks::<8>();
    let whole = wide_a
        .iter()
        .zip(wide_b)
        .take_while(|(a, b)| a == b)
        .count()
        * 8;
    let rest = a[whole..].iter().zip(&b[whole..]);
    whole + rest.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_found_at_every_length() {
        for length in 0..40 {
            let a = vec![7; length];
            assert_eq!(common_prefix(&a, &[7; 40]), length);
            for cut in 0..length {
                let mut b = a.clone();
                b[cut] = 8;
                assert_eq!(common_prefix(&a, &b), cut);
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_told() {
        let check = |raw: &[u8], expected: &str| {
            let mut position = Position::default();
            let mut is_first = true;
            let found = loop {
                match position.advance(raw, is_first) {
                    Ok(true) => is_first = false,
                    Ok(false) => break "",
                    Err(what) => break what,
                }
            };
            assert_eq!(found, expected, "{raw:?}");
        };
        check(&[0, 1, 0, b'a', 1, 1, 1, b'b', 9], "");
        check(&[0, 0, 0, 0, 1, 0, b'a'], "");
        check(&[0, 1], "an entry is cut off");
        check(&[0, 1, 1, b'a'], "an entry is cut off");
        check(&[0, 3, 0, b'a'], "an entry is cut off");
        check(
            &[1, 1, 0, b'a'],
            "a key or a value is longer than any that is written",
        );
        check(&[0, 1, 0, b'a', 0, 1, 0, b'a'], "keys are not in order");
        check(&[0, 1, 0, b'b', 0, 1, 0, b'a'], "keys are not in order");
        check(&[0, 1, 0, b'b', 1, 0, 0], "keys are not in order");
    }

    #[test]
    fn a_frame_goes_on_above_the_one_before() {
        let mut position = Position::default();
        position.advance(&[0, 1, 0, b'm'], true).unwrap();
        position.begin_next();
        assert_eq!(
            position.advance(&[0, 1, 0, b'm'], false),
            Err("keys are not in order")
        );
        let partial = position.advance(&[1, 1, 0, b'm'], false);
        assert_eq!(partial, Err("the first key of a frame is not whole"));
        assert_eq!(position.advance(&[0, 1, 0, b'n'], false), Ok(true));
        position.begin_any();
        assert_eq!(position.advance(&[0, 1, 0, b'a'], true), Ok(true));
    }
}
