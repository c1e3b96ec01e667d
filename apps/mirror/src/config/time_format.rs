//! The layout of times in log lines, as Go writes them: by how it would write 3:04:05 p.m. on Monday,
//! 2 January 2006.

/// Each piece of a layout, longest first where one begins with another, and what chrono calls it.
const PIECES: [(&str, &str); 21] = [
    ("2006", "%Y"),
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("-07:00", "+00:00"),
    ("-0700", "+0000"),
    ("Z07:00", "Z"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("_2", "%e"),
    ("T", "T"),
];

/// A layout in the terms of chrono. Times are in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeFormat(&'static str);

impl Default for TimeFormat {
    fn default() -> TimeFormat {
        TimeFormat("%Y-%m-%d %H:%M:%S")
    }
}

impl TimeFormat {
    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }
}

pub(crate) fn parse_time_format(layout: &str) -> Result<TimeFormat, String> {
    let mut rest = layout;
    let mut format = String::new();
    'pieces: while let Some(first) = rest.chars().next() {
        for (piece, name) in PIECES {
            if let Some(after) = rest.strip_prefix(piece) {
                format.push_str(name);
                rest = after;
                continue 'pieces;
            }
        }
        if first.is_alphanumeric() || first == '%' || first.is_control() || layout.len() > 100 {
            let known: Vec<&str> = PIECES.iter().map(|(piece, _)| *piece).collect();
            return Err(format!(
                "the layout {layout:?} is not followed from {rest:?} on; its pieces may be {}",
                known.join(" ")
            ));
        }
        format.push(first);
        rest = &rest[first.len_utf8()..];
    }
    // One a process, which lives as long as the lines that need it.
    Ok(TimeFormat(format.leak()))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn layouts_of_go() {
        let time = DateTime::from_timestamp(1_764_300_245, 7_000_000).unwrap();
        for (layout, expected) in [
            ("2006-01-02 15:04:05", "2025-11-28 03:24:05"),
            ("2006-01-02T15:04:05Z07:00", "2025-11-28T03:24:05Z"),
            (
                "Mon, 02 Jan 2006 15:04:05 MST",
                "Fri, 28 Nov 2025 03:24:05 UTC",
            ),
            ("15:04:05.000", "03:24:05.007"),
            ("02/01/06 03:04 PM", "28/11/25 03:24 AM"),
        ] {
            let format = parse_time_format(layout).unwrap();
            assert_eq!(time.format(format.as_str()).to_string(), expected);
        }
        assert_eq!(
            parse_time_format("2006-01-02 15:04:05"),
            Ok(TimeFormat::default())
        );
        for layout in ["yyyy-mm-dd", "2006 %H", "2006-01-02\n"] {
            let error = parse_time_format(layout).unwrap_err();
            assert!(error.contains("is not followed from"), "{error}");
        }
    }
}
