//! A message as an object, for whoever reads logs by program. Memory: a line.

use std::fmt::Write;

use chrono::DateTime;
use serde_json::{Map, Value};

/// `{"time":…,"level":…,"message":…}`, and where a message is `Name: key=value, …` also `event` and
/// `fields`.
pub(super) fn line(seconds: i64, level: &str, message: &str) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let mut line = String::new();
    // Writing to a String can't fail; a text is always JSON.
    let quoted = |text: &str| Value::from(text).to_string();
    let _ = write!(
        line,
        "{{\"time\":\"{}\",\"level\":\"{level}\",\"message\":{}",
        time.format("%Y-%m-%dT%H:%M:%SZ"),
        quoted(message)
    );
    if let Some((event, fields)) = parts(message) {
        let _ = write!(
            line,
            ",\"event\":{},\"fields\":{}",
            quoted(event),
            Value::from(fields)
        );
    }
    line.push('}');
    line
}

/// The event and the fields of a message; none where it is a sentence.
fn parts(message: &str) -> Option<(&str, Map<String, Value>)> {
    let (event, rest) = match message.strip_prefix("[MEMSTATS:") {
        Some(_) => message.split_once("] ")?,
        None => message.split_once(": ")?,
    };
    let event = event.strip_prefix('[').unwrap_or(event);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if event.is_empty() || !event.chars().all(is_name) {
        return None;
    }
    let between: &[char] = match message.starts_with('[') {
        true => &[' '],
        false => &[',', ';'],
    };
    let mut fields = Map::new();
    for part in rest.split(between) {
        let (key, value) = part.trim().split_once('=')?;
        let is_word = |text: &str| !text.is_empty() && !text.contains([' ', '"']);
        if !is_word(key) || !is_word(value) {
            return None;
        }
        let number = value.parse::<u64>().ok().map(Value::from);
        fields.insert(key.to_owned(), number.unwrap_or_else(|| value.into()));
    }
    Some((event, fields))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_objects() {
        let parsed = |message: &str| -> Value {
            serde_json::from_str(&line(1_764_300_245, "info", message)).unwrap()
        };
        let shown = parsed("SyncNewFiles: scanned=4, NEW_files=3, TEMP_DELETED→NEW=1; a=b");
        assert_eq!(shown["time"], "2025-11-28T03:24:05Z");
        assert_eq!(shown["event"], "SyncNewFiles");
        let fields = json!({"scanned": 4, "NEW_files": 3, "TEMP_DELETED→NEW": 1, "a": "b"});
        assert_eq!(shown["fields"], fields);
        let shown = parsed("[MEMSTATS:AFTER_SCAN] RSS=1 Pss=unknown");
        assert_eq!(shown["event"], "MEMSTATS:AFTER_SCAN");
        assert_eq!(shown["fields"], json!({"RSS": 1, "Pss": "unknown"}));
        for sentence in [
            "completed",
            "a \"b\": x=1",
            "\"k: a=1\": failed",
            "x: a=1 of 2",
        ] {
            let shown = parsed(sentence);
            assert_eq!(shown["message"], sentence);
            assert!(shown.get("fields").is_none(), "{shown}");
        }
    }
}
