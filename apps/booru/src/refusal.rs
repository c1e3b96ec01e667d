//! What was asked for and can't be done because of how it was asked, as opposed to what went wrong. Its
//! text is for who asked.

use std::fmt;

/// Goes through [`anyhow::Error`], out of which [`Refusal::of`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It says something that can't be.
    Invalid(String),
    /// It is about something that is not there.
    Missing(String),
}

impl Refusal {
    /// The refusal that an error comes of, if it comes of one.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Option<&Refusal> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid(text) | Refusal::Missing(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}

/// Returns with a [`Refusal::Invalid`]; takes what `format!` takes.
#[macro_export]
macro_rules! refuse {
    ($($text:tt)*) => {
        return Err($crate::refusal::Refusal::Invalid(format!($($text)*)).into())
    };
}

/// Returns with a [`Refusal::Missing`]; takes what `format!` takes.
#[macro_export]
macro_rules! missing {
    ($($text:tt)*) => {
        return Err($crate::refusal::Refusal::Missing(format!($($text)*)).into())
    };
}
