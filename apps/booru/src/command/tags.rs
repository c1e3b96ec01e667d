//! `booru tags`: tags to look through.

use std::fmt::Write as _;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{open, say, say_json, shown};
use crate::board::Board;
use crate::browse::{
    Browse, CommonTags, Overview, TAG_PAGE_MAX, TagDetail, TagFilter, TagOrder, TagPage, TagRow,
};
use crate::config::{BoardArguments, FormArguments, HelpArguments};
use crate::edit::check_category;
use crate::rules::Rule;
use crate::store::Access;

#[derive(Debug, Args)]
pub struct TagsArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: TagsCommand,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Debug, Subcommand)]
enum TagsCommand {
    /// List tags: all, uncategorized, needs_extended, orphaned or low_usage ones.
    #[command(alias = "fetch")]
    Browse {
        #[arg(long, default_value = "all")]
        filter: TagFilter,
        /// count_desc, count_asc, alpha_asc or alpha_desc.
        #[arg(long, default_value = "count_desc")]
        sort: TagOrder,
        /// With this in the name.
        #[arg(long, default_value = "")]
        search: String,
        #[arg(long)]
        category: Option<String>,
        /// Leave out tags that no image has.
        #[arg(long)]
        hide_orphaned: bool,
        #[arg(long, default_value_t = 0)]
        offset: usize,
        /// At most 500.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Tell all that is known of a tag.
    Detail { tag: String },
    /// Tell how many tags there are of what.
    Overview,
    /// Tell which tags the images that match a query have in common.
    #[command(disable_help_flag = true)]
    Common {
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// Tags that only some have.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        help: HelpArguments,
    },
}

pub(super) fn execute(arguments: TagsArguments) -> Result<()> {
    let board = open(&arguments.board, Access::ReadOnly)?;
    match arguments.act {
        TagsCommand::Browse {
            filter,
            sort,
            search,
            category,
            hide_orphaned,
            offset,
            limit,
        } => {
            let asked = Browse {
                filter,
                order: sort,
                search: &search,
                category: category.as_deref().map(check_category).transpose()?,
                hides_orphaned: hide_orphaned,
                offset,
                limit: limit.min(TAG_PAGE_MAX),
            };
            answer(&arguments.form, &board.browse_tags(&asked)?, page_text)
        }
        TagsCommand::Detail { tag } => {
            answer(&arguments.form, &board.tag_detail(&tag)?, detail_text)
        }
        TagsCommand::Overview => answer(&arguments.form, &board.overview()?, overview_text),
        TagsCommand::Common { query, limit, .. } => {
            let images = matches(&board, &query)?;
            let common = board.common_tags(&images, limit)?;
            answer(&arguments.form, &common, common_text)
        }
    }
}

pub(super) fn matches(board: &Board, query: &str) -> Result<Vec<u32>> {
    board.all_matches(&query.parse()?)
}

/// As JSON, or as `text` writes it.
pub(super) fn answer<T: Serialize>(
    form: &FormArguments,
    value: &T,
    text: impl Fn(&T) -> Result<String>,
) -> Result<()> {
    match form.json {
        true => say_json(value),
        false => say(&text(value)?),
    }
}

fn row(text: &mut String, tag: &TagRow) -> Result<()> {
    let (count, category, name) = (tag.count, tag.category, shown(&tag.name));
    writeln!(text, "{count:>10}  {category:<9}  {name}")?;
    Ok(())
}

fn page_text(page: &TagPage) -> Result<String> {
    let mut text = String::new();
    page.tags.iter().try_for_each(|tag| row(&mut text, tag))?;
    writeln!(text, "{} tags in all", page.total)?;
    Ok(text)
}

fn detail_text(detail: &TagDetail) -> Result<String> {
    let mut text = String::new();
    row(&mut text, &detail.tag)?;
    if let Some(extended) = &detail.extended_category {
        writeln!(text, "Extended category: {}", shown(extended))?;
    }
    for source in &detail.sources {
        writeln!(text, "{:>10}  by {}", source.images, shown(&source.source))?;
    }
    let samples: Vec<String> = detail.samples.iter().map(u32::to_string).collect();
    writeln!(text, "Newest images: {}", samples.join(" "))?;
    let aliases: Vec<String> = detail.aliases.iter().map(|alias| shown(alias)).collect();
    writeln!(text, "Other names: {}", aliases.join(" "))?;
    for rule in detail.implies.iter().chain(&detail.implied_by) {
        writeln!(text, "{}", rule_text(rule))?;
    }
    Ok(text)
}

pub(super) fn rule_text(rule: &Rule) -> String {
    format!(
        "{:<8}  {:.2}  {:<14}  {} -> {}",
        shown(&rule.status),
        rule.confidence,
        shown(&rule.inference_type),
        shown(&rule.tag),
        shown(&rule.implied)
    )
}

fn overview_text(overview: &Overview) -> Result<String> {
    let mut text = String::new();
    for (count, what) in [
        (overview.images, "images"),
        (overview.tags, "tags"),
        (overview.pairs, "pairs of image and tag"),
        (overview.orphaned, "tags on no image"),
        (overview.low_usage, "tags on 1 to 4 images"),
        (overview.uncategorized, "tags in no category"),
        (
            overview.needs_extended,
            "general tags without an extended category",
        ),
        (overview.aliases, "other names"),
        (overview.rules_active, "active rules"),
        (overview.rules_rejected, "rejected rules"),
    ] {
        writeln!(text, "{count:>12}  {what}")?;
    }
    for category in &overview.categories {
        let (tags, pairs) = (category.tags, category.pairs);
        writeln!(
            text,
            "{tags:>12}  {} tags, on images {pairs} times",
            category.category
        )?;
    }
    Ok(text)
}

fn common_text(common: &CommonTags) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "{} images", common.images)?;
    for share in common.in_all.iter().chain(&common.in_some) {
        let name = shown(&share.tag.name);
        writeln!(
            text,
            "{:>7}  {:>5.1} %  {name}",
            share.images, share.percentage
        )?;
    }
    writeln!(
        text,
        "{} tags on all, {} on some",
        common.in_all.len(),
        common.in_some_total
    )?;
    Ok(text)
}
