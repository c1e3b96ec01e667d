//! Names of budgets, consumers, resources and operations in Prometheus text and OTLP JSON: whatever
//! they hold, lines stay lines, no series is there twice, and the JSON is JSON with the name in it.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use plimsoll::budget::{Budget, Policy};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::monitor::MonitorOptions;

/// Name, labels and value of a line, by the grammar of the text format 0.0.4.
fn check_line(line: &str) -> &str {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    value.parse::<f64>().expect("a number");
    let Some((name, labels)) = series.split_once('{') else {
        return series;
    };
    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let mut rest = labels.strip_suffix('}').expect("an end");
    loop {
        let (key, tail) = rest.split_once("=\"").expect("a label");
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let mut chars = tail.char_indices();
        let end = loop {
            match chars.next().expect("the end of a label") {
                (_, '\\') => {
                    let (_, escaped) = chars.next().expect("what is escaped");
                    assert!(matches!(escaped, '\\' | '"' | 'n'));
                }
                (at, '"') => break at,
                (_, char) => assert_ne!(char, '\n'),
            }
        };
        match &tail[end + 1..] {
            "" => return series,
            more => rest = more.strip_prefix(',').expect("a comma"),
        }
    }
}

fuzz_target!(|names: [&str; 5]| {
    let [budget_name, first, second, lazy_name, operation] = names;
    let budget = Budget::new(1000, Policy::Greedy);
    let consumers = [budget.consumer(first), budget.consumer(second)];
    let lazy = Lazy::new(&budget, lazy_name, LazyOptions::default(), |_| {
        Ok::<_, std::io::Error>(())
    });
    let monitor = MonitorOptions::default()
        .budget(budget_name, &budget)
        .lazy(&lazy)
        .start()
        .expect("/proc can be read");
    let ((), _) = monitor.operation(operation, || ());
    let metrics = monitor.metrics();
    let text = metrics.prometheus();
    let mut series = HashSet::new();
    assert!(text.ends_with('\n'));
    for line in text.split_terminator('\n') {
        if !line.starts_with("# ") {
            assert!(series.insert(check_line(line)), "twice: {line}");
        }
    }
    let json = metrics.otlp_json(budget_name);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let mut found = HashSet::new();
    collect(&json, &mut found);
    for name in names {
        assert!(found.contains(name), "{name:?}");
    }
    drop(consumers);
});

/// All values of attributes.
fn collect<'a>(json: &'a serde_json::Value, found: &mut HashSet<&'a str>) {
    match json {
        serde_json::Value::Array(list) => list.iter().for_each(|one| collect(one, found)),
        serde_json::Value::Object(map) => {
            if let Some(text) = map.get("stringValue").and_then(|text| text.as_str()) {
                found.insert(text);
            }
            map.values().for_each(|one| collect(one, found));
        }
        _ => {}
    }
}
