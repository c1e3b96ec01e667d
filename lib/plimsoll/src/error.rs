//! The one error of this library: opaque, with a kind to act on and a message to read.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What went wrong, in one sentence that says what was attempted, on what, with which numbers, and
/// what the reader can do. [`Error::kind`] is for programs, `Display` is for people. 48 bytes.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A budget has not enough bytes left.
    OutOfBudget,
    /// An argument or a setting makes no sense.
    Invalid,
    /// The operating system refused or failed.
    Io,
    /// Data that was read is damaged or foreign.
    Malformed,
    /// It took longer than the time that was given.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// What the caller supplied (a build) failed; its own error is the source.
    Failed,
    /// The other side (a worker, a pool) has gone.
    Gone,
    /// This system has no such facility.
    Unsupported,
    /// A fixed space, such as that of ids, is used up.
    Exhausted,
    /// What was to be made is there already.
    Exists,
    /// A request that killed its worker twice is refused.
    Poisoned,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// What a caller can decide by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_why() {
        let error = Error::new(ErrorKind::OutOfBudget, "reserve 5 MiB: 2 MiB are left");
        assert_eq!(error.kind(), ErrorKind::OutOfBudget);
        assert_eq!(error.to_string(), "reserve 5 MiB: 2 MiB are left");
        let source = std::io::Error::other("no space");
        let error = Error::with_source(ErrorKind::Io, "write a.bin", source);
        assert_eq!(error.to_string(), "write a.bin: no space");
        assert!(error.source().is_some());
    }
}
