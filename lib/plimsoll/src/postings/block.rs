//! Up to 256 ids as bytes, in the shorter of two forms. The first id is kept outside.
//!
//! *Gaps*: for each other id, how many ids lie between it and the one before, as a varint: 1 byte for
//! sets that have more than one id in 129. *Bitmap*: bit n for the n-th id from the first on: shorter
//! where more than about one id in 8 is there.

use crate::postings::window::Window;
use crate::varint::{put_varint, take_varint, varint_len};

/// Ids of a block: 12 bytes of directory are then 5 % of the gaps, and a decoded block is 1 KiB.
pub(crate) const BLOCK_IDS: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Gaps,
    Bitmap,
}

/// Appends ascending ids, of which there is at least one, and says in which form.
pub(crate) fn encode(ids: &[u32], bytes: &mut Vec<u8>) -> Form {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return Form::Gaps;
    };
    let bitmap = ((last - first) / 8 + 1) as usize;
    if bitmap >= gaps_len(ids) {
        put_gaps(ids, bytes);
        return Form::Gaps;
    }
    let start = bytes.len();
    bytes.resize(start + bitmap, 0);
    for id in ids {
        let bit = id - first;
        bytes[start + bit as usize / 8] |= 1 << (bit % 8);
    }
    Form::Bitmap
}

/// Appends the gaps behind the first id.
pub(crate) fn put_gaps(ids: &[u32], bytes: &mut Vec<u8>) {
    for pair in ids.windows(2) {
        put_varint(bytes, pair[1] - pair[0] - 1);
    }
}

/// How many bytes [`put_gaps`] appends.
pub(crate) fn gaps_len(ids: &[u32]) -> usize {
    let gaps = ids.windows(2).map(|pair| pair[1] - pair[0] - 1);
    gaps.map(varint_len).sum()
}

/// Appends the ids of a block.
pub(crate) fn decode(form: Form, first: u32, bytes: &[u8], ids: &mut Vec<u32>) {
    match form {
        Form::Gaps => {
            ids.push(first);
            if bytes.is_ascii() {
                // A byte each: the room is known, and nothing else is to be asked.
                let mut id = first;
                ids.extend(bytes.iter().map(|gap| {
                    id += u32::from(*gap) + 1;
                    id
                }));
                return;
            }
            let (mut id, mut position) = (first, 0);
            while let Some(gap) = take_varint(bytes, &mut position) {
                id += gap + 1;
                ids.push(id);
            }
        }
        Form::Bitmap => {
            for (chunk, eight) in (0..).zip(bytes.chunks(8)) {
                let mut word = [0; 8];
                word[..eight.len()].copy_from_slice(eight);
                let mut word = u64::from_le_bytes(word);
                while word != 0 {
                    ids.push(first + chunk * 64 + word.trailing_zeros());
                    word &= word - 1;
                }
            }
        }
    }
}

/// Adds the ids of a block that lie in a window.
pub(crate) fn fill(form: Form, first: u32, bytes: &[u8], window: &mut Window) {
    match form {
        Form::Gaps => {
            let (mut id, mut position) = (first, 0);
            loop {
                if id > window.end() {
                    return;
                }
                window.set(id);
                match take_varint(bytes, &mut position) {
                    Some(gap) => id += gap + 1,
                    None => return,
                }
            }
        }
        Form::Bitmap => {
            let (eights, rest) = bytes.as_chunks::<8>();
            let last = last_word(bytes, rest);
            if window.set_words(first, eights, last) {
                return;
            }
            let mut at = i64::from(first);
            for eight in eights {
                window.set_word(at, u64::from_le_bytes(*eight));
                at += 64;
            }
            window.set_word(at, last);
        }
    }
}

/// The bytes behind the last eight, as a word.
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    match bytes.last_chunk::<8>() {
        // The last eight bytes, without those that another word has: no copy of unknown length.
        Some(_) if rest.is_empty() => 0,
        Some(eight) => u64::from_le_bytes(*eight) >> (64 - 8 * rest.len()),
        None => {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(word)
        }
    }
}

/// Whether `id`, not below `first`, is in the block.
pub(crate) fn contains(form: Form, first: u32, bytes: &[u8], id: u32) -> bool {
    let bit = id - first;
    match form {
        Form::Bitmap => {
            let byte = bytes.get((bit / 8) as usize);
            byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        }
        Form::Gaps => {
            let (mut at, mut position) = (first, 0);
            while at < id {
                match take_varint(bytes, &mut position) {
                    Some(gap) => at += gap + 1,
                    None => return false,
                }
            }
            at == id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_in_the_shorter_form() {
        let check = |ids: &[u32], form: Form, len: usize| {
            let mut bytes = Vec::new();
            assert_eq!(encode(ids, &mut bytes), form, "{ids:?}");
            assert_eq!(bytes.len(), len, "{ids:?}");
            let mut decoded = Vec::new();
            decode(form, ids[0], &bytes, &mut decoded);
            assert_eq!(decoded, ids);
            for id in ids[0]..=ids[0].saturating_add(700) {
                let expected = ids.binary_search(&id).is_ok();
                assert_eq!(contains(form, ids[0], &bytes, id), expected, "{id}");
            }
        };
        check(&[5], Form::Gaps, 0);
        check(&[5, 6], Form::Gaps, 1);
        check(&[0, u32::MAX], Form::Gaps, 5);
        check(&[7, 8, 9, 14], Form::Bitmap, 1);
        let every: Vec<u32> = (1000..1256).collect();
        check(&every, Form::Bitmap, 32);
        let third: Vec<u32> = (0..256).map(|n| n * 3).collect();
        check(&third, Form::Bitmap, 96);
        let ninth: Vec<u32> = (0..256).map(|n| n * 9).collect();
        check(&ninth, Form::Gaps, 255);
        let up_to_the_last: Vec<u32> = (u32::MAX - 99..=u32::MAX).collect();
        check(&up_to_the_last, Form::Bitmap, 13);
    }
}
