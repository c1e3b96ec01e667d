//! What the commands about models do and print.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::arguments::{Command, WorkArguments, WorkerArguments, WorkerCommand};
use super::claim::Claim;
use super::queue::{self, Counts, Kind, State, Submitted};
use super::review::{self, Which};
use super::service::{KindStatus, Service};
use super::settings::Settings;
use super::{embeddings, tables, worker};
use crate::board::Board;
use crate::command::{FAILED, mib, say, say_json, shown};
use crate::config::{BoardArguments, File, FormArguments};
use crate::query::Query;
use crate::store::Access;

/// Something was set aside.
const INCOMPLETE: u8 = 1;
/// Between two looks at how far the work is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// # Errors
/// Whatever keeps a command from being done.
pub fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::TagImages {
            board,
            query,
            work,
            form,
            ..
        } => {
            let (board, settings) = open(&board)?;
            let images = board.all_matches(&query.parse::<Query>()?)?;
            submit(board, settings, Kind::Tag, &images, &work, &form)
        }
        Command::Embed {
            board,
            query,
            again,
            work,
            form,
            ..
        } => {
            let (mut board, settings) = open(&board)?;
            let mut images = board.all_matches(&query.parse::<Query>()?)?;
            if !again {
                tables::ensure(&mut board)?;
                images = embeddings::lacking(&board.store, &images, settings.embedder.dimension)?;
            }
            submit(board, settings, Kind::Embed, &images, &work, &form)
        }
        Command::Upscale {
            board,
            images,
            again,
            work,
            form,
        } => {
            let (board, settings) = open(&board)?;
            board.check_upscalable()?;
            let images = not_upscaled(&board, &settings, images, again)?;
            submit(board, settings, Kind::Upscale, &images, &work, &form)
        }
        Command::Review { .. } => review(command),
        Command::Jobs { .. } => jobs(command),
        Command::Setup { arguments } => {
            let settings = read_settings(None)?;
            let status = worker::setup(&settings.worker, &arguments)?;
            // Killed by a signal: it has no code.
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            Ok(ExitCode::from(code.unwrap_or(FAILED)))
        }
        Command::Worker { act } => worker(&act),
    }
}

/// The settings of a board, or of the environment alone.
fn read_settings(board: Option<&Path>) -> Result<Settings> {
    let file = board.map(File::read).transpose()?.unwrap_or_default();
    let board = board.unwrap_or(Path::new("."));
    Settings::read(board, &file.ml, &|name| std::env::var_os(name))
}

fn open(arguments: &BoardArguments) -> Result<(Board, Settings)> {
    let settings = read_settings(Some(&arguments.board))?;
    let options = arguments.store_options(Access::InPlace)?;
    Ok((Board::open(&arguments.board, options)?, settings))
}

/// Those that have no larger form yet.
fn not_upscaled(
    board: &Board,
    settings: &Settings,
    images: Vec<u32>,
    again: bool,
) -> Result<Vec<u32>> {
    let mut lacking = Vec::new();
    for image in images {
        let path = board.path_of(image)?;
        let sql = "SELECT upscaled_width FROM images WHERE id = ?1";
        let what = "read the size of a larger image";
        let width = board
            .store
            .query_row(what, sql, &[image.into()], |row| row.integer(0))?;
        let has = width.flatten().is_some() && settings.upscaled_file(&path)?.is_file();
        if again || !has {
            lacking.push(image);
        }
    }
    Ok(lacking)
}

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

