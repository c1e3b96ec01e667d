//! What programs say of their own memory, below what was read from outside.

use std::io;

use plimsoll_model::{Counted, Published, PublishedBudget};

use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use crate::options::TextOptions;
use crate::printable::printable;
use crate::words::number::count;
use crate::words::published::{
    beyond_words, budget_notes, by_size, left_out_words, stage_words, title,
};

pub(super) fn write(
    page: &mut Page<'_>,
    published: &[Published],
    options: &TextOptions,
) -> io::Result<()> {
    for one in published {
        page.blank()?;
        page.paragraph(Tone::Bold, "", &title(one, published.len()))?;
        tags(page, one, options)?;
        for stage in &one.stages {
            page.paragraph(Tone::Plain, "", &printable(&stage_words(stage)))?;
        }
        budgets(page, &one.budgets)?;
        if let Some(words) = left_out_words(one) {
            page.paragraph(Tone::Dim, "", &words)?;
        }
    }
    Ok(())
}

fn tags(page: &mut Page<'_>, published: &Published, options: &TextOptions) -> io::Result<()> {
    let Some(total) = published.total else {
        return Ok(());
    };
    let mut table = Table::new(vec![
        ("inside its heaps", Align::Name),
        ("live", Align::Right),
        ("peak", Align::Right),
        ("blocks", Align::Right),
        ("requested in all", Align::Right),
    ]);
    let row = |name: String, counted: &Counted| {
        Row::new(vec![
            name,
            counted.live.to_string(),
            counted.peak.to_string(),
            counted.live_blocks.to_string(),
            counted.requested.to_string(),
        ])
    };
    let tags = by_size(published);
    let shown = options.shown_of(tags.len());
    for tag in &tags[..shown] {
        table.push(row(printable(&tag.name).into_owned(), &tag.counted));
    }
    let mut sum = row("all tags".to_owned(), &total);
    if shown < tags.len() {
        let more = count((tags.len() - shown) as u64, "smaller tag", "smaller tags");
        sum.notes.push(format!("{more} among them"));
    }
    sum.notes.extend(beyond_words(published));
    table.push(sum);
    table.write(page)
}

fn budgets(page: &mut Page<'_>, budgets: &[PublishedBudget]) -> io::Result<()> {
    if budgets.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(vec![
        ("budget", Align::Name),
        ("held", Align::Right),
        ("peak", Align::Right),
        ("limit", Align::Right),
        ("left", Align::Right),
    ]);
    for budget in budgets {
        let mut row = Row::new(vec![
            printable(&budget.name).into_owned(),
            budget.held.to_string(),
            budget.held_peak.to_string(),
            budget.limit.to_string(),
            budget.left.to_string(),
        ]);
        row.notes = budget_notes(budget);
        table.push(row);
        for consumer in &budget.consumers {
            let mut row = Row::new(vec![
                printable(&consumer.name).into_owned(),
                consumer.held.to_string(),
                consumer.held_peak.to_string(),
                String::new(),
                String::new(),
            ]);
            row.indent = 2;
            if consumer.refused > 0 {
                let refused = count(consumer.refused, "claim refused", "claims refused");
                row.notes.push(refused);
            }
            table.push(row);
        }
    }
    table.write(page)
}
