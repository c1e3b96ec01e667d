//! What a person says of two images, done with their files.

use anyhow::{Context, Result};

use crate::board::Board;
use crate::edit::{Action, Reviewed};
use crate::ingest::{self, Files, Settings};

/// Does what is said of two images, by id; the pair leaves the queue. A deleted image's file goes as `files` says.
///
/// # Errors
/// As [`Board::review_duplicate`] and [`ingest::delete_keeping`]; of two that each delete one image, the second is refused.
pub fn commit(
    board: &mut Board,
    settings: &Settings,
    (a, b): (u32, u32),
    action: Action,
    files: Files,
) -> Result<Reviewed> {
    let (gone, kept) = match action {
        Action::DeleteA => (a, b),
        Action::DeleteB => (b, a),
        _ => return board.review_duplicate(a, b, action),
    };
    let path = board.path_to_delete(gone, kept)?;
    ingest::delete_keeping(board, settings, &[gone], &[kept], files)
        .with_context(|| format!("delete image {gone} as a duplicate of {kept}"))?;
    Ok(Reviewed {
        deleted_path: Some(path),
    })
}
