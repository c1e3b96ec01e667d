//! What [`crate::figures::lifecycle`] found, in sentences that text and HTML share. Labels and names in them
//! are foreign and not escaped yet.

use plimsoll_model::{Bytes, Recorded, Stage};

use crate::figures::lifecycle::{ComponentChange, Difference, Freed, remainder};
use crate::figures::run::comparable_rss;
use crate::words::amount::{change, signed};
use crate::words::number::{count, percent};
use crate::words::time::span;

/// Components that a change of one stage names.
const STAGE_NAMES: usize = 3;
/// Components that the remainder names.
const REMAINDER_NAMES: usize = 6;

/// "52.0 MiB", or ">=52.0 MiB" where it may have been more.
pub(crate) fn peak_words(stage: &Stage) -> String {
    let mark = if stage.peak_at_most.is_some() {
        ">="
    } else {
        ""
    };
    format!("{mark}{}", stage.peak)
}

/// "peak at most 80.0 MiB": of several processes that had their peaks at different times.
pub(crate) fn peak_note(stage: &Stage) -> Option<String> {
    let most = stage.peak_at_most?;
    Some(format!("peak at most {most}"))
}

/// "glibc malloc +40.0 MiB, numpy +3.00 MiB, 4 others -12.0 KiB".
pub(crate) fn composition_words(difference: &Difference<'_>) -> String {
    if difference.components.is_empty() {
        return "no owner changed".to_owned();
    }
    listed(&difference.components, STAGE_NAMES, |component| {
        format!(
            "{} {}",
            component.name,
            change(component.from, component.to)
        )
    })
}

/// How much of what was gained was freed again, and who holds the rest: some sentences, none
/// without stages.
pub(crate) fn lifecycle_words(recorded: &Recorded) -> Vec<String> {
    let Some(freed) = Freed::of(&recorded.stages) else {
        return Vec::new();
    };
    let end = if recorded.meta.complete {
        "by the end"
    } else {
        "by the end of the last stage that was recorded"
    };
    let mut words = vec![freed_words(&freed, end)];
    if !freed.remains().is_zero() {
        words.push(match remainder(recorded) {
            Some(difference) => remainder_words(recorded, &freed, &difference),
            None => "Which owners hold the rest is not known: no breakdown was taken after the \
                     last stage had begun, nor one that saw as much."
                .to_owned(),
        });
    }
    words
}

fn freed_words(freed: &Freed<'_>, end: &str) -> String {
    let first = &freed.first.label;
    if freed.ratio().is_none() {
        return format!(
            "RSS did not rise above the {} that it had when \"{first}\" began; {end} it was {} \
             ({}).",
            freed.base,
            freed.last,
            change(freed.base, freed.last)
        );
    }
    let mark = if freed.is_at_least() { ">=" } else { "" };
    let peak = format!("{mark}{}", freed.max);
    let gained = format!(
        "Of the {} gained since \"{first}\" began ({}, highest {} in \"{}\")",
        freed.gained(),
        freed.base,
        peak,
        freed.highest.label
    );
    if freed.last == freed.base {
        return format!("{gained}, all was freed again {end}.");
    }
    if freed.last < freed.base {
        return format!(
            "{gained}, all was freed again {end}: {} ({}).",
            freed.last,
            change(freed.base, freed.last)
        );
    }
    let least = if freed.is_at_least() { "at least " } else { "" };
    let share = percent(freed.freed(), freed.gained());
    format!(
        "{gained}, {least}{share} was freed again {end} ({}): {} are left.",
        freed.last,
        freed.remains()
    )
}

fn remainder_words(recorded: &Recorded, freed: &Freed<'_>, difference: &Difference<'_>) -> String {
    let (from, to) = (difference.from, difference.to);
    let holders = if difference.components.is_empty() {
        "no owner changed".to_owned()
    } else {
        listed(&difference.components, REMAINDER_NAMES, holder_words)
    };
    let first = freed.first;
    let side = if from.at < first.start {
        "before"
    } else {
        "after"
    };
    let began = from.at.abs_diff(first.start);
    let began = if began.is_zero() {
        format!("when \"{}\" began", first.label)
    } else {
        format!("{} {side} \"{}\" began", span(began), first.label)
    };
    let end = recorded
        .stages
        .last()
        .map_or(recorded.meta.length, |stage| stage.end);
    let ended = match end.saturating_sub(to.at) {
        early if early.is_zero() => "at the end".to_owned(),
        early => format!("{} before the end", span(early)),
    };
    format!(
        "By owner, what is left: {holders}. This is the difference of two breakdowns: {began} ({} \
         RSS) and {ended} ({} RSS).",
        comparable_rss(&from.breakdown),
        comparable_rss(&to.breakdown)
    )
}

/// "glibc malloc +8.00 MiB (of it 7.90 MiB freed but held by the allocator)".
fn holder_words(component: &ComponentChange<'_>) -> String {
    let mut words = format!(
        "{} {}",
        component.name,
        change(component.from, component.to)
    );
    let mut notes = Vec::new();
    if let Some(held) = component.held.filter(|held| !held.is_zero()) {
        notes.push(format!("{held} freed but held by the allocator"));
    }
    if !component.droppable.is_zero() {
        notes.push(format!("{} that the kernel can drop", component.droppable));
    }
    if !notes.is_empty() {
        words.push_str(&format!(" (of it {})", notes.join(", ")));
    }
    words
}

/// The first `names` of them in words, the others summed up.
fn listed(
    components: &[ComponentChange<'_>],
    names: usize,
    words: impl Fn(&ComponentChange<'_>) -> String,
) -> String {
    // One more fits where "1 other" would stand.
    let named = if components.len() == names + 1 {
        names + 1
    } else {
        names
    };
    let mut parts: Vec<String> = components.iter().take(named).map(words).collect();
    let others = components.get(named..).unwrap_or_default();
    if !others.is_empty() {
        let sum = others
            .iter()
            .fold(0_i64, |sum, other| sum.saturating_add(other.change()));
        let others = count(others.len() as u64, "other", "others");
        parts.push(format!("{others} {}", signed(sum)));
    }
    parts.join(", ")
}

/// The sum of what several stages changed.
pub(crate) fn change_total(stages: &[&Stage]) -> i64 {
    stages
        .iter()
        .fold(0, |sum, stage| sum.saturating_add(stage.change()))
}

/// The highest peak of several stages.
pub(crate) fn peak_max(stages: &[&Stage]) -> Bytes {
    stages
        .iter()
        .map(|stage| stage.peak)
        .max()
        .unwrap_or_default()
}
