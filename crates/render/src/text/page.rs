//! A page of text: the writer with its width and colour, and the blocks that all reports share.

use std::io::{self, Write};

use plimsoll_model::{Gap, Method, ReadingCost, SystemMemory};

use crate::options::TextOptions;
use crate::printable::{columns, wrap};
use crate::words::number::count;
use crate::words::time::span;

/// From this width on a table has room for its rarer columns beside a name of some length.
pub(super) const WIDE: usize = 100;

/// Where text goes. Everything is written through it, so that the width holds.
pub(super) struct Page<'w> {
    w: &'w mut dyn Write,
    pub(super) width: usize,
    color: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Tone {
    Plain,
    Bold,
    Dim,
}

impl<'w> Page<'w> {
    pub(super) fn new(w: &'w mut dyn Write, options: &TextOptions) -> Page<'w> {
        Page {
            w,
            width: options.columns(),
            color: options.color,
        }
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.w.write_all(b"\n")
    }

    /// One line that is known to fit and to hold no control characters.
    pub(super) fn line(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        let text = text.trim_end();
        let code = match tone {
            Tone::Bold if self.color => "\u{1b}[1m",
            Tone::Dim if self.color => "\u{1b}[2m",
            _ => return writeln!(self.w, "{text}"),
        };
        writeln!(self.w, "{code}{text}\u{1b}[0m")
    }

    /// Text of any length: escaped, wrapped, the first line after `lead`, the others under it.
    pub(super) fn paragraph(&mut self, tone: Tone, lead: &str, text: &str) -> io::Result<()> {
        let indent = " ".repeat(lead.len());
        let lines = wrap(text, self.width - lead.len());
        for (number, line) in lines.iter().enumerate() {
            let start = if number == 0 { lead } else { &indent };
            self.line(tone, &format!("{start}{line}"))?;
        }
        Ok(())
    }

    /// The answer, and what must be said beside it.
    pub(super) fn answer(&mut self, verdict: &str, notes: &[String]) -> io::Result<()> {
        self.paragraph(Tone::Bold, "", verdict)?;
        for note in notes {
            self.paragraph(Tone::Plain, "", note)?;
        }
        self.blank()
    }

    /// Pieces joined by `comma` and a space, wrapped only between pieces where they fit a line.
    pub(super) fn pieces(
        &mut self,
        tone: Tone,
        indent: usize,
        comma: &str,
        pieces: &[String],
    ) -> io::Result<()> {
        let lead = " ".repeat(indent);
        let mut line = String::new();
        for (number, piece) in pieces.iter().enumerate() {
            let comma = if number + 1 < pieces.len() { comma } else { "" };
            let wanted = columns(&line) + 1 + columns(piece) + comma.len();
            if !line.is_empty() && wanted > self.width - indent {
                self.paragraph(tone, &lead, &std::mem::take(&mut line))?;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(piece);
            line.push_str(comma);
        }
        self.paragraph(tone, &lead, &line)
    }

    /// How many rows a table left out; nothing when none.
    pub(super) fn more(&mut self, rows: usize, one: &str, plural: &str) -> io::Result<()> {
        if rows == 0 {
            return Ok(());
        }
        self.line(Tone::Dim, &count(rows as u64, one, plural))
    }

    /// A title and a sentence a line below it; nothing without sentences.
    pub(super) fn listed(
        &mut self,
        title: &str,
        sentences: impl IntoIterator<Item = String>,
    ) -> io::Result<()> {
        let mut sentences = sentences.into_iter().peekable();
        if sentences.peek().is_none() {
            return Ok(());
        }
        self.blank()?;
        self.line(Tone::Bold, title)?;
        for sentence in sentences {
            self.paragraph(Tone::Plain, "  ", &sentence)?;
        }
        Ok(())
    }

    /// What was not read, and why. Nothing when nothing is missing.
    pub(super) fn gaps(&mut self, gaps: &[Gap]) -> io::Result<()> {
        self.listed("not read", gaps.iter().map(Gap::to_string))
    }

    /// What the reading cost the target and us.
    pub(super) fn cost(&mut self, cost: &ReadingCost) -> io::Result<()> {
        self.blank()?;
        let hold = if cost.holds == 0 {
            "the memory lock of the target was not taken".to_owned()
        } else {
            format!(
                "held the target's memory lock at most {} at a time ({})",
                span(cost.longest_hold),
                method_words(cost.method)
            )
        };
        let text = format!(
            "reading took {} ({} of processor time); {hold}",
            span(cost.wall),
            span(cost.cpu)
        );
        self.paragraph(Tone::Dim, "", &text)
    }

    pub(super) fn system(&mut self, system: &SystemMemory) -> io::Result<()> {
        let swap = if system.swap_total.is_zero() {
            "no swap".to_owned()
        } else {
            format!("swap {} of {} free", system.swap_free, system.swap_total)
        };
        let pieces = [
            format!(
                "machine: {} of {} available",
                system.available, system.total
            ),
            format!("page cache {}", system.page_cache),
            swap,
        ];
        self.pieces(Tone::Plain, 0, ",", &pieces)
    }
}

const fn method_words(method: Method) -> &'static str {
    match method {
        Method::Smaps => "smaps",
        Method::Walk => "page walk in small steps",
        Method::Quick => "smaps_rollup",
    }
}
