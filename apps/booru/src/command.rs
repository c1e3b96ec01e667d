//! What each command does and prints. Output is data; it ends where its reader has gone.

mod doctor;
pub(crate) mod images;
mod ingest;
pub(crate) mod pool;
mod progress;
pub(crate) mod rules;
mod search;
mod similar;
pub(crate) mod tags;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::board::Board;
use crate::config::{BoardArguments, CACHE_MIB, Command, EmbeddingsAct, FormArguments, TagCommand};
use crate::duplicates;
use crate::edit::{Edited, OldName, check_category};
use crate::ingest::{Files, Mode};
use crate::memory::{Component, Memory};
use crate::ml;
use crate::query::Query;
use crate::search::Page;
use crate::stats::Stats;
use crate::store::{self, Access, CopiedTable, Store, StoreOptions};
use crate::web;

/// `booru` could not do what it was asked.
pub const FAILED: u8 = 2;

/// # Errors
/// Whatever keeps a command from being done.
pub fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Create { board } => {
            let place = store::place_of_new(&board);
            Store::create(&place)?;
            say(&format!("made {}\n", store::shown(&place)?))?;
        }
        Command::Copy { from, to, patience } => copy(&from, &to, patience)?,
        Command::Search {
            board,
            query,
            page,
            images_per_page,
            form,
            ..
        } => {
            let query: Query = query.parse()?;
            let page = Page {
                number: page as usize,
                images: board.images_per_page(images_per_page)?,
            };
            search::search(&open(&board, Access::ReadOnly)?, &query, page, &form)?;
        }
        Command::Suggest {
            board, text, form, ..
        } => {
            search::suggest(&open(&board, Access::ReadOnly)?, &text, &form)?;
        }
        Command::Stats { board, form } => stats(&open(&board, Access::ReadOnly)?, &form)?,
        Command::Memory { board, form } => memory(&open(&board, Access::ReadOnly)?, &form)?,
        Command::Doctor { board, deep, form } => return doctor::doctor(&board, deep, &form),
        Command::Duplicates { board, act } => {
            duplicates::execute(&mut open(&board, act.access())?, &board, act)?;
        }
        Command::Serve(arguments) => web::serve(&arguments)?,
        Command::Thumbnailer(arguments) => web::serve_thumbnails(&arguments)?,
        Command::Passwd { board, remove } => web::password::set(&board, remove)?,
        Command::Similar {
            board,
            image,
            by,
            limit,
            similarity,
            form,
        } => {
            let similarity = similarity.open(&board, Access::ReadOnly)?;
            let board = open(&board, Access::ReadOnly)?;
            similar::tell_similar(&board, &similarity, &image, by, limit as usize, &form)?;
        }
        Command::Embeddings {
            board,
            act,
            from,
            similarity,
            form,
        } => {
            if let Some(from) = from {
                ensure!(
                    act == EmbeddingsAct::Copy,
                    "--from says where vectors are copied from: `booru embeddings BOARD copy --from BOARD`"
                );
                similar::copy_embeddings(from, &board, &similarity, &form)?;
                return Ok(ExitCode::SUCCESS);
            }
            let similarity = similarity.open(&board, Access::ReadOnly)?;
            let board = open(&board, Access::ReadOnly)?;
            similar::tell_embeddings(&board, &similarity, act, &form)?;
        }
        Command::Ml(command) => return ml::execute(command),
        Command::Import {
            board,
            list_set_aside: true,
            form,
            ..
        } => ingest::list_set_aside(&board, &form)?,
        Command::Import {
            board,
            paths,
            moves,
            retry_set_aside,
            ingest,
            form,
            ..
        } => {
            let mode = match moves {
                true => Mode::Move,
                false => Mode::Copy,
            };
            return ingest::import(&board, &ingest, &paths, mode, retry_set_aside, &form);
        }
        Command::Watch { board, ingest } => ingest::watch(&board, &ingest)?,
        Command::Delete {
            board,
            query,
            id,
            permanently,
            ingest,
            ..
        } => {
            let files = match permanently {
                true => Files::Deleted,
                false => Files::Trashed,
            };
            ingest::delete(&board, &ingest, query.as_deref(), &id, files)?;
        }
        Command::Tag {
            board,
            read_only,
            act,
            form,
        } => {
            let access = match read_only {
                true => Access::ReadOnly,
                false => Access::InPlace,
            };
            let edited = edit(&mut open(&board, access)?, act)?;
            tags::answer(&form, &edited, edited_text)?;
        }
        Command::Tags(arguments) => tags::execute(arguments)?,
        Command::Rules(arguments) => rules::execute(arguments)?,
        Command::Pool(arguments) => pool::execute(arguments)?,
        Command::Favourite(arguments) => images::favourite(arguments)?,
        Command::Rate(arguments) => images::rate(arguments)?,
        Command::Relate(arguments) => images::relate(arguments)?,
        Command::Edits(arguments) => images::edits(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn edited_text(edited: &Edited) -> Result<String> {
    Ok(format!(
        "{} tags changed, {} put on images, {} taken off\n",
        edited.tags, edited.added, edited.removed
    ))
}

fn copy(from: &Path, to: &Path, patience: u64) -> Result<()> {
    let options = StoreOptions {
        access: Access::ReadOnly,
        cache_bytes: CACHE_MIB << 20,
        patience: Duration::from_secs(patience),
    };
    let (from, to) = (store::find(from)?, store::place_of_new(to));
    let tell = |table: &CopiedTable| {
        let (rows, sum) = (table.rows, table.sum >> 64);
        say(&format!("{rows:>12}  {}, sum {sum:016x}\n", table.name))
    };
    let copied = store::copy(&from, &to, options, tell)?;
    let nowhere = copied.iter().filter(|table| table.leads_nowhere);
    for table in nowhere {
        say(&format!(
            "{} has rows that lead nowhere; they are copied as they are\n",
            table.name
        ))?;
    }
    let rows: u64 = copied.iter().map(|table| table.rows).sum();
    say(&format!(
        "copied {rows} rows to {}, and all are equal there\n",
        store::shown(&to)?
    ))
}

fn open(board: &BoardArguments, access: Access) -> Result<Board> {
    Board::open_holding(
        &board.board,
        board.store_options(access)?,
        board.tags_held()?,
    )
}

/// Foreign text moves no terminal: control characters are shown as what they are.
pub(crate) fn shown(text: &str) -> String {
    let escape = |one: char| match one.is_control() {
        true => one.escape_default().collect::<Vec<_>>(),
        false => vec![one],
    };
    text.chars().flat_map(escape).collect()
}

pub(crate) fn say(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("write the answer"),
    }
}

