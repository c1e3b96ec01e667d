//! How keys look. Every layout gives the n-th object a key above that of the object before it, and none
//! that begins with another, so that a key finds its object by bisection.

use crate::noise::{mix, put_decimal, put_hex};

/// Objects of a bucket, at most: keys have digits for so many.
pub const COUNT_MAX: u64 = 1_000_000_000;

/// Into which folders keys are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// `tenant-0000/album-0000000/UUID/original-….jpeg`: 100 bytes, 100 objects an album, 1000 albums a
    /// tenant.
    #[default]
    Albums,
    /// All in one folder.
    Flat,
    /// A folder for each pair of digits, ten deep.
    Deep,
    /// Two objects a folder, all folders at the top: 400,000 objects have 200,000 prefixes.
    Tiny,
    /// Names of several scripts, with spaces and what XML, URLs and shells take for something else.
    Unicode,
}

const WORDS: [&str; 8] = [
    "Übergröße & <b>",
    "日本語の写真",
    "a+b %41 c",
    "\"quoted\" 'name'",
    "émoji 🏔️",
    "имя файла",
    "semi;colon?query#part",
    "e\u{301} combined = ü",
];

impl Layout {
    /// Appends the key of object `n`. O(its bytes).
    pub(crate) fn put_key(self, seed: u64, n: u64, key: &mut Vec<u8>) {
        match self {
            Layout::Albums => {
                let album = n / 100;
                key.extend_from_slice(b"tenant-");
                put_decimal(key, album / 1000, 4);
                key.extend_from_slice(b"/album-");
                put_decimal(key, album, 7);
                key.push(b'/');
                put_uuid(key, seed, n);
                key.extend_from_slice(b"/original-photograph-20260101-000.jpeg");
            }
            Layout::Flat => {
                key.extend_from_slice(b"photographs/");
                put_decimal(key, n, 10);
                key.push(b'-');
                put_uuid(key, seed, n);
                key.extend_from_slice(b"-original-photograph-20260101-000.jpeg");
            }
            Layout::Deep => {
                for level in (0..10).rev() {
                    put_decimal(key, n / 10_u64.pow(level) % 10, 2);
                    key.push(b'/');
                }
                put_hex(key, mix(seed, n), 16);
            }
            Layout::Tiny => {
                key.extend_from_slice(b"folder-");
                put_decimal(key, n / 2, 9);
                key.extend_from_slice(if n.is_multiple_of(2) { b"/a-" } else { b"/b-" });
                put_hex(key, mix(seed, n), 16);
            }
            Layout::Unicode => {
                let word = |n: u64| WORDS[(mix(seed, n) % 8) as usize].as_bytes();
                put_decimal(key, n / 100, 7);
                key.push(b' ');
                key.extend_from_slice(word(n / 100));
                key.push(b'/');
                put_decimal(key, n % 100, 2);
                key.push(b' ');
                key.extend_from_slice(word(n ^ 1 << 40));
            }
        }
    }
}

/// A UUID that rises with the place of the object among the hundred of its album, as if those had been
/// drawn by chance and sorted.
fn put_uuid(key: &mut Vec<u8>, seed: u64, n: u64) {
    let (high, low) = (mix(seed, n), mix(seed ^ 1, n));
    // Below half a place each: the next one is always above.
    let first = (((n % 100) << 32) + (high >> 33)) / 100;
    put_hex(key, first, 8);
    for digits in [
        high & 0xffff,
        0x4000 | high >> 16 & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
    ] {
        key.push(b'-');
        put_hex(key, digits, 4);
    }
    key.push(b'-');
    put_hex(key, low, 12);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_and_none_begins_with_another() {
        for layout in [
            Layout::Albums,
            Layout::Flat,
            Layout::Deep,
            Layout::Tiny,
            Layout::Unicode,
        ] {
            let key = |n| {
                let mut key = Vec::new();
                layout.put_key(7, n, &mut key);
                key
            };
            for from in [0, 99_900, 9_999_900, COUNT_MAX - 300] {
                for n in from..from + 250 {
                    let (one, next) = (key(n), key(n + 1));
                    assert!(one < next && !next.starts_with(&one), "{layout:?} {n}");
                    assert!(std::str::from_utf8(&one).is_ok());
                }
            }
        }
        let mut key = Vec::new();
        Layout::Albums.put_key(1, 123_456, &mut key);
        assert_eq!(key.len(), 100, "{}", key.escape_ascii());
    }
}
