//! Figures of a run for Prometheus: a text file that appears whole, and a page served while the run
//! lasts. Memory: some hundred bytes of counters, one thread for each that is asked for, and a text of
//! some 4 KiB when it is written.
//!
//! The counters are of the process, which is one run. Format: prometheus.io, "Exposition formats", text
//! format 0.0.4.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use plimsoll::stream::AtomicFile;

use crate::memory::{self, Usage};
use crate::report::Log;
use crate::scan::ScanCounts;
use crate::work::{Phase, Progress, now};

/// How often the file is written.
const INTERVAL: Duration = Duration::from_secs(10);
/// How soon a thread sees that the run is over.
const LOOK: Duration = Duration::from_millis(50);
/// What is read of a request, and how long one may take.
const REQUEST_BYTES_MAX: usize = 4096;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);
const STACK_BYTES: usize = 128 << 10;

/// Requests to the source, by how they ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Success,
    Gone,
    Changed,
    Refused,
    Failed,
}

const ANSWERS: [&str; 5] = ["success", "gone", "changed", "refused", "failed"];

static REQUESTS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
static RETRIES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

pub(crate) fn count_request(answer: Answer) {
    REQUESTS[answer as usize].fetch_add(1, Ordering::Relaxed);
}

/// A further try at one of the sides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Source,
    Destination,
}

pub(crate) fn count_retry(side: Side) {
    RETRIES[side as usize].fetch_add(1, Ordering::Relaxed);
}

/// What is known of the run by now.
#[derive(Debug, Default)]
struct Run {
    counts: Option<ScanCounts>,
    uploads: Progress,
    deletions: Progress,
    withheld: u64,
    /// Name and time of phases that ended.
    phases: Vec<(&'static str, Duration)>,
    exit_code: Option<u8>,
}

/// The figures of this run, and those who tell them. Dropping it ends its threads.
#[derive(Debug)]
pub struct Metrics {
    run: Arc<Mutex<Run>>,
    started: Instant,
    file: Option<(PathBuf, u64)>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    log: Log,
}

impl Metrics {
    /// # Errors
    /// The address can't be listened on.
    pub fn start(file: Option<&Path>, address: Option<&str>, log: Log) -> Result<Metrics> {
        let _scope = memory::METRICS.enter();
        let file = file.map(|path| (path.to_owned(), last_success(path)));
        let mut metrics = Metrics {
            run: Arc::default(),
            started: Instant::now(),
            file,
            stop: Arc::default(),
            threads: Vec::new(),
            log,
        };
        if let Some(address) = address {
            let listener = TcpListener::bind(address)
                .with_context(|| format!("serve metrics at --metrics-addr {address}"))?;
            listener.set_nonblocking(true)?;
            log.debug(format!("metrics are served at {}", listener.local_addr()?));
            let (run, before) = (metrics.run.clone(), metrics.success_before());
            metrics.spawn("metrics http", move |stop| {
                serve(&listener, &run, before, stop)
            })?;
        }
        if let Some((path, before)) = metrics.file.clone() {
            // What can't be written is known before anything is done.
            metrics.write()?;
            let run = metrics.run.clone();
            metrics.spawn("metrics file", move |stop| {
                let mut written = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    if written.elapsed() >= INTERVAL {
                        written = Instant::now();
                        if let Err(error) = write_file(&path, &text(&lock(&run), before)) {
                            log.error(format!("{error:#}"));
                        }
                    }
                    thread::sleep(LOOK);
                }
            })?;
        }
        Ok(metrics)
    }

    fn spawn(&mut self, name: &str, act: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<()> {
        let stop = self.stop.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || memory::METRICS.run(|| act(&stop)))
            .context("start a thread for metrics")?;
        self.threads.push(thread);
        Ok(())
    }

    fn success_before(&self) -> u64 {
        self.file.as_ref().map_or(0, |(_, before)| *before)
    }

    fn write(&self) -> Result<()> {
        match &self.file {
            Some((path, before)) => write_file(path, &text(&lock(&self.run), *before)),
            None => Ok(()),
        }
    }

    /// Runs a phase and keeps how long it took.
    pub(crate) fn phase<T>(&self, name: &'static str, act: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let ended = act();
        lock(&self.run).phases.push((name, begun.elapsed()));
        ended
    }

    pub(crate) fn scanned(&self, counts: &ScanCounts) {
        lock(&self.run).counts = Some(counts.clone());
    }

    pub(crate) fn progress(&self, phase: Phase, progress: &Progress) {
        let mut run = lock(&self.run);
        match phase {
            Phase::Upload => run.uploads = *progress,
            Phase::Delete => run.deletions = *progress,
        }
    }

