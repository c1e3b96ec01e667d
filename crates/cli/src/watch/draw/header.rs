//! The lines on top: who is watched, the totals, what the kernel could take back, the verdict,
//! the limit that bites first.

use plimsoll_model::{Breakdown, Bytes, Cgroup, CgroupLevel, Exactness};
use plimsoll_render::course_line;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::changes::Change;
use super::super::state::State;
use super::ink::Ink;
use super::text::{change, clip, columns, marked, percent, span, wrap};

/// A name can be a whole script, as of `python3 -c`; the pid shall stay in sight.
const NAME_COLUMNS_MAX: usize = 30;

pub(super) fn header(state: &State, ink: Ink, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let mut lines = vec![title(state, width), totals(state, ink, width)];
    if let Some(latest) = &state.latest {
        let height = usize::from(area.height);
        // Four lines have no room for all: the verdict says in words what this one would.
        if height > 4 {
            lines.push(reclaim(state, &latest.breakdown, width));
        }
        if height > 4
            && let Some(course) = state.published().iter().find_map(course_line)
        {
            lines.push(Line::raw(clip(&course, width)));
        }
        let left = height.saturating_sub(lines.len());
        lines.extend(verdict_and_limit(&latest.breakdown, width, left));
    }
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        buf.set_line(area.x, y, line, area.width);
    }
}

fn verdict_and_limit(breakdown: &Breakdown, width: usize, room: usize) -> Vec<Line<'static>> {
    let limit = limit(breakdown);
    let whole = wrap(&breakdown.verdict, width, room);
    // That there is no limit matters less than the end of the verdict.
    let with_limit = limit.binds || whole.len() < room;
    let verdict = if with_limit {
        wrap(&breakdown.verdict, width, room.saturating_sub(1))
    } else {
        whole
    };
    let mut lines: Vec<Line<'static>> = verdict
        .into_iter()
        .map(|line| Line::styled(line, Ink::strong()))
        .collect();
    if with_limit {
        lines.push(Line::raw(clip(&limit.words, width)));
    }
    lines
}

fn title(state: &State, width: usize) -> Line<'static> {
    let badge = badge(state);
    let room = width.saturating_sub(columns(&badge) + 2);
    let mut spans = Vec::new();
    let mut used = 0;
    let mut add = |text: String, style: Style| {
        let text = clip(&text, room.saturating_sub(used));
        used += columns(&text);
        spans.push(Span::styled(text, style));
    };
    match &state.latest {
        None => add(format!("pid {}", state.pid), Ink::strong()),
        Some(latest) => {
            let breakdown = &latest.breakdown;
            let pid = format!("  pid {}", state.pid);
            let name_room = NAME_COLUMNS_MAX.min(room.saturating_sub(columns(&pid)));
            add(
                clip(&breakdown.process.application(), name_room),
                Ink::strong(),
            );
            add(pid, Style::new());
            match breakdown.processes.len() {
                _ if !state.tree => {}
                1 => add(", no descendants".to_owned(), Style::new()),
                2 => add(" and 1 descendant".to_owned(), Style::new()),
                count => add(format!(" and {} descendants", count - 1), Style::new()),
            }
            if !breakdown.process.command.is_empty() {
                add(
                    format!("  {}", breakdown.process.command.join(" ")),
                    Ink::dim(),
                );
            }
        }
    }
    spans.push(Span::raw(
        " ".repeat(width.saturating_sub(used + columns(&badge))),
    ));
    spans.push(Span::styled(badge, Ink::strong()));
    Line::from(spans)
}

fn badge(state: &State) -> String {
    let time = span(state.now);
    match &state.ended {
        Some(how) => format!("ENDED after {time}: {}", clip(how, 32)),
        None if state.paused => format!("PAUSED at {time}"),
        None if state.latest.is_none() => format!("reading… {time}"),
        None => format!("watched {time}"),
    }
}

