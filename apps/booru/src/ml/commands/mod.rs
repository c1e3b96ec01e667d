//! What the commands about models do and print.

mod jobs;
mod review;
mod work;
mod worker;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::arguments::Command;
use super::queue::Kind;
use super::settings::Settings;
use super::{embeddings, tables, worker as worker_process};
use crate::board::Board;
use crate::command::FAILED;
use crate::config::{BoardArguments, File};
use crate::query::Query;
use crate::store::Access;
use work::submit;

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
        Command::Review { .. } => review::review(command),
        Command::Jobs { .. } => jobs::jobs(command),
        Command::Setup { arguments } => {
            let settings = read_settings(None)?;
            let status = worker_process::setup(&settings.worker, &arguments)?;
            // Killed by a signal: it has no code.
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            Ok(ExitCode::from(code.unwrap_or(FAILED)))
        }
        Command::Worker { act } => worker::worker(&act),
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
