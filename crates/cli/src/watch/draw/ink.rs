//! Styles. Only the terminal's own colours and attributes, and no background of ours, so that
//! light and dark terminals both work; without colour, attributes and signs say the same.

use ratatui::style::{Color, Modifier, Style};

/// Colours of the bands of the chart, largest component first. Red and green are left for
/// growth and shrinking, black and white for the terminal's own ground.
const BANDS: [Color; 6] = [
    Color::Blue,
    Color::Yellow,
    Color::Magenta,
    Color::Cyan,
    Color::LightRed,
    Color::LightGreen,
];

/// How many components have a band of their own.
pub(super) const BANDS_MAX: usize = BANDS.len();

/// A grey that can be seen on black and on white alike.
const OTHERS: Color = Color::Indexed(245);

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Ink {
    /// Whether colour may be used: not when NO_COLOR is set.
    pub(in super::super) color: bool,
}

impl Ink {
    fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    /// The colour of a band; `None` is that of the others.
    pub(super) fn band_color(self, band: Option<usize>) -> Color {
        match (self.color, band.and_then(|band| BANDS.get(band))) {
            (false, _) => Color::Reset,
            (true, Some(color)) => *color,
            (true, None) => OTHERS,
        }
    }

    pub(super) fn band(self, band: Option<usize>) -> Style {
        self.colored(self.band_color(band))
    }

    pub(super) fn grown(self) -> Style {
        self.colored(Color::Red)
    }

    pub(super) fn shrunk(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn selected() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
