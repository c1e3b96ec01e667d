//! Where the keys that follow a page may be: from how they are spaced in it. Pure.
//!
//! Names are counters, dates, hashes and UUIDs more often than not. Behind what the keys of a page have
//! in common, each position has its digits: those that were seen there, and the rest of their kind. Read
//! as numbers of such digits, keys go on at the pace of the page. A guess that is wrong costs a request;
//! which keys are listed does not depend on it.

use crate::s3::Page;

/// Positions behind the common part that are looked at: a thousand keys differ in fewer.
const POSITIONS: usize = 12;
/// Digits before them that a number may carry into.
const CARRY: usize = 6;
/// Keys that say something of the pace.
pub(super) const KEYS_MIN: usize = 100;
/// The longest key that S3 takes.
const KEY_BYTES_MAX: usize = 1024;

/// Up to `most` keys above those of the page, with about `keys_each` keys between each and the next,
/// rising, below `below`. Fewer, or none, where the digits run out. O(bytes of the page).
pub(super) fn splits(
    page: &Page,
    keys_each: usize,
    below: Option<&[u8]>,
    most: usize,
) -> Vec<Vec<u8>> {
    let count = page.len();
    let mut keys = page.keys();
    let (Some(first), Some(last)) = (keys.next(), keys.last()) else {
        return Vec::new();
    };
    if count < KEYS_MIN || most == 0 {
        return Vec::new();
    }
    let equal = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let (digits, carried) = Digits::of(page, equal).with_carry(&last[..equal]);
    let shared = equal - carried;
    let (Some(low), Some(high)) = (
        digits.value(&first[shared..]),
        digits.value(&last[shared..]),
    ) else {
        return Vec::new();
    };
    let between = (count - 1) as u128;
    let Some(step) = (high - low).checked_mul(keys_each as u128) else {
        return Vec::new();
    };
    let step = step / between;
    if step == 0 || shared + POSITIONS > KEY_BYTES_MAX {
        return Vec::new();
    }
    (1..=most as u128)
        .map_while(|n| digits.key(high.checked_add(step.checked_mul(n)?)?))
        .map(|rest| [&last[..shared], &rest].concat())
        .skip_while(|split| &split[..] <= last)
        .take_while(|split| below.is_none_or(|below| &split[..] < below))
        .collect()
}

/// The digits of each position, in order of their bytes. All are ASCII, so that what is made of them is
/// text.
struct Digits(Vec<Vec<u8>>);

impl Digits {
    fn of(page: &Page, shared: usize) -> Digits {
        let mut seen = [0_u128; POSITIONS];
        let mut length = POSITIONS;
        for key in page.keys() {
            let rest = &key[shared.min(key.len())..];
            for (at, byte) in rest.iter().enumerate().take(length) {
                match byte {
                    0..=127 => seen[at] |= 1 << byte,
                    _ => length = at,
                }
            }
        }
        let mut product = 1_u128;
        let digits = seen[..length].iter().map(|seen| completed(*seen));
        let within = digits.take_while(|digits| {
            // With room for a step to be multiplied.
            product = product.saturating_mul(digits.len().max(1) as u128);
            !digits.is_empty() && product < 1 << 96
        });
        Digits(within.collect())
    }

    /// The same with the digits before: 1999 goes on as 2000. And how many they are.
    fn with_carry(mut self, before: &[u8]) -> (Digits, usize) {
        let Some(kind) = self.0.first().filter(|kind| is_number(kind)).cloned() else {
            return (self, 0);
        };
        let run = before
            .iter()
            .rev()
            .take(CARRY)
            .take_while(|byte| kind.contains(byte));
        let carried = run.count();
        self.0.splice(0..0, vec![kind; carried]);
        (self, carried)
    }

    /// A key's rest as a number; a rest that is shorter has the lowest digits. None where a position has
    /// another digit, or none has two.
    fn value(&self, rest: &[u8]) -> Option<u128> {
        if self.0.is_empty() {
            return None;
        }
        let positions = self.0.iter().enumerate();
        positions
            .map(|(at, digits)| match rest.get(at) {
                Some(byte) => Some((digits.binary_search(byte).ok()?, digits.len())),
                None => Some((0, digits.len())),
            })
            .try_fold(0, |value, digit| {
                let (digit, radix) = digit?;
                Some(value * radix as u128 + digit as u128)
            })
    }

