//! JSON against its documentation, both ways: every key that is written is in the schema, every
//! key of the schema is written by some full example, and docs/reference/json.md says what the
//! schema says.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use plimsoll_model::{
    Breakdown, CapFit, CheckReport, CompareReport, LeakReport, ProcessTable, Recorded, ScaleReport,
};
use plimsoll_render::{
    CheckFormat, Format, SCHEMA_VERSION, TextOptions, render_breakdown, render_check,
    render_compare, render_fit, render_leak, render_process_table, render_recorded, render_scale,
};
use serde_json::Value;

fn breakdown_json(breakdown: &Breakdown) -> String {
    let mut out = Vec::new();
    render_breakdown(breakdown, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table_json(table: &ProcessTable) -> String {
    let mut out = Vec::new();
    render_process_table(table, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn recorded_json(recorded: &Recorded) -> String {
    let mut out = Vec::new();
    render_recorded(recorded, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn fit_json(fit: &CapFit) -> String {
    let mut out = Vec::new();
    render_fit(fit, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn leak_json(report: &LeakReport) -> String {
    let mut out = Vec::new();
    render_leak(report, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn check_json(report: &CheckReport) -> String {
    let (format, options) = (CheckFormat::Shared(Format::Json), TextOptions::plain(80));
    let mut out = Vec::new();
    render_check(report, format, &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn scale_json(report: &ScaleReport) -> String {
    let mut out = Vec::new();
    render_scale(report, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn compare_json(report: &CompareReport) -> String {
    let mut out = Vec::new();
    render_compare(report, Format::Json, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_scale() {
    let mut report = fixture::morphometrics();
    report.cells.truncate(1);
    report.cells[0].trials.truncate(1);
    report.laws.truncate(1);
    report.targets.truncate(1);
    insta::assert_snapshot!(scale_json(&report));
}

#[test]
fn a_comparison() {
    let mut report = fixture::fewer_threads(146.2, 0.6);
    for arm in &mut report.arms {
        arm.trials.truncate(1);
    }
    insta::assert_snapshot!(compare_json(&report));
}

#[test]
fn a_tree() {
    let mut breakdown = fixture::full_breakdown();
    breakdown.components.truncate(2);
    insta::assert_snapshot!(breakdown_json(&breakdown));
}

#[test]
fn processes() {
    let mut table = fixture::process_table();
    table.rows = vec![table.rows.remove(0), table.rows.remove(4)];
    insta::assert_snapshot!(table_json(&table));
}

#[test]
fn a_run() {
    let mut recorded = fixture::recorded();
    recorded.samples.truncate(2);
    recorded.breakdowns.truncate(1);
    recorded.breakdowns[0].breakdown.components.truncate(1);
    insta::assert_snapshot!(recorded_json(&recorded));
}

#[test]
fn a_run_in_stages() {
    let mut recorded = fixture::killed_recorded();
    recorded.samples.clear();
    recorded.pressure.truncate(1);
    let mut document: Value = serde_json::from_str(&recorded_json(&recorded)).unwrap();
    let mut kept = serde_json::Map::new();
    for key in ["stages", "lifecycle", "pressure", "cap"] {
        kept.insert(key.to_owned(), document[key].take());
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&kept).unwrap());
}

#[test]
fn components_and_parts_sum_to_their_totals() {
    let document: Value = serde_json::from_str(&breakdown_json(&fixture::service())).unwrap();
    let total = document["totals"]["resident_bytes"].as_u64().unwrap();
    assert_eq!(resident(&document["components"]), total);
    for component in document["components"].as_array().unwrap() {
        if !component["parts"].as_array().unwrap().is_empty() {
            assert_eq!(resident(&component["parts"]), component["resident_bytes"]);
        }
    }
}

#[test]
fn the_peak_is_told_by_the_breakdown_nearest_in_bytes_then_in_time() {
    use plimsoll_model::Bytes;
    let check = |recorded: &Recorded, expected: usize| {
        let document: Value = serde_json::from_str(&recorded_json(recorded)).unwrap();
        assert_eq!(document["peak"]["at_seconds"], 199.0);
        let composition = &document["peak"]["composition"];
        assert_eq!(composition["breakdown_index"], expected, "{composition}");
    };
    let mut recorded = fixture::recorded();
    // Read two seconds before the peak, at nearly all of it.
    check(&recorded, 13);
    // Had that one been read in a dip, the one before, 17 s away, is the better witness, and not
    // the one after the fall, which is nearer in time.
    recorded.breakdowns[13].breakdown.totals.status_rss = Bytes::mib(900);
    check(&recorded, 12);
}

#[test]
fn a_start_that_was_not_recorded_is_null() {
    let text = recorded_json(&fixture::cut_off_before_its_start());
    let document: Value = serde_json::from_str(&text).unwrap();
    for key in [
        "root_pid",
        "root_start_time_ticks",
        "started_at_unix_seconds",
    ] {
        assert_eq!(document.get(key), Some(&Value::Null), "{key}");
    }
}

fn resident(components: &Value) -> u64 {
    let components = components.as_array().unwrap();
    let figures = components
        .iter()
        .map(|c| c["resident_bytes"].as_u64().unwrap());
    figures.sum()
}

#[test]
fn every_written_key_is_documented_and_every_documented_key_is_written() {
    let schema = Schema::read();
    let mut written = BTreeSet::new();
    let leaks = fixture::full_leak_reports();
    let leaks = leaks
        .iter()
        .map(|report| ("leak_document", leak_json(report)));
    let documents = [
        ("breakdown_document", breakdown_json(&fixture::service())),
        (
            "breakdown_document",
            breakdown_json(&fixture::full_breakdown()),
        ),
        (
            "breakdown_document",
            breakdown_json(&fixture::hostile_breakdown()),
        ),
        (
            "process_table_document",
            table_json(&fixture::process_table()),
        ),
        ("recording_document", recorded_json(&fixture::recorded())),
        (
            "recording_document",
            recorded_json(&fixture::full_recorded()),
        ),
        (
            "recording_document",
            recorded_json(&fixture::cut_off_before_its_start()),
        ),
        ("check_document", check_json(&fixture::check_report())),
        ("check_document", check_json(&fixture::hostile_check())),
        ("leak_document", leak_json(&fixture::hostile_leak())),
        ("scale_document", scale_json(&fixture::full_scale())),
        (
            "scale_document",
            scale_json(&fixture::hostile_scale(fixture::HOSTILE[0])),
        ),
        (
            "compare_document",
            compare_json(&fixture::full_comparison()),
        ),
        (
            "compare_document",
            compare_json(&fixture::hostile_comparison()),
        ),
        ("fit_document", fit_json(&fixture::fit())),
        ("fit_document", fit_json(&fixture::full_fit())),
    ];
    for (definition, text) in documents.into_iter().chain(leaks) {
        let document: Value = serde_json::from_str(&text).unwrap();
        let rule = schema.definition(definition);
        schema
            .check(rule, definition, &document, &mut written)
            .unwrap_or_else(|fault| panic!("{definition}: {fault}"));
    }
    let documented: BTreeSet<String> = schema.keys().collect();
    let missing: Vec<&String> = documented.difference(&written).collect();
    assert!(
        missing.is_empty(),
        "documented but not written: {missing:?}"
    );
}

#[test]
fn the_validator_can_fail() {
    let schema = Schema::read();
    let good: Value = serde_json::from_str(&breakdown_json(&fixture::service())).unwrap();
    let check = |spoil: &dyn Fn(&mut Value), expected: &str| {
        let mut document = good.clone();
        spoil(&mut document);
        let rule = schema.definition("breakdown_document");
        let fault = schema
            .check(rule, "breakdown_document", &document, &mut BTreeSet::new())
            .unwrap_err();
        assert!(fault.contains(expected), "{fault}");
    };
    check(&|d| d["extra"] = 1.into(), "extra");
    check(&|d| d["components"][0]["kind"] = "magic".into(), "magic");
    check(&|d| d["totals"]["swap_bytes"] = Value::Null, "swap_bytes");
    check(&|d| d["schema_version"] = 2.into(), "schema_version");
    check(
        &|d| {
            d.as_object_mut().unwrap().remove("gaps");
        },
        "gaps",
    );
}

#[test]
fn the_version_is_the_schemas() {
    let schema = Schema::read();
    let version = &schema.definition("breakdown_document")["properties"]["schema_version"];
    assert_eq!(version["const"], SCHEMA_VERSION);
}

#[test]
fn the_reference_page_says_what_the_schema_says() {
    const MARK: &str = "<!-- keys -->\n";
    let path = reference("json.md");
    let page = fs::read_to_string(&path).unwrap();
    let prose_end = page.find(MARK).expect("the page has its mark") + MARK.len();
    let expected = format!("{}\n{}", &page[..prose_end], Schema::read().tables());
    if std::env::var_os("PLIMSOLL_UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/reference/json.md is not up to date: run this test with PLIMSOLL_UPDATE_DOCS=1"
        );
    }
}

fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference")
        .join(name)
}

/// As much of JSON Schema as docs/reference/plimsoll.schema.json uses.
struct Schema(Value);

impl Schema {
    fn read() -> Schema {
        let text = fs::read_to_string(reference("plimsoll.schema.json")).unwrap();
        Schema(serde_json::from_str(&text).unwrap())
    }

    fn definition(&self, name: &str) -> &Value {
        &self.0["$defs"][name]
    }

    /// "definition.key" of every key.
    fn keys(&self) -> impl Iterator<Item = String> {
        let definitions = self.0["$defs"].as_object().unwrap();
        definitions.iter().flat_map(|(name, rule)| {
            let properties = rule["properties"].as_object().unwrap();
            properties.keys().map(move |key| format!("{name}.{key}"))
        })
    }

    /// `Err` says where `value` breaks `rule`. Keys that hold something go into `written`.
    fn check(
        &self,
        rule: &Value,
        name: &str,
        value: &Value,
        written: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        if let Some(target) = rule["$ref"].as_str() {
            let name = target.strip_prefix("#/$defs/").unwrap();
            return self.check(self.definition(name), name, value, written);
        }
        if let Some(options) = rule["anyOf"].as_array() {
            let wanted = if value.is_null() { 1 } else { 0 };
            return self.check(&options[wanted], name, value, written);
        }
        if rule.get("const").is_some_and(|only| only != value) {
            return Err(format!("{name} is {value}"));
        }
        if let Some(allowed) = rule["enum"].as_array()
            && !allowed.contains(value)
        {
            return Err(format!("{name} is {value}"));
        }
        if !rule["type"].is_null() && !has_type(&rule["type"], value) {
            return Err(format!("{name} is {value}, not {}", rule["type"]));
        }
        if rule["minimum"].as_f64() > value.as_f64() && value.is_number() {
            return Err(format!("{name} is {value}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(&rule["items"], name, item, written)?;
        }
        match value.as_object() {
            Some(object) => self.check_object(rule, name, object, written),
            None => Ok(()),
        }
    }

    fn check_object(
        &self,
        rule: &Value,
        name: &str,
        object: &serde_json::Map<String, Value>,
        written: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        for key in rule["required"].as_array().unwrap() {
            if !object.contains_key(key.as_str().unwrap()) {
                return Err(format!("{name} has no {key}"));
            }
        }
        for (key, value) in object {
            let Some(rule) = rule["properties"].get(key) else {
                return Err(format!("{name}.{key} is not documented"));
            };
            let path = format!("{name}.{key}");
            self.check(rule, &path, value, written)?;
            let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !empty {
                written.insert(path);
            }
        }
        Ok(())
    }

    /// One Markdown table per definition, documents first.
    fn tables(&self) -> String {
        let definitions = self.0["$defs"].as_object().unwrap();
        let mut names: Vec<&String> = definitions.keys().collect();
        names.sort_by_key(|name| (!name.ends_with("_document"), name.as_str()));
        let mut out = String::new();
        for name in names {
            let rule = &definitions[name];
            out.push_str(&format!(
                "## {name}\n\n{}\n\n| key | type | meaning |\n|---|---|---|\n",
                rule["description"].as_str().unwrap()
            ));
            let order = rule["required"].as_array().unwrap();
            for key in order.iter().map(|key| key.as_str().unwrap()) {
                let rule = &rule["properties"][key];
                let meaning = rule["description"].as_str().unwrap();
                out.push_str(&format!("| `{key}` | {} | {meaning} |\n", type_words(rule)));
            }
            out.push('\n');
        }
        format!("{}\n", out.trim_end())
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let one = |wanted: &str| match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the schema uses the type {other}"),
    };
    match wanted {
        Value::Array(any) => any.iter().any(|wanted| one(wanted.as_str().unwrap())),
        wanted => one(wanted.as_str().unwrap()),
    }
}

fn type_words(rule: &Value) -> String {
    let link = |rule: &Value| {
        let name = rule["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        format!("[{name}](#{name})")
    };
    if rule.get("$ref").is_some() {
        return link(rule);
    }
    if let Some(options) = rule["anyOf"].as_array() {
        return format!("{} or null", link(&options[0]));
    }
    if let Some(only) = rule.get("const") {
        return format!("`{only}`");
    }
    if let Some(allowed) = rule["enum"].as_array() {
        let words: Vec<String> = allowed.iter().map(|value| format!("`{value}`")).collect();
        return words.join(", ");
    }
    match &rule["type"] {
        Value::Array(any) => {
            let words: Vec<&str> = any.iter().map(|word| word.as_str().unwrap()).collect();
            words.join(" or ")
        }
        Value::String(word) if word == "array" => match rule["items"].get("$ref") {
            Some(_) => format!("array of {}", link(&rule["items"])),
            None => format!("array of {}", rule["items"]["type"].as_str().unwrap()),
        },
        word => word.as_str().unwrap().to_owned(),
    }
}
