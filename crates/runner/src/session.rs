//! One run: the loop that samples, passes signals on, reaps, and tells the observer.
//!
//! Everything happens in the calling thread but full readings, see `reading.rs`.

mod breakdowns;
mod cap;
mod marks;
mod processes;

use std::ops::ControlFlow;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use plimsoll_model::{Breakdown, Bytes, Event, EventKind, Gap, GapReason, ProcessId, RssParts};
use plimsoll_probe::{ProbeError, process_info};

use crate::cap::Cap;
use crate::child::{self, Subreaper, Work};
use crate::clock::{Clock, own_cpu, wall_time};
use crate::launch::{Launch, Leftovers};
use crate::marks::{Mark, MarkListener};
use crate::output::Output;
use crate::pressure::PressureReader;
use crate::reading::Reader;
use crate::schedule::BreakdownSchedule;
use crate::signals::{PASSED_ON, Received, STOPPING, SignalPipe, signal_name};
use crate::stages::Stages;
use crate::ticker::Ticker;
use crate::tree::{Look, Tree};
use crate::{End, Observer, Options, Outcome, Progress, RunnerError};

/// Starts a command and samples it and all that comes of it until it ends.
///
/// All children of this process belong to the subject meanwhile, and are reaped here. Signals sent
/// to this process are passed on. `read_breakdown` is called in another thread, with the live
/// processes, the root first.
pub fn run(
    options: &Options,
    launch: &Launch,
    read_breakdown: impl FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunnerError> {
    let prepare = |what| move |source| RunnerError::Prepare { what, source };
    let caught: Vec<_> = PASSED_ON.into_iter().chain([libc::SIGCHLD]).collect();
    let signals = SignalPipe::install(&caught).map_err(prepare("catch signals"))?;
    let _subreaper = Subreaper::begin().map_err(prepare("become a subreaper"))?;
    let (listener, marks, incoming) =
        MarkListener::open().map_err(prepare("open a socket for marks"))?;
    let cap = Cap::set(launch)?;
    if let Some(cap) = &cap {
        observer.capped(cap.record(), cap.place());
    }
    let started_at = wall_time();
    let clock = Clock::start();
    let started = child::start(launch, cap.as_ref(), &listener, &marks)?;
    drop(marks);
    let words = launch.command.iter().map(|word| word.to_string_lossy());
    let start = Start {
        pid: started.pid,
        anchor: std::process::id(),
        is_child: true,
        // After the fork: what we grew by until then went into the child's figure.
        rss_before: child::own_rss_max(),
        started_at,
        text: words.collect::<Vec<_>>().join(" "),
    };
    let inside = Inside {
        marks: incoming,
        output: started.output,
        cap,
        timeout: launch.timeout,
        leftovers: launch.leftovers,
    };
    sample(
        options,
        &start,
        Some(inside),
        clock,
        &signals,
        read_breakdown,
        observer,
    )
}

/// Samples the running process `pid` and its descendants until it ends or a signal (Ctrl-C) tells
/// us to stop.
pub fn record(
    options: &Options,
    pid: u32,
    read_breakdown: impl FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunnerError> {
    let prepare = |what| move |source| RunnerError::Prepare { what, source };
    let info = process_info(pid).map_err(|source| RunnerError::Attach { pid, source })?;
    let signals = SignalPipe::install(&STOPPING).map_err(prepare("catch signals"))?;
    let start = Start {
        pid,
        anchor: pid,
        is_child: false,
        rss_before: Bytes::ZERO,
        started_at: wall_time(),
        text: format!("attached to {} ({pid})", info.name),
    };
    sample(
        options,
        &start,
        None,
        Clock::start(),
        &signals,
        read_breakdown,
        observer,
    )
}

/// What is sampled.
#[derive(Debug)]
struct Start {
    pid: u32,
    anchor: u32,
    is_child: bool,
    /// Our own highest RSS when the child was forked.
    rss_before: Bytes,
    started_at: Duration,
    text: String,
}

/// What binds us to a subject that we started: what reaches us from inside, and its bounds.
#[derive(Debug)]
struct Inside {
    marks: Receiver<Mark>,
    output: Output,
    cap: Option<Cap>,
    timeout: Option<Duration>,
    leftovers: Leftovers,
}

impl Inside {
    fn limit(&self) -> Option<Bytes> {
        let limit = self.cap.as_ref()?.record().limit;
        (limit < Launch::UNLIMITED).then_some(limit)
    }
}

fn sample(
    options: &Options,
    start: &Start,
    inside: Option<Inside>,
    clock: Clock,
    signals: &SignalPipe,
    read_breakdown: impl FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunnerError> {
    let cpu_before = own_cpu();
    std::thread::scope(|scope| {
        let reader =
            Reader::start(scope, read_breakdown).map_err(|source| RunnerError::Prepare {
                what: "start a thread",
                source,
            })?;
        let mut session = Session {
            start,
            clock,
            observer,
            tree: Tree::new(start.anchor),
            root: ProcessId {
                pid: start.pid,
                start_time: 0,
            },
            ticker: Ticker::new(options.interval()),
            schedule: BreakdownSchedule::new(options.breakdown_interval())
                .under(inside.as_ref().and_then(Inside::limit)),
            reader,
            inside,
            stages: Stages::begin(),
            waiting: None,
            pressure: PressureReader::start(),
            counts: Counts::default(),
            end: None,
            work: Work::default(),
            interrupted: None,
            stopping: false,
        };
        session.begin()?;
        session.follow(signals);
        Ok(session.finish(cpu_before))
    })
}

#[derive(Debug, Default)]
struct Counts {
    samples: u64,
    breakdowns: u64,
    /// Shared pages count once per process here; a breakdown of the tree counts them once.
    parts: RssParts,
    rss_max: Bytes,
    /// Highest RSS known of any one process.
    process_peak: Bytes,
}

struct Session<'a> {
    start: &'a Start,
    clock: Clock,
    observer: &'a mut dyn Observer,
    tree: Tree,
    root: ProcessId,
    ticker: Ticker,
    schedule: BreakdownSchedule,
    reader: Reader,
    inside: Option<Inside>,
    stages: Stages,
    /// A mark whose full reading is on its way; its sender waits.
    waiting: Option<Mark>,
    pressure: PressureReader,
    counts: Counts,
    /// What became of the root; `None` while it runs.
    end: Option<End>,
    work: Work,
    interrupted: Option<i32>,
    stopping: bool,
}

impl Session<'_> {
    fn begin(&mut self) -> Result<(), RunnerError> {
        let pid = self.start.pid;
        let now = self.clock.now();
        match self.tree.add(pid, now) {
            Ok(record) => {
                self.root = record.id;
                self.observer.started(self.root, self.start.started_at);
                self.event(now, EventKind::Started, self.start.text.clone());
                self.tell_started(&record, now);
            }
            Err(source) if !self.start.is_child => {
                return Err(RunnerError::Attach { pid, source });
            }
            // It has ended already. We are its parent, so it is a zombie and still has a name.
            Err(error) => {
                if let Ok(info) = process_info(pid) {
                    self.root = info.id;
                }
                self.observer.started(self.root, self.start.started_at);
                self.event(now, EventKind::Started, self.start.text.clone());
                let what = format!("samples of {}", self.start.text);
                let detail = match error {
                    ProbeError::Zombie { .. }
                    | ProbeError::Vanished { .. }
                    | ProbeError::NoSuchProcess { .. } => {
                        "it ended before the first look at it".to_owned()
                    }
                    error => error.to_string(),
                };
                self.gap(now, Gap::new(what, GapReason::Vanished, detail));
            }
        }
        Ok(())
    }

    fn follow(&mut self, signals: &SignalPipe) {
        loop {
            for received in signals.take() {
                self.take_signal(received);
            }
            self.take_marks();
            if self.start.is_child {
                self.reap();
            }
            self.take_reading();
            if self.end.is_some() || self.stopping {
                return;
            }
            let now = self.clock.now();
            if self.ticker.is_due(now) {
                self.tick(now);
                self.ticker.ticked(now);
            } else {
                signals.wait(self.ticker.wait(now));
            }
        }
    }

    fn finish(mut self, cpu_before: Duration) -> Outcome {
        if let Some(done) = self.reader.wait() {
            self.tell_reading(done);
        }
        self.tell_those_gone();
        if self.end.is_none() {
            self.read_last();
        }
        let length = self.clock.now();
        self.end_leftovers();
        let errors = self.end_stages(length);
        let cap = self.end_cap(length);
        if let Some(sample) = self.pressure.read(length) {
            self.observer.pressure(&sample);
        }
        if self.ticker.missed > 0 {
            let missed = self.ticker.missed;
            let detail = format!("{missed} ticks were skipped: the machine or the job stood still");
            self.gap(length, Gap::new("samples", GapReason::Bounded, detail));
        }
        let end = self.end.unwrap_or(End::StillRunning);
        let text = match end {
            End::Exited(code) => format!("exit code {code}"),
            End::Killed(signal) => format!("killed by {}", signal_name(signal)),
            End::Gone => "ended".to_owned(),
            End::StillRunning => "still running".to_owned(),
        };
        self.event(length, EventKind::Ended, text);
        Outcome {
            root: self.root,
            started_at: self.start.started_at,
            length,
            end,
            interrupted: self.interrupted,
            samples: self.counts.samples,
            breakdowns: self.counts.breakdowns,
            ticks_missed: self.ticker.missed,
            recorder_cpu: own_cpu().saturating_sub(cpu_before),
            cpu: self.work.cpu,
            major_faults: self.work.major_faults,
            errors,
            cap,
        }
    }

    fn tick(&mut self, now: Duration) {
        self.end_if_overdue(now);
        let look = self.tree.look(now);
        self.tell_found(&look, now);
        let mut parts = RssParts::default();
        look.samples.iter().for_each(|sample| parts.add(sample));
        // All that is left may just be ending: what it held is told by the look before.
        if !look.samples.is_empty() {
            self.counts.parts = parts;
        }
        self.counts.rss_max = self.counts.rss_max.max(parts.rss);
        self.stages.sampled(parts.rss);
        for sample in &look.samples {
            self.counts.samples += 1;
            self.observer.sample(sample);
        }
        for gap in look.gaps {
            self.gap(now, gap);
        }
        for id in look.gone {
            self.take_gone(id, now);
        }
        self.ask_for_breakdown(now);
        if let Some(sample) = self.pressure.read_if_due(now) {
            self.observer.pressure(&sample);
        }
        let progress = Progress {
            at: now,
            rss: self.counts.parts.rss,
            rss_max: self.counts.rss_max,
            processes: self.tree.len(),
            samples: self.counts.samples,
            breakdowns: self.counts.breakdowns,
        };
        if let ControlFlow::Break(()) = self.observer.ticked(&progress) {
            self.stopping = true;
        }
    }

    fn tell_found(&mut self, look: &Look, now: Duration) {
        for (record, renamed) in &look.found {
            if *renamed {
                self.observer.process_started(record);
            } else {
                self.tell_started(record, now);
            }
        }
    }

    fn take_signal(&mut self, received: Received) {
        if received.signal == libc::SIGCHLD {
            return;
        }
        self.interrupted = Some(received.signal);
        let name = signal_name(received.signal);
        self.event(self.clock.now(), EventKind::Interrupted, name);
        if !self.start.is_child {
            self.stopping = true;
        } else if !received.from_kernel && received.sender != self.start.pid && self.end.is_none() {
            // The terminal has told the subject itself: a second SIGINT would be one too many.
            child::send(self.start.pid, received.signal);
        }
    }

    fn event(&mut self, at: Duration, kind: EventKind, text: String) {
        self.observer.event(&Event { at, kind, text });
    }

    fn gap(&mut self, at: Duration, gap: Gap) {
        self.observer.gap(at, &gap);
    }
}
