//! All figures as metrics, in Prometheus text or as an OTLP/HTTP JSON body. Text only: no socket is
//! opened here; an application's own HTTP server or client carries it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{MonitorFigures, StallSource};
use crate::ledger::{self, TagFigures};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Seconds,
    Ratio,
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Int(i64),
    Float(f64),
}

type Labels = Vec<(&'static str, Arc<str>)>;

#[derive(Clone, Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    unit: Unit,
    kind: Kind,
    points: Vec<(Labels, Value)>,
}

/// The metrics of one moment. About 100 bytes a point.
#[derive(Clone, Debug)]
pub struct Metrics {
    list: Vec<Metric>,
    started: SystemTime,
    read: SystemTime,
}

/// Builds the list: points of one name stand together, as Prometheus wants.
struct Builder(Vec<Metric>);

impl Builder {
    fn add(
        &mut self,
        (name, unit, kind): (&'static str, Unit, Kind),
        help: &'static str,
        labels: Labels,
        value: Value,
    ) {
        let metric = match self.0.iter_mut().position(|metric| metric.name == name) {
            Some(at) => &mut self.0[at],
            None => {
                self.0.push(Metric {
                    name,
                    help,
                    unit,
                    kind,
                    points: Vec::new(),
                });
                self.0.last_mut().expect("it was just pushed")
            }
        };
        metric.points.push((labels, value));
    }

    fn bytes(&mut self, name: &'static str, help: &'static str, labels: Labels, bytes: u64) {
        self.add((name, Unit::Bytes, Kind::Gauge), help, labels, int(bytes));
    }

    fn total(&mut self, name: &'static str, help: &'static str, labels: Labels, count: u64) {
        self.add((name, Unit::Count, Kind::Sum), help, labels, int(count));
    }

    fn total_bytes(&mut self, name: &'static str, help: &'static str, labels: Labels, bytes: u64) {
        self.add((name, Unit::Bytes, Kind::Sum), help, labels, int(bytes));
    }
}

/// Both formats have signed 64-bit integers.
fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Metrics {
    pub(super) fn new(figures: &MonitorFigures, started: SystemTime) -> Metrics {
        let mut builder = Builder(Vec::new());
        process(&mut builder, figures);
        pressure(&mut builder, figures);
        tags(&mut builder, &ledger::snapshot());
        for (name, budget) in &figures.budgets {
            budgets(&mut builder, name, budget);
        }
        for (name, lazy) in &figures.lazies {
            lazies(&mut builder, name, lazy);
        }
        for (name, operation) in &figures.operations {
            let labels = vec![("operation", name.clone())];
            let (help, count) = ("Operations that ended.", operation.count);
            builder.total("plimsoll.operation", help, labels.clone(), count);
            let help = "Highest peak of RSS of an operation, child processes included.";
            builder.bytes(
                "plimsoll.operation.peak",
                help,
                labels.clone(),
                operation.peak_bytes,
            );
            let help = "Peak of RSS of the last operation, child processes included.";
            let peak = operation.peak_bytes_last;
            builder.bytes("plimsoll.operation.peak_last", help, labels, peak);
        }
        Metrics {
            list: builder.0,
            started,
            read: SystemTime::now(),
        }
    }

    /// The Prometheus text format, version 0.0.4. O(points).
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for metric in &self.list {
            let mut name = metric.name.replace('.', "_");
            name.push_str(match metric.unit {
                Unit::Bytes => "_bytes",
                Unit::Seconds => "_seconds",
                Unit::Ratio => "_ratio",
                Unit::Count => "",
            });
            let kind = match metric.kind {
                Kind::Gauge => "gauge",
                Kind::Sum => {
                    name.push_str("_total");
                    "counter"
                }
            };
            // Writing to a String can't fail.
            let _ = writeln!(text, "# HELP {name} {}", metric.help);
            let _ = writeln!(text, "# TYPE {name} {kind}");
            for (labels, value) in &metric.points {
                text.push_str(&name);
                for (at, (label, value)) in labels.iter().enumerate() {
                    let lead = if at == 0 { '{' } else { ',' };
                    let _ = write!(text, "{lead}{label}=\"{}\"", escape_label(value));
                }
                if !labels.is_empty() {
                    text.push('}');
                }
                let _ = match value {
                    Value::Int(value) => writeln!(text, " {value}"),
                    Value::Float(value) => writeln!(text, " {value}"),
                };
            }
        }
        text
    }

