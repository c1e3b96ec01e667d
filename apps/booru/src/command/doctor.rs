//! What is wrong with a board, as a command.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use super::{mib, say, say_json, shown};
use crate::config::{BoardArguments, FormArguments};
use crate::doctor::{Depth, Diagnosis, diagnose};
use crate::store::{self, Access, Store};

/// `booru doctor` has found a fault.
const UNHEALTHY: u8 = 1;

pub(super) fn doctor(board: &BoardArguments, deep: bool, form: &FormArguments) -> Result<ExitCode> {
    let options = board.store_options(Access::ReadOnly)?;
    let store = Store::open(&store::find(&board.board)?, options)?;
    let depth = match deep {
        true => Depth::File,
        false => Depth::Tables,
    };
    let diagnosis = diagnose(&store, depth)?;
    match form.json {
        true => say_json(&diagnosis)?,
        false => say(&diagnosis_text(&diagnosis)?)?,
    }
    Ok(match diagnosis.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(UNHEALTHY),
    })
}

/// The first three lines are the original's.
fn diagnosis_text(diagnosis: &Diagnosis) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "Total tags: {}", diagnosis.tags)?;
    writeln!(text, "Valid IDs: {}", diagnosis.valid_ids)?;
    writeln!(text, "Duplicate names: {}", diagnosis.duplicate_names)?;
    writeln!(text, "Names alike but for case: {}", diagnosis.names_alike)?;
    let counted = [
        (
            "Tags of images that lead nowhere",
            diagnosis.pairs_without_end,
        ),
        (
            "Other rows that lead nowhere",
            diagnosis.other_rows_without_end,
        ),
    ];
    for (what, rows) in counted {
        match rows {
            Some(rows) => writeln!(text, "{what}: {rows}")?,
            None => writeln!(text, "{what}: not known, the board can't be loaded")?,
        }
    }
    writeln!(text, "Images: {}", diagnosis.images)?;
    match diagnosis.full_text_rows {
        Some(rows) => writeln!(text, "Rows of the full-text table: {rows}")?,
        None => writeln!(text, "Rows of the full-text table: there is no such table")?,
    }
    if let Some(bytes) = diagnosis.tag_structures_bytes {
        writeln!(text, "Tag structures in memory: {}", mib(bytes))?;
    }
    if let Some(deep) = &diagnosis.deep {
        match &deep.problems {
            Some(problems) => {
                writeln!(text, "Problems of the file: {}", problems.len())?;
                let mut problems = problems.iter();
                problems.try_for_each(|line| writeln!(text, "  {}", shown(line)))?;
            }
            None => writeln!(
                text,
                "Problems of the files: not known, this database can't be asked"
            )?,
        }
        if let (Some(lacking), Some(other)) =
            (deep.images_lacking_words, deep.images_with_other_words)
        {
            writeln!(text, "Images with a tag that no text column has: {lacking}")?;
            writeln!(
                text,
                "Images with a text column that has another word: {other}"
            )?;
        }
    }
    if let Some(error) = &diagnosis.load_error {
        writeln!(text, "Can't be loaded: {}", shown(error))?;
    }
    match diagnosis.is_healthy() {
        true => writeln!(text, "All is well.")?,
        false => writeln!(text, "Not all is well.")?,
    }
    Ok(text)
}
