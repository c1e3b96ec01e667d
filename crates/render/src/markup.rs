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
