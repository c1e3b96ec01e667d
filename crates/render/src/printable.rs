//! Foreign text made safe to print: control and format characters escaped, display columns
//! counted, long names shortened.
//!
//! Column counts err on the wide side: a character that some terminals draw two columns wide
//! counts as two, so that no line is ever wider than the terminal. Not a full implementation of
//! UAX #11 and not meant to be.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `raw` with everything escaped that a terminal would obey instead of show: C0 and C1 controls,
/// line and paragraph separators, and the invisible format characters that reorder or hide text.
///
/// Not counted or cut: what is left of `raw` is as wide as it is.
///
/// ```
/// assert_eq!(plimsoll_render::printable("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
/// ```
pub fn printable(raw: &str) -> Cow<'_, str> {
    if !raw.chars().any(is_hidden) {
        return Cow::Borrowed(raw);
    }
    let mut safe = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_hidden(c) => {
                // Writing to a String can't fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0xad | 0x61c
                | 0x180b..=0x180f
                | 0x200b..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x206f
                | 0xfeff
                | 0xfff0..=0xfffb
                // No characters; XML has no place for them.
                | 0xfffe..=0xffff
                | 0xe0000..=0xe0fff
        )
}

/// Display columns of `text`, which has no control characters.
pub(crate) fn columns(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char_columns).sum()
}

fn char_columns(c: char) -> usize {
    match u32::from(c) {
        // Combining diacritical marks sit on the character before them.
        0x300..=0x36f => 0,
        // Hangul, symbols that have an emoji form, CJK, full-width forms, emoji, CJK extensions.
        0x1100..=0x11ff
        | 0x2300..=0x23ff
        | 0x25fd..=0x25fe
        | 0x2600..=0x27bf
        | 0x2b00..=0x2bff
        | 0x2e80..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7ff
        | 0xf900..=0xfaff
        | 0xfe10..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x16fe0..=0x18fff
        | 0x1aff0..=0x1b2ff
        | 0x1d300..=0x1d37f
        | 0x1f000..=0x1ffff
        | 0x20000..=0x3ffff => 2,
        // A few letters and ligatures that fonts draw wider than a column (U+FDFD is the widest).
        0xfdfd | 0x12000..=0x1254f => 2,
        _ => 1,
    }
}

/// `text`, shortened in the middle to at most `width` columns. The tail is the longer part that
/// is kept: of a command line it is the arguments that tell one from another.
pub(crate) fn fit(text: &str, width: usize) -> Cow<'_, str> {
    shortened(text, width, 1)
}

/// Keeps `head` thirds of the room for the head, the others for the tail.
fn shortened(text: &str, width: usize, head: usize) -> Cow<'_, str> {
    const DOTS: &str = "...";
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let Some(room) = width.checked_sub(DOTS.len()) else {
        return Cow::Borrowed(&DOTS[..width]);
    };
    let head = prefix(text, room * head / 3);
    let mut tail_start = text.len();
    let mut left = room - columns(head);
    for (index, c) in text.char_indices().rev() {
        let Some(rest) = left.checked_sub(char_columns(c)) else {
            break;
        };
        left = rest;
        tail_start = index;
    }
    Cow::Owned(format!("{head}{DOTS}{}", &text[tail_start..]))
}

/// [`fit`] for a column of names: of a path that is too long the first folders go, as many as have to,
/// since files of one component differ in their last parts; of a name the head tells most.
pub(crate) fn fit_name(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let slash = text.rfind('/').filter(|_| text.starts_with('/'));
    match slash {
        Some(slash) if slash + 1 == text.len() => fit(text, width),
        Some(slash) if columns(&text[slash..]) + 3 <= width => {
            let mut tails = text.match_indices('/').map(|(at, _)| &text[at..]);
            let tail = tails.find(|tail| columns(tail) + 3 <= width);
            Cow::Owned(format!("...{}", tail.unwrap_or(&text[slash..])))
        }
        Some(slash) => shortened(&text[slash + 1..], width, 2),
        None => shortened(text, width, 2),
    }
}

/// The longest leading part of `text` that fits in `width` columns.
pub(crate) fn prefix(text: &str, width: usize) -> &str {
    let mut left = width;
    for (index, c) in text.char_indices() {
        match left.checked_sub(char_columns(c)) {
            Some(rest) => left = rest,
            None => return &text[..index],
        }
    }
    text
}

/// `text`, escaped, broken at spaces into lines of at most `width` columns. A word that is wider
/// than a line is broken where the line ends.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let safe = printable(text);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in safe.split(' ').filter(|word| !word.is_empty()) {
        let mut word = word;
        let gap = usize::from(used > 0);
        if used > 0 && used + gap + columns(word) > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        while columns(word) > width {
            let mut head = prefix(word, width);
            if head.is_empty() {
                // A character wider than the line: print it alone rather than loop.
                head = &word[..word.chars().next().map_or(0, char::len_utf8)];
            }
            lines.push(head.to_owned());
            word = &word[head.len()..];
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += columns(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        let check = |raw: &str, expected: &str| assert_eq!(printable(raw), expected);
        check("plain /usr/lib/libc.so.6", "plain /usr/lib/libc.so.6");
        check("a\nb\tc\r", "a\\nb\\tc\\r");
        check("\u{1b}[31mred", "\\u{1b}[31mred");
        check("\u{9b}31m", "\\u{9b}31m");
        check("evil\u{202e}gpj.exe", "evil\\u{202e}gpj.exe");
        check("日本語.db", "日本語.db");
        check("\u{fffe}\u{fffd}", "\\u{fffe}\u{fffd}");
    }

    #[test]
    fn shortens_in_the_middle() {
        let check = |text: &str, width: usize, expected: &str| {
            assert_eq!(fit(text, width), expected);
            assert!(columns(&fit(text, width)) <= width);
        };
        check("short", 5, "short");
        check("/usr/lib/python3/site-packages", 16, "/usr...-packages");
        check("日本語日本語日本語", 10, "日...本語");
        check("abcdef", 2, "..");
        check("abcdef", 0, "");
    }

    #[test]
    fn names_that_are_paths_lose_their_folders_first() {
        let check =
            |text: &str, width: usize, expected: &str| assert_eq!(fit_name(text, width), expected);
        check("/usr/lib/libz.so.1", 18, "/usr/lib/libz.so.1");
        check("/usr/lib/libz.so.1", 17, ".../lib/libz.so.1");
        check("/usr/lib/libz.so.1", 16, ".../libz.so.1");
        check("/usr/lib/libz.so.1", 10, "libz.so.1");
        check("/usr/lib/libz.so.1", 8, "lib....1");
        check("/usr/lib/", 8, "/...lib/");
        check("libsqlite3-0 3.40.1 (deb)", 16, "libsqlit...(deb)");
    }

    #[test]
    fn wraps_at_spaces_and_breaks_long_words() {
        let check =
            |text: &str, width: usize, expected: &[&str]| assert_eq!(wrap(text, width), expected);
        check("", 10, &[]);
        check("one two three", 7, &["one two", "three"]);
        check("abcdefghij k", 4, &["abcd", "efgh", "ij k"]);
        check("a\nb", 10, &["a\\nb"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked(text in "\\PC{0,60}|.{0,60}", width in 4usize..100) {
            for line in wrap(&text, width) {
                prop_assert!(columns(&line) <= width);
                prop_assert!(!line.chars().any(is_hidden));
            }
            prop_assert!(columns(&fit(&printable(&text), width)) <= width);
        }
    }
}
