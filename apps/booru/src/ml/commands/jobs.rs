//! `booru jobs`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::open;
use super::work::{do_work, kinds_of};
use crate::board::Board;
use crate::command::{say, say_json, shown};
use crate::ml::arguments::{Command, WorkArguments};
use crate::ml::claim::Claim;
use crate::ml::queue::{self, Counts, Kind, State, Submitted};
use crate::ml::tables;
use crate::store::Access;

#[derive(Serialize)]
struct KindCounts {
    kind: Kind,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) fn jobs(command: Command) -> Result<ExitCode> {
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
    // A board without the tables has had no work yet.
    let has_tables = tables::are_there(&board.store);
    for one in kinds_of(kind) {
        counts.push(KindCounts {
            kind: one,
            counts: match has_tables {
                true => queue::counts(&board.store, one)?,
                false => Counts::default(),
            },
        });
    }
    if has_tables {
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
