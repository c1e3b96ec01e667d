//! Images that match a query, counted, in order, a page at a time.
//!
//! Answers are a bit for each image; no list of names, tags or rows is made. Memory of a request: 25 KiB a
//! level of the query and a pattern at 200,000 images, what the postings take (1 KiB a tag), and 4 bytes an
//! answer where they are sorted: below 2 MiB there.
//!
//! Time at 200,000 images: below a millisecond for tags; 2 for a part of a path, 3 for an order that is not
//! held (width, height, pixels, tagcount, random). A pattern reads what its tags have, until all images are
//! found: 3.4 ms for `*_hair` with 179,000 of them (`README.md` has the figures).

mod bits;
mod order;
mod place;
mod plan;

use std::ops::ControlFlow;

use anyhow::{Context, Result};

use crate::catalog::Catalog;
use crate::query::{Order, Query};
use bits::Bits;
use plan::{Plan, Planner};

pub use place::Place;
pub(crate) use plan::FindMd5;
pub use plan::SCANS_MAX;

/// Images on a page at most.
pub const PAGE_IMAGES_MAX: usize = 500;

/// Which page is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// From 1.
    pub number: usize,
    /// 1 to [`PAGE_IMAGES_MAX`].
    pub images: usize,
}

/// A page of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Ids of the database.
    pub ids: Vec<u32>,
    /// Of all pages.
    pub total: usize,
    pub pages: usize,
    /// Which order they are in, the seed of a random one included.
    pub order: Order,
}

/// Answers a query. `seed` is for a random order without one.
///
/// # Errors
/// More than [`SCANS_MAX`] terms that look for parts of names or paths; what the database says where
/// MD5 sums are asked for.
pub fn search(
    catalog: &Catalog,
    query: &Query,
    page: Page,
    seed: u64,
    find_md5: &FindMd5<'_>,
) -> Result<Found> {
    let len = page.images.clamp(1, PAGE_IMAGES_MAX);
    let offset = page.number.max(1).saturating_sub(1).saturating_mul(len);
    window(catalog, query, offset, len, seed, find_md5)
}

/// `len` answers behind the first `offset`.
fn window(
    catalog: &Catalog,
    query: &Query,
    offset: usize,
    len: usize,
    seed: u64,
    find_md5: &FindMd5<'_>,
) -> Result<Found> {
    let answers = answer(catalog, query, find_md5)?;
    let total = answers.count();
    let order = query.order.or_seed(seed);
    let images = order::page(&catalog.images, &answers, total, order, offset, len);
    let ids = images.into_iter().map(|image| catalog.images.id(image));
    Ok(Found {
        ids: ids.collect(),
        total,
        pages: total.div_ceil(len.max(1)),
        order,
    })
}

/// The ids of all images that match, ascending. 4 bytes each.
///
/// # Errors
/// As [`search`] says.
pub fn all_matches(catalog: &Catalog, query: &Query, find_md5: &FindMd5<'_>) -> Result<Vec<u32>> {
    let answers = answer(catalog, query, find_md5)?;
    Ok(answers
        .iter()
        .map(|image| catalog.images.id(image))
        .collect())
}

fn answer(catalog: &Catalog, query: &Query, find_md5: &FindMd5<'_>) -> Result<Bits> {
    let mut planner = Planner {
        catalog,
        find_md5,
        scans: 0,
    };
    let plan = planner.plan(&query.expression)?;
    let mut answers = Bits::all(catalog.images.numbers());
    answers.take_out_all(catalog.images.gone());
    let mut is_all = true;
    restrict(catalog, &plan, &mut answers, &mut is_all)?;
    Ok(answers)
}

/// Takes out of `answers` what does not match. `is_all`: nothing was taken out so far.
fn restrict(
    catalog: &Catalog,
    plan: &Plan<'_>,
    answers: &mut Bits,
    is_all: &mut bool,
) -> Result<()> {
    let was_all = std::mem::replace(is_all, false);
    match plan {
        Plan::Tags(query) => {
            let mut found = Bits::none(catalog.images.numbers());
            let add = |image| found.insert(image);
            let postings = &catalog.postings;
            postings
                .each_match(&catalog.tags, query, add)
                .context("search by tags")?;
            match was_all {
                true => *answers = found,
                false => answers.keep(&found),
            }
        }
        Plan::Set(set) => answers.keep_set(set),
        Plan::Bits(bits) => answers.keep(bits),
        Plan::Number(field, intervals) => answers.retain(|image| {
            let number = catalog.images.number(*field, image);
            number.is_some_and(|number| intervals.iter().any(|one| one.contains(number)))
        }),
        Plan::Path(pattern) => {
            let paths = &catalog.images.paths;
            if answers.count() < catalog.images.len() / PATHS_SHARE {
                answers.retain(|image| pattern.is_in(paths.get(image as usize)));
                return Ok(());
            }
            let mut found = Bits::none(catalog.images.numbers());
            paths.find(
                pattern,
                |path| pattern.is_in(path),
                |image| {
                    found.insert(image as u32);
                    ControlFlow::Continue(())
                },
            );
            answers.keep(&found);
        }
        Plan::Not(inner) => {
            let mut found = answers.clone();
            let mut inner_is_all = was_all;
            restrict(catalog, inner, &mut found, &mut inner_is_all)?;
            answers.take_out(&found);
        }
        Plan::All(parts) => {
            *is_all = was_all;
            for part in parts {
                restrict(catalog, part, answers, is_all)?;
            }
        }
        Plan::Any(parts) => {
            let mut found = Bits::none(catalog.images.numbers());
            for part in parts {
                let mut of_part = answers.clone();
                let mut part_is_all = was_all;
                restrict(catalog, part, &mut of_part, &mut part_is_all)?;
                found.add(&of_part);
            }
            *answers = found;
        }
    }
    Ok(())
}

/// Where fewer images than one in so many are left, their paths are looked at one by one.
const PATHS_SHARE: usize = 16;
