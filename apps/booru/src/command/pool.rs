//! `booru pool`: images put together in an order.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::tags::answer;
use super::{open, shown};
use crate::board::Board;
use crate::config::{BoardArguments, FormArguments};
use crate::pools::{PoolInfo, PoolPage};
use crate::store::Access;

#[derive(Debug, Args)]
pub struct PoolArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: PoolCommand,
    #[command(flatten)]
    form: FormArguments,
}

/// A pool is told by its name, or its id.
#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// List the pools.
    List {
        #[arg(long, default_value_t = 0)]
        offset: usize,
        /// At most 500.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Tell what is in a pool.
    Show {
        pool: String,
        #[arg(long, default_value_t = 0)]
        offset: usize,
        /// At most 500.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Tell the pools that an image is in.
    Of { image: u32 },
    /// Make a pool.
    Create {
        name: String,
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Give a pool another name.
    Rename { pool: String, name: String },
    /// Give a pool a description.
    Describe { pool: String, description: String },
    /// Delete a pool; its images stay.
    Delete { pool: String },
    /// Put images at the end of a pool, by id.
    Add {
        pool: String,
        #[arg(required = true)]
        images: Vec<u32>,
    },
    /// Take images out of a pool, by id.
    Remove {
        pool: String,
        #[arg(required = true)]
        images: Vec<u32>,
    },
    /// Put images of a pool first, by id, in this order.
    Reorder {
        pool: String,
        #[arg(required = true)]
        images: Vec<u32>,
    },
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    pool: PoolInfo,
    /// Ids, in the order of the pool.
    image_ids: Vec<u32>,
}

pub(super) fn execute(arguments: PoolArguments) -> Result<()> {
    let form = &arguments.form;
    let access = match arguments.act {
        PoolCommand::List { .. } | PoolCommand::Show { .. } | PoolCommand::Of { .. } => {
            Access::ReadOnly
        }
        _ => Access::InPlace,
    };
    let mut board = open(&arguments.board, access)?;
    let pool = match arguments.act {
        PoolCommand::List { offset, limit } => {
            return answer(form, &board.pools(offset, limit)?, list_text);
        }
        PoolCommand::Of { image } => {
            let items = board.pools_of(image)?;
            let total = items.len() as u64;
            return answer(form, &PoolPage { items, total }, list_text);
        }
        PoolCommand::Show {
            pool,
            offset,
            limit,
        } => {
            let pool = board.find_pool(&pool)?;
            let shown = Shown {
                pool: board.pool(pool)?,
                image_ids: board.images_of_pool(pool, offset, limit)?.items,
            };
            return answer(form, &shown, pool_text);
        }
        PoolCommand::Delete { pool } => {
            let pool = board.pool(board.find_pool(&pool)?)?;
            board.delete_pool(pool.id)?;
            return answer(form, &pool, |pool| {
                Ok(format!("deleted pool {} {}\n", pool.id, shown(&pool.name)))
            });
        }
        other => change(&mut board, other)?,
    };
    answer(form, &board.pool(pool)?, |pool| Ok(line(pool)))
}

/// The pool that was changed.
fn change(board: &mut Board, act: PoolCommand) -> Result<i64> {
    let find = |board: &Board, pool: &str| board.find_pool(pool);
    Ok(match act {
        PoolCommand::Create { name, description } => board.create_pool(&name, &description)?,
        PoolCommand::Rename { pool, name } => {
            let pool = find(board, &pool)?;
            board.rename_pool(pool, &name)?;
            pool
        }
        PoolCommand::Describe { pool, description } => {
            let pool = find(board, &pool)?;
            board.describe_pool(pool, &description)?;
            pool
        }
        PoolCommand::Add { pool, images } => {
            let pool = find(board, &pool)?;
            board.add_to_pool(pool, &images)?;
            pool
        }
        PoolCommand::Remove { pool, images } => {
            let pool = find(board, &pool)?;
            board.remove_from_pool(pool, &images)?;
            pool
        }
        PoolCommand::Reorder { pool, images } => {
            let pool = find(board, &pool)?;
            board.reorder_pool(pool, &images)?;
            pool
        }
        PoolCommand::List { .. }
        | PoolCommand::Show { .. }
        | PoolCommand::Of { .. }
        | PoolCommand::Delete { .. } => unreachable!("these are done above"),
    })
}

fn line(pool: &PoolInfo) -> String {
    let (id, images) = (pool.id, pool.images);
    format!("{id:>8}  {images:>7} images  {}\n", shown(&pool.name))
}

fn list_text(page: &PoolPage<PoolInfo>) -> Result<String> {
    let mut text: String = page.items.iter().map(line).collect();
    writeln!(text, "{} pools in all", page.total)?;
    Ok(text)
}

fn pool_text(pool: &Shown) -> Result<String> {
    let mut text = line(&pool.pool);
    if !pool.pool.description.is_empty() {
        writeln!(text, "{}", shown(&pool.pool.description))?;
    }
    for id in &pool.image_ids {
        writeln!(text, "{id:>10}")?;
    }
    Ok(text)
}
