//! `booru review`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::board::Board;
use crate::command::{say, say_json, shown};
use crate::config::FormArguments;
use crate::ml::arguments::Command;
use crate::ml::review::{self, Which};
use crate::ml::tables;
use crate::store::Access;

pub(super) fn review(command: Command) -> Result<ExitCode> {
    let Command::Review {
        board: arguments,
        image,
        tag,
        above,
        accept,
        reject,
        all,
        forget_rejected,
        by_tag,
        limit,
        form,
    } = command
    else {
        bail!("this is no review");
    };
    if let Some(share) = above {
        ensure!(
            (0.0..=1.0).contains(&share),
            "--above {share} is no share from 0 to 1"
        );
    }
    let is_narrow = image.is_some() || tag.is_some() || above.is_some();
    ensure!(
        is_narrow || all || !(accept || reject),
        "accept or reject which? Give --image, --tag or --above, or --all for all that wait"
    );
    let which = Which {
        image,
        tag: tag.map(|tag| tag.to_lowercase()),
        confidence_min: above,
    };
    if accept || reject || forget_rejected {
        let mut board = Board::open(&arguments.board, arguments.store_options(Access::InPlace)?)?;
        tables::ensure(&mut board)?;
        let (word, count) = match (accept, reject) {
            (true, _) => ("accepted", review::accept(&mut board, &which)?),
            (_, true) => ("rejected", review::reject(&mut board, &which)?),
            _ => (
                "forgotten",
                review::forget_rejections(&mut board, image.unwrap_or(0))?,
            ),
        };
        match form.json {
            true => say_json(&json!({ word: count }))?,
            false => say(&format!("{count} {word}\n"))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let board = Board::open(&arguments.board, arguments.store_options(Access::ReadOnly)?)?;
    match by_tag {
        true => list_by_tag(&board, &which, limit, &form)?,
        false => list_reviews(&board, &which, limit, &form)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_by_tag(board: &Board, which: &Which, limit: u32, form: &FormArguments) -> Result<()> {
    let tags = review::list_by_tag(&board.store, which, limit)?;
    if form.json {
        return say_json(&json!({ "tags": tags }));
    }
    let mut text = String::new();
    for one in tags {
        let (images, most) = (one.images, one.confidence_max);
        writeln!(
            text,
            "{images:>10}  {most:.3}  {:<9}  {}",
            one.category,
            shown(&one.tag)
        )?;
    }
    say(&text)
}

fn list_reviews(board: &Board, which: &Which, limit: u32, form: &FormArguments) -> Result<()> {
    let reviews = review::list(&board.store, which, 0, limit)?;
    let waiting = review::count(&board.store, which)?;
    if form.json {
        return say_json(&json!({ "reviews": reviews, "waiting": waiting }));
    }
    let mut text = String::new();
    for one in reviews {
        let (image, share) = (one.image_id, one.confidence);
        writeln!(
            text,
            "{image:>10}  {share:.3}  {:<9}  {}",
            one.category,
            shown(&one.tag)
        )?;
    }
    writeln!(text, "{waiting} wait")?;
    say(&text)
}
