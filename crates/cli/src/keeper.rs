//! Keeps a run: what the runner observes goes into the recording, and a progress line to the
//! terminal.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_model::{
    Breakdown, CapRecord, Event, Gap, GapReason, PressureSample, ProcessId, ProcessRecord,
    RecordingMeta, Sample, Stage, StageSource,
};
use plimsoll_recording::{RecordingError, RecordingWriter};
use plimsoll_render::printable;
use plimsoll_runner::{BreakdownReason, Observer, Outcome, Progress};

use crate::arguments::Sampling;
use crate::cap;
use crate::stage_line::stage_line;
use crate::status_line::StatusLine;

/// Names tried before giving up on finding a free one: `make.plimsoll`, `make-2.plimsoll`, ….
const NAMES_TRIED: u32 = 10_000;

/// The recording being written, and where.
pub(crate) struct Keeper {
    writer: RecordingWriter,
    meta: RecordingMeta,
    path: PathBuf,
    /// Deleted when dropped: the user wants no recording, only the report made from it.
    temporary: bool,
    stop_after: Option<Duration>,
    status: StatusLine,
    /// The expression that lines of output are to match, until one did.
    unmatched: Option<String>,
    /// Whether to print a line at the end of each stage.
    stage_lines: bool,
    stages: u64,
}

/// What is said about stages while a command runs, and at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageTalk<'a> {
    /// Lines of output that match begin stages.
    pub(crate) pattern: Option<&'a str>,
    /// A line at the end of each stage.
    pub(crate) lines: bool,
}

impl Keeper {
    /// Opens the recording before anything runs, so that a refused file means nothing was run.
    pub(crate) fn open(
        sampling: &Sampling,
        command: Vec<String>,
        subject: &str,
        stop_after: Option<Duration>,
    ) -> Result<Keeper, RecordingError> {
        let meta = RecordingMeta {
            command,
            root: ProcessId {
                pid: 0,
                start_time: 0,
            },
            started_at: Duration::ZERO,
            length: Duration::ZERO,
            interval: sampling.interval,
            exit_code: None,
            exit_signal: None,
            complete: false,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            recorder_cpu: Duration::ZERO,
            samples_taken: 0,
        };
        let (writer, path) = match &sampling.recording {
            Some(path) if sampling.overwrite => {
                (RecordingWriter::replace(path, &meta)?, path.clone())
            }
            Some(path) => (RecordingWriter::create(path, &meta)?, path.clone()),
            None => {
                let folder = if sampling.no_recording {
                    std::env::temp_dir()
                } else {
                    PathBuf::new()
                };
                create_numbered(&folder, subject, &meta)?
            }
        };
        Ok(Keeper {
            writer,
            meta,
            path,
            temporary: sampling.no_recording,
            stop_after,
            status: StatusLine::new(sampling.quiet),
            unmatched: None,
            stage_lines: false,
            stages: 0,
        })
    }

    pub(crate) fn follow_stages(&mut self, talk: StageTalk<'_>) {
        self.unmatched = talk.pattern.map(str::to_owned);
        self.stage_lines = talk.lines;
    }

    /// Closes the recording and says on standard error where it is.
    pub(crate) fn finish(mut self, outcome: &Outcome) -> Finished {
        self.status.clear();
        self.tell_unmatched(outcome.length);
        self.meta.root = outcome.root;
        self.meta.started_at = outcome.started_at;
        self.meta.length = outcome.length;
        self.meta.exit_code = outcome.end.exit_code();
        self.meta.exit_signal = outcome.end.exit_signal();
        self.meta.complete = true;
        self.meta.recorder_cpu = outcome.recorder_cpu;
        self.meta.samples_taken = outcome.samples;
        if let Some(cap) = &outcome.cap {
            Self::noted(self.writer.cap(cap));
        }
        match self.writer.finish(&self.meta) {
            Ok(summary) if summary.rows_dropped > 0 => eprintln!(
                "plimsoll: {} rows did not reach {}: the disk was too slow",
                summary.rows_dropped,
                summary.path.display()
            ),
            Ok(_) => {}
            Err(error) => eprintln!("plimsoll: {error}"),
        }
        Finished {
            path: self.path,
            temporary: self.temporary,
        }
    }

