//! `booru rules`: rules that one tag implies another.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::tags::{answer, rule_text};
use super::{edited_text, open, shown};
use crate::config::{BoardArguments, FormArguments};
use crate::rules::{Preview, RulePage, RuleSuggestions, Rules, Side};
use crate::store::Access;

#[derive(Debug, Args)]
pub struct RulesArguments {
    #[command(flatten)]
    board: BoardArguments,
    #[command(subcommand)]
    act: RulesCommand,
    #[command(flatten)]
    form: FormArguments,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// List the rules.
    List {
        /// From or to this tag.
        #[arg(long)]
        tag: Option<String>,
        /// active or rejected.
        #[arg(long)]
        status: Option<String>,
        #[arg(long, default_value_t = 0)]
        offset: usize,
        /// At most 500.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Tell what a rule would do.
    Preview { tag: String, implied: String },
    /// List rules that names or images speak for.
    Suggest {
        #[arg(long, default_value_t = 0)]
        offset: usize,
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Put implied tags on images that lack them: by one rule, or by all.
    Apply {
        #[arg(requires = "implied")]
        tag: Option<String>,
        implied: Option<String>,
    },
    /// Take off all that rules have put on images, and apply all rules to the rest.
    Reapply,
    /// Make a suggestion a rule.
    Approve { tag: String, implied: String },
    /// Keep in mind that a tag does not imply another.
    Reject { tag: String, implied: String },
    /// Make rules of all suggestions of a confidence of 0.95 or more with at least 10 images.
    AutoApprove,
}

pub(super) fn execute(arguments: RulesArguments) -> Result<()> {
    let form = &arguments.form;
    let access = match arguments.act {
        RulesCommand::List { .. } | RulesCommand::Preview { .. } | RulesCommand::Suggest { .. } => {
            Access::ReadOnly
        }
        _ => Access::InPlace,
    };
    let mut board = open(&arguments.board, access)?;
    match arguments.act {
        RulesCommand::List {
            tag,
            status,
            offset,
            limit,
        } => {
            let asked = Rules {
                tag: tag.as_deref().map(|tag| (Side::Either, tag)),
                status: status.as_deref(),
                offset,
                limit,
            };
            answer(form, &board.rules(&asked)?, list_text)
        }
        RulesCommand::Preview { tag, implied } => {
            answer(form, &board.preview_rule(&tag, &implied)?, preview_text)
        }
        RulesCommand::Suggest { offset, limit } => {
            answer(form, &board.suggest_rules(offset, limit)?, suggestions_text)
        }
        RulesCommand::Apply { tag, implied } => {
            let edited = match (tag, implied) {
                (Some(tag), Some(implied)) => board.apply_rule(&tag, &implied)?,
                (None, None) => board.apply_rules()?,
                _ => bail!("apply a rule: give both tags of it, or none to apply all rules"),
            };
            answer(form, &edited, edited_text)
        }
        RulesCommand::Reapply => answer(form, &board.reapply_rules()?, edited_text),
        RulesCommand::Approve { tag, implied } => {
            board.approve_rule(&tag, &implied)?;
            answer(form, &board.preview_rule(&tag, &implied)?, preview_text)
        }
        RulesCommand::Reject { tag, implied } => {
            board.reject_rule(&tag, &implied)?;
            answer(form, &board.preview_rule(&tag, &implied)?, preview_text)
        }
        RulesCommand::AutoApprove => answer(form, &board.approve_rules()?, |approved| {
            Ok(format!(
                "{} rules made, {} left out that would close a circle\n",
                approved.rules, approved.circular
            ))
        }),
    }
}

fn list_text(page: &RulePage) -> Result<String> {
    let mut text = String::new();
    for rule in &page.rules {
        writeln!(text, "{}", rule_text(rule))?;
    }
    writeln!(text, "{} rules in all", page.total)?;
    Ok(text)
}

fn preview_text(preview: &Preview) -> Result<String> {
    let mut text = String::new();
    let (tag, implied) = (shown(&preview.tag), shown(&preview.implied));
    let status = preview.status.as_deref().unwrap_or("none so far");
    writeln!(text, "{tag} -> {implied}: {}", shown(status))?;
    writeln!(text, "{:>10}  images with {tag}", preview.images)?;
    writeln!(text, "{:>10}  of them with {implied}", preview.having)?;
    writeln!(text, "{:>10}  of them to gain it", preview.gaining)?;
    for link in &preview.chain {
        writeln!(
            text,
            "{:>10}  to gain {}, because of {}",
            link.gaining,
            shown(&link.tag),
            shown(&link.because_of)
        )?;
    }
    if !preview.circle.is_empty() {
        let circle: Vec<String> = preview.circle.iter().map(|tag| shown(tag)).collect();
        writeln!(text, "A circle: {}", circle.join(" -> "))?;
    }
    Ok(text)
}

fn suggestions_text(found: &RuleSuggestions) -> Result<String> {
    let mut text = String::new();
    for one in &found.suggestions {
        writeln!(
            text,
            "{:.2}  {:>8} images, {:>8} to gain it  {} -> {}",
            one.confidence,
            one.images,
            one.gaining,
            shown(&one.tag),
            shown(&one.implied)
        )?;
    }
    writeln!(text, "{} suggestions in all", found.total)?;
    Ok(text)
}
