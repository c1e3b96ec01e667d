//! Rows and fields of CSV: quoting, and the groups of figures that several tables have.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Bytes, Reclaim, RssParts, Usage};

use crate::printable::printable;

pub(super) fn write_header(w: &mut dyn Write, titles: &[&str]) -> io::Result<()> {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    write_row(w, &titles)
}

pub(super) fn write_row(w: &mut dyn Write, fields: &[String]) -> io::Result<()> {
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            w.write_all(b",")?;
        }
        // Spaces at the ends are data, but some readers trim them unless quoted.
        if field.contains([',', '"', '\n', '\r']) || field.trim() != field {
            write!(w, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            w.write_all(field.as_bytes())?;
        }
    }
    w.write_all(b"\r\n")
}

/// Foreign text as a field that is safe in a terminal and in a spreadsheet.
pub(super) fn text(raw: &str) -> String {
    let safe = printable(raw);
    // OWASP's list of formula starts; tab and return are escaped already.
    if safe.starts_with(['=', '+', '-', '@']) {
        format!("'{safe}")
    } else {
        safe.into_owned()
    }
}

pub(super) fn optional(figure: Option<impl ToString>) -> String {
    figure.map_or_else(String::new, |figure| figure.to_string())
}

/// Bytes that were estimated: what one item costs may be a fraction of one.
pub(super) fn decimal(bytes: Option<f64>) -> String {
    let bytes = bytes.filter(|bytes| bytes.is_finite());
    optional(bytes.map(|bytes| format!("{bytes:.3}")))
}

/// To the microsecond.
pub(super) fn seconds(time: Duration) -> String {
    let words = format!("{:.6}", time.as_secs_f64());
    words.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn usage_fields(usage: &Usage) -> [String; 7] {
    [
        usage.resident,
        usage.distinct,
        usage.proportional,
        usage.private,
        usage.dirty,
        usage.swap,
        usage.hugetlb,
    ]
    .map(|Bytes(bytes)| bytes.to_string())
}

pub(super) fn reclaim_fields(reclaim: &Reclaim) -> [String; 4] {
    [
        reclaim.must_stay,
        reclaim.swap_only,
        reclaim.droppable,
        reclaim.after_writeback,
    ]
    .map(|Bytes(bytes)| bytes.to_string())
}

/// RSS, anonymous, file-backed, shared memory, swap.
pub(super) fn parts_fields(parts: &RssParts) -> [String; 5] {
    [parts.rss, parts.anon, parts.file, parts.shmem, parts.swap]
        .map(|Bytes(bytes)| bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_defuses_fields() {
        let check = |raw: &str, expected: &str| {
            let mut out = Vec::new();
            write_row(&mut out, &[text(raw)]).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\r\n"));
        };
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("+1", "'+1");
        check("-1", "'-1");
        check("@sum(a1)", "'@sum(a1)");
        check("\t=1", "\\t=1");
        check("line\nbreak", "line\\nbreak");
        check(" padded ", "\" padded \"");
    }
}
