//! Files of `NAME=value` lines (`.env`): read, and single lines changed with the others kept.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use plimsoll::stream::AtomicFile;

/// The text of the file, empty where there is none.
///
/// # Errors
/// Where it is there and can't be read.
pub fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The value of `name`: the last line counts, quotes around it do not.
#[must_use]
pub fn value(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().rev();
    let value = lines.filter_map(|line| assigned(line, name)).next()?.trim();
    let quotes = ['"', '\''];
    let inner = quotes
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(inner.unwrap_or(value).to_owned())
}

/// The text with `name` set to `value`, in the place of its last line, or at the end. Its other lines
/// are as they were, byte for byte.
#[must_use]
pub fn with(text: &str, name: &str, value: &str) -> String {
    let count = text
        .lines()
        .filter(|line| assigned(line, name).is_some())
        .count();
    let mut seen = 0;
    let mut changed = String::with_capacity(text.len() + name.len() + value.len() + 2);
    for line in text.split_inclusive('\n') {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        let bare = bare.strip_suffix('\r').unwrap_or(bare);
        let is_it = assigned(bare, name).is_some();
        seen += usize::from(is_it);
        if is_it && seen == count {
            changed.push_str(&format!("{name}={value}"));
            changed.push_str(&line[bare.len()..]);
        } else {
            changed.push_str(line);
        }
    }
    if count == 0 {
        if !changed.is_empty() && !changed.ends_with('\n') {
            changed.push('\n');
        }
        changed.push_str(&format!("{name}={value}\n"));
    }
    changed
}

/// Puts `text` in the place of the file, whole or not at all, unless it is there already; says whether
/// anything changed.
///
/// # Errors
/// Where it can't be written; it is then as it was.
pub fn write(path: &Path, text: &str) -> Result<bool> {
    if path.exists() && read(path)? == text {
        return Ok(false);
    }
    let failed = || format!("write {}", path.display());
    let mut file = AtomicFile::create(path).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.commit()?;
    Ok(true)
}

fn assigned<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    line.strip_prefix(name)?.trim_start().strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept() {
        let check = |text: &str, expected: &str| {
            assert_eq!(with(text, "A", "2"), expected);
            assert_eq!(with(expected, "A", "2"), expected);
            assert_eq!(value(expected, "A").as_deref(), Some("2"));
        };
        check("", "A=2\n");
        check("B=1", "B=1\nA=2\n");
        check("# A=1\r\nA=1\r\nB=3", "# A=1\r\nA=2\r\nB=3");
        check("A=0\nAB=1\n A = 1\n\n", "A=0\nAB=1\nA=2\n\n");
        check("export A='1'\n", "A=2\n");
    }

    #[test]
    fn values() {
        assert_eq!(value("A=\"x y\"\n", "A").as_deref(), Some("x y"));
        assert_eq!(value("A=1\nA=2\n", "A").as_deref(), Some("2"));
        assert_eq!(value("#A=1\nAB=2", "A"), None);
    }
}
