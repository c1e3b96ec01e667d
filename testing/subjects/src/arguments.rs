//! `--flag value` arguments of a subject, checked against the flags it knows.
//!
//! The main type is [`Arguments`]. A flag that is followed by another flag, or by nothing, is a
//! switch (`--shared`). Unknown flags are errors, so that a test with a typing error fails.

use std::collections::BTreeMap;

/// What is wrong with the arguments of a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("unknown argument {given:?}: this subject knows {known}")]
    Unknown { given: String, known: String },
    #[error("--{flag} wants a whole number, got {given:?}")]
    NotANumber { flag: String, given: String },
}

/// The parsed arguments of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads the arguments of this process; `known` lists every flag, without the dashes.
    pub fn from_environment(known: &[&str]) -> Result<Arguments, ArgumentError> {
        Arguments::parse(std::env::args().skip(1), known)
    }

    /// Parses `arguments`, which do not include the name of the program.
    pub fn parse(
        arguments: impl IntoIterator<Item = String>,
        known: &[&str],
    ) -> Result<Arguments, ArgumentError> {
        let mut values = BTreeMap::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let flag = match argument.strip_prefix("--") {
                Some(flag) if known.contains(&flag) => flag.to_owned(),
                _ => return Err(unknown(argument, known)),
            };
            let value = arguments
                .next_if(|next| !next.starts_with("--"))
                .unwrap_or_default();
            values.insert(flag, value);
        }
        Ok(Arguments { values })
    }

    /// The number after `--flag`, or `default` where the flag is not given.
    pub fn number(&self, flag: &str, default: usize) -> Result<usize, ArgumentError> {
        match self.values.get(flag) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| ArgumentError::NotANumber {
                flag: flag.to_owned(),
                given: text.clone(),
            }),
        }
    }

    /// The number of mebibytes after `--flag`, in bytes.
    pub fn mebibytes(&self, flag: &str, default: usize) -> Result<usize, ArgumentError> {
        Ok(self.number(flag, default)? << 20)
    }

    /// The text after `--flag`, or `default` where the flag is not given.
    #[must_use]
    pub fn text<'a>(&'a self, flag: &str, default: &'a str) -> &'a str {
        self.values.get(flag).map_or(default, String::as_str)
    }

    /// Whether `--flag` is given, with or without a value.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.values.contains_key(flag)
    }
}

fn unknown(given: String, known: &[&str]) -> ArgumentError {
    let known = known
        .iter()
        .map(|flag| format!("--{flag}"))
        .collect::<Vec<_>>()
        .join(", ");
    ArgumentError::Unknown { given, known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(
            line.split_whitespace().map(str::to_owned),
            &["mib", "shared", "file"],
        )
    }

    #[test]
    fn values_switches_and_defaults() {
        let arguments = parse("--mib 3 --shared --file a.db").unwrap();
        assert_eq!(arguments.mebibytes("mib", 64).unwrap(), 3 << 20);
        assert!(arguments.has("shared"));
        assert_eq!(arguments.text("file", "-"), "a.db");
        assert_eq!(parse("").unwrap().mebibytes("mib", 64).unwrap(), 64 << 20);
        assert!(!parse("").unwrap().has("shared"));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |line: &str, expected: &str| {
            let error = match parse(line) {
                Err(error) => error,
                Ok(arguments) => arguments.number("mib", 1).unwrap_err(),
            };
            assert_eq!(error.to_string(), expected);
        };
        let known = "this subject knows --mib, --shared, --file";
        check("--mb 3", &format!("unknown argument \"--mb\": {known}"));
        check("3", &format!("unknown argument \"3\": {known}"));
        check("--mib x", "--mib wants a whole number, got \"x\"");
        check("--mib", "--mib wants a whole number, got \"\"");
    }
}
