//! Words and widths: text shortened or wrapped to columns and made printable with it; times and
//! changes in words.

use std::time::Duration;

use plimsoll_model::{Bytes, Exactness};
use plimsoll_render::printable;
use ratatui::text::Span;

use super::super::changes::Change;

/// Columns that `text`, which is printable, takes.
pub(super) fn columns(text: &str) -> usize {
    Span::raw(text).width()
}

fn char_columns(c: char) -> usize {
    columns(c.encode_utf8(&mut [0; 4]))
}

/// The longest start of `text` within `width` columns.
fn prefix(text: &str, width: usize) -> &str {
    let mut left = width;
    for (index, c) in text.char_indices() {
        match left.checked_sub(char_columns(c)) {
            Some(rest) => left = rest,
            None => return &text[..index],
        }
    }
    text
}

/// `text`, printable, cut at its end to `width` columns.
pub(super) fn clip(text: &str, width: usize) -> String {
    let safe = printable(text);
    if columns(&safe) <= width {
        return safe.into_owned();
    }
    format!("{}…", prefix(&safe, width.saturating_sub(1)))
        .chars()
        .take(width)
        .collect()
}

/// A component's name, printable, in `width` columns: of a long path the file's name is kept,
/// for its folders are often those of all its neighbours.
pub(super) fn shorten(name: &str, width: usize) -> String {
    let safe = printable(name);
    match safe.rsplit_once('/') {
        Some((_, file)) if safe.starts_with('/') && columns(&safe) > width => {
            clip(&format!("…/{file}"), width)
        }
        _ => clip(&safe, width),
    }
}

/// `text`, printable, in at most `lines` lines of at most `width` columns, broken at spaces; what
/// does not fit is cut with an ellipsis.
pub(super) fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let safe = printable(text);
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut words = safe.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.peek().filter(|_| lines > 0) {
        let gap = usize::from(!line.is_empty());
        let fits = columns(&line) + gap + columns(word) <= width;
        if !fits && wrapped.len() + 1 >= lines {
            // The last line: all that is left, cut.
            let rest: Vec<&str> = words.collect();
            let rest = rest.join(" ");
            let joined = if line.is_empty() {
                rest
            } else {
                format!("{line} {rest}")
            };
            wrapped.push(clip(&joined, width));
            return wrapped;
        }
        if !fits && !line.is_empty() {
            wrapped.push(std::mem::take(&mut line));
            continue;
        }
        if gap == 1 {
            line.push(' ');
        }
        // A word wider than a line is cut: names are shown whole elsewhere.
        line.push_str(&clip(word, width));
        words.next();
    }
    if !line.is_empty() {
        wrapped.push(line);
    }
    wrapped.truncate(lines);
    wrapped
}

/// A length of time: "0.8 s", "34 s", "3 min 4 s", "2 h 5 min".
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) if time.is_zero() => "0 s".to_owned(),
        (0, 0, 0) if time < Duration::from_millis(1) => format!("{} us", time.as_micros()),
        (0, 0, 0) if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        (0, 0, 0) if time < Duration::from_secs(10) => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// "+12.0 MiB", "-4.00 KiB", "0"; "?" when it can't be told.
pub(super) fn change(change: Option<Change>) -> String {
    match change {
        None => "?".to_owned(),
        Some(change) if change.size().is_zero() => "0".to_owned(),
        Some(change) if change.to > change.from => format!("+{}", change.size()),
        Some(change) => format!("-{}", change.size()),
    }
}

/// Bytes with the mark of how good they are.
pub(super) fn marked(bytes: Bytes, exactness: Exactness) -> String {
    match exactness {
        Exactness::Exact => bytes.to_string(),
        Exactness::Estimated => format!("~{bytes}"),
        Exactness::AtMost => format!("≤{bytes}"),
    }
}

/// A share in whole percent that never rounds to none or all.
pub(super) fn percent(part: Bytes, whole: Bytes) -> String {
    let ratio = part.ratio_of(whole) * 100.0;
    if part.is_zero() {
        "0%".to_owned()
    } else if ratio < 0.5 {
        "<1%".to_owned()
    } else if part < whole && ratio > 99.0 {
        ">99%".to_owned()
    } else {
        format!("{ratio:.0}%")
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_shortened_to_columns() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(shorten("/usr/lib/python3/numpy.so", 13), "…/numpy.so");
        assert_eq!(shorten("/usr/lib/python3/numpy.so", 7), "…/nump…");
        assert_eq!(shorten("/usr/lib/a", 13), "/usr/lib/a");
        assert_eq!(shorten("libc6 2.36-9 (deb)", 10), "libc6 2.3…");
        assert_eq!(shorten("日本語日本語日本語", 10), "日本語日…");
    }

    #[test]
    fn text_is_wrapped_to_lines() {
        let check = |text: &str, width, lines, expected: &[&str]| {
            assert_eq!(wrap(text, width, lines), expected);
        };
        check("one two three", 7, 3, &["one two", "three"]);
        check("one two three", 7, 1, &["one tw…"]);
        check("one two three four", 8, 2, &["one two", "three f…"]);
        check("", 7, 3, &[]);
    }

    #[test]
    fn times_and_changes_in_words() {
        let check = |millis, expected: &str| {
            assert_eq!(span(Duration::from_millis(millis)), expected);
        };
        check(0, "0 s");
        check(34, "34 ms");
        check(1700, "1.7 s");
        check(59_999, "59 s");
        check(184_000, "3 min 4 s");
        check(7_500_000, "2 h 5 min");
        check(200_000_000, "2 d 7 h");
        let between = |from, to| {
            change(Some(Change {
                from: Bytes(from),
                to: Bytes(to),
            }))
        };
        assert_eq!(between(1024, 3072), "+2.00 KiB");
        assert_eq!(between(3072, 1024), "-2.00 KiB");
        assert_eq!(between(3072, 3072), "0");
        assert_eq!(change(None), "?");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked(text in "\\PC{0,60}|.{0,60}", width in 0usize..100) {
            prop_assert!(columns(&clip(&text, width)) <= width);
            prop_assert!(columns(&shorten(&text, width)) <= width);
            for line in wrap(&text, width, 4) {
                prop_assert!(columns(&line) <= width);
                prop_assert!(matches!(printable(&line), Cow::Borrowed(_)));
            }
        }
    }
}
