//! Reads the paths in a wheel's `RECORD`, a CSV file without a heading (PyPA "Recording installed
//! projects"): path, hash, size. Takes bytes, opens nothing, and copies only quoted paths.

use std::borrow::Cow;

/// The first field of each record of `bytes`, in order; empty lines are passed over.
pub(crate) fn paths(bytes: &[u8]) -> Paths<'_> {
    Paths { rest: bytes }
}

#[derive(Clone, Debug)]
pub(crate) struct Paths<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Paths<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        while let [b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let (path, rest) = match self.rest {
            [b'"', quoted @ ..] => split_quoted(quoted),
            plain => split_plain(plain),
        };
        self.rest = after_record(rest);
        Some(path)
    }
}

/// A field without quotes, and what follows it.
fn split_plain(bytes: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let end = memchr::memchr3(b',', b'\n', b'\r', bytes).unwrap_or(bytes.len());
    (Cow::Borrowed(&bytes[..end]), &bytes[end..])
}

/// A field whose opening quote was taken off, and what follows its closing quote. A doubled quote
/// stands for one; without a closing quote the field is all that is left.
fn split_quoted(bytes: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut copied: Vec<u8> = Vec::new();
    let mut rest = bytes;
    loop {
        let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        if let [b'"', b'"', after @ ..] = after {
            copied.extend_from_slice(text);
            copied.push(b'"');
            rest = after;
            continue;
        }
        let after = after.get(1..).unwrap_or_default();
        if copied.is_empty() {
            return (Cow::Borrowed(text), after);
        }
        copied.extend_from_slice(text);
        return (Cow::Owned(copied), after);
    }
}

/// What follows the record's end; line ends within quotes belong to the record.
fn after_record(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    loop {
        let Some(end) = memchr::memchr3(b'\n', b'\r', b'"', rest) else {
            return &[];
        };
        let quoted = rest[end] == b'"';
        rest = &rest[end + 1..];
        if !quoted {
            return rest;
        }
        rest = split_quoted(rest).1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_fields() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<Vec<u8>> = paths(text.as_bytes()).map(Cow::into_owned).collect();
            let expected: Vec<Vec<u8>> = expected.iter().map(|s| s.as_bytes().to_vec()).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("", &[]);
        check("a.py,sha256=x,1\nb.so,,\n", &["a.py", "b.so"]);
        check("a.py,sha256=x,1\r\nb.so,,", &["a.py", "b.so"]);
        check("\n\na\n", &["a"]);
        check("\"a,b.py\",sha256=x,1\nc,,\n", &["a,b.py", "c"]);
        check("\"say \"\"hi\"\".py\",,\n", &["say \"hi\".py"]);
        check("\"two\nlines\",,\nc,,\n", &["two\nlines", "c"]);
        check("a,\"x\ny\",1\nb,,\n", &["a", "b"]);
        check("\"no end", &["no end"]);
    }

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn never_panics_and_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(paths(&bytes).count() <= bytes.len());
        }

        #[test]
        fn what_a_csv_writer_wrote_comes_back(
            fields in proptest::collection::vec("[ -~\n\r]{1,12}", 0..8),
            hash in "[ -~\n]{0,8}",
        ) {
            let text: String = fields
                .iter()
                .map(|field| format!("{},{},12\r\n", quoted(field), quoted(&hash)))
                .collect();
            let found: Vec<Vec<u8>> = paths(text.as_bytes()).map(Cow::into_owned).collect();
            let expected: Vec<Vec<u8>> = fields.iter().map(|s| s.clone().into_bytes()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