    /// The rest that has this number; none where it has more digits.
    fn key(&self, mut value: u128) -> Option<Vec<u8>> {
        let mut rest = vec![0; self.0.len()];
        for (byte, digits) in rest.iter_mut().zip(&self.0).rev() {
            let radix = digits.len() as u128;
            *byte = digits[(value % radix) as usize];
            value /= radix;
        }
        (value == 0).then_some(rest)
    }
}

/// Whether these are the digits of decimal or hexadecimal numbers.
fn is_number(kind: &[u8]) -> bool {
    kind.len() >= 10 && kind.len() <= 16 && kind.starts_with(b"0123456789")
}

/// The bytes that were seen, with the rest of their kind where there is more than one.
fn completed(seen: u128) -> Vec<u8> {
    const KINDS: [&[u8]; 6] = [
        b"0123456789",
        b"0123456789abcdef",
        b"0123456789ABCDEF",
        b"abcdefghijklmnopqrstuvwxyz",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    ];
    let all = |bytes: &[u8]| bytes.iter().fold(0_u128, |all, byte| all | 1 << byte);
    let kind = KINDS.into_iter().find(|kind| seen & !all(kind) == 0);
    match kind {
        Some(kind) if seen.count_ones() > 1 => kind.to_vec(),
        _ => (0..128).filter(|byte| seen & (1 << byte) != 0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::page_of;
    use super::*;

    fn guess(keys: impl Iterator<Item = String>, each: usize, most: usize) -> Vec<String> {
        let keys: Vec<Vec<u8>> = keys.map(String::into_bytes).collect();
        let page = page_of(&keys);
        let last = keys.last().unwrap();
        let splits = splits(&page, each, None, most);
        assert!(splits.is_sorted_by(|a, b| a < b));
        assert!(splits.iter().all(|split| split > last));
        let text = splits
            .into_iter()
            .map(|split| String::from_utf8(split).unwrap());
        text.collect()
    }

    #[test]
    fn counters_go_on() {
        let keys = (1000..2000).map(|n| format!("photos/img-{n:08}.jpeg"));
        let splits = guess(keys, 900, 3);
        assert!(splits[0].starts_with("photos/img-0000289"), "{splits:?}");
        assert!(splits[1].starts_with("photos/img-0000379"), "{splits:?}");
        assert!(splits[2].starts_with("photos/img-0000469"), "{splits:?}");
        // 10 albums of 100 objects each, and the ten that follow.
        let keys = (0..1000).map(|n| format!("t/album-{:05}/{:02}", n / 100, n % 100));
        let splits = guess(keys, 1000, 2);
        assert!(splits[0].starts_with("t/album-00019/"), "{splits:?}");
        assert!(splits[1].starts_with("t/album-00029/"), "{splits:?}");
    }

    #[test]
    fn hashes_go_on_to_their_last_digit() {
        let hash = |n: u64| format!("{:016x}", n * (u64::MAX / 10_000));
        let splits = guess((0..1000).map(hash), 1000, 100);
        for (split, n) in splits.iter().zip([1999_u64, 2999, 3999]) {
            assert_eq!(split[..3], hash(n)[..3], "{splits:?}");
        }
        assert!(splits.len() <= 9, "nothing is guessed behind the last hash");
    }

    #[test]
    fn where_nothing_can_be_told_nothing_is_guessed() {
        let none = |keys: Vec<String>| assert!(guess(keys.into_iter(), 900, 5).is_empty());
        none((0..50).map(|n| format!("{n:04}")).collect());
        // Text of several bytes a letter.
        let letter = |n: u32| char::from_u32(0x3041 + n).unwrap();
        none((0..200).map(|n| letter(n).to_string()).collect());
        // One is the start of the other.
        none((0..200).map(|n| "a".repeat(n + 1)).collect());
    }

    #[test]
    fn guesses_stay_below_the_end() {
        let keys: Vec<Vec<u8>> = (0..200).map(|n| format!("{n:05}").into_bytes()).collect();
        let page = page_of(&keys);
        let splits = splits(&page, 100, Some(b"00450"), 10);
        assert_eq!(splits, [b"00299".to_vec(), b"00399".to_vec()]);
    }
}
