//! Work of models that a command waits for: how far it is, and how it ended.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::board::Board;
use crate::command::{say, say_json, shown};
use crate::config::FormArguments;
use crate::ml::arguments::WorkArguments;
use crate::ml::queue::{self, Counts, Kind, Submitted};
use crate::ml::service::{KindStatus, Service};
use crate::ml::settings::Settings;
use crate::ml::tables;

/// Something was set aside.
const INCOMPLETE: u8 = 1;
/// Between two looks at how far the work is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How a command's work ended.
#[derive(Debug, Serialize)]
struct Report {
    /// All where there is none.
    kind: Option<Kind>,
    /// Put into the queue now, and in it already.
    queued: u64,
    already: u64,
    done: u64,
    set_aside: u64,
    seconds: f64,
    per_second: f64,
    /// What is left in the queue, and why.
    left: u64,
    waits_because: Option<String>,
}

pub(super) fn submit(
    mut board: Board,
    settings: Settings,
    kind: Kind,
    images: &[u32],
    work: &WorkArguments,
    form: &FormArguments,
) -> Result<ExitCode> {
    tables::ensure(&mut board)?;
    let submitted = queue::submit(&board.store, kind, images)?;
    do_work(board, settings, Some(kind), submitted, work, form)
}

/// Of one kind, or of all.
pub(super) fn do_work(
    board: Board,
    settings: Settings,
    kind: Option<Kind>,
    submitted: Submitted,
    work: &WorkArguments,
    form: &FormArguments,
) -> Result<ExitCode> {
    let mut report = Report {
        kind,
        queued: submitted.queued,
        already: submitted.already,
        done: 0,
        set_aside: 0,
        seconds: 0.0,
        per_second: 0.0,
        left: counts_of(&board, kind)?.open(),
        waits_because: None,
    };
    if !work.queue_only && report.left > 0 {
        run_until_done(board, settings, &mut report)?;
    }
    tell(&report, form)
}

fn counts_of(board: &Board, kind: Option<Kind>) -> Result<Counts> {
    let mut sum = Counts::default();
    for one in kinds_of(kind) {
        sum += queue::counts(&board.store, one)?;
    }
    Ok(sum)
}

pub(super) fn kinds_of(kind: Option<Kind>) -> impl Iterator<Item = Kind> {
    let all = Kind::ALL.into_iter();
    all.filter(move |one| kind.is_none_or(|kind| kind == *one))
}

/// Works off the queue, or watches another process that does, until nothing is left that does not wait.
fn run_until_done(board: Board, settings: Settings, report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    let total = report.left;
    let before = counts_of(&board, report.kind)?;
    let service = Service::start(settings, Arc::new(Mutex::new(board)))?;
    let mut line = ProgressLine::default();
    loop {
        thread::sleep(LOOK_INTERVAL);
        let status = service.status()?;
        let kinds = status.kinds.into_iter();
        let kinds = kinds.filter(|one| report.kind.is_none_or(|kind| kind == one.kind));
        let kinds: Vec<KindStatus> = kinds.collect();
        let mut counts = Counts::default();
        for one in &kinds {
            counts += one.counts;
        }
        report.left = counts.open();
        report.set_aside = counts.failed.saturating_sub(before.failed);
        report.done = total.saturating_sub(report.left + report.set_aside);
        let open = kinds.iter().filter(|one| one.counts.open() > 0);
        let open: Vec<&KindStatus> = open.collect();
        if let Some(one) = open.first().copied().or(kinds.last()) {
            line.show(one, total, report)?;
        }
        if report.left == 0 {
            break;
        }
        let mut reasons = open.iter().map(|one| one.waits_because.as_ref());
        report.waits_because = match reasons.clone().all(|reason| reason.is_some()) {
            true => reasons.next().flatten().cloned(),
            false => status.error,
        };
        if report.waits_because.is_some() {
            break;
        }
    }
    line.end()?;
    service.stop();
    report.seconds = begun.elapsed().as_secs_f64();
    report.per_second = (report.done + report.set_aside) as f64 / report.seconds;
    Ok(())
}

/// How far it is, on a terminal alone.
#[derive(Default)]
struct ProgressLine {
    has_shown: bool,
}

impl ProgressLine {
    fn show(&mut self, status: &KindStatus, total: u64, report: &Report) -> Result<()> {
        let mut error = std::io::stderr().lock();
        if !error.is_terminal() {
            return Ok(());
        }
        let ended = report.done + report.set_aside;
        let mut text = format!("\r{}: {ended} of {total}", status.kind);
        if let Some(rate) = status.per_second {
            write!(text, ", {rate:.1} a second")?;
        }
        if let Some(left) = status.left_seconds.filter(|_| report.left > 0) {
            write!(text, ", {} left", duration(left))?;
        }
        if let Some(progress) = status
            .progress
            .as_ref()
            .filter(|_| status.kind == Kind::Upscale)
        {
            write!(text, ", {}", shown(&progress.message))?;
        }
        write!(error, "{text}\x1b[K").context("tell how far it is")?;
        error.flush().context("tell how far it is")?;
        self.has_shown = true;
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.has_shown {
            writeln!(std::io::stderr().lock()).context("tell how far it is")?;
        }
        Ok(())
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn tell(report: &Report, form: &FormArguments) -> Result<ExitCode> {
    if form.json {
        say_json(report)?;
    } else {
        let mut text = String::new();
        writeln!(
            text,
            "{} queued, {} were in the queue already",
            report.queued, report.already
        )?;
        if report.seconds > 0.0 {
            writeln!(
                text,
                "{} done, {} set aside, in {} ({:.1} a second)",
                report.done,
                report.set_aside,
                duration(report.seconds),
                report.per_second
            )?;
        }
        if report.left > 0 {
            writeln!(text, "{} are left in the queue", report.left)?;
        }
        say(&text)?;
    }
    if let Some(reason) = &report.waits_because {
        let kind = report.kind.map_or("the work", Kind::name);
        let reason = shown(reason);
        bail!("{kind} waits, and its jobs stay in the queue: {reason}");
    }
    Ok(match report.set_aside {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(INCOMPLETE),
    })
}
