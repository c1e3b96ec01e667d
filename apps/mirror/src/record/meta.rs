//! What a listing tells of an object, and whether two tell of the same content.

use std::fmt;

/// Hash of an object as the source tells it, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Etag {
    /// The source tells none.
    None,
    /// An MD5, in lower-case digits.
    Md5([u8; 16]),
    /// Of an upload in so many parts.
    Parts([u8; 16], u32),
    /// Anything else.
    Text(Box<str>),
}

impl Etag {
    /// Bytes of its text, where it is one of no known form.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Etag::Text(text) => text.len(),
            _ => 0,
        }
    }

    /// Takes what a listing says, with or without its quotes.
    #[must_use]
    pub fn parse(text: &str) -> Etag {
        let text = text.trim_matches('"');
        if text.is_empty() {
            return Etag::None;
        }
        let (digits, parts) = match text.split_once('-') {
            Some((digits, parts)) => (digits, Some(parts)),
            None => (text, None),
        };
        let Some(bytes) = parse_md5(digits) else {
            return Etag::Text(text.into());
        };
        // "-07" would come back as "-7".
        let number =
            parts.map(|parts| parts.parse::<u32>().ok().filter(|n| n.to_string() == parts));
        match number {
            None => Etag::Md5(bytes),
            Some(Some(number)) => Etag::Parts(bytes, number),
            Some(None) => Etag::Text(text.into()),
        }
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Etag::None => Ok(()),
            Etag::Md5(bytes) => digits(f, bytes),
            Etag::Parts(bytes, number) => {
                digits(f, bytes)?;
                write!(f, "-{number}")
            }
            Etag::Text(text) => f.write_str(text),
        }
    }
}

fn parse_md5(digits: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = digits.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    // Of all digits at once whether they are some: a branch less for each.
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (
            LOWER_DIGITS[usize::from(pair[0])],
            LOWER_DIGITS[usize::from(pair[1])],
        );
        all |= high | low;
        *byte = high << 4 | low & 0xf;
    }
    (all <= 0xf).then_some(bytes)
}

/// The value of each byte as a digit in lower case; 255 of what is none.
const LOWER_DIGITS: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// What a listing tells of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub modified: i64,
    pub etag: Etag,
}

impl Meta {
    /// Whether both are the same content: by the hash, or by size and time where one of them has none.
    #[must_use]
    pub fn is_same(&self, other: &Meta) -> bool {
        match (&self.etag, &other.etag) {
            (Etag::None, _) | (_, Etag::None) => {
                (self.size_bytes, self.modified) == (other.size_bytes, other.modified)
            }
            (one, two) => one == two,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::meta;
    use super::*;

    #[test]
    fn etags_come_back_as_they_were() {
        let check = |text: &str, expected: Etag| {
            let etag = Etag::parse(text);
            assert_eq!(etag, expected, "{text}");
            assert_eq!(etag.to_string(), text.trim_matches('"'));
        };
        let md5 = [0xab; 16];
        check(&format!("\"{}\"", "ab".repeat(16)), Etag::Md5(md5));
        check(&"ab".repeat(16), Etag::Md5(md5));
        check(&format!("{}-7", "ab".repeat(16)), Etag::Parts(md5, 7));
        for text in [
            format!("{}-07", "ab".repeat(16)),
            format!("{}-", "ab".repeat(16)),
            "AB".repeat(16),
            "abc".to_owned(),
        ] {
            check(&text, Etag::Text(text.as_str().into()));
        }
        check("", Etag::None);
        check("\"\"", Etag::None);
    }

    #[test]
    fn without_a_hash_size_and_time_decide() {
        let with = meta(1);
        let without = Meta {
            etag: Etag::None,
            ..meta(1)
        };
        assert!(with.is_same(&without) && without.is_same(&with));
        let later = Meta {
            modified: 0,
            ..without.clone()
        };
        assert!(!later.is_same(&with) && !later.is_same(&without));
        let copied = Meta {
            modified: 0,
            ..with.clone()
        };
        assert!(copied.is_same(&with), "the same content, put again");
    }
}
