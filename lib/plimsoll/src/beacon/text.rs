//! The records of a slot: kind, length, then numbers of eight bytes and names with their length, all
//! little-endian. Readers skip kinds that they do not know.

use super::page::TEXT_MAX;
use crate::budget::Figures;
use crate::ledger::TagFigures;
use crate::stage::OpenStage;

const TOTAL: u16 = 1;
const TAG: u16 = 2;
const STAGE: u16 = 3;
const BUDGET: u16 = 4;
const CONSUMER: u16 = 5;
const LEFT_OUT: u16 = 6;

/// Bytes of a name; longer ones are cut.
const NAME_MAX: usize = 255;
/// Kind and length.
const RECORD_HEAD: usize = 4;
/// Always kept free for the record of what was left out.
const LEFT_OUT_BYTES: usize = RECORD_HEAD + 8;
/// Stands for a number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// A text as it is put together; its buffer is as long as a slot from the start.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    budgets: u64,
    left_out: u64,
}

impl Text {
    pub(super) fn new() -> Text {
        Text {
            bytes: Vec::with_capacity(TEXT_MAX),
            budgets: 0,
            left_out: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.budgets = 0;
        self.left_out = 0;
    }

    /// The sum over all tags.
    pub(super) fn total(&mut self, figures: &TagFigures) {
        self.record(TOTAL, None, &counts(figures));
    }

    pub(super) fn tag(&mut self, figures: &TagFigures) {
        self.record(TAG, Some(figures.name), &counts(figures));
    }

    pub(super) fn stage(&mut self, open: &OpenStage<'_>) {
        let numbers = [
            open.begun_at,
            open.begin_live_bytes.unwrap_or(UNKNOWN),
            open.peak_live_bytes.unwrap_or(UNKNOWN),
        ];
        self.record(STAGE, Some(open.path), &numbers);
    }

    /// A budget, then its consumers.
    pub(super) fn budget(&mut self, name: &str, figures: &Figures) {
        let numbers = [
            figures.limit_bytes,
            figures.withheld_bytes,
            figures.held_bytes,
            figures.held_peak_bytes,
            figures.left_bytes,
            figures.drift_bytes.cast_unsigned(),
            figures.waiting as u64,
            figures.waiting_bytes,
        ];
        self.record(BUDGET, Some(name), &numbers);
        for consumer in &figures.consumers {
            let numbers = [
                self.budgets,
                consumer.held_bytes,
                consumer.held_peak_bytes,
                consumer.refused_total,
            ];
            self.record(CONSUMER, Some(&consumer.name), &numbers);
        }
        self.budgets += 1;
    }

    /// The whole text, with how many records did not fit.
    pub(super) fn finish(&mut self) -> &[u8] {
        if self.left_out > 0 {
            self.head(LEFT_OUT, 8);
            self.bytes.extend(self.left_out.to_le_bytes());
        }
        &self.bytes
    }

    fn record(&mut self, kind: u16, name: Option<&str>, numbers: &[u64]) {
        let name = name.map(cut);
        let length = name.map_or(0, |name| 2 + name.len()) + numbers.len() * 8;
        if self.bytes.len() + RECORD_HEAD + length + LEFT_OUT_BYTES > TEXT_MAX {
            self.left_out += 1;
            return;
        }
        self.head(kind, length as u16);
        for number in numbers {
            self.bytes.extend(number.to_le_bytes());
        }
        if let Some(name) = name {
            self.bytes.extend((name.len() as u16).to_le_bytes());
            self.bytes.extend(name.as_bytes());
        }
    }

    fn head(&mut self, kind: u16, length: u16) {
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
    }
}

/// At most [`NAME_MAX`] bytes of it, whole characters.
fn cut(name: &str) -> &str {
    let mut ends = (0..=NAME_MAX.min(name.len())).rev();
    let end = ends.find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

fn counts(figures: &TagFigures) -> [u64; 5] {
    [
        figures.live_bytes,
        figures.live_blocks,
        figures.peak_bytes,
        figures.total_bytes,
        figures.total_blocks,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut text = Text::new();
        let name = "x".repeat(1000);
        let figures = TagFigures {
            live_bytes: 7,
            ..TagFigures::default()
        };
        let record = RECORD_HEAD + 5 * 8 + 2 + NAME_MAX;
        let fitting = (TEXT_MAX - LEFT_OUT_BYTES) / record;
        for _ in 0..fitting + 3 {
            text.record(TAG, Some(&name), &counts(&figures));
        }
        let bytes = text.finish();
        assert!(bytes.len() <= TEXT_MAX);
        assert_eq!(bytes.len(), fitting * record + LEFT_OUT_BYTES);
        assert_eq!(bytes[bytes.len() - 8..], 3u64.to_le_bytes());
        assert_eq!(text.bytes.capacity(), TEXT_MAX, "it never grows");
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        let mut text = Text::new();
        let name = "ä".repeat(200);
        text.record(TAG, Some(&name), &[]);
        assert_eq!(text.finish().len(), RECORD_HEAD + 2 + 254);
    }
}
