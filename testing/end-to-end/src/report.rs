//! A breakdown as the command printed it, asked by name, kind and file.
//!
//! [`Report`] holds the JSON; every sum that the tool promises is checked when one is made, so that
//! no test can look at a report that does not add up. [`Resident`] is what the kernel says of the
//! same process, to compare with.

use serde_json::Value;

use crate::MIB;
use crate::command::Plimsoll;

/// Readings of one process tried until nothing moved between the kernel's figures and ours.
const QUIET_TRIES: u32 = 5;

/// A breakdown document, or the breakdown of a recording.
#[derive(Debug, Clone)]
pub struct Report {
    pub json: Value,
}

/// The kernel's own figures of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// `Rss` of /proc/PID/smaps_rollup.
    pub rollup_rss: u64,
    /// `VmRSS` of /proc/PID/status.
    pub status_rss: u64,
}

impl Resident {
    /// # Panics
    /// Where the process may not be read.
    #[must_use]
    pub fn read(pid: u32) -> Resident {
        let field = |file: &str, key: &str| {
            let path = format!("/proc/{pid}/{file}");
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("failed to read {path}: {error}"));
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            let kib: u64 = number.unwrap_or_else(|| panic!("{path} has no {key}"));
            kib * 1024
        };
        Resident {
            rollup_rss: field("smaps_rollup", "Rss:"),
            status_rss: field("status", "VmRSS:"),
        }
    }
}

impl Resident {
    /// Asserts that a process has so many resident bytes, by both figures.
    ///
    /// # Panics
    /// Where one says otherwise.
    pub fn assert_is(self, bytes: u64, context: &str) {
        assert_eq!(self.rollup_rss, bytes, "{context}");
        let apart = self.status_rss.abs_diff(bytes);
        assert!(
            apart <= counters_lag(),
            "VmRSS: {self:?}, not {bytes}: {context}"
        );
    }
}

/// How far VmRSS may be from the truth: until Linux 6.16 (commit 82241a83cd15, which stable branches have as well) it comes
/// from counters that lag, by up to 64 pages for each thread, or from 6.2 on by 32 or more for each core.
fn counters_lag() -> u64 {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0_u32));
    let version = (numbers.next(), numbers.next());
    if version >= (Some(6), Some(16)) {
        0
    } else {
        MIB
    }
}

