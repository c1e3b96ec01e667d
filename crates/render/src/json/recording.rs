//! A recording as JSON: its facts, the peak, every sample and every breakdown.

use plimsoll_model::{Event, EventKind, ProcessRecord, Recorded, Sample};
use serde::Serialize;

use super::breakdown::BreakdownJson;
use super::conditions::{CapJson, PressureJson};
use super::parts::GapJson;
use super::stage::{LifecycleJson, StageJson};
use crate::figures::run::Run;

#[derive(Serialize)]
pub(super) struct RecordingJson<'a> {
    command: &'a [String],
    root_pid: Option<u32>,
    root_start_time_ticks: Option<u64>,
    started_at_unix_seconds: Option<f64>,
    length_seconds: f64,
    interval_seconds: f64,
    exit_code: Option<i32>,
    exit_signal: Option<i32>,
    complete: bool,
    tool_version: &'a str,
    recorder_cpu_seconds: f64,
    samples_taken: u64,
    verdict: String,
    peak: Option<PeakJson>,
    processes: Vec<ProcessRecordJson<'a>>,
    samples: Vec<SampleJson>,
    breakdowns: Vec<TimedBreakdownJson<'a>>,
    stages: Vec<StageJson<'a>>,
    lifecycle: Option<LifecycleJson<'a>>,
    pressure: Vec<PressureJson>,
    cap: Option<CapJson<'a>>,
    events: Vec<EventJson<'a>>,
    gaps: Vec<GapJson<'a>>,
}

#[derive(Serialize)]
struct PeakJson {
    at_seconds: f64,
    rss_bytes: u64,
    /// The kernel's own mark of the largest process.
    kernel_rss_peak_bytes: Option<u64>,
    composition: Option<CompositionJson>,
}

#[derive(Serialize)]
struct CompositionJson {
    breakdown_index: usize,
    distance_seconds: f64,
    rss_bytes: u64,
}

#[derive(Serialize)]
struct ProcessRecordJson<'a> {
    pid: u32,
    start_time_ticks: u64,
    parent_pid: u32,
    name: &'a str,
    command: &'a [String],
    first_seen_seconds: f64,
    ended_seconds: Option<f64>,
    rss_peak_bytes: u64,
}

#[derive(Serialize)]
struct SampleJson {
    at_seconds: f64,
    pid: u32,
    start_time_ticks: u64,
    rss_bytes: u64,
    anon_bytes: u64,
    file_bytes: u64,
    shmem_bytes: u64,
    swap_bytes: u64,
}

#[derive(Serialize)]
struct TimedBreakdownJson<'a> {
    at_seconds: f64,
    breakdown: BreakdownJson<'a>,
}

#[derive(Serialize)]
struct EventJson<'a> {
    at_seconds: f64,
    kind: &'static str,
    text: &'a str,
}

impl<'a> RecordingJson<'a> {
    pub(super) fn of(recorded: &'a Recorded) -> RecordingJson<'a> {
        let run = Run::of(recorded);
        let meta = &recorded.meta;
        let start = meta.start();
        RecordingJson {
            command: &meta.command,
            root_pid: start.map(|(root, _)| root.pid),
            root_start_time_ticks: start.map(|(root, _)| root.start_time),
            started_at_unix_seconds: start.map(|(_, at)| at.as_secs_f64()),
            length_seconds: meta.length.as_secs_f64(),
            interval_seconds: meta.interval.as_secs_f64(),
            exit_code: meta.exit_code,
            exit_signal: meta.exit_signal,
            complete: meta.complete,
            tool_version: &meta.tool_version,
            recorder_cpu_seconds: meta.recorder_cpu.as_secs_f64(),
            samples_taken: meta.samples_taken,
            verdict: run.verdict(),
            peak: PeakJson::of(&run),
            processes: recorded
                .processes
                .iter()
                .map(ProcessRecordJson::of)
                .collect(),
            samples: recorded.samples.iter().map(SampleJson::of).collect(),
            breakdowns: recorded
                .breakdowns
                .iter()
                .map(|timed| TimedBreakdownJson {
                    at_seconds: timed.at.as_secs_f64(),
                    breakdown: BreakdownJson::of(&timed.breakdown),
                })
                .collect(),
            stages: StageJson::all(recorded),
            lifecycle: LifecycleJson::of(recorded),
            pressure: recorded.pressure.iter().map(PressureJson::of).collect(),
            cap: recorded.cap.as_ref().map(CapJson::of),
            events: recorded.events.iter().map(EventJson::of).collect(),
            gaps: GapJson::all(&recorded.gaps),
        }
    }
}

impl PeakJson {
    fn of(run: &Run<'_>) -> Option<PeakJson> {
        let peak = run.peak?;
        Some(PeakJson {
            at_seconds: peak.at.as_secs_f64(),
            rss_bytes: peak.rss.0,
            kernel_rss_peak_bytes: run.kernel_peak().map(|bytes| bytes.0),
            composition: run.witness.as_ref().map(|witness| CompositionJson {
                breakdown_index: witness.index,
                distance_seconds: witness.distance.as_secs_f64(),
                rss_bytes: witness.rss.0,
            }),
        })
    }
}

impl<'a> ProcessRecordJson<'a> {
    fn of(process: &'a ProcessRecord) -> ProcessRecordJson<'a> {
        ProcessRecordJson {
            pid: process.id.pid,
            start_time_ticks: process.id.start_time,
            parent_pid: process.parent,
            name: &process.name,
            command: &process.command,
            first_seen_seconds: process.first_seen.as_secs_f64(),
            ended_seconds: process.ended.map(|end| end.as_secs_f64()),
            rss_peak_bytes: process.rss_peak.0,
        }
    }
}

impl SampleJson {
    fn of(sample: &Sample) -> SampleJson {
        SampleJson {
            at_seconds: sample.at.as_secs_f64(),
            pid: sample.process.pid,
            start_time_ticks: sample.process.start_time,
            rss_bytes: sample.rss.0,
            anon_bytes: sample.anon.0,
            file_bytes: sample.file.0,
            shmem_bytes: sample.shmem.0,
            swap_bytes: sample.swap.0,
        }
    }
}

impl<'a> EventJson<'a> {
    fn of(event: &'a Event) -> EventJson<'a> {
        EventJson {
            at_seconds: event.at.as_secs_f64(),
            kind: event_name(event.kind),
            text: &event.text,
        }
    }
}

const fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Started => "started",
        EventKind::ProcessStarted => "process_started",
        EventKind::ProcessEnded => "process_ended",
        EventKind::Interrupted => "interrupted",
        EventKind::Ended => "ended",
    }
}
