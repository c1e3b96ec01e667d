//! The lines at the bottom: the selected component, what could not be read, the keys.

use plimsoll_model::Kind;
use plimsoll_render::tags_line;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::state::State;
use super::ink::Ink;
use super::table::words;
use super::text::{clip, columns, shorten, wrap};

pub(super) fn detail(state: &State, area: Rect, buf: &mut Buffer) {
    let rows = state.rows();
    let Some(row) = rows.get(state.selected_index()) else {
        return;
    };
    let width = usize::from(area.width);
    let facts = match row.component {
        None => "was there before and is gone now".to_owned(),
        Some(component) => {
            let mut facts = words(component);
            // What its allocator can't tell: which part of the program holds it.
            if component.kind == Kind::Heap && row.depth == 0 {
                facts.extend(state.published().iter().filter_map(tags_line));
            }
            facts.join("; ")
        }
    };
    let lines = if area.height >= 2 {
        let mut lines = vec![clip(row.name, width)];
        lines.extend(wrap(&facts, width, usize::from(area.height) - 1));
        lines
    } else {
        vec![clip(
            &format!("{}: {facts}", shorten(row.name, width / 2)),
            width,
        )]
    };
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        let style = if y == area.y {
            Style::new()
        } else {
            Ink::dim()
        };
        buf.set_stringn(area.x, y, line, width, style);
    }
}

pub(super) fn gaps(state: &State, area: Rect, buf: &mut Buffer) {
    let Some(latest) = &state.latest else { return };
    let gaps = &latest.breakdown.gaps;
    let (words, style) = match (&state.failure, gaps.as_slice()) {
        (Some(why), _) => (format!("! the last reading failed: {why}"), Ink::strong()),
        (None, []) => ("not read: nothing is missing".to_owned(), Ink::dim()),
        (None, [only]) => (format!("not read: {only}"), Style::new()),
        (None, [first, ..]) => (
            format!("not read, {} things: {first}; …", gaps.len()),
            Style::new(),
        ),
    };
    let width = usize::from(area.width);
    buf.set_stringn(area.x, area.y, clip(&words, width), width, style);
}

pub(super) fn footer(state: &State, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    if state.filter_typing {
        let typed = format!("filter: {}▏", state.filter);
        let hint = "  Enter keeps it, Esc clears it";
        let room = width.saturating_sub(columns(&typed));
        let hint = if columns(hint) <= room { hint } else { "" };
        let line = Line::from(vec![
            Span::styled(clip(&typed, width), Ink::strong()),
            Span::styled(hint, Ink::dim()),
        ]);
        buf.set_line(area.x, area.y, &line, area.width);
        return;
    }
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, does) in keys(state) {
        let gap = if spans.is_empty() { "" } else { "  " };
        let wide = columns(gap) + columns(key) + 1 + columns(&does);
        if used + wide > width {
            break;
        }
        used += wide;
        spans.push(Span::styled(format!("{gap}{key}"), Ink::strong()));
        spans.push(Span::styled(format!(" {does}"), Ink::dim()));
    }
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
}

/// In the order of importance: what does not fit is left out, and in the help.
fn keys(state: &State) -> Vec<(&'static str, String)> {
    let running = state.command.is_some() && state.ended.is_none();
    let quit = if running {
        "quit, ending the command"
    } else {
        "quit"
    };
    let mut keys = vec![("q", quit.to_owned()), ("?", "help".to_owned())];
    keys.push(("s", "sort".to_owned()));
    keys.push(("/", "filter".to_owned()));
    keys.push(("→", "open".to_owned()));
    keys.push(("b", "mark".to_owned()));
    if state.ended.is_none() {
        keys.push((
            "space",
            if state.paused { "go on" } else { "pause" }.to_owned(),
        ));
        keys.push(("t", if state.tree { "process" } else { "tree" }.to_owned()));
    }
    keys.push(("r", "reverse".to_owned()));
    keys
}
