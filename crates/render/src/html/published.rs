//! What programs say of their own memory, as tables.

use std::io;

use plimsoll_model::{Published, PublishedBudget, PublishedConsumer};

use super::page::Page;
use super::table::{Cell, Column};
use crate::words::published::{
    beyond_words, budget_notes, by_size, left_out_words, stage_words, title,
};

pub(super) fn published(page: &mut Page<'_>, published: &[Published]) -> io::Result<()> {
    for one in published {
        page.section("By its own account")?;
        page.paragraph("note", &title(one, published.len()))?;
        tags(page, one)?;
        for stage in &one.stages {
            page.paragraph("note", &stage_words(stage))?;
        }
        budgets(page, one)?;
        if let Some(words) = left_out_words(one) {
            page.paragraph("note", &words)?;
        }
        page.raw("</section>\n")?;
    }
    Ok(())
}

fn tags(page: &mut Page<'_>, published: &Published) -> io::Result<()> {
    let Some(total) = published.total else {
        return Ok(());
    };
    let columns = [
        Column::Words("inside its heaps"),
        Column::Figures("live"),
        Column::Figures("peak"),
        Column::Figures("blocks"),
        Column::Figures("requested in all"),
    ];
    let tags = by_size(published).into_iter();
    let rows = tags
        .map(|tag| (tag.name.as_str(), tag.counted))
        .chain([("all tags", total)])
        .map(|(name, counted)| {
            vec![
                Cell::text(name),
                Cell::exactly(counted.live),
                Cell::exactly(counted.peak),
                Cell::valued(counted.live_blocks as f64, counted.live_blocks.to_string()),
                Cell::exactly(counted.requested),
            ]
        });
    page.table(&columns, rows)?;
    match beyond_words(published) {
        Some(words) => page.paragraph("note", &words),
        None => Ok(()),
    }
}

fn budgets(page: &mut Page<'_>, published: &Published) -> io::Result<()> {
    if published.budgets.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Words("budget"),
        Column::Words("consumer"),
        Column::Figures("held"),
        Column::Figures("peak"),
        Column::Figures("limit"),
        Column::Figures("left"),
        Column::Prose("note"),
    ];
    let rows = published.budgets.iter().flat_map(|budget| {
        let consumers = budget.consumers.iter();
        let consumers = consumers.map(|consumer| consumer_row(budget, consumer));
        [budget_row(budget)].into_iter().chain(consumers)
    });
    page.table(&columns, rows)
}

fn budget_row(budget: &PublishedBudget) -> Vec<Cell> {
    vec![
        Cell::text(&budget.name),
        Cell::text("all"),
        Cell::exactly(budget.held),
        Cell::exactly(budget.held_peak),
        Cell::exactly(budget.limit),
        Cell::exactly(budget.left),
        Cell::text(budget_notes(budget).join("; ")),
    ]
}

fn consumer_row(budget: &PublishedBudget, consumer: &PublishedConsumer) -> Vec<Cell> {
    let refused = match consumer.refused {
        0 => String::new(),
        refused => format!("{refused} refused"),
    };
    vec![
        Cell::text(&budget.name),
        Cell::text(&consumer.name),
        Cell::exactly(consumer.held),
        Cell::exactly(consumer.held_peak),
        Cell::unknown(),
        Cell::unknown(),
        Cell::text(refused),
    ]
}
