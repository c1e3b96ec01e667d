//! Lines of a large text record, one at a time, with one buffer of bounded size.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;

/// Longest line that is kept whole. Lines that matter hold a name, a version or a path, and
/// PATH_MAX is 4096; what goes beyond is passed over.
const LINE_BYTES_LIMIT: usize = 64 << 10;

/// Calls `each` with every line, without its end, until it breaks. A line over the limit is left
/// out.
pub(crate) fn for_each_line(
    source: impl Read,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(LINE_BYTES_LIMIT, source);
    let mut line = Vec::new();
    let mut is_overlong = false;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            if !line.is_empty() && !is_overlong {
                let _ = each(&line);
            }
            return Ok(());
        }
        let end = memchr::memchr(b'\n', chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let used = part.len() + usize::from(end.is_some());
        is_overlong |= line.len() + part.len() > LINE_BYTES_LIMIT;
        if !is_overlong {
            line.extend_from_slice(part);
        }
        if end.is_some() {
            if !is_overlong && each(&line).is_break() {
                return Ok(());
            }
            line.clear();
            is_overlong = false;
        }
        reader.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for_each_line(bytes, |line| {
            lines.push(line.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn an_overlong_line_is_left_out() {
        let long = vec![b'x'; LINE_BYTES_LIMIT + 1];
        let text = [b"a\n", long.as_slice(), b"\nb\n"].concat();
        assert_eq!(lines(&text), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(lines(&long), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn as_split_by_newlines(wanted in proptest::collection::vec("[a-z ]{0,9}", 0..20)) {
            let text: String = wanted.iter().map(|line| format!("{line}\n")).collect();
            let wanted: Vec<Vec<u8>> = wanted.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(lines(text.as_bytes()), wanted);
        }
    }
}