fn submit(
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
fn do_work(
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

fn kinds_of(kind: Option<Kind>) -> impl Iterator<Item = Kind> {
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

fn review(command: Command) -> Result<ExitCode> {
    let Command::Review {
        board: arguments,
        image,
        tag,
        above,
        accept,
        reject,
        all,
        forget_rejected,
        by_tag,
        limit,
        form,
    } = command
    else {
        bail!("this is no review");
    };
    if let Some(share) = above {
        ensure!(
            (0.0..=1.0).contains(&share),
            "--above {share} is no share from 0 to 1"
        );
    }
    let is_narrow = image.is_some() || tag.is_some() || above.is_some();
    ensure!(
        is_narrow || all || !(accept || reject),
        "accept or reject which? Give --image, --tag or --above, or --all for all that wait"
    );
    let which = Which {
        image,
        tag: tag.map(|tag| tag.to_lowercase()),
        confidence_min: above,
    };
    if accept || reject || forget_rejected {
        let mut board = Board::open(&arguments.board, arguments.store_options(Access::InPlace)?)?;
        tables::ensure(&mut board)?;
        let (word, count) = match (accept, reject) {
            (true, _) => ("accepted", review::accept(&mut board, &which)?),
            (_, true) => ("rejected", review::reject(&mut board, &which)?),
            _ => (
                "forgotten",
                review::forget_rejections(&mut board, image.unwrap_or(0))?,
            ),
        };
        match form.json {
            true => say_json(&json!({ word: count }))?,
            false => say(&format!("{count} {word}\n"))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let board = Board::open(&arguments.board, arguments.store_options(Access::ReadOnly)?)?;
    match by_tag {
        true => list_by_tag(&board, &which, limit, &form)?,
        false => list_reviews(&board, &which, limit, &form)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_by_tag(board: &Board, which: &Which, limit: u32, form: &FormArguments) -> Result<()> {
    let tags = review::list_by_tag(&board.store, which, limit)?;
    if form.json {
        return say_json(&json!({ "tags": tags }));
    }
    let mut text = String::new();
    for one in tags {
        let (images, most) = (one.images, one.confidence_max);
        writeln!(
            text,
            "{images:>10}  {most:.3}  {:<9}  {}",
            one.category,
            shown(&one.tag)
        )?;
    }
    say(&text)
}

fn list_reviews(board: &Board, which: &Which, limit: u32, form: &FormArguments) -> Result<()> {
    let reviews = review::list(&board.store, which, 0, limit)?;
    let waiting = review::count(&board.store, which)?;
    if form.json {
        return say_json(&json!({ "reviews": reviews, "waiting": waiting }));
    }
    let mut text = String::new();
    for one in reviews {
        let (image, share) = (one.image_id, one.confidence);
        writeln!(
            text,
            "{image:>10}  {share:.3}  {:<9}  {}",
            one.category,
            shown(&one.tag)
        )?;
    }
    writeln!(text, "{waiting} wait")?;
    say(&text)
}

#[derive(Serialize)]
struct KindCounts {
    kind: Kind,
    #[serde(flatten)]
    counts: Counts,
}

fn jobs(command: Command) -> Result<ExitCode> {
    let Command::Jobs {
        board: arguments,
        cancel,
        retry,
        run,
        kind,
        limit,
        form,
    } = command
    else {
        bail!("these are no jobs");
    };
    if cancel || retry || run {
        let (mut board, settings) = open(&arguments)?;
        tables::ensure(&mut board)?;
        // Where nobody works, what is under way is of a board that died.
        if let Some(_claim) = Claim::take(&board.store)? {
            queue::recover(&board.store)?;
        }
        let changed = match (cancel, retry) {
            (true, _) => queue::cancel(&board.store, kind)?,
            (_, true) => queue::retry(&board.store, kind)?,
            _ => 0,
        };
        if !run {
            let word = if cancel { "taken out" } else { "queued again" };
            match form.json {
                true => say_json(&json!({ word.replace(' ', "_"): changed }))?,
                false => say(&format!("{changed} {word}\n"))?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let work = WorkArguments { queue_only: false };
        return do_work(board, settings, kind, Submitted::default(), &work, &form);
    }
    let board = Board::open(&arguments.board, arguments.store_options(Access::ReadOnly)?)?;
    let mut counts = Vec::new();
    let mut failed = Vec::new();
    if tables::are_there(&board.store) {
        for one in kinds_of(kind) {
            counts.push(KindCounts {
                kind: one,
                counts: queue::counts(&board.store, one)?,
            });
        }
        failed = queue::list(&board.store, State::Failed, kind, limit)?;
    }
    if form.json {
        say_json(&json!({ "kinds": counts, "failed": failed }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for KindCounts { kind, counts } in counts {
        writeln!(
            text,
            "{:<7}  {} queued, {} under way, {} done of late, {} set aside",
            kind.name(),
            counts.queued,
            counts.running,
            counts.done,
            counts.failed
        )?;
    }
    for job in failed {
        let reason = job.reason.unwrap_or_default();
        writeln!(
            text,
            "{:>10}  {:<7}  {}",
            job.image_id,
            job.kind.name(),
            shown(&reason)
        )?;
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn worker(act: &WorkerCommand) -> Result<ExitCode> {
    let settings = |arguments: &WorkerArguments| read_settings(arguments.board.as_deref());
    match act {
        WorkerCommand::Status(arguments) => {
            let status = worker::status(&settings(arguments)?.worker)?;
            if arguments.form.json {
                say_json(&status)?;
                return Ok(ExitCode::SUCCESS);
            }
            let socket = shown(&status.socket.to_string_lossy());
            let mut text = String::new();
            match status.pid.filter(|_| status.is_running) {
                None if status.is_running => writeln!(text, "A worker runs at {socket}")?,
                None => writeln!(text, "No worker runs; the next job starts one at {socket}")?,
                Some(pid) => writeln!(text, "The worker {pid} runs at {socket}")?,
            }
            let backend = status
                .backend
                .map(|backend| format!("on {}", shown(&backend)));
            let jobs = status
                .active_jobs
                .map(|jobs| format!("{jobs} requests under way"));
            for line in [backend, jobs].into_iter().flatten() {
                writeln!(text, "  {line}")?;
            }
            if let (Some(rss), Some(anonymous)) = (status.rss_bytes, status.anonymous_bytes) {
                writeln!(
                    text,
                    "  RSS {}, of it anonymous {}",
                    mib(rss),
                    mib(anonymous)
                )?;
            }
            say(&text)?;
        }
        WorkerCommand::Stop(arguments) => {
            let has_stopped = worker::stop(&settings(arguments)?.worker)?;
            match (arguments.form.json, has_stopped) {
                (true, _) => say_json(&json!({ "has_stopped": has_stopped }))?,
                (_, true) => say("The worker ends\n")?,
                (_, false) => say("No worker runs\n")?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
