//! The table of components: what each holds, and how it moved.

use plimsoll_model::{Bytes, Component};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::super::changes::Change;
use super::super::rows::{Row, Sort};
use super::super::state::State;
use super::chart::{Bands, letter};
use super::header::since;
use super::ink::Ink;
use super::text::{change, columns, marked, shorten, span};

/// Selection mark, band letter and a space.
const MARGIN: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Resident,
    Proportional,
    Private,
    Dirty,
    SinceBaseline,
    Recent,
    Reclaim,
}

impl Column {
    /// The columns that leave a name of a readable length.
    fn within(width: u16) -> &'static [Column] {
        use Column::{Dirty, Private, Proportional, Recent, Reclaim, Resident, SinceBaseline};
        match width {
            ..60 => &[Resident, Recent],
            60..78 => &[Resident, Private, SinceBaseline, Recent],
            78..92 => &[Resident, Private, Dirty, SinceBaseline, Recent],
            92..112 => &[
                Resident,
                Proportional,
                Private,
                Dirty,
                SinceBaseline,
                Recent,
            ],
            _ => &[
                Resident,
                Proportional,
                Private,
                Dirty,
                SinceBaseline,
                Recent,
                Reclaim,
            ],
        }
    }

    fn width(self) -> usize {
        match self {
            Column::Resident | Column::Private | Column::Dirty => 9,
            Column::Proportional | Column::Recent => 10,
            Column::SinceBaseline => 13,
            Column::Reclaim => 16,
        }
    }

    fn title(self, state: &State) -> String {
        match self {
            Column::Resident => "RSS".to_owned(),
            Column::Proportional => "PSS".to_owned(),
            Column::Private => "private".to_owned(),
            Column::Dirty => "dirty".to_owned(),
            Column::SinceBaseline => since(state).to_owned(),
            Column::Recent => format!("in {}", short(state)),
            Column::Reclaim => "take back".to_owned(),
        }
    }

    fn sorted_by(self) -> Option<Sort> {
        match self {
            Column::Resident => Some(Sort::Resident),
            Column::Private => Some(Sort::Private),
            Column::SinceBaseline => Some(Sort::Change),
            Column::Recent => Some(Sort::Recent),
            Column::Proportional | Column::Dirty | Column::Reclaim => None,
        }
    }

    fn value(self, row: &Row<'_>) -> String {
        match self {
            Column::SinceBaseline => return change(row.since_baseline),
            Column::Recent => return change(row.recent),
            _ => {}
        }
        let Some(component) = row.component else {
            return if self == Column::Resident {
                "gone".to_owned()
            } else {
                String::new()
            };
        };
        self.value_of(component)
    }

    fn value_of(self, component: &Component) -> String {
        let usage = &component.usage;
        match self {
            Column::Resident => usage.resident.to_string(),
            Column::Proportional => marked(usage.proportional, component.proportional_exactness),
            Column::Private => usage.private.to_string(),
            Column::Dirty => usage.dirty.to_string(),
            Column::Reclaim if usage.resident.is_zero() => String::new(),
            Column::Reclaim => component.reclaim.class().words().to_owned(),
            Column::SinceBaseline | Column::Recent => String::new(),
        }
    }

    fn style(self, row: &Row<'_>, ink: Ink) -> Style {
        let moved = match self {
            Column::SinceBaseline => row.since_baseline,
            Column::Recent => row.recent,
            _ => None,
        };
        match moved {
            Some(Change { from, to }) if to > from => ink.grown(),
            Some(Change { from, to }) if to < from => ink.shrunk(),
            _ => Style::new(),
        }
    }
}

/// "60 s" rather than "1 min 0 s": the column is narrow.
fn short(state: &State) -> String {
    let back = state.changes.recent_span();
    if back.as_secs() < 100 {
        format!("{} s", back.as_secs())
    } else {
        span(back)
    }
}

pub(super) fn table(state: &State, bands: &Bands, ink: Ink, area: Rect, buf: &mut Buffer) {
    let shown = Column::within(area.width);
    let figures: usize = shown.iter().map(|column| column.width()).sum();
    let name_width = usize::from(area.width).saturating_sub(figures + MARGIN);
    head(state, shown, name_width, area, buf);
    let rows = state.rows();
    let page = usize::from(area.height.saturating_sub(1));
    let visible = rows.iter().enumerate().skip(state.top).take(page);
    for ((index, row), y) in visible.zip(area.y + 1..area.bottom()) {
        let line = Rect {
            y,
            height: 1,
            ..area
        };
        draw_row(row, bands, ink, shown, name_width, line, buf);
        if index == state.selected_index() {
            buf[(area.x, y)].set_char('>');
            buf.set_style(line, Ink::selected());
        }
    }
    if rows.is_empty() {
        let words = match (&state.latest, state.filter.is_empty()) {
            (None, _) => "reading the process…",
            (Some(_), true) => "nothing is resident",
            (Some(_), false) => "no component fits the filter; Esc clears it",
        };
        buf.set_stringn(
            area.x + 3,
            area.y + 1,
            words,
            usize::from(area.width) - 3,
            Ink::dim(),
        );
    }
}

