//! `booru favourite`, `rate`, `relate`, `edits`: what people say of images besides tags.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::tags::{answer, matches};
use super::{edited_text, open, shown};
use crate::config::{BoardArguments, FormArguments, HelpArguments};
use crate::deltas::HandEdit;
use crate::edit::Rating;
use crate::family::Family;
use crate::post_ids::PostIdsRead;
use crate::relations::{Relation, RelationKind};
use crate::store::Access;

#[derive(Debug, Args)]
pub struct FavouriteArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: FavouriteCommand,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Debug, Subcommand)]
enum FavouriteCommand {
    /// Mark images, by id.
    Add {
        #[arg(required = true)]
        images: Vec<u32>,
    },
    /// Take the mark off images, by id.
    Remove {
        #[arg(required = true)]
        images: Vec<u32>,
    },
    /// Mark an image, or take its mark off.
    Toggle { image: u32 },
    /// Tell whether an image is marked.
    Status { image: u32 },
    /// Tell how many are marked.
    Count,
}

#[derive(Serialize)]
struct Favourite {
    image: u32,
    is_favourite: bool,
}

#[derive(Serialize)]
struct Count {
    changed: u64,
    favourites: u64,
}

pub(super) fn favourite(arguments: FavouriteArguments) -> Result<()> {
    let form = &arguments.form;
    let access = match arguments.act {
        FavouriteCommand::Status { .. } | FavouriteCommand::Count => Access::ReadOnly,
        _ => Access::InPlace,
    };
    let mut board = open(&arguments.board, access)?;
    let one = |image: u32, is_favourite: bool| {
        let told = Favourite {
            image,
            is_favourite,
        };
        answer(form, &told, |told| {
            let is = match told.is_favourite {
                true => "is",
                false => "is not",
            };
            Ok(format!("image {} {is} a favourite\n", told.image))
        })
    };
    let changed = match arguments.act {
        FavouriteCommand::Toggle { image } => return one(image, board.toggle_favourite(image)?),
        FavouriteCommand::Status { image } => match board.is_favourite(image) {
            Some(is_favourite) => return one(image, is_favourite),
            None => anyhow::bail!("there is no image {image}"),
        },
        FavouriteCommand::Add { images } => board.add_favourites(&images)?,
        FavouriteCommand::Remove { images } => board.remove_favourites(&images)?,
        FavouriteCommand::Count => 0,
    };
    let count = Count {
        changed,
        favourites: board.count_favourites(),
    };
    answer(form, &count, |count| {
        Ok(format!(
            "{} changed, {} favourites in all\n",
            count.changed, count.favourites
        ))
    })
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct RateArguments {
    #[command(flatten)]
    board: BoardArguments,
    /// general, sensitive, questionable or explicit.
    rating: Rating,
    #[arg(allow_hyphen_values = true)]
    query: String,
    #[command(flatten)]
    form: FormArguments,
    #[command(flatten)]
    help: HelpArguments,
}

pub(super) fn rate(arguments: RateArguments) -> Result<()> {
    let mut board = open(&arguments.board, Access::InPlace)?;
    let images = matches(&board, &arguments.query)?;
    let edited = board.rate_images(&images, arguments.rating)?;
    answer(&arguments.form, &edited, edited_text)
}

#[derive(Debug, Args)]
pub struct RelateArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: RelateCommand,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Debug, Subcommand)]
enum RelateCommand {
    /// Say that two images are related: parent_child (the parent first), sibling or non_duplicate.
    Create { kind: RelationKind, a: u32, b: u32 },
    /// Take that back.
    Delete { kind: RelationKind, a: u32, b: u32 },
    /// Tell the relations of an image.
    List { image: u32 },
    /// Tell the relatives of an image, by post ids of the sites too.
    Family { image: u32 },
    /// Read the post ids of all images whose metadata were not read so far.
    ReadPostIds,
}

pub(super) fn relate(arguments: RelateArguments) -> Result<()> {
    let form = &arguments.form;
    let access = match arguments.act {
        RelateCommand::List { .. } | RelateCommand::Family { .. } => Access::ReadOnly,
        _ => Access::InPlace,
    };
    let mut board = open(&arguments.board, access)?;
    let image = match arguments.act {
        RelateCommand::Create { kind, a, b } => {
            board.create_relation(kind, a, b)?;
            a
        }
        RelateCommand::Delete { kind, a, b } => {
            board.delete_relation(kind, a, b)?;
            a
        }
        RelateCommand::List { image } => image,
        RelateCommand::Family { image } => {
            return answer(form, &board.family(image)?, family_text);
        }
        RelateCommand::ReadPostIds => {
            let mut all = PostIdsRead::default();
            loop {
                let batch = board.read_post_ids()?;
                all.images += batch.images;
                all.post_ids += batch.post_ids;
                all.unreadable += batch.unreadable;
                if !batch.is_more {
                    break;
                }
            }
            return answer(form, &all, |all| {
                Ok(format!(
                    "{} post ids of {} images read, {} images could not be read\n",
                    all.post_ids, all.images, all.unreadable
                ))
            });
        }
    };
    answer(form, &board.relations(image)?, |relations| {
        relations_text(relations)
    })
}

fn relations_text(relations: &[Relation]) -> Result<String> {
    let mut text = String::new();
    for relation in relations {
        let source = shown(relation.source.as_deref().unwrap_or(""));
        writeln!(
            text,
            "{:>10}  {:?}  {source}",
            relation.image, relation.role
        )?;
    }
    writeln!(text, "{} relations", relations.len())?;
    Ok(text)
}

fn family_text(family: &Family) -> Result<String> {
    let mut text = String::new();
    for one in &family.relatives {
        writeln!(text, "{:>10}  {:?} by {:?}", one.image, one.role, one.known)?;
    }
    writeln!(text, "{} relatives", family.relatives.len())?;
    if !family.is_complete {
        writeln!(
            text,
            "There may be more: `booru relate DIR read-post-ids` reads what the sites say"
        )?;
    }
    Ok(text)
}

#[derive(Debug, Args)]
pub struct EditsArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: EditsCommand,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Debug, Subcommand)]
enum EditsCommand {
    /// Tell the edits by hand of an image that stand, the oldest first.
    List { image: u32 },
    /// Take back the last of them.
    Undo { image: u32 },
}

pub(super) fn edits(arguments: EditsArguments) -> Result<()> {
    let edits = match arguments.act {
        EditsCommand::List { image } => {
            open(&arguments.board, Access::ReadOnly)?.hand_edits(image)?
        }
        EditsCommand::Undo { image } => {
            vec![open(&arguments.board, Access::InPlace)?.undo_hand_edit(image)?]
        }
    };
    answer(&arguments.form, &edits, |edits| edits_text(edits))
}

fn edits_text(edits: &[HandEdit]) -> Result<String> {
    let mut text = String::new();
    for edit in edits {
        let when = shown(edit.timestamp.as_deref().unwrap_or(""));
        let (operation, tag) = (shown(&edit.operation), shown(&edit.tag));
        writeln!(text, "{when:<19}  {operation:<6}  {tag}")?;
    }
    writeln!(text, "{} edits", edits.len())?;
    Ok(text)
}
