//! The n-th write or read of a stored dictionary fails, for each n, and it ends at any byte: told, and
//! what is in memory stays as it was.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod tags;

use std::io::{self, Read, Write};

use plimsoll::ErrorKind;
use plimsoll::dictionary::Dictionary;

/// Fails the n-th call, and is interrupted and cut short in the others, as a socket may be.
struct Failing<T> {
    inner: T,
    calls: u64,
    fails_at: u64,
    was_interrupted: bool,
}

impl<T> Failing<T> {
    fn new(inner: T, fails_at: u64) -> Failing<T> {
        Failing {
            inner,
            calls: 0,
            fails_at,
            was_interrupted: false,
        }
    }

    fn call(&mut self) -> io::Result<()> {
        self.was_interrupted = !self.was_interrupted;
        if self.was_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.calls += 1;
        if self.calls == self.fails_at {
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }
}

/// Bytes of a call at most: many calls, and no frame in one.
const CUT: usize = 5000;

impl<T: Write> Write for Failing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call()?;
        self.inner.write(&bytes[..bytes.len().min(CUT)])
    }

    fn flush(&mut self) -> io::Result<()> {
        // As of a file: never interrupted.
        self.calls += 1;
        if self.calls == self.fails_at {
            return Err(io::Error::other("injected"));
        }
        self.inner.flush()
    }
}

impl<T: Read> Read for Failing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.call()?;
        let length = bytes.len().min(CUT);
        self.inner.read(&mut bytes[..length])
    }
}

fn filled(count: usize) -> Dictionary {
    let dictionary = Dictionary::new();
    for tag in tags::tags(count) {
        dictionary.insert(&tag).unwrap();
    }
    dictionary
}

fn stored(dictionary: &Dictionary) -> Vec<u8> {
    let mut bytes = Vec::new();
    dictionary.write_to(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_failing_write_is_told() {
    let dictionary = filled(8000);
    let expected = stored(&dictionary);
    let mut failures = 0;
    for nth in 1.. {
        let mut to = Failing::new(Vec::new(), nth);
        match dictionary.write_to(&mut to) {
            Ok(()) => {
                assert_eq!(to.inner, expected);
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "write {nth}");
                assert!(expected.starts_with(&to.inner), "write {nth}");
            }
        }
        assert_eq!(stored(&dictionary), expected, "write {nth}");
        failures += 1;
    }
    // At least one for each piece of it, and the flush.
    assert!(failures > expected.len() / CUT, "{failures}");
}

#[test]
fn every_failing_read_is_told() {
    let bytes = stored(&filled(8000));
    let mut failures = 0;
    for nth in 1.. {
        let mut from = Failing::new(bytes.as_slice(), nth);
        match Dictionary::read_from(&mut from) {
            Ok(read) => {
                assert_eq!(stored(&read), bytes);
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "read {nth}");
                assert!(error.to_string().contains("injected"), "{error}");
            }
        }
        failures += 1;
    }
    assert!(failures > bytes.len() / CUT, "{failures}");
}

/// A writer that was killed at any byte leaves what is no dictionary.
#[test]
fn what_ends_at_any_byte_is_refused() {
    let bytes = stored(&filled(150));
    for end in 0..bytes.len() {
        let error = Dictionary::read_from(&bytes[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{end}: {error}");
    }
    assert_eq!(Dictionary::read_from(bytes.as_slice()).unwrap().len(), 150);
}
