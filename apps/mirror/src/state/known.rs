//! All that is known, key by key: the base, the delta over it, and what the journal says of the delta.
//! Memory: a reader of each run, and the sort of the journal.

use std::cmp::Ordering;

use anyhow::{Context, Result};
use plimsoll::runs::{RunReader, Sorted, SortedEntries};

use super::journal;
use crate::record::Record;

/// Goes through what is known, in the order of keys. A key that is gone since the base was written is
/// given without a record.
#[derive(Debug)]
pub struct Known {
    base: Source,
    delta: Source,
    results: Results,
    at: At,
    record: Option<Record>,
}

#[derive(Debug)]
struct Source {
    reader: RunReader,
    is_on: bool,
}

impl Source {
    fn advance(&mut self) -> Result<()> {
        self.is_on = self.reader.advance()?;
        Ok(())
    }
}

/// Which of the sources have the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Base,
    Delta,
    Both,
    End,
}

/// Results of the journal, by ordinal.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) sorted: Sorted,
    pub(super) uploads_begun: u64,
    pub(super) deletions_begun: u64,
    pub(super) is_on: bool,
}

impl Results {
    /// Where the journal is damaged, anything may have begun.
    pub(super) const ALL_BEGUN: u64 = u64::MAX;

    pub(super) fn is_broken(&self) -> bool {
        self.uploads_begun == Results::ALL_BEGUN
    }

    /// The record of the delta with this ordinal after what the journal says of it.
    pub(super) fn apply(&mut self, record: Record, ordinal: u64) -> Result<Option<Record>> {
        let wanted = ordinal.to_be_bytes();
        while self.is_on && self.sorted.key() < &wanted[..] {
            self.is_on = self.sorted.advance()?;
        }
        if self.is_on && self.sorted.key() == &wanted[..] {
            let outcome = journal::parse_result(self.sorted.value())?;
            return Ok(record.after(outcome));
        }
        let begun = match record {
            Record::Synced(_) => 0,
            Record::New { .. } => self.uploads_begun,
            Record::Deleted { .. } => self.deletions_begun,
        };
        Ok(Some(if ordinal < begun {
            record.begun()
        } else {
            record
        }))
    }
}

impl Known {
    pub(super) fn new(base: RunReader, delta: RunReader, results: Results) -> Known {
        let source = |reader| Source {
            reader,
            is_on: false,
        };
        Known {
            base: source(base),
            delta: source(delta),
            results,
            at: At::Start,
            record: None,
        }
    }

    /// To the next key, at first to the first, with its record; false behind the last.
    pub fn advance(&mut self) -> Result<bool> {
        let is_on = self.step()?;
        self.load()?;
        Ok(is_on)
    }

    /// To the next key alone: its record is there after [`Known::load`].
    pub(crate) fn step(&mut self) -> Result<bool> {
        match self.at {
            At::Start => {
                self.base.advance()?;
                self.delta.advance()?;
            }
            At::Base => self.base.advance()?,
            At::Delta => self.delta.advance()?,
            At::Both => {
                self.base.advance()?;
                self.delta.advance()?;
            }
            At::End => {}
        }
        self.at = match (self.base.is_on, self.delta.is_on) {
            (false, false) => At::End,
            (true, false) => At::Base,
            (false, true) => At::Delta,
            (true, true) => match self.base.reader.key().cmp(self.delta.reader.key()) {
                Ordering::Less => At::Base,
                Ordering::Greater => At::Delta,
                Ordering::Equal => At::Both,
            },
        };
        self.record = None;
        Ok(self.at != At::End)
    }

    /// Reads the record of the key.
    pub(crate) fn load(&mut self) -> Result<()> {
        self.record = match self.at {
            At::Start | At::End => None,
            At::Base => self.decode(self.base.reader.value())?,
            At::Delta | At::Both => match self.decode(self.delta.reader.value())? {
                Some(record) => {
                    let ordinal = self.delta.reader.ordinal() - 1;
                    self.results.apply(record, ordinal)?
                }
                None => None,
            },
        };
        Ok(())
    }

    /// The record as it is stored, where the base says all that is known of the key.
    pub(crate) fn stored(&self) -> Option<&[u8]> {
        (self.at == At::Base).then(|| self.base.reader.value())
    }

    fn decode(&self, value: &[u8]) -> Result<Option<Record>> {
        Record::decode(value).with_context(|| {
            let key = self.key().escape_ascii();
            format!("read the state of \"{key}\": a foreign program wrote it")
        })
    }

    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self.at {
            At::Base | At::Both => self.base.reader.key(),
            At::Delta => self.delta.reader.key(),
            At::Start | At::End => &[],
        }
    }

    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub fn take_record(&mut self) -> Option<Record> {
        self.record.take()
    }

    /// What the base has for the key.
    #[must_use]
    pub fn base_value(&self) -> Option<&[u8]> {
        match self.at {
            At::Base | At::Both => Some(self.base.reader.value()),
            _ => None,
        }
    }
}