    /// The body of an OTLP/HTTP export request in JSON: POST it to `/v1/metrics` of a collector with
    /// content type `application/json`. Sums are cumulative since the monitor started. O(points).
    #[must_use]
    pub fn otlp_json(&self, service_name: &str) -> String {
        let mut text = String::from("{\"resourceMetrics\":[{\"resource\":{\"attributes\":[");
        write_attribute(&mut text, "service.name", service_name);
        text.push_str("]},\"scopeMetrics\":[{\"scope\":{\"name\":\"plimsoll\",\"version\":");
        write_string(&mut text, env!("CARGO_PKG_VERSION"));
        text.push_str("},\"metrics\":[");
        for (at, metric) in self.list.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            self.write_metric(&mut text, metric);
        }
        text.push_str("]}]}]}");
        text
    }

    fn write_metric(&self, text: &mut String, metric: &Metric) {
        text.push_str("{\"name\":");
        write_string(text, metric.name);
        text.push_str(",\"description\":");
        write_string(text, metric.help);
        text.push_str(",\"unit\":");
        write_string(
            text,
            match metric.unit {
                Unit::Bytes => "By",
                Unit::Seconds => "s",
                Unit::Ratio | Unit::Count => "1",
            },
        );
        text.push_str(match metric.kind {
            Kind::Gauge => ",\"gauge\":{\"dataPoints\":[",
            // 2: cumulative.
            Kind::Sum => {
                ",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":["
            }
        });
        for (at, (labels, value)) in metric.points.iter().enumerate() {
            text.push_str(if at == 0 { "{" } else { ",{" });
            text.push_str("\"attributes\":[");
            for (at, (label, value)) in labels.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_attribute(text, label, value);
            }
            let (started, read) = (nanos(self.started), nanos(self.read));
            // 64-bit integers are strings in JSON of protobuf. Writing to a String can't fail.
            let _ = write!(
                text,
                "],\"startTimeUnixNano\":\"{started}\",\"timeUnixNano\":\"{read}\","
            );
            let _ = match value {
                Value::Int(value) => write!(text, "\"asInt\":\"{value}\"}}"),
                Value::Float(value) if value.is_finite() => write!(text, "\"asDouble\":{value}}}"),
                Value::Float(value) => write!(text, "\"asDouble\":\"{value}\"}}"),
            };
        }
        text.push_str("]}}");
    }
}

fn process(builder: &mut Builder, figures: &MonitorFigures) {
    let process = &figures.process;
    let help = "Resident memory of the process.";
    builder.bytes("plimsoll.process.rss", help, vec![], process.rss_bytes);
    let help = "Resident memory by backing; anon needs swap to go, clean file pages do not.";
    let parts = [
        ("anon", process.anon_bytes),
        ("file", process.file_bytes),
        ("shmem", process.shmem_bytes),
    ];
    for (kind, bytes) in parts {
        let labels = vec![("kind", Arc::from(kind))];
        builder.bytes("plimsoll.process.rss_part", help, labels, bytes);
    }
    let help = "Memory of the process that is swapped out.";
    builder.bytes("plimsoll.process.swap", help, vec![], process.swap_bytes);
    if let Some(cgroup) = &figures.cgroup {
        let help = "Charged to the fullest memory cgroup of the process, page cache included.";
        builder.bytes(
            "plimsoll.cgroup.current",
            help,
            vec![],
            cgroup.current_bytes,
        );
        let help = "File pages of that cgroup that are dropped first.";
        let inactive = cgroup.inactive_file_bytes;
        builder.bytes("plimsoll.cgroup.inactive_file", help, vec![], inactive);
        if let Some(limit) = cgroup.limit_bytes {
            let help = "Limit of that cgroup.";
            builder.bytes("plimsoll.cgroup.limit", help, vec![], limit);
        }
    }
}

