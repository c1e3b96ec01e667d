//! Which keys are mirrored, and to which path. Pure.
//!
//! A key is a path below the base path, as it stands: nothing is mapped, so two keys never become one
//! file. What FTP or a file system would take for something else is refused and counted.

use std::fmt;

/// What every temporary name at the destination begins with.
pub const TEMP_PREFIX: &str = ".mirror-part-";

/// Bytes of one part of a path that file systems take.
const PART_BYTES_MAX: usize = 255;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Mirror,
    /// Ends in `/`: tools make such objects to show an empty folder; no file is meant.
    FolderMarker,
    Refuse(Refusal),
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Not UTF-8: FTP has no other way to name it.
    NotText,
    /// A part is empty: `a//b`, or a `/` at the start, would become the file of another key.
    EmptyPart,
    /// A part is `.` or `..`, which leads elsewhere.
    Dots,
    /// CR, LF, NUL or another control character: it would end or change the command of FTP.
    Control,
    /// A part is longer than file systems take.
    LongPart,
    /// A part begins as temporary files of this program do.
    Reserved,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotText => "not UTF-8",
            Refusal::EmptyPart => "an empty part in the path",
            Refusal::Dots => "a part that is . or ..",
            Refusal::Control => "a control character",
            Refusal::LongPart => "a part of more than 255 bytes",
            Refusal::Reserved => "a part that begins with .mirror-part-",
        })
    }
}

/// What becomes of `key`. O(bytes).
#[must_use]
pub fn judge(key: &[u8]) -> Policy {
    let Ok(text) = std::str::from_utf8(key) else {
        return Policy::Refuse(Refusal::NotText);
    };
    // Most keys are printable ASCII, which is seen many bytes at a time; characters come one by one.
    let is_printable = |all, byte: &u8| all & matches!(byte, b' '..=b'~');
    if !key.iter().fold(true, is_printable) && text.chars().any(char::is_control) {
        return Policy::Refuse(Refusal::Control);
    }
    let (path, is_marker) = match text.strip_suffix('/') {
        Some(path) => (path, true),
        None => (text, false),
    };
    let has_backslash = key.contains(&b'\\');
    for part in path.split('/') {
        let refusal = match part {
            "" => Refusal::EmptyPart,
            "." | ".." => Refusal::Dots,
            // A server on Windows takes `\` for `/`.
            windows if has_backslash && windows.split('\\').any(|part| part == "..") => {
                Refusal::Dots
            }
            long if long.len() > PART_BYTES_MAX => Refusal::LongPart,
            ours if ours.starts_with(TEMP_PREFIX) => Refusal::Reserved,
            _ => continue,
        };
        return Policy::Refuse(refusal);
    }
    if is_marker {
        Policy::FolderMarker
    } else {
        Policy::Mirror
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |key: &[u8], expected: Policy| {
            assert_eq!(judge(key), expected, "{}", key.escape_ascii());
        };
        let refuse = |key: &[u8], refusal| check(key, Policy::Refuse(refusal));
        for key in [
            "a",
            "a/b/c.txt",
            " a ",
            "..a",
            r"a\b..\c",
            "a..",
            "...",
            "ä/日本",
            ".part",
            "a-b~c+&%20",
        ] {
            check(key.as_bytes(), Policy::Mirror);
        }
        check(b"a/", Policy::FolderMarker);
        check(b"a/b/", Policy::FolderMarker);
        for key in [
            "../escape.txt",
            "..",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a/./b",
            r"a\..\..\b",
            r"..\b",
        ] {
            refuse(key.as_bytes(), Refusal::Dots);
        }
        for key in ["x//dbl.txt", "/a", "/", "//", "a//", ""] {
            refuse(key.as_bytes(), Refusal::EmptyPart);
        }
        for key in ["a\rb", "a\nb", "a\0b", "a\tb", "a\u{7f}", "a\u{85}", "a\n/"] {
            refuse(key.as_bytes(), Refusal::Control);
        }
        refuse(b"a\xffb", Refusal::NotText);
        refuse(&[b'a'; 256], Refusal::LongPart);
        check(&[b'a'; 255], Policy::Mirror);
        refuse(b"a/.mirror-part-7", Refusal::Reserved);
    }
}