fn head(state: &State, shown: &[Column], name_width: usize, area: Rect, buf: &mut Buffer) {
    let arrow = |sort: Option<Sort>| match (sort == Some(state.sort), state.reversed) {
        (false, _) => "",
        // Names are sorted from the first, figures from the largest.
        (true, reversed) if reversed == (state.sort == Sort::Name) => "▼",
        (true, _) => "▲",
    };
    let count = state
        .latest
        .as_ref()
        .map(|latest| latest.breakdown.components.len());
    let count = count.map_or_else(String::new, |count| format!("{count} "));
    let mut title = format!("   {count}components{}", arrow(Some(Sort::Name)));
    if !state.filter.is_empty() {
        title = format!("   fits \"{}\"{}", state.filter, arrow(Some(Sort::Name)));
    }
    let mut line = shorten(&title, name_width + MARGIN);
    line.push_str(&" ".repeat((name_width + MARGIN).saturating_sub(columns(&line))));
    for column in shown {
        let title = format!("{}{}", arrow(column.sorted_by()), column.title(state));
        line.push_str(&aligned(&title, column.width()));
    }
    let style = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    buf.set_stringn(area.x, area.y, line, usize::from(area.width), style);
}

fn draw_row(
    row: &Row<'_>,
    bands: &Bands,
    ink: Ink,
    shown: &[Column],
    name_width: usize,
    line: Rect,
    buf: &mut Buffer,
) {
    let ground = if row.component.is_none() {
        Ink::dim()
    } else {
        Style::new()
    };
    if row.depth == 0 && row.component.is_some() {
        let band = bands.index(row.id);
        buf[(line.x + 1, line.y)]
            .set_char(letter(band))
            .set_style(ink.band(band));
    }
    let fold = match (row.has_parts(), row.opened) {
        (false, _) => "  ",
        (true, false) => "▸ ",
        (true, true) => "▾ ",
    };
    let indent = " ".repeat(2 * row.depth.min(name_width / 4));
    let name = if row.name.is_empty() {
        row.kind.name()
    } else {
        row.name
    };
    let room = name_width.saturating_sub(columns(&indent) + 3);
    let name = format!("{indent}{fold}{}", shorten(name, room));
    buf.set_string(line.x + MARGIN as u16, line.y, name, ground);
    let mut x = usize::from(line.x) + MARGIN + name_width;
    for column in shown {
        let value = aligned(&column.value(row), column.width());
        let style = ground.patch(column.style(row, ink));
        buf.set_stringn(x as u16, line.y, value, column.width(), style);
        x += column.width();
    }
}

/// To the right, with at least a space before it.
fn aligned(text: &str, width: usize) -> String {
    let text = shorten(text, width - 1);
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(&text))))
}

/// What is known of the selected component beside its figures, in one sentence each.
pub(super) fn words(component: &Component) -> Vec<String> {
    let mut words = vec![format!(
        "{}, {}",
        component.kind.name(),
        component.reclaim.class().words()
    )];
    if let Some(package) = &component.package {
        words.push(format!("package {} {}", package.name, package.version));
    }
    if let Some(used) = &component.used {
        words.push(format!(
            "{} live, {} freed but held",
            used.live, used.held_free
        ));
    }
    if !component.detail.is_empty() {
        words.push(component.detail.clone());
    }
    if let (Some(cache), Some(size)) = (&component.cache, component.file_size) {
        let share = super::text::percent(cache.cached.min(size), size);
        words.push(format!("{size} file, {share} cached"));
    }
    let sharing = &component.sharing;
    if component.usage.distinct < component.usage.resident {
        let distinct = component.usage.distinct;
        words.push(format!(
            "{} mappings of {distinct} distinct",
            sharing.mappings
        ));
    }
    if let Some(processes) = sharing.processes.filter(|processes| processes.count > 1) {
        words.push(format!("shared by {processes} processes"));
    }
    if component.usage.swap > Bytes::ZERO {
        words.push(format!("{} in swap", component.usage.swap));
    }
    words.push(format!(
        "PSS {}",
        marked(
            component.usage.proportional,
            component.proportional_exactness
        )
    ));
    if !component.evidence.is_empty() {
        words.push(format!("told by {}", component.evidence));
    }
    words
}