impl Report {
    /// `plimsoll inspect --format json PID`, its sums checked.
    ///
    /// # Panics
    /// Where the command fails or its sums do not hold.
    #[must_use]
    pub fn of(pid: u32) -> Report {
        Report::with(pid, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// As [`Report::of`].
    #[must_use]
    pub fn with(pid: u32, arguments: &[&str]) -> Report {
        let pid = pid.to_string();
        let call = ["inspect", "--format", "json", &pid];
        Report::new(Plimsoll::new(call.iter().chain(arguments)).call().json())
    }

    /// The report of a quiet process: the kernel's figures are the same before and after, or it is
    /// read again.
    ///
    /// # Panics
    /// Where it never is quiet, or as [`Report::of`].
    #[must_use]
    pub fn of_quiet(pid: u32) -> (Report, Resident) {
        Report::quiet_with(pid, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// As [`Report::of_quiet`].
    #[must_use]
    pub fn quiet_with(pid: u32, arguments: &[&str]) -> (Report, Resident) {
        for _ in 0..QUIET_TRIES {
            let before = Resident::read(pid);
            let report = Report::with(pid, arguments);
            if Resident::read(pid) == before {
                return (report, before);
            }
        }
        panic!("{pid} did not hold still for any of {QUIET_TRIES} readings");
    }

    /// # Panics
    /// Where sums that the tool promises do not hold.
    #[must_use]
    pub fn new(json: Value) -> Report {
        let report = Report { json };
        report.check_sums();
        report
    }

    /// A number anywhere in it: `report.number("/totals/resident_bytes")`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        number(self.json.pointer(pointer).unwrap_or(&Value::Null), pointer)
    }

    #[must_use]
    pub fn resident(&self) -> u64 {
        self.number("/totals/resident_bytes")
    }

    #[must_use]
    pub fn unattributed(&self) -> u64 {
        self.number("/unattributed_bytes")
    }

    /// The top components.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn components(&self) -> &[Value] {
        self.json["components"]
            .as_array()
            .expect("components is an array")
    }

    /// Every component and part whose name has `text` in it.
    #[must_use]
    pub fn named(&self, text: &str) -> Vec<&Value> {
        self.find(|component| {
            component["name"]
                .as_str()
                .is_some_and(|name| name.contains(text))
        })
    }

    /// The only component or part whose name has `text` in it; of a component and its own part the
    /// outer one.
    ///
    /// # Panics
    /// Where there is not exactly one.
    #[must_use]
    pub fn only(&self, text: &str) -> &Value {
        let found = self.named(text);
        assert_eq!(found.len(), 1, "{text:?} in {}", self.outline());
        found[0]
    }

    /// The only component or part that is called exactly `name`.
    ///
    /// # Panics
    /// Where there is not exactly one.
    #[must_use]
    pub fn exactly(&self, name: &str) -> &Value {
        let found = self.find(|component| component["name"] == name);
        assert_eq!(found.len(), 1, "{name:?} in {}", self.outline());
        found[0]
    }

    /// Resident bytes of the top components of a kind.
    #[must_use]
    pub fn resident_of_kind(&self, kind: &str) -> u64 {
        let components = self.components().iter();
        components
            .filter(|component| component["kind"] == kind)
            .map(resident)
            .sum()
    }

    /// Outermost components and parts that `wanted` holds for.
    #[must_use]
    pub fn find(&self, wanted: impl Fn(&Value) -> bool) -> Vec<&Value> {
        let mut found = Vec::new();
        let mut left: Vec<&Value> = self.components().iter().rev().collect();
        while let Some(component) = left.pop() {
            if wanted(component) {
                found.push(component);
            } else {
                left.extend(component["parts"].as_array().into_iter().flatten().rev());
            }
        }
        found
    }

    #[must_use]
    pub fn verdict(&self) -> &str {
        self.json["verdict"].as_str().unwrap_or_default()
    }

    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let gaps = self.json["gaps"].as_array().into_iter().flatten();
        gaps.map(ToString::to_string).collect()
    }

    /// Names and bytes, for messages of failing tests.
    #[must_use]
    pub fn outline(&self) -> String {
        let lines = self.components().iter().map(|component| {
            let parts = component["parts"].as_array().into_iter().flatten();
            let parts: Vec<String> = parts
                .take(8)
                .map(|part| format!("{} {}", part["name"], resident(part)))
                .collect();
            format!(
                "{} {} {}: {parts:?}",
                component["kind"],
                component["name"],
                resident(component)
            )
        });
        format!(
            "{}\n{}",
            self.verdict(),
            lines.collect::<Vec<_>>().join("\n")
        )
    }

    fn check_sums(&self) {
        let totals = &self.json["totals"];
        check_sum("the components", self.components(), totals);
        check_reclaim("totals", totals);
        check_within(totals);
        let unattributed = self
            .components()
            .iter()
            .filter(|one| one["kind"] == "unattributed");
        assert_eq!(unattributed.map(resident).sum::<u64>(), self.unattributed());
        for component in self.find(|_| true) {
            check_parts(component);
        }
    }
}

fn check_parts(component: &Value) {
    check_reclaim("a component", component);
    check_within(component);
    let parts = component["parts"].as_array().expect("parts is an array");
    if !parts.is_empty() {
        check_sum("the parts", parts, component);
    }
    for part in parts {
        check_parts(part);
    }
}

fn check_sum(what: &str, parts: &[Value], whole: &Value) {
    for key in [
        "resident_bytes",
        "dirty_bytes",
        "private_bytes",
        "swap_bytes",
    ] {
        let sum: u64 = parts.iter().map(|part| number(&part[key], key)).sum();
        assert_eq!(
            sum,
            number(&whole[key], key),
            "{key} of {what} of {}",
            whole["name"]
        );
    }
}

/// What is a part of the resident bytes by its meaning is not more than they are.
fn check_within(component: &Value) {
    let most = resident(component);
    for key in ["distinct_bytes", "private_bytes", "dirty_bytes"] {
        let part = number(&component[key], key);
        assert!(part <= most, "{key} {part} of {most} resident: {component}");
    }
    // Live bytes may be in swap, too.
    let swapped = number(&component["swap_bytes"], "swap_bytes");
    if let Some(live) = component["used"]["live_bytes"].as_u64() {
        assert!(
            live <= most + swapped,
            "{live} live of {most} resident: {component}"
        );
    }
}

fn check_reclaim(what: &str, component: &Value) {
    let reclaim = &component["reclaim"];
    let keys = [
        "must_stay_bytes",
        "swap_only_bytes",
        "droppable_bytes",
        "after_writeback_bytes",
    ];
    let sum: u64 = keys.iter().map(|key| number(&reclaim[key], key)).sum();
    assert_eq!(
        sum,
        resident(component),
        "reclaim of {what} {}",
        component["name"]
    );
}

fn resident(component: &Value) -> u64 {
    number(&component["resident_bytes"], "resident_bytes")
}

fn number(value: &Value, what: &str) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{what} is {value}, not a number"))
}