pub(crate) fn say_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("write the answer")?;
    say(&format!("{text}\n"))
}

fn stats(board: &Board, form: &FormArguments) -> Result<()> {
    let stats = Stats::of(&board.catalog());
    if form.json {
        return say_json(&stats);
    }
    let mut text = String::new();
    writeln!(text, "{:>12}  images", stats.images)?;
    writeln!(
        text,
        "{:>12}  tags, {} of them on no image",
        stats.tags, stats.tags_without_images
    )?;
    writeln!(text, "{:>12}  pairs of image and tag", stats.pairs)?;
    for category in &stats.categories {
        let (tags, pairs) = (category.tags, category.pairs);
        writeln!(
            text,
            "{tags:>12}  {} tags, on images {pairs} times",
            category.category
        )?;
    }
    say(&text)
}

fn memory(board: &Board, form: &FormArguments) -> Result<()> {
    let memory = Memory::read(&board.catalog())?;
    if form.json {
        return say_json(&memory);
    }
    let mut text = String::new();
    let line =
        |text: &mut String, name: &str, bytes: u64| writeln!(text, "{:>12}  {name}", mib(bytes));
    let list = |text: &mut String, parts: &[Component]| {
        parts
            .iter()
            .try_for_each(|part| line(text, &part.name, part.bytes))
    };
    writeln!(text, "Data in memory, by its own account")?;
    list(&mut text, &memory.components)?;
    line(&mut text, "sum of what is of tags", memory.tags_bytes)?;
    line(
        &mut text,
        "SQLite: page cache, statements",
        memory.sqlite_bytes,
    )?;
    writeln!(
        text,
        "Live bytes that the allocator gave, by the ledger, without SQLite"
    )?;
    list(&mut text, &memory.ledger)?;
    writeln!(text, "The process, by the kernel")?;
    line(&mut text, "RSS", memory.rss_bytes)?;
    line(&mut text, "of it anonymous", memory.anonymous_bytes)?;
    line(
        &mut text,
        "of it of files: the program, libraries",
        memory.file_bytes,
    )?;
    line(
        &mut text,
        "RSS at its peak, while loading",
        memory.rss_peak_bytes,
    )?;
    say(&text)
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / (1 << 20) as f64)
}

fn edit(board: &mut Board, act: TagCommand) -> Result<Edited> {
    let old_name = |is_kept| match is_kept {
        true => OldName::BecomesAlias,
        false => OldName::IsForgotten,
    };
    match act {
        TagCommand::Create { name, category } => {
            board.create_tag(&name, check_category(&category)?)
        }
        TagCommand::Rename { old, new, alias } => board.rename_tag(&old, &new, old_name(alias)),
        TagCommand::Merge { into, tags, alias } => board.merge_tags(&tags, &into, old_name(alias)),
        TagCommand::Delete { tags } => board.delete_tags(&tags),
        TagCommand::Categorize { category, tags } => {
            board.categorize_tags(&tags, check_category(&category)?)
        }
        TagCommand::Add { tag, query, .. } => {
            let images = board.all_matches(&query.parse()?)?;
            board.add_tags(&images, &[tag])
        }
        TagCommand::Remove { tag, query, .. } => {
            let images = board.all_matches(&query.parse()?)?;
            board.remove_tags(&images, &[tag])
        }
        TagCommand::Alias { alias, tag } => board.create_alias(&alias, &tag),
        TagCommand::Unalias { alias } => board.delete_alias(&alias),
        TagCommand::Imply { tag, implied } => board.create_rule(&tag, &implied),
        TagCommand::Unimply { tag, implied } => board.delete_rule(&tag, &implied),
        TagCommand::ApplyRules => board.apply_rules(),
    }
}
