//! `booru similar` and `booru embeddings`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{mib, say, say_json, shown};
use crate::board::Board;
use crate::config::{BoardArguments, EmbeddingsAct, FormArguments};
use crate::similarity::{self, By, Similar, Similarity, SimilarityArguments, Survey};
use crate::store::{self, Access, Store};

#[derive(Serialize)]
struct SimilarImage {
    path: String,
    #[serde(flatten)]
    similar: Similar,
}

pub(super) fn tell_similar(
    board: &Board,
    similarity: &Similarity,
    image: &str,
    by: By,
    limit: usize,
    form: &FormArguments,
) -> Result<()> {
    let id = image_of(board, image)?;
    let found = similarity.similar(board, id, by, limit)?;
    let mut images = Vec::with_capacity(found.len());
    for similar in found {
        let path = board.path_of(similar.id)?;
        images.push(SimilarImage { path, similar });
    }
    if form.json {
        return say_json(&serde_json::json!({ "id": id, "images": images }));
    }
    let mut text = String::new();
    for SimilarImage { path, similar } in images {
        write!(text, "{:>10}  {:.4}", similar.id, similar.score)?;
        if by == By::Blend {
            for (name, score) in [
                ("embeddings", similar.semantic),
                ("tags", similar.tags),
                ("looks", similar.visual),
            ] {
                match score {
                    Some(score) => write!(text, "  {name} {score:.3}")?,
                    None => write!(text, "  {name}     -")?,
                }
            }
        }
        writeln!(text, "  {}", shown(&path))?;
    }
    say(&text)
}

/// By id, or by path with or without the original's `images/` before it.
fn image_of(board: &Board, image: &str) -> Result<u32> {
    if let Ok(id) = image.parse() {
        return Ok(id);
    }
    let sql = "SELECT id FROM images WHERE filepath = ?1";
    for path in [Some(image), image.strip_prefix("images/")]
        .into_iter()
        .flatten()
    {
        let id = board
            .store()
            .query_row("look for an image", sql, &[path.into()], |row| row.id(0))?;
        if let Some(id) = id.flatten() {
            return Ok(id);
        }
    }
    bail!("there is no image {image:?}: give an id, or a path in the folder of images")
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    survey: Survey,
    images: usize,
    /// Of the board, without a vector.
    images_without: usize,
    /// Vectors of images that the board has not.
    vectors_without: usize,
}

pub(super) fn tell_embeddings(
    board: &Board,
    similarity: &Similarity,
    act: EmbeddingsAct,
    form: &FormArguments,
) -> Result<()> {
    if similarity.is_at_server() {
        return tell_shared_embeddings(board, act, form);
    }
    let semantic = similarity.semantic()?;
    let survey = match act {
        EmbeddingsAct::Build => semantic.build()?,
        EmbeddingsAct::Status | EmbeddingsAct::Copy => semantic.survey()?,
    };
    let images = board.catalog().images().list_ids();
    let Some(survey) = survey else {
        if form.json {
            return say_json(
                &serde_json::json!({ "rows": 0, "vectors": 0, "images": images.len() }),
            );
        }
        return say("there are no embeddings\n");
    };
    let vectors = semantic.images()?;
    let with = vectors.iter().filter(|id| images.binary_search(id).is_ok());
    let with = with.count();
    let told = Told {
        images: images.len(),
        images_without: images.len() - with,
        vectors_without: vectors.len() - with,
        survey,
    };
    if form.json {
        return say_json(&told);
    }
    let survey = &told.survey;
    let mut text = String::new();
    writeln!(
        text,
        "{:>12}  rows in {}",
        survey.rows,
        survey.database.display()
    )?;
    writeln!(
        text,
        "{:>12}  vectors of {} numbers",
        survey.vectors, survey.dimensions
    )?;
    writeln!(
        text,
        "{:>12}  rows that are none: another length, or numbers that are none",
        survey.skipped
    )?;
    writeln!(
        text,
        "{:>12}  images of the board without one",
        told.images_without
    )?;
    writeln!(
        text,
        "{:>12}  vectors of images that the board has not",
        told.vectors_without
    )?;
    let bytes = mib(survey.file_bytes);
    writeln!(
        text,
        "{bytes:>12}  {} as {}",
        survey.file.display(),
        survey.kind
    )?;
    say(&text).context("tell of embeddings")
}

#[derive(Serialize)]
struct ToldShared {
    vectors: usize,
    dimensions: usize,
    /// Whether the server compares them.
    by_pgvector: bool,
    images: usize,
    images_without: usize,
}

fn tell_shared_embeddings(board: &Board, act: EmbeddingsAct, form: &FormArguments) -> Result<()> {
    if act == EmbeddingsAct::Build {
        bail!(
            "read embeddings anew: nothing is made of those in PostgreSQL, which are told by `status`"
        );
    }
    let images = board.catalog().images().list_ids();
    let vectors = board.store().find_vectors()?;
    let with = vectors.map_or(Ok(Vec::new()), |vectors| vectors.images())?;
    let is_there = |id: &&u32| images.binary_search(id).is_ok();
    let told = ToldShared {
        vectors: with.len(),
        dimensions: vectors.map_or(0, |vectors| vectors.dimensions()),
        by_pgvector: vectors.is_some_and(|vectors| vectors.is_pgvector()),
        images: images.len(),
        images_without: images.len() - with.iter().filter(is_there).count(),
    };
    if form.json {
        return say_json(&told);
    }
    let ToldShared {
        vectors,
        dimensions,
        images_without,
        ..
    } = told;
    let by = match told.by_pgvector {
        true => "compared by pgvector",
        false => "as bytes, all of which are read for each question",
    };
    say(&format!(
        "{vectors:>12}  vectors of {dimensions} numbers, {by}\n\
         {images_without:>12}  images of the board without one\n"
    ))
}

pub(super) fn copy_embeddings(
    from: PathBuf,
    to: &BoardArguments,
    similarity: &SimilarityArguments,
    form: &FormArguments,
) -> Result<()> {
    let from = BoardArguments {
        board: from,
        ..to.clone()
    };
    let open = |board: &BoardArguments, access| -> Result<(Store, Similarity)> {
        let place = store::find(&board.board)?;
        let store = Store::open(&place, board.store_options(access)?)?;
        Ok((store, similarity.open(board, access)?))
    };
    let (source, from) = open(&from, Access::ReadOnly)?;
    let (target, to) = open(to, Access::InPlace)?;
    let copied = similarity::copy((&source, &from), (&target, &to))?;
    if form.json {
        return say_json(&copied);
    }
    say(&format!(
        "{:>12}  vectors copied\n{:>12}  left out, of images that {} has not\n",
        copied.vectors,
        copied.without_image,
        target.name()
    ))
}
