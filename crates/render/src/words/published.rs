//! What a program says of its own memory, in words.

use plimsoll_model::{Bytes, Published, PublishedBudget, PublishedStage};

use super::number::{count, percent};
use super::time::span;

/// "what the program says of its own memory, 40 ms before the reading".
pub(crate) fn title(published: &Published, among: usize) -> String {
    let who = if among > 1 {
        format!("process {}", published.process.pid)
    } else {
        "the program".to_owned()
    };
    format!(
        "what {who} says of its own memory, {} before the reading",
        span(published.age)
    )
}

/// What the heaps hold beyond live bytes, or that not all of what is live was touched.
pub(crate) fn beyond_words(published: &Published) -> Option<String> {
    let total = published.total?;
    Some(match published.beyond_live() {
        Some(beyond) => format!(
            "its heaps hold ~{beyond} beyond that: free blocks, rounding, and what other code (C \
             libraries) allocated"
        ),
        None => format!(
            "its heaps hold {}, less than is live: ~{} of it was never touched, or is no heap that \
             is known here",
            published.heap,
            total.live.saturating_sub(published.heap)
        ),
    })
}

/// "stage import/batch: open for 1.2 s, 3.2 MiB live at its beginning, peak 9.4 MiB".
pub(crate) fn stage_words(stage: &PublishedStage) -> String {
    let mut words = format!("stage {}: open for {}", stage.path, span(stage.open_for));
    if let Some(begin) = stage.begin_live {
        words.push_str(&format!(", {begin} live at its beginning"));
    }
    if let Some(peak) = stage.peak_live {
        words.push_str(&format!(", peak of live bytes {peak}"));
    }
    words
}

/// What a budget says beside its figures; empty when there is nothing.
pub(crate) fn budget_notes(budget: &PublishedBudget) -> Vec<String> {
    let mut notes = Vec::new();
    if !budget.withheld.is_zero() {
        notes.push(format!(
            "{} kept back because RSS exceeds the account",
            budget.withheld
        ));
    }
    let drift = Bytes(budget.drift.unsigned_abs());
    match budget.drift {
        0 => {}
        1.. => notes.push(format!("RSS is {drift} above the account")),
        _ => notes.push(format!("RSS is {drift} below the account")),
    }
    if budget.waiting > 0 {
        notes.push(format!(
            "{} for {}",
            count(budget.waiting, "request waits", "requests wait"),
            budget.waiting_for
        ));
    }
    notes
}

pub(crate) fn left_out_words(published: &Published) -> Option<String> {
    (published.left_out > 0).then(|| {
        format!(
            "{} had no room in the beacon",
            count(published.left_out, "record", "records")
        )
    })
}

/// One line for a heap that is looked at: "by its own account: thumbnails 24.0 MiB, index 7.6 MiB".
/// `None` without a ledger.
#[must_use]
pub fn tags_line(published: &Published) -> Option<String> {
    let total = published.total?;
    let tags: Vec<String> = by_size(published)
        .into_iter()
        .map(|tag| format!("{} {}", tag.name, tag.counted.live))
        .collect();
    let beyond = published
        .beyond_live()
        .map_or_else(String::new, |beyond| format!("; ~{beyond} beyond"));
    Some(format!(
        "{} live by its own account: {}{beyond}",
        total.live,
        tags.join(", ")
    ))
}

/// One line of what the program is at: the innermost stage, and how full its budgets are. `None`
/// where it says neither.
#[must_use]
pub fn course_line(published: &Published) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(stage) = published.stages.last() {
        parts.push(format!("stage {} for {}", stage.path, span(stage.open_for)));
    }
    for budget in &published.budgets {
        let mut part = format!(
            "budget {}: {} of {} ({})",
            budget.name,
            budget.held,
            budget.limit,
            percent(budget.held, budget.limit)
        );
        let largest = budget.consumers.iter().max_by_key(|it| it.held);
        if let Some(largest) = largest.filter(|it| !it.held.is_zero()) {
            part.push_str(&format!(", most by {} {}", largest.name, largest.held));
        }
        parts.push(part);
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Tags that hold or held something, the largest first.
pub(crate) fn by_size(published: &Published) -> Vec<&plimsoll_model::PublishedTag> {
    let used = published.tags.iter();
    let mut tags: Vec<_> = used
        .filter(|tag| tag.counted.requested_blocks > 0)
        .collect();
    tags.sort_by(|a, b| (b.counted.live, &a.name).cmp(&(a.counted.live, &b.name)));
    tags
}
