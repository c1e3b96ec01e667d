//! Which part of the screen shows what. Pure.

use ratatui::layout::Rect;

/// Below this nothing useful fits.
pub(in super::super) const WIDTH_MIN: u16 = 28;
pub(in super::super) const HEIGHT_MIN: u16 = 6;

/// Below this there is a short header, the table and the keys.
const WIDTH_FULL: u16 = 60;
const HEIGHT_FULL: u16 = 18;

/// The chart's share: enough to see a shape, not more than to tell one.
const CHART_MIN: u16 = 6;
const CHART_MAX: u16 = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Layout {
    pub(super) header: Rect,
    pub(super) chart: Rect,
    /// Its first line is the head of the columns.
    pub(super) table: Rect,
    pub(super) detail: Rect,
    pub(super) gaps: Rect,
    pub(super) footer: Rect,
}

impl Layout {
    /// `None` when `area` is too small for anything.
    pub(in super::super) fn of(area: Rect) -> Option<Layout> {
        if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
            return None;
        }
        let (header, chart, detail, gaps) = if area.width < WIDTH_FULL || area.height < HEIGHT_FULL
        {
            (2, 0, 0, 0)
        } else {
            let header = if area.height < 22 { 4 } else { 6 };
            let chart = ((area.height - header) / 3).clamp(CHART_MIN, CHART_MAX);
            (header, chart, if area.height < 22 { 1 } else { 2 }, 1)
        };
        let footer = 1;
        let table = area.height - header - chart - detail - gaps - footer;
        let mut y = area.y;
        let mut next = |height: u16| {
            let part = Rect { y, height, ..area };
            y += height;
            part
        };
        Some(Layout {
            header: next(header),
            chart: next(chart),
            table: next(table),
            detail: next(detail),
            gaps: next(gaps),
            footer: next(footer),
        })
    }

    /// Rows of components that the table has room for.
    pub(in super::super) fn page(&self) -> usize {
        usize::from(self.table.height.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fill_the_screen_exactly() {
        for width in 0..220 {
            for height in 0..90 {
                let area = Rect::new(0, 0, width, height);
                let Some(layout) = Layout::of(area) else {
                    assert!(width < WIDTH_MIN || height < HEIGHT_MIN);
                    continue;
                };
                let parts = [
                    layout.header,
                    layout.chart,
                    layout.table,
                    layout.detail,
                    layout.gaps,
                    layout.footer,
                ];
                let filled: u16 = parts.iter().map(|part| part.height).sum();
                assert_eq!(filled, height);
                assert!(layout.page() >= 2, "{width}x{height}");
            }
        }
    }
}