    /// An expression with a mistake in it is not to look like a run without stages.
    fn tell_unmatched(&mut self, at: Duration) {
        let Some(pattern) = self.unmatched.take() else {
            return;
        };
        let mut told = format!("no line of output matched {pattern}");
        if self.stages == 0 {
            told.push_str(": the run was not cut into stages");
        }
        eprintln!("plimsoll: {}", printable(&told));
        let gap = Gap::new("stages by lines of output", GapReason::Absent, told);
        Self::noted(self.writer.gap(at, &gap));
    }

    /// Nothing ran: the empty recording goes.
    pub(crate) fn discard(self) {
        let Keeper { writer, path, .. } = self;
        drop(writer);
        // It was made a moment ago and holds nothing.
        let _ = std::fs::remove_file(path);
    }

    /// A failed recording must not disturb the subject: it is said once, sampling goes on.
    fn noted(result: Result<(), RecordingError>) {
        if let Err(error) = result {
            eprintln!("plimsoll: {error}");
        }
    }
}

/// A recording that is closed.
pub(crate) struct Finished {
    path: PathBuf,
    temporary: bool,
}

impl Finished {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says where the recording is, if it is to stay.
    pub(crate) fn announce(&self) {
        if !self.temporary {
            eprintln!("plimsoll: recording kept in {}", self.path.display());
        }
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if self.temporary {
            // A leftover in the temporary folder is all that can go wrong.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn create_numbered(
    folder: &Path,
    subject: &str,
    meta: &RecordingMeta,
) -> Result<(RecordingWriter, PathBuf), RecordingError> {
    let stem: String = subject
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(64)
        .collect();
    let mut number = 1;
    loop {
        let name = if number == 1 {
            format!("{stem}.plimsoll")
        } else {
            format!("{stem}-{number}.plimsoll")
        };
        let path = folder.join(name);
        match RecordingWriter::create(&path, meta) {
            Err(RecordingError::Exists { .. }) if number < NAMES_TRIED => number += 1,
            created => return Ok((created?, path)),
        }
    }
}

impl Observer for Keeper {
    fn capped(&mut self, record: &CapRecord, place: &str) {
        cap::tell_start(record, place);
        // Already now: it shall be known after a crash, too.
        Self::noted(self.writer.cap(record));
    }

    fn started(&mut self, root: ProcessId, started_at: Duration) {
        Self::noted(self.writer.subject_started(root, started_at));
    }

    fn process_started(&mut self, process: &ProcessRecord) {
        Self::noted(self.writer.process_started(process));
    }

    fn process_ended(&mut self, process: &ProcessRecord) {
        let at = process.ended.unwrap_or(process.first_seen);
        Self::noted(self.writer.process_ended(process.id, at, process.rss_peak));
    }

    fn sample(&mut self, sample: &Sample) {
        Self::noted(self.writer.sample(sample));
    }

    fn breakdown(&mut self, at: Duration, _reason: BreakdownReason, breakdown: Breakdown) {
        Self::noted(self.writer.breakdown(at, &breakdown));
    }

    fn stage(&mut self, stage: &Stage) {
        self.stages += 1;
        if stage.source == StageSource::Log {
            self.unmatched = None;
        }
        if self.stage_lines {
            self.status.clear();
            // Whoever reads it may be gone; the run must not care.
            let _ = io::stderr().write_all(stage_line(stage).as_bytes());
        }
        Self::noted(self.writer.stage(stage));
    }

    fn pressure(&mut self, sample: &PressureSample) {
        Self::noted(self.writer.pressure(sample));
    }

    fn event(&mut self, event: &Event) {
        Self::noted(self.writer.event(event));
    }

    fn gap(&mut self, at: Duration, gap: &Gap) {
        Self::noted(self.writer.gap(at, gap));
    }

    fn ticked(&mut self, progress: &Progress) -> ControlFlow<()> {
        self.status.show(words_of(progress));
        match self.stop_after {
            Some(limit) if progress.at >= limit => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// "12.3 s  RSS 1.00 MiB  …".
fn words_of(progress: &Progress) -> String {
    let processes = if progress.processes == 1 {
        "process"
    } else {
        "processes"
    };
    format!(
        "{:.1} s  RSS {}  peak {}  {} {processes}  {} samples, {} breakdowns",
        progress.at.as_secs_f64(),
        progress.rss,
        progress.rss_max,
        progress.processes,
        progress.samples,
        progress.breakdowns
    )
}
