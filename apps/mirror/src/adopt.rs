//! Taking for synced what the destination has already, by what it tells of it. Pure.
//!
//! It proves little: a file of the same length may have other bytes. Whoever asks for it saves the
//! uploads of a state that is new, was repaired, or was imported with distrust.

use clap::ValueEnum;

use crate::record::{Held, Meta};

/// By what a file at the destination is taken for the one that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Adopt {
    /// The same length; and where the destination tells times, not older than the source's.
    Size,
}

/// What the destination tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub size_bytes: u64,
    /// Seconds since 1970; none where it tells no times.
    pub modified: Option<i64>,
}

impl Adopt {
    /// Whether it is worth asking: not where another version is known to be there, which may well have
    /// the same length.
    #[must_use]
    pub fn asks(self, held: &Held) -> bool {
        match held {
            Held::Nothing | Held::Unknown => true,
            Held::Version(_) => false,
        }
    }

    /// Whether the file that is there is taken for the one that is listed.
    #[must_use]
    pub fn takes(self, listed: &Meta, there: Told) -> bool {
        let is_older = there.modified.is_some_and(|time| time < listed.modified);
        there.size_bytes == listed.size_bytes && !is_older
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::meta;

    #[test]
    fn only_the_same_length_and_no_older_time_is_taken() {
        let listed = meta(1);
        let check = |size_bytes, modified, expected| {
            let there = Told {
                size_bytes,
                modified,
            };
            assert_eq!(Adopt::Size.takes(&listed, there), expected, "{there:?}");
        };
        check(1000, None, true);
        check(999, None, false);
        check(1000, Some(listed.modified), true);
        check(1000, Some(i64::MAX), true);
        check(1000, Some(listed.modified - 1), false);
        check(1001, Some(listed.modified), false);
    }

    #[test]
    fn a_version_that_is_known_is_never_adopted() {
        assert!(Adopt::Size.asks(&Held::Nothing) && Adopt::Size.asks(&Held::Unknown));
        assert!(!Adopt::Size.asks(&Held::Version(meta(1))));
    }
}