    pub(crate) fn withheld(&self, count: u64) {
        lock(&self.run).withheld = count;
    }

    /// Tells how the run ended: the file is written for the last time.
    pub fn end(mut self, exit_code: u8) {
        lock(&self.run).exit_code = Some(exit_code);
        self.stop_threads();
        if let Err(error) = self.write() {
            self.log.error(format!("{error:#}"));
        }
        self.log.debug(format!(
            "Metrics: seconds={:.1}",
            self.started.elapsed().as_secs_f64()
        ));
    }

    fn stop_threads(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It panics nowhere, and where it did there is nothing to be done.
            let _ = thread.join();
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

fn lock(run: &Mutex<Run>) -> std::sync::MutexGuard<'_, Run> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

const LAST_SUCCESS: &str = "mirror_last_success_timestamp_seconds";

/// That of an earlier run, out of the file that this one replaces; 0 where there was none.
fn last_success(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(LAST_SUCCESS));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("write metrics to {}", path.display());
    let mut file = AtomicFile::create(path).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.commit().with_context(failed)
}

/// Answers one request after the other, each within its time.
fn serve(listener: &TcpListener, run: &Mutex<Run>, before: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // Whoever breaks off gets nothing.
            Ok((stream, _)) => drop(answer(stream, run, before)),
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn answer(mut stream: TcpStream, run: &Mutex<Run>, before: u64) -> std::io::Result<()> {
    let until = Instant::now() + REQUEST_TIME_MAX;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(REQUEST_TIME_MAX))?;
    let mut request = [0; REQUEST_BYTES_MAX];
    let mut length = 0;
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") && length < request.len() {
        let left = until.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut request[length..])? {
            0 => break,
            _ if left.is_zero() => return Ok(()),
            read => length += read,
        }
    }
    let request = &request[..length];
    let is_ours = [&b"GET /metrics "[..], b"GET /metrics?"];
    let (status, text) = match is_ours.iter().any(|start| request.starts_with(start)) {
        true => ("200 OK", text(&lock(run), before)),
        false => ("404 Not Found", "GET /metrics\n".to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

/// One name: its help, its type and its points.
fn family(text: &mut String, name: &str, kind: &str, help: &str, points: &[(String, f64)]) {
    if points.is_empty() {
        return;
    }
    // Writing to a String can't fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in points {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}

fn plain(value: u64) -> Vec<(String, f64)> {
    vec![(String::new(), value as f64)]
}

fn text(run: &Run, success_before: u64) -> String {
    let mut text = String::new();
    if let Some(counts) = &run.counts {
        of_scan(&mut text, counts);
    }
    let (up, down) = (&run.uploads, &run.deletions);
    let mut counter = |name: &str, help: &str, points: Vec<(String, f64)>| {
        family(&mut text, name, "counter", help, &points);
    };
    counter(
        "mirror_synced_total",
        "Files uploaded in this run.",
        plain(up.done),
    );
    counter(
        "mirror_deleted_total",
        "Files deleted at the destination in this run.",
        plain(down.done),
    );
    let by_phase = |up: u64, down: u64| {
        vec![
            (label("phase", "upload"), up as f64),
            (label("phase", "delete"), down as f64),
        ]
    };
    counter(
        "mirror_failed_total",
        "Files that failed in this run.",
        by_phase(up.failed, down.failed),
    );
    counter(
        "mirror_uploaded_bytes_total",
        "Bytes of files that were uploaded.",
        plain(up.bytes),
    );
    let requests = ANSWERS.iter().zip(&REQUESTS);
    let requests = requests
        .map(|(name, count)| (label("result", name), load(count)))
        .collect();
    counter(
        "mirror_s3_requests_total",
        "Requests to the source, by how they ended.",
        requests,
    );
    let retries = ["source", "destination"].iter().zip(&RETRIES);
    let retries = retries
        .map(|(name, count)| (label("side", name), load(count)))
        .collect();
    counter(
        "mirror_retries_total",
        "Further tries after a failure.",
        retries,
    );
    let mut gauge = |name: &str, help: &str, points: Vec<(String, f64)>| {
        family(&mut text, name, "gauge", help, &points);
    };
    gauge(
        "mirror_waiting_files",
        "Files that failed before and are not due again yet.",
        by_phase(up.waiting, down.waiting),
    );
    gauge(
        "mirror_withheld_deletions",
        "Deletions that a limit or a doubt held back.",
        plain(run.withheld),
    );
    let phases = run.phases.iter();
    let phases = phases
        .map(|(name, time)| (label("phase", name), time.as_secs_f64()))
        .collect();
    gauge(
        "mirror_phase_duration_seconds",
        "Time that a phase took.",
        phases,
    );
    if let Some(code) = run.exit_code {
        gauge(
            "mirror_exit_code",
            "0 both sides are equal, 2 something is left, 1 it failed.",
            plain(code.into()),
        );
    }
    let success = if run.exit_code == Some(0) {
        now()
    } else {
        success_before
    };
    if success > 0 {
        gauge(
            LAST_SUCCESS,
            "When a run last ended with both sides equal.",
            plain(success),
        );
    }
    of_memory(&mut text);
    text
}

fn load(count: &AtomicU64) -> f64 {
    count.load(Ordering::Relaxed) as f64
}

fn of_scan(text: &mut String, counts: &ScanCounts) {
    let all = plain(counts.listed);
    family(
        text,
        "mirror_listed_total",
        "counter",
        "Objects that the source lists.",
        &all,
    );
    let all = plain(counts.new);
    family(
        text,
        "mirror_new_total",
        "counter",
        "Objects that were not known before.",
        &all,
    );
    let refused: Vec<_> = counts
        .refused
        .iter()
        .map(|(why, count)| (label("reason", &why.to_string()), *count as f64))
        .collect();
    let help = "Keys that are never mirrored, by reason.";
    family(text, "mirror_refused_keys", "gauge", help, &refused);
}

fn of_memory(text: &mut String) {
    let usage = Usage::read();
    let kinds = [
        ("rss", usage.rss),
        ("rss_anon", usage.anon),
        ("rss_file", usage.file),
        ("rss_peak", usage.peak),
    ];
    // Never zero for unknown.
    let known: Vec<_> = kinds
        .iter()
        .filter_map(|(name, bytes)| Some((label("kind", name), (*bytes)? as f64)))
        .collect();
    family(
        text,
        "mirror_memory_bytes",
        "gauge",
        "Memory of the process, by the kernel.",
        &known,
    );
    let Some(memory) = memory::current() else {
        return;
    };
    let figures = memory.budget.figures();
    let budget = [
        ("limit", figures.limit_bytes),
        ("held", figures.held_bytes),
        ("peak", figures.held_peak_bytes),
    ];
    let budget: Vec<_> = budget
        .iter()
        .map(|(name, bytes)| (label("kind", name), *bytes as f64))
        .collect();
    family(
        text,
        "mirror_budget_bytes",
        "gauge",
        "The memory budget and what is reserved of it.",
        &budget,
    );
    let tags: Vec<_> = plimsoll::ledger::snapshot()
        .iter()
        .map(|tag| (label("tag", tag.name), tag.live_bytes as f64))
        .collect();
    family(
        text,
        "mirror_live_bytes",
        "gauge",
        "Requested and not freed, by what it is for.",
        &tags,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `promtool check metrics` reads it: every point has a name with a help and a type before it,
    /// points of a name stand together, and counters end in _total.
    fn check(text: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let help = line
                .strip_prefix("# HELP ")
                .unwrap_or_else(|| panic!("{line}"));
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.'), "{line}");
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
            );
            assert!(!names.contains(&name.to_owned()), "{name} stands twice");
            let kind = lines
                .next()
                .unwrap()
                .strip_prefix(&format!("# TYPE {name} "))
                .unwrap();
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            let mut points = 0;
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (point, value) = line.rsplit_once(' ').unwrap();
                let _: f64 = value.parse().unwrap();
                let labels = point.strip_prefix(name).unwrap();
                assert!(
                    labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}")),
                    "{line}"
                );
                points += 1;
            }
            assert!(points > 0, "{name} has no points");
            names.push(name.to_owned());
        }
        names
    }

    #[test]
    fn the_text_is_valid() {
        let mut run = Run::default();
        assert!(!check(&text(&run, 0)).contains(&LAST_SUCCESS.to_owned()));
        run.counts = Some(ScanCounts::default());
        run.phases.push(("scan", Duration::from_millis(1500)));
        run.exit_code = Some(2);
        let shown = text(&run, 77);
        let names = check(&shown);
        assert!(
            names.contains(&"mirror_listed_total".to_owned()),
            "{names:?}"
        );
        assert!(
            shown.contains("mirror_phase_duration_seconds{phase=\"scan\"} 1.5\n"),
            "{shown}"
        );
        assert!(shown.contains("mirror_exit_code 2\n"), "{shown}");
        // A run that leaves something keeps when the last one did not.
        assert!(
            shown.contains("mirror_last_success_timestamp_seconds 77\n"),
            "{shown}"
        );
        assert_eq!(label("a", "x\"\\\n"), "{a=\"x\\\"\\\\\\n\"}");
    }
}
