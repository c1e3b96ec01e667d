//! `booru similar` and `booru embeddings`.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{mib, say, say_json, shown};
use crate::board::Board;
use crate::config::{EmbeddingsAct, FormArguments};
use crate::similarity::{By, Similar, Similarity, Survey};

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
    let found = similarity.similar(board, id, by, limit, None)?;
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
    anyhow::bail!("there is no image {image:?}: give an id, or a path in the folder of images")
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
    let semantic = similarity.semantic()?;
    let survey = match act {
        EmbeddingsAct::Status => semantic.survey()?,
        EmbeddingsAct::Build => semantic.build()?,
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
