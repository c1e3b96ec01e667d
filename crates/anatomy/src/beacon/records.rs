//! The text of a slot: records of a kind, a length, numbers and a name.

use std::time::Duration;

use plimsoll_model::{
    Bytes, Counted, PublishedBudget, PublishedConsumer, PublishedStage, PublishedTag,
};

const TOTAL: u16 = 1;
const TAG: u16 = 2;
const STAGE: u16 = 3;
const BUDGET: u16 = 4;
const CONSUMER: u16 = 5;
const LEFT_OUT: u16 = 6;

/// Stands for a number that the program does not know.
const UNKNOWN: u64 = u64::MAX;

/// Everything that a text says. As many entries as it has records, each of which is a few bytes of
/// the 16 KiB at least.
#[derive(Debug, Default)]
pub struct Records {
    pub total: Option<Counted>,
    pub tags: Vec<PublishedTag>,
    pub stages: Vec<PublishedStage>,
    pub budgets: Vec<PublishedBudget>,
    pub left_out: u64,
}

impl Records {
    /// `None` where a length or a place does not fit; `written_at` is since the Unix epoch. Records of unknown kinds are skipped, and so is
    /// what a known one has behind what is known of it.
    #[must_use]
    pub fn parse(text: &[u8], written_at: Duration) -> Option<Records> {
        let mut records = Records::default();
        let mut rest = Fields(text);
        while !rest.0.is_empty() {
            let kind = rest.short()?;
            let length = rest.short()?;
            let fields = Fields(rest.bytes(usize::from(length))?);
            records.add(kind, fields, written_at)?;
        }
        Some(records)
    }

    fn add(&mut self, kind: u16, mut fields: Fields<'_>, written_at: Duration) -> Option<()> {
        match kind {
            TOTAL => self.total = Some(fields.counted()?),
            TAG => {
                let counted = fields.counted()?;
                let name = fields.name()?;
                self.tags.push(PublishedTag { name, counted });
            }
            STAGE => {
                let begun_at = Duration::from_nanos(fields.number()?);
                let (begin_live, peak_live) = (fields.known()?, fields.known()?);
                self.stages.push(PublishedStage {
                    path: fields.name()?,
                    open_for: written_at.saturating_sub(begun_at),
                    begin_live,
                    peak_live,
                });
            }
            BUDGET => self.budgets.push(fields.budget()?),
            CONSUMER => {
                let of = usize::try_from(fields.number()?).ok()?;
                let consumer = fields.consumer()?;
                self.budgets.get_mut(of)?.consumers.push(consumer);
            }
            LEFT_OUT => self.left_out = fields.number()?,
            _ => {}
        }
        Some(())
    }
}

/// What is not taken yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?;
        Some(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes(8)?.first_chunk()?))
    }

    fn size(&mut self) -> Option<Bytes> {
        self.number().map(Bytes)
    }

    /// `Some(None)` where the program does not know it.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a field that is missing"
    )]
    fn known(&mut self) -> Option<Option<Bytes>> {
        let number = self.number()?;
        Some((number != UNKNOWN).then_some(Bytes(number)))
    }

    fn name(&mut self) -> Option<String> {
        let length = self.short()?;
        let bytes = self.bytes(usize::from(length))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn counted(&mut self) -> Option<Counted> {
        Some(Counted {
            live: self.size()?,
            live_blocks: self.number()?,
            peak: self.size()?,
            requested: self.size()?,
            requested_blocks: self.number()?,
        })
    }

    fn budget(&mut self) -> Option<PublishedBudget> {
        let budget = PublishedBudget {
            limit: self.size()?,
            withheld: self.size()?,
            held: self.size()?,
            held_peak: self.size()?,
            left: self.size()?,
            drift: self.number()?.cast_signed(),
            waiting: self.number()?,
            waiting_for: self.size()?,
            name: String::new(),
            consumers: Vec::new(),
        };
        let name = self.name()?;
        Some(PublishedBudget { name, ..budget })
    }

    fn consumer(&mut self) -> Option<PublishedConsumer> {
        let consumer = PublishedConsumer {
            held: self.size()?,
            held_peak: self.size()?,
            refused: self.number()?,
            name: String::new(),
        };
        let name = self.name()?;
        Some(PublishedConsumer { name, ..consumer })
    }
}