fn pressure(builder: &mut Builder, figures: &MonitorFigures) {
    if let Some(stall) = figures.stall {
        let source = match figures.stall_source {
            StallSource::Cgroup => "cgroup",
            StallSource::Machine => "machine",
            StallSource::Absent => "absent",
        };
        let help = "Share of time in which tasks waited for memory.";
        for (who, ratio) in [("some", stall.some_ratio), ("full", stall.full_ratio)] {
            let labels = vec![("of", Arc::from(source)), ("tasks", Arc::from(who))];
            let kind = ("plimsoll.stall", Unit::Ratio, Kind::Gauge);
            builder.add(kind, help, labels, Value::Float(ratio));
        }
    }
    let help = "0 calm, 1 tight, 2 critical.";
    let kind = ("plimsoll.pressure.level", Unit::Count, Kind::Gauge);
    builder.add(kind, help, vec![], Value::Int(figures.level as i64));
    let help = "Changes of that level.";
    let changes = figures.level_changes_total;
    builder.total("plimsoll.pressure.level_changes", help, vec![], changes);
    let help = "Bytes that hooks of budgets freed because memory was short outside of them.";
    let relieved = figures.relieved_bytes_total;
    builder.total_bytes("plimsoll.pressure.relieved", help, vec![], relieved);
    let help = "Times that freed memory was given back to the system.";
    builder.total("plimsoll.trim", help, vec![], figures.trim.trims_total);
    let help = "Anonymous RSS that those gave back.";
    let freed = figures.trim.freed_bytes_total;
    builder.total_bytes("plimsoll.trim.freed", help, vec![], freed);
    let kind = ("plimsoll.trim.took_last", Unit::Seconds, Kind::Gauge);
    let took = Value::Float(figures.trim.took_last.as_secs_f64());
    builder.add(kind, "How long the last one took.", vec![], took);
    let help = "Hooks, callbacks and purges that panicked in the monitor.";
    builder.total(
        "plimsoll.monitor.panics",
        help,
        vec![],
        figures.panics_total,
    );
}

/// Tags of the ledger, where one counts. Tags of one name are one series: their peaks, which were not at
/// one moment, are added up, so theirs is at most that.
fn tags(builder: &mut Builder, all: &[TagFigures]) {
    let mut by_name: Vec<TagFigures> = Vec::new();
    for tag in all.iter().filter(|tag| tag.total_blocks > 0) {
        match by_name.iter_mut().find(|known| known.name == tag.name) {
            Some(known) => {
                known.live_bytes += tag.live_bytes;
                known.live_blocks += tag.live_blocks;
                known.peak_bytes += tag.peak_bytes;
                known.total_bytes += tag.total_bytes;
            }
            None => by_name.push(*tag),
        }
    }
    for tag in by_name {
        let labels = vec![("tag", Arc::from(tag.name))];
        let help = "Requested bytes that are live, by tag of the ledger.";
        builder.bytes("plimsoll.tag.live", help, labels.clone(), tag.live_bytes);
        let help = "Blocks that are live, by tag of the ledger.";
        let blocks = ("plimsoll.tag.live_blocks", Unit::Count, Kind::Gauge);
        builder.add(blocks, help, labels.clone(), int(tag.live_blocks));
        let help = "Highest live bytes so far, by tag of the ledger.";
        builder.bytes("plimsoll.tag.peak", help, labels.clone(), tag.peak_bytes);
        let help = "Bytes requested so far, by tag of the ledger.";
        builder.total_bytes("plimsoll.tag.requested", help, labels, tag.total_bytes);
    }
}

