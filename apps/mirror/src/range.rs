//! Ranges of keys as text: `FROM..TO`, FROM in it and TO not, either of which may be left out. Pure.
//!
//! Bytes that are no printable ASCII, `%`, spaces, and dots that could be taken for the `..` are written as
//! `%XX`; any byte may be.

use std::fmt::{self, Write};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::listing::KeyRange;

impl KeyRange {
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.from.is_empty() && self.to.is_none()
    }
}

impl FromStr for KeyRange {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<KeyRange> {
        let Some((from, to)) = text.split_once("..") else {
            bail!("{text:?} is no range of keys: FROM..TO is, or FROM.. or ..TO");
        };
        if to.starts_with('.') || to.contains("..") {
            bail!(
                "the range of keys {text:?} has more dots than the two between the keys: write theirs as %2E"
            );
        }
        let from = decode(from)?;
        let to = decode(to)?;
        let range = KeyRange {
            from,
            to: (!to.is_empty()).then_some(to),
        };
        if range.to.as_ref().is_some_and(|to| *to <= range.from) {
            bail!("no key is in the range {text:?}: its end is not above its start");
        }
        Ok(range)
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.from))?;
        f.write_str("..")?;
        f.write_str(&encode(self.to.as_deref().unwrap_or_default()))
    }
}

fn encode(key: &[u8]) -> String {
    let mut text = String::new();
    for (at, &byte) in key.iter().enumerate() {
        let is_dot = |at: Option<usize>| at.and_then(|at| key.get(at)).is_none_or(|b| *b == b'.');
        let is_taken_wrongly = byte == b'.' && (is_dot(at.checked_sub(1)) || is_dot(Some(at + 1)));
        if byte.is_ascii_graphic() && byte != b'%' && !is_taken_wrongly {
            text.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(left.next()?).to_digit(16);
        let digits = digit().zip(digit());
        let (high, low) = digits
            .with_context(|| format!("in {text:?} a % has no two digits behind it: %25 is a %"))?;
        bytes.push((high << 4 | low) as u8);
    }
    if std::str::from_utf8(&bytes).is_err() {
        bail!("{text:?} is not UTF-8, as all keys of S3 are");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        let check = |text: &str, from: &str, to: Option<&str>| {
            let range: KeyRange = text.parse().unwrap();
            assert_eq!(range.from, from.as_bytes(), "{text}");
            assert_eq!(range.to.as_deref(), to.map(str::as_bytes), "{text}");
        };
        check("a..b", "a", Some("b"));
        check("..b", "", Some("b"));
        check("a..", "a", None);
        check("..", "", None);
        check("a.b/c..d.e", "a.b/c", Some("d.e"));
        check("a%2e%2Eb..z", "a..b", Some("z"));
        check("ä%20%25..", "ä %", None);
        let refuse = |text: &str, part: &str| {
            let error = text.parse::<KeyRange>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        refuse("a", "is no range of keys");
        refuse("b..a", "its end is not above");
        refuse("a..a", "its end is not above");
        refuse("a...b", "write theirs as %2E");
        refuse("a..b..c", "write theirs as %2E");
        refuse("%..", "%25 is a %");
        refuse("%1..", "%25 is a %");
        refuse("%ff..", "is not UTF-8");
    }

    proptest! {
        #[test]
        fn ranges_come_back(from in "[.a-c% ä]{0,6}", to in proptest::option::of("[.a-c% ä]{1,6}")) {
            let range = KeyRange { from: from.into_bytes(), to: to.map(String::into_bytes) };
            prop_assume!(range.to.as_ref().is_none_or(|to| *to > range.from));
            prop_assert_eq!(range.to_string().parse::<KeyRange>().unwrap(), range);
        }
    }
}
