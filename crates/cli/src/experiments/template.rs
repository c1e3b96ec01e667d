//! A command with placeholders: `./import --rows {n}`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::bail;

/// The words of a command in which `{name}` stands for a value.
#[derive(Clone, Debug)]
pub(crate) struct Template<'a> {
    words: &'a [OsString],
}

impl<'a> Template<'a> {
    pub(crate) fn new(words: &'a [OsString]) -> Template<'a> {
        Template { words }
    }

    /// Refuses a command in which a value would go nowhere: every cell would be the same run.
    pub(crate) fn require(&self, name: &str) -> anyhow::Result<()> {
        let placeholder = format!("{{{name}}}");
        let found = self.words.iter().any(|word| {
            let mut windows = word.as_bytes().windows(placeholder.len());
            windows.any(|window| window == placeholder.as_bytes())
        });
        if !found {
            bail!(
                "vary {name}: the command has no {placeholder}, so its value would go nowhere; put \
                 {placeholder} where the size belongs"
            );
        }
        Ok(())
    }

    /// The command with each `{name}` replaced.
    pub(crate) fn fill(&self, values: &[(&str, &str)]) -> Vec<OsString> {
        let fill_word = |word: &OsString| {
            let mut bytes = word.as_bytes().to_vec();
            for (name, value) in values {
                bytes = replace(&bytes, format!("{{{name}}}").as_bytes(), value.as_bytes());
            }
            OsString::from_vec(bytes)
        };
        self.words.iter().map(fill_word).collect()
    }

    /// An owner's name with the value taken out again where the command named the file with it:
    /// "data-100.bin" and "data-1000.bin" are both "data-{n}.bin", one owner that grows.
    pub(crate) fn unfilled(&self, filled: &[OsString], owner: &str) -> String {
        for (given, filled) in self.words.iter().zip(filled) {
            let (given, filled) = (given.to_string_lossy(), filled.to_string_lossy());
            let pairs = pieces(&given).zip(pieces(&filled));
            for (given, filled) in pairs.filter(|(given, filled)| given != filled) {
                let folder = owner.strip_suffix(filled);
                // A size alone is too common a name to be known by.
                let is_file = filled.contains(|c: char| !c.is_ascii_digit());
                if let Some(folder) = folder.filter(|it| it.is_empty() || it.ends_with('/'))
                    && is_file
                {
                    return format!("{folder}{given}");
                }
            }
        }
        owner.to_owned()
    }

    /// As the user gave it.
    pub(crate) fn text(&self) -> Vec<String> {
        let words = self.words.iter();
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }
}

/// What may be the name of a file inside a word: `--data=/tmp/x.bin`, a script after `sh -c`.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| c.is_whitespace() || "=/'\";,:".contains(c))
}

fn replace(bytes: &[u8], placeholder: &[u8], value: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if rest.starts_with(placeholder) {
            filled.extend_from_slice(value);
            rest = &rest[placeholder.len()..];
        } else {
            filled.push(*first);
            rest = &rest[1..];
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn placeholders_are_filled_wherever_they_stand() {
        let check = |words: &[&str], expected: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let filled = Template::new(&words).fill(&[("n", "10"), ("p", "x{n}")]);
            assert_eq!(filled, expected);
        };
        check(&["a", "{n}", "--x={n}-{n}"], &["a", "10", "--x=10-10"]);
        check(&["{m}", "{", "n}", "{}"], &["{m}", "{", "n}", "{}"]);
        check(&["{p}"], &["x{n}"]);
    }

    #[test]
    fn a_file_that_the_command_named_by_size_is_one_owner() {
        let check = |word: &str, owner: &str, expected: &str| {
            let words = [OsString::from("look"), OsString::from(word)];
            let template = Template::new(&words);
            let filled = template.fill(&[("n", "100")]);
            assert_eq!(
                template.unfilled(&filled, owner),
                expected,
                "{word} {owner}"
            );
        };
        check("data-{n}.bin", "data-100.bin", "data-{n}.bin");
        check("--in=/tmp/{n}.db", "100.db", "{n}.db");
        check("/tmp/{n}.db", "/tmp/100.db", "/tmp/{n}.db");
        check("import 'x{n}'; look y{n}", "y100", "y{n}");
        check("data-{n}.bin", "other-100.bin", "other-100.bin");
        check("data-{n}.bin", "data-1000.bin", "data-1000.bin");
        check("{n}.db", "a100.db", "a100.db");
        check("{n}", "100", "100");
    }

    #[test]
    fn a_value_that_goes_nowhere_is_refused() {
        let words = vec![OsString::from("run"), OsString::from("n={n}")];
        let template = Template::new(&words);
        assert!(template.require("n").is_ok());
        let error = template.require("p").unwrap_err().to_string();
        assert!(error.contains("no {p}"), "{error}");
    }

    proptest! {
        #[test]
        fn only_placeholders_change(before in "[^{]{0,9}", after in "[^{]{0,9}", value in "\\PC{0,9}") {
            let words = [OsString::from(format!("{before}{{n}}{after}")), OsString::from(&before)];
            let filled = Template::new(&words).fill(&[("n", &value)]);
            prop_assert_eq!(&filled[0], &OsString::from(format!("{before}{value}{after}")));
            prop_assert_eq!(&filled[1], &OsString::from(before));
        }
    }
}