fn budgets(builder: &mut Builder, name: &Arc<str>, budget: &crate::budget::Figures) {
    let labels = || vec![("budget", name.clone())];
    let bytes = [
        (
            "plimsoll.budget.limit",
            "Limit of the budget.",
            budget.limit_bytes,
        ),
        (
            "plimsoll.budget.held",
            "Sum of its reservations.",
            budget.held_bytes,
        ),
        (
            "plimsoll.budget.held_peak",
            "Highest sum ever.",
            budget.held_peak_bytes,
        ),
        (
            "plimsoll.budget.left",
            "What can be handed out now.",
            budget.left_bytes,
        ),
        (
            "plimsoll.budget.withheld",
            "Kept back because of drift.",
            budget.withheld_bytes,
        ),
        (
            "plimsoll.budget.waiting",
            "Wanted by requests in line.",
            budget.waiting_bytes,
        ),
    ];
    for (name, help, bytes) in bytes {
        builder.bytes(name, help, labels(), bytes);
    }
    let help = "RSS less reservations: above zero is memory that nobody reserved.";
    let kind = ("plimsoll.budget.drift", Unit::Bytes, Kind::Gauge);
    builder.add(kind, help, labels(), Value::Int(budget.drift_bytes));
    let kind = ("plimsoll.budget.waiting_requests", Unit::Count, Kind::Gauge);
    builder.add(
        kind,
        "Requests in line.",
        labels(),
        int(budget.waiting as u64),
    );
    let totals = [
        (
            "plimsoll.budget.granted",
            "Claims granted.",
            budget.granted_total,
        ),
        (
            "plimsoll.budget.refused",
            "Claims refused.",
            budget.refused_total,
        ),
        (
            "plimsoll.budget.hooks_called",
            "Hooks called.",
            budget.hooks_called_total,
        ),
    ];
    for (name, help, total) in totals {
        builder.total(name, help, labels(), total);
    }
    let freed = budget.hooks_freed_bytes_total;
    builder.total_bytes(
        "plimsoll.budget.hooks_freed",
        "Freed by hooks.",
        labels(),
        freed,
    );
    consumers(builder, name, budget);
}

fn consumers(builder: &mut Builder, name: &Arc<str>, budget: &crate::budget::Figures) {
    // Consumers of one name are one time series.
    let mut consumers = std::collections::BTreeMap::<&Arc<str>, (u64, u64)>::new();
    for consumer in &budget.consumers {
        let sums = consumers.entry(&consumer.name).or_default();
        sums.0 += consumer.held_bytes;
        sums.1 += consumer.refused_total;
    }
    for (consumer, (held, refused)) in consumers {
        let labels = || vec![("budget", name.clone()), ("consumer", consumer.clone())];
        let help = "Held by one consumer.";
        builder.bytes("plimsoll.budget.consumer.held", help, labels(), held);
        let help = "Claims of one consumer that were refused.";
        builder.total("plimsoll.budget.consumer.refused", help, labels(), refused);
    }
}

fn lazies(builder: &mut Builder, name: &Arc<str>, lazy: &crate::lazy::LazyFigures) {
    let labels = || vec![("resource", name.clone())];
    builder.bytes(
        "plimsoll.lazy.held",
        "Reserved for it.",
        labels(),
        lazy.held_bytes,
    );
    builder.total("plimsoll.lazy.built", "Builds.", labels(), lazy.built_total);
    builder.total(
        "plimsoll.lazy.failed",
        "Builds that failed.",
        labels(),
        lazy.failed_total,
    );
    let unloads = [
        ("idleness", lazy.unloaded_by_idleness_total),
        ("pressure", lazy.unloaded_by_pressure_total),
        ("request", lazy.unloaded_by_request_total),
    ];
    for (why, total) in unloads {
        let mut labels = labels();
        labels.push(("why", Arc::from(why)));
        builder.total("plimsoll.lazy.unloaded", "Unloads.", labels, total);
    }
}

/// Nanoseconds since 1970; 0 for a clock before that.
fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

fn escape_label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn write_attribute(text: &mut String, key: &str, value: &str) {
    text.push_str("{\"key\":");
    write_string(text, key);
    text.push_str(",\"value\":{\"stringValue\":");
    write_string(text, value);
    text.push_str("}}");
}

/// A JSON string, RFC 8259.
fn write_string(text: &mut String, value: &str) {
    text.push('"');
    for char in value.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            // Writing to a String can't fail.
            char if char < ' ' => drop(write!(text, "\\u{:04x}", u32::from(char))),
            char => text.push(char),
        }
    }
    text.push('"');
}
