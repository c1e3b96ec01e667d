//! From the state to the cells of the screen. Pure: the state is not changed, nothing is written
//! to a terminal.

mod chart;
mod foot;
mod header;
mod help;
mod ink;
mod layout;
mod table;
mod text;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::state::State;
pub(super) use ink::Ink;
pub(super) use layout::Layout;
use layout::{HEIGHT_MIN, WIDTH_MIN};

/// Draws the whole screen.
pub(super) fn draw(state: &State, ink: Ink, area: Rect, buf: &mut Buffer) {
    let Some(layout) = Layout::of(area) else {
        too_small(area, buf);
        return;
    };
    if state.help {
        help::help(state, area, buf);
        return;
    }
    let bands = chart::Bands::of(state);
    header::header(state, ink, layout.header, buf);
    if layout.chart.height > 0 {
        chart::chart(state, &bands, ink, layout.chart, buf);
    }
    table::table(state, &bands, ink, layout.table, buf);
    if layout.detail.height > 0 {
        foot::detail(state, layout.detail, buf);
    }
    if layout.gaps.height > 0 {
        foot::gaps(state, layout.gaps, buf);
    }
    foot::footer(state, layout.footer, buf);
}

fn too_small(area: Rect, buf: &mut Buffer) {
    let words = format!("too small: {WIDTH_MIN}x{HEIGHT_MIN} needed, q quits");
    let width = usize::from(area.width).max(1);
    let lines = text::wrap(&words, width, usize::from(area.height));
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        buf.set_stringn(area.x, y, line, width, ratatui::style::Style::new());
    }
}

#[cfg(test)]
mod tests;
