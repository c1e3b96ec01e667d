//! `booru duplicates`: what its commands do and print.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::{
    Folders, Label, PAGE_PAIRS, PAGE_PAIRS_MAX, QUEUE_DISTANCE, QueueOrder, QueuePage,
    STORED_DISTANCE_MAX, commit,
};
use crate::board::Board;
use crate::command::{say, say_json, shown};
use crate::config::{BoardArguments, FormArguments};
use crate::edit::Action;
use crate::ingest::{Files, IngestArguments, Settings};
use crate::store::Access;

#[derive(Debug, Subcommand)]
pub enum DuplicatesCommand {
    /// Make the hashes of images that have none, from their files.
    Hash {
        #[command(flatten)]
        ingest: IngestArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Find all pairs of images that look alike, in place of those of the last search.
    Scan {
        /// Bits in which their hashes differ at most. Above 15 it takes much longer.
        #[arg(long, default_value_t = STORED_DISTANCE_MAX, value_parser = clap::value_parser!(u32).range(..=64))]
        distance: u32,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Compare the pictures of found pairs, so that the queue says what each likely is.
    Compare {
        #[command(flatten)]
        ingest: IngestArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell the found pairs that nobody has said anything of.
    List {
        /// Bits in which their hashes differ at most.
        #[arg(long, default_value_t = QUEUE_DISTANCE)]
        distance: u32,
        #[arg(long, value_enum, default_value_t)]
        order: QueueOrder,
        #[arg(long, default_value_t = 0)]
        offset: usize,
        #[arg(long, default_value_t = PAGE_PAIRS, value_parser = parse_limit)]
        limit: usize,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell the images that look like one image.
    Similar {
        /// Its id.
        image: u32,
        /// From 0 to 64: a 64th of a hash's bits each.
        #[arg(long, default_value_t = 15.0)]
        distance: f64,
        #[arg(long, default_value_t = PAGE_PAIRS, value_parser = parse_limit)]
        limit: usize,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Say what two images are to each other; the pair leaves the queue.
    Commit {
        /// The id of an image.
        a: u32,
        /// The id of another one.
        b: u32,
        /// `delete_a` and `delete_b` delete an image with its file, `parent_child_ab` makes the first the parent.
        #[arg(value_parser = ["delete_a", "delete_b", "non_duplicate", "parent_child_ab", "parent_child_ba", "sibling"])]
        action: String,
        /// Delete the file of a deleted image instead of moving it to the trash.
        #[arg(long)]
        permanently: bool,
        #[command(flatten)]
        ingest: IngestArguments,
        #[command(flatten)]
        form: FormArguments,
    },
}

fn parse_limit(text: &str) -> Result<usize> {
    match text.parse()? {
        limit @ 1..=PAGE_PAIRS_MAX => Ok(limit),
        limit => anyhow::bail!("1 to {PAGE_PAIRS_MAX} are told at once, not {limit}"),
    }
}

impl DuplicatesCommand {
    pub(crate) fn access(&self) -> Access {
        match self {
            DuplicatesCommand::List { .. } | DuplicatesCommand::Similar { .. } => Access::ReadOnly,
            _ => Access::InPlace,
        }
    }
}

/// `given` is what the board was opened by.
pub(crate) fn execute(
    board: &mut Board,
    given: &BoardArguments,
    act: DuplicatesCommand,
) -> Result<()> {
    match act {
        DuplicatesCommand::Hash { ingest, form } => {
            let settings = Settings::of(given, &ingest)?;
            let filled = board.fill_hashes(&Folders::of(&settings), settings.hash_size, |_| {})?;
            answer(&form, &filled, || {
                let mut text = format!(
                    "{} images hashed, {} could not be read, {} are videos or archives\n",
                    filled.hashed, filled.failed, filled.no_pictures
                );
                for failure in &filled.failures {
                    text += &format!("  {}\n", shown(failure));
                }
                Ok(text)
            })
        }
        DuplicatesCommand::Scan { distance, form } => {
            let scanned = board.scan_duplicates(distance)?;
            answer(&form, &scanned, || {
                Ok(format!(
                    "{} pairs within {distance} bits among {} images with a hash; {} hashes can't be read\n",
                    scanned.pairs, scanned.images, scanned.unreadable
                ))
            })
        }
        DuplicatesCommand::Compare { ingest, form } => {
            let settings = Settings::of(given, &ingest)?;
            let suggested = board.suggest_duplicates(&Folders::of(&settings), |_| {})?;
            answer(&form, &suggested, || {
                Ok(format!(
                    "{} pairs compared, {} could not be\n",
                    suggested.compared, suggested.left_out
                ))
            })
        }
        DuplicatesCommand::List {
            distance,
            order,
            offset,
            limit,
            form,
        } => {
            let page = board.duplicate_queue(distance, order, offset, limit)?;
            answer(&form, &page, || page_text(&page))
        }
        DuplicatesCommand::Similar {
            image,
            distance,
            limit,
            form,
        } => {
            let similar = board.visually_similar(image, distance, limit)?;
            answer(&form, &similar, || {
                let mut text = String::new();
                for one in &similar {
                    let path = board.path_of(one.image)?;
                    writeln!(text, "{:.3}  {}  {}", one.score, one.image, shown(&path))?;
                }
                Ok(text)
            })
        }
        DuplicatesCommand::Commit {
            a,
            b,
            action,
            permanently,
            ingest,
            form,
        } => {
            let files = match permanently {
                true => Files::Deleted,
                false => Files::Trashed,
            };
            let settings = Settings::of(given, &ingest)?;
            let action = action.parse::<Action>()?;
            let reviewed = commit(board, &settings, (a, b), action, files)?;
            answer(&form, &reviewed, || {
                Ok(match &reviewed.deleted_path {
                    Some(deleted) => format!("deleted {}\n", shown(deleted)),
                    None => format!("said of images {a} and {b}\n"),
                })
            })
        }
    }
}

fn answer(
    form: &FormArguments,
    value: &impl Serialize,
    text: impl FnOnce() -> Result<String>,
) -> Result<()> {
    match form.json {
        true => say_json(value),
        false => say(&text()?),
    }
}

fn page_text(page: &QueuePage) -> Result<String> {
    let mut text = String::new();
    if page.scan_threshold.is_none() {
        writeln!(
            text,
            "No pairs are stored: `booru duplicates DIR scan` looks for them."
        )?;
    }
    for pair in &page.pairs {
        let label = match pair.label {
            Some(Label::LikelyDuplicate) => "likely a duplicate",
            Some(Label::LikelyVariation) => "likely a variation",
            Some(Label::Uncertain) => "uncertain",
            None => "not compared",
        };
        writeln!(text, "{} bits, {label}", pair.distance)?;
        for image in [&pair.image_a, &pair.image_b] {
            writeln!(text, "  {}  {}", image.id, shown(&image.path))?;
        }
    }
    writeln!(text, "{} of {} pairs", page.pairs.len(), page.total)?;
    Ok(text)
}