/// RSS is the quick reading's when that is newer; the others are of the last full one.
fn totals(state: &State, ink: Ink, width: usize) -> Line<'static> {
    let quick = state
        .quick
        .as_ref()
        .filter(|(at, _)| state.latest.as_ref().is_none_or(|latest| *at >= latest.at));
    let mut pairs: Vec<(&str, String, Style)> = Vec::new();
    let Some(latest) = &state.latest else {
        if let Some((_, figures)) = quick {
            pairs.push(("RSS", figures.rss.to_string(), Ink::strong()));
            pairs.push(("peak", figures.rss_peak.to_string(), Style::new()));
        }
        return paired(pairs, width);
    };
    let totals = &latest.breakdown.totals;
    let rss = quick.map_or_else(
        || marked(totals.usage.resident, totals.resident_exactness),
        |(_, figures)| figures.rss.to_string(),
    );
    let peak = quick.map_or(totals.rss_peak, |(_, figures)| {
        figures.rss_peak.max(totals.rss_peak)
    });
    // RSS as it is shown, so that the change fits it.
    let grown = state.changes.total_since_baseline().map(|change| Change {
        to: quick.map_or(change.to, |(_, figures)| figures.rss),
        ..change
    });
    let style = match grown {
        Some(change) if change.to > change.from => ink.grown(),
        Some(change) if change.to < change.from => ink.shrunk(),
        _ => Style::new(),
    };
    pairs.push(("RSS", rss, Ink::strong()));
    pairs.push(("", format!("({} {})", change(grown), since(state)), style));
    let proportional = marked(totals.usage.proportional, totals.proportional_exactness);
    pairs.push(("PSS", proportional, Style::new()));
    // VmHWM of a tree is a sum of peaks at different times: no peak of the tree is lower.
    let peak_exactness = if state.tree {
        Exactness::AtMost
    } else {
        Exactness::Exact
    };
    pairs.push(("peak", marked(peak, peak_exactness), Style::new()));
    pairs.push(("private", totals.usage.private.to_string(), Style::new()));
    pairs.push(("swap", totals.usage.swap.to_string(), Style::new()));
    paired(pairs, width)
}

pub(super) fn since(state: &State) -> &'static str {
    if state.marked_at.is_some() {
        "since mark"
    } else {
        "since start"
    }
}

/// As many of the pairs as fit.
fn paired(pairs: Vec<(&str, String, Style)>, width: usize) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for (label, value, style) in pairs {
        let gap = match (spans.is_empty(), label.is_empty()) {
            (true, _) => "",
            (false, true) => " ",
            (false, false) => "  ",
        };
        let label = if label.is_empty() {
            String::new()
        } else {
            format!("{label} ")
        };
        let wide = columns(gap) + columns(&label) + columns(&value);
        if used + wide > width {
            break;
        }
        used += wide;
        spans.push(Span::styled(format!("{gap}{label}"), Ink::dim()));
        spans.push(Span::styled(value, style));
    }
    Line::from(spans)
}

fn reclaim(state: &State, breakdown: &Breakdown, width: usize) -> Line<'static> {
    let reclaim = &breakdown.totals.reclaim;
    let mut pairs = vec![
        ("must stay", reclaim.must_stay.to_string(), Style::new()),
        ("droppable", reclaim.droppable.to_string(), Style::new()),
    ];
    let rare = [
        ("swap only", reclaim.swap_only),
        ("after write-back", reclaim.after_writeback),
    ];
    for (label, bytes) in rare {
        if !bytes.is_zero() {
            pairs.push((label, bytes.to_string(), Style::new()));
        }
    }
    if let Some(latest) = &state.latest {
        let age = state.now.saturating_sub(latest.at).as_secs();
        pairs.push(("read", format!("{age} s ago"), Ink::dim()));
        pairs.push(("every", span(latest.next_in), Ink::dim()));
    }
    paired(pairs, width)
}

/// What is known of the cgroup's limit.
struct Limit {
    words: String,
    binds: bool,
}

fn limit(breakdown: &Breakdown) -> Limit {
    let unbound = |words: String| Limit {
        words,
        binds: false,
    };
    let Some(cgroup) = &breakdown.cgroup else {
        return unbound("cgroup limit: not read".to_owned());
    };
    match cgroup.tightest() {
        Some(level) => Limit {
            words: limit_words(level),
            binds: true,
        },
        None => unbound(unlimited_words(cgroup)),
    }
}

fn limit_words(level: &CgroupLevel) -> String {
    let headroom = level.headroom().unwrap_or_default();
    let limit = level.limit().unwrap_or_default();
    let what = if level.max == Some(limit) {
        "hard cap"
    } else {
        "throttle point"
    };
    let used = level.current.map_or_else(String::new, |current| {
        format!(", {} used", percent(current, limit))
    });
    let cache = level
        .file
        .map_or_else(String::new, |file| format!(", {file} of it page cache"));
    format!(
        "cgroup {}: {headroom} left of {limit} ({what}{used}{cache})",
        level.path
    )
}

fn unlimited_words(cgroup: &Cgroup) -> String {
    // Only what was read can be said to have no limit.
    let known = cgroup.levels.iter().all(|level| level.limit().is_none());
    match (known, cgroup.levels.first().and_then(|level| level.current)) {
        (true, Some(current)) if current > Bytes::ZERO => {
            format!("no cgroup limit; the group uses {current}")
        }
        (true, _) => "no cgroup limit".to_owned(),
        (false, _) => "cgroup limit: its use could not be read".to_owned(),
    }
}
