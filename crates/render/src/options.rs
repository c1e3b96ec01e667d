//! What the caller decides about an output: its format, and how text is laid out.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// An output format, by the word that `--format` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    Csv,
    Html,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Text, Format::Json, Format::Csv, Format::Html];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Html => "html",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat {
                word: name.to_owned(),
                known: "text, json, csv or html",
            })
    }
}

/// An output format of a check: those of every report, and the one that build servers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    Shared(Format),
    Junit,
}

impl CheckFormat {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CheckFormat::Shared(format) => format.name(),
            CheckFormat::Junit => "junit",
        }
    }
}

impl fmt::Display for CheckFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for CheckFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<CheckFormat, UnknownFormat> {
        if name == CheckFormat::Junit.name() {
            return Ok(CheckFormat::Junit);
        }
        let shared = name.parse().map(CheckFormat::Shared);
        shared.map_err(|unknown: UnknownFormat| UnknownFormat {
            known: "text, json, csv, html or junit",
            ..unknown
        })
    }
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat {
    word: String,
    /// Those that there are.
    known: &'static str,
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "read {:?} as an output format: use {}",
            self.word, self.known
        )
    }
}

impl Error for UnknownFormat {}

/// How text is laid out. The other formats ignore it: they are always complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the reader's terminal; under [`TextOptions::WIDTH_MIN`] counts as that.
    pub width: u16,
    /// Whether to use ANSI colour. Nothing is said by colour alone.
    pub color: bool,
    /// How many levels of parts are shown below the components; 0 shows none.
    pub depth: usize,
    /// How many components (parts, rows) of each level get lines of their own; the others are
    /// summed up in one. `None` shows all.
    pub top: Option<usize>,
}

impl TextOptions {
    /// The narrowest layout in which the figures and some of a name fit side by side.
    pub const WIDTH_MIN: u16 = 80;

    /// No colour, one level of parts, and as many lines as a screen or two hold.
    #[must_use]
    pub const fn plain(width: u16) -> TextOptions {
        TextOptions {
            width,
            color: false,
            depth: 1,
            top: Some(12),
        }
    }

    /// How many of `rows` get lines of their own. The line that would stand for one more is no
    /// shorter than that one's.
    pub(crate) fn shown_of(&self, rows: usize) -> usize {
        match self.top {
            Some(top) if rows > top + 1 => top,
            _ => rows,
        }
    }

    pub(crate) fn columns(&self) -> usize {
        usize::from(self.width.max(TextOptions::WIDTH_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_by_their_names() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let error = "yaml".parse::<Format>().unwrap_err();
        assert!(error.to_string().contains("\"yaml\""));
        assert_eq!("junit".parse(), Ok(CheckFormat::Junit));
        assert_eq!("csv".parse(), Ok(CheckFormat::Shared(Format::Csv)));
        let error = "xml".parse::<CheckFormat>().unwrap_err();
        assert!(error.to_string().ends_with("html or junit"));
    }
}
