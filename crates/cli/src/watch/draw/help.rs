//! The page of keys and words that `?` shows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::super::state::State;
use super::ink::Ink;
use super::text::{clip, wrap};

const KEYS: [(&str, &str); 15] = [
    (
        "q, Ctrl-C",
        "quit; a command that the watch started is ended with SIGTERM",
    ),
    ("Esc", "clear the filter, else quit"),
    ("↑ ↓ PgUp PgDn", "move"),
    ("Home End", "first and last row"),
    ("→ Enter", "open a component; what opens is marked ▸"),
    ("←", "close it, or go to the component above"),
    ("s", "sort by RSS, private, change, last minute, name"),
    ("r", "reverse the order"),
    ("/", "show only what contains a text: name, kind or package"),
    (
        "b",
        "mark now: changes are against this reading from now on",
    ),
    ("t", "with or without descendants; history begins anew"),
    ("space", "stop reading and hold the view; again goes on"),
    ("?", "this page; any other key closes it"),
    ("", ""),
    ("", "WORDS"),
];

const WORDS: [(&str, &str); 10] = [
    ("RSS", "pages in RAM, shared ones counted in full"),
    (
        "PSS",
        "each shared page divided by its sharers; ~ estimated, ≤ at most",
    ),
    ("private", "what ending the process would free"),
    ("dirty", "changed since it was read or made"),
    (
        "in 60 s",
        "change in the last minute, or since the first reading if that is later",
    ),
    ("?", "can't be told: several components have this name"),
    (
        "A B C …",
        "the chart's bands, largest ever first; · is all others together",
    ),
    ("•", "RSS between full readings, where it is off the bands"),
    (
        "every",
        "full readings are spaced so that they cost at most 2% of a core",
    ),
    (
        "not read",
        "what is missing, and why; `plimsoll inspect` lists all of it",
    ),
];

pub(super) fn help(state: &State, area: Rect, buf: &mut Buffer) {
    Clear.render(area, buf);
    let label_width = 15.min(usize::from(area.width) / 3);
    let text_width = usize::from(area.width).saturating_sub(label_width + 2);
    let mut lines: Vec<(String, String, Style)> = Vec::new();
    for (label, text) in KEYS.iter().chain(&WORDS) {
        let wrapped = wrap(text, text_width, 4);
        let mut label = clip(label, label_width);
        for text in wrapped {
            lines.push((std::mem::take(&mut label), text, Style::new()));
        }
        if text.is_empty() {
            lines.push((String::new(), String::new(), Style::new()));
        }
    }
    let room = usize::from(area.height).saturating_sub(2);
    let skipped = usize::from(state.help_scroll).min(lines.len().saturating_sub(room));
    let width = usize::from(area.width);
    let title = clip("plimsoll watch: keys", width);
    buf.set_stringn(area.x, area.y, title, width, Ink::strong());
    let visible = lines.iter().skip(skipped).take(room);
    for ((label, text, style), y) in visible.zip(area.y + 1..) {
        buf.set_stringn(area.x + 1, y, label, label_width, Ink::strong());
        buf.set_stringn(area.x + label_width as u16 + 2, y, text, text_width, *style);
    }
    let hint = if lines.len() > room {
        "↑ ↓ scroll, any other key closes"
    } else {
        "any key closes"
    };
    buf.set_stringn(
        area.x,
        area.bottom() - 1,
        clip(hint, width),
        width,
        Ink::dim(),
    );
}
