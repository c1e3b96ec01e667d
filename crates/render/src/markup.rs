//! Foreign text inside markup: HTML and XML.

use crate::printable::printable;

/// Foreign text as text of an element or as a quoted attribute, in HTML and in XML 1.0, which has
/// no place at all for control characters.
pub(crate) fn escaped(raw: &str) -> String {
    let safe = printable(raw);
    let mut out = String::with_capacity(safe.len() + 8);
    for c in safe.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// [`escaped`] for HTML that wraps: no line breaks between a figure and its unit.
pub(crate) fn escaped_prose(raw: &str) -> String {
    const UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "us", "ms", "s", "min"];
    let text = escaped(raw);
    let mut out = String::with_capacity(text.len() + 32);
    for (number, word) in text.split(' ').enumerate() {
        let unit = word.trim_end_matches([',', ';', ':', '.', ')', ']']);
        if number > 0 {
            let after_figure = out.ends_with(|c: char| c.is_ascii_digit());
            let bound = after_figure && UNITS.contains(&unit);
            out.push_str(if bound { "&nbsp;" } else { " " });
        }
        out.push_str(word);
    }
    out
}
