//! Images as tiles of a grid: what is shown of each comes from one row of the database, fifty a statement.
//! Memory: a page of at most 500 tiles, about 500 bytes each.

use anyhow::Result;
use plimsoll::dictionary::TermId;

use super::links;
use crate::board::Board;
use crate::query::Field;
use crate::store::{Row, Value};

/// Rows a statement, so that there is one statement whatever the page has.
const ROWS: usize = 50;
/// Of what is told of an image in words.
const ALT_CHARS_MAX: usize = 160;
/// Files that are played and not shown.
pub(super) const VIDEOS: [&str; 2] = ["mp4", "webm"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) id: u32,
    pub(super) href: String,
    pub(super) thumb: String,
    pub(super) alt: String,
    pub(super) size: Option<(i64, i64)>,
    /// What it is besides a picture that stands still.
    pub(super) kind: Option<&'static str>,
    pub(super) is_favourite: bool,
}

/// Tiles of images, by id, in this order; those without a row are left out. `query` is the search that
/// they were found by.
pub(super) fn read(board: &Board, ids: &[u32], query: &str) -> Result<Vec<Tile>> {
    let mut tiles: Vec<Option<Tile>> = vec![None; ids.len()];
    let columns = ["tags_character", "tags_copyright", "tags_artist"];
    let columns = columns.map(|column| board.store.schema.column("images", column));
    let places: Vec<String> = (1..=ROWS).map(|place| format!("?{place}")).collect();
    let sql = format!(
        "SELECT id, filepath, {} FROM images WHERE id IN ({})",
        columns.join(", "),
        places.join(", ")
    );
    for (number, chunk) in ids.chunks(ROWS).enumerate() {
        let last = chunk[chunk.len() - 1];
        let padded = chunk.iter().copied().chain(std::iter::repeat(last));
        let parameters: Vec<Value<'_>> = padded.take(ROWS).map(Value::from).collect();
        board
            .store
            .each_row("read a page of images", &sql, &parameters, |row| {
                let Some(id) = row.id(0)? else {
                    return Ok(());
                };
                if let Some(at) = chunk.iter().position(|one| *one == id) {
                    tiles[number * ROWS + at] = Some(tile(row, id, query)?);
                }
                Ok(())
            })?;
    }
    let catalog = board.catalog();
    for tile in tiles.iter_mut().flatten() {
        if let Some(image) = catalog.images.of_id(tile.id) {
            let number = |field| {
                catalog
                    .images
                    .number(field, image)
                    .filter(|number| *number > 0)
            };
            tile.size = number(Field::Width).zip(number(Field::Height));
            tile.is_favourite = catalog.facets.favourites.contains(image);
        }
    }
    Ok(tiles.into_iter().flatten().collect())
}

fn tile(row: &Row<'_>, id: u32, query: &str) -> Result<Tile> {
    let path = row.text(1)?.unwrap_or_default();
    let [characters, copyrights, artists] = [row.text(2)?, row.text(3)?, row.text(4)?];
    Ok(Tile {
        id,
        href: links::view(id, query),
        thumb: links::thumbnail(&path),
        alt: describe(id, characters, copyrights, artists),
        size: None,
        kind: kind(&path),
        is_favourite: false,
    })
}

/// What an image is, in a few words, for those who do not see it.
pub(super) fn describe(
    id: u32,
    characters: Option<String>,
    copyrights: Option<String>,
    artists: Option<String>,
) -> String {
    let spoken = |words: Option<String>| {
        words
            .map(|words| words.replace('_', " "))
            .filter(|words| !words.is_empty())
    };
    let mut text = format!("Image {id}");
    for (before, words) in [(": ", characters), (", ", copyrights), (" by ", artists)] {
        if let Some(words) = spoken(words) {
            text.push_str(before);
            text.push_str(&words);
        }
    }
    match text.char_indices().nth(ALT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn kind(path: &str) -> Option<&'static str> {
    let ending = path.rsplit('.').next().unwrap_or_default().to_lowercase();
    match ending.as_str() {
        ending if VIDEOS.contains(&ending) => Some("video"),
        "gif" => Some("gif"),
        "zip" => Some("animation"),
        _ => None,
    }
}

/// Whether a browser plays this file as a video.
pub(super) fn is_video(path: &str) -> bool {
    kind(path) == Some("video")
}

/// A tag as it is shown in lists.
pub(super) fn count(catalog: &crate::catalog::Catalog, term: TermId) -> String {
    links::grouped(catalog.count_of(term))
}
