//! What is known of one key, and how that changes. Pure.
//!
//! A record says what the source last showed and what the destination may hold. Its status follows from
//! that; the names are those of the original: `NEW`, `SYNCED`, `DELETED_IN_SOURCE`, `ERROR`. Its
//! `TEMP_DELETED` needs no record here: a key is "not seen yet" while the listing has not passed it.
//!
//! Memory: some 60 bytes; stored, 24 to 29 bytes of a synced one with an MD5.

mod meta;
mod stored;

use std::fmt;

pub use meta::{Etag, Meta};
pub use stored::GONE;
pub(crate) use stored::{decode_meta, decode_reason, encode_meta, encode_reason};

/// What the destination holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Nothing,
    /// This version, whole.
    Version(Meta),
    /// A version, or none: an upload or a deletion may have begun, and nobody knows how far it came.
    Unknown,
}

/// Why an upload or a deletion failed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The source has no such object any more.
    SourceGone,
    /// The object was changed since it was listed.
    SourceChanged,
    /// The source refuses, with this status of HTTP.
    SourceRefused(u16),
    /// The source could not be reached, or broke off.
    SourceFailed,
    /// What arrived has another length or hash than the listing says.
    Damaged,
    /// The destination refuses, with this reply code of FTP.
    DestinationRefused(u16),
    /// The destination could not be reached, or broke off.
    DestinationFailed,
    /// The destination has another length than was sent.
    DestinationDamaged,
}

impl Reason {
    fn code(self) -> (u8, u16) {
        match self {
            Reason::SourceGone => (1, 0),
            Reason::SourceChanged => (2, 0),
            Reason::SourceRefused(status) => (3, status),
            Reason::SourceFailed => (4, 0),
            Reason::Damaged => (5, 0),
            Reason::DestinationRefused(reply) => (6, reply),
            Reason::DestinationFailed => (7, 0),
            Reason::DestinationDamaged => (8, 0),
        }
    }

    fn from_code(code: u8, detail: u16) -> Option<Reason> {
        Some(match code {
            1 => Reason::SourceGone,
            2 => Reason::SourceChanged,
            3 => Reason::SourceRefused(detail),
            4 => Reason::SourceFailed,
            5 => Reason::Damaged,
            6 => Reason::DestinationRefused(detail),
            7 => Reason::DestinationFailed,
            8 => Reason::DestinationDamaged,
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::SourceGone => f.write_str("the source has it no more"),
            Reason::SourceChanged => f.write_str("it was changed since it was listed"),
            Reason::SourceRefused(status) => write!(f, "the source refuses with HTTP {status}"),
            Reason::SourceFailed => f.write_str("the source failed"),
            Reason::Damaged => f.write_str("other bytes arrived than were listed"),
            Reason::DestinationRefused(reply) => {
                write!(f, "the destination refuses with FTP {reply}")
            }
            Reason::DestinationFailed => f.write_str("the destination failed"),
            Reason::DestinationDamaged => {
                f.write_str("the destination has another length than was sent")
            }
        }
    }
}

/// A failure, and how often there was one in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub attempts: u32,
    pub reason: Reason,
    /// Seconds since 1970.
    pub at: u64,
}

impl Trouble {
    /// Longest wait between two tries, in seconds.
    const WAIT_MAX: u64 = 3600;

    /// Whether it is to be tried again: in the next run after the first failure, then after 1, 2, 4, …
    /// minutes, at most an hour. A clock that was set back does not make it wait.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        let wait = match self.attempts {
            0 | 1 => 0,
            more => (60_u64 << (more - 2).min(6)).min(Trouble::WAIT_MAX),
        };
        now < self.at || now - self.at >= wait
    }
}

/// What is known of a key; there is none of a key that neither side has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The destination holds what the source has.
    Synced(Meta),
    /// To be uploaded.
    New {
        meta: Meta,
        held: Held,
        trouble: Option<Trouble>,
    },
    /// To be deleted from the destination.
    Deleted {
        held: Held,
        trouble: Option<Trouble>,
    },
}

/// The status of a record, by the original's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    New,
    Synced,
    DeletedInSource,
    Error,
}

impl Status {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::New => "NEW",
            Status::Synced => "SYNCED",
            Status::DeletedInSource => "DELETED_IN_SOURCE",
            Status::Error => "ERROR",
        }
    }
}

/// What came of an upload or a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Uploaded,
    Deleted,
    /// The destination had a file already that was taken for this one, by what it tells of it.
    Adopted,
    /// At these seconds since 1970.
    Failed(Reason, u64),
}

impl Record {
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Record::Synced(_) => Status::Synced,
            Record::New { trouble: None, .. } => Status::New,
            Record::New { .. } => Status::Error,
            Record::Deleted { .. } => Status::DeletedInSource,
        }
    }

    /// Whether there is something to do.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self, Record::Synced(_))
    }

    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Record::Synced(_) => None,
            Record::New { trouble, .. } | Record::Deleted { trouble, .. } => trouble.as_ref(),
        }
    }

    /// The record of a key that a listing has, after what was known before.
    #[must_use]
    pub fn seen(before: Option<Record>, meta: Meta) -> Record {
        let (held, trouble) = match before {
            None => (Held::Nothing, None),
            Some(Record::Synced(held)) => (Held::Version(held), None),
            // A failure counts on only for the version that failed.
            Some(Record::New {
                meta: wanted,
                held,
                trouble,
            }) => (held, trouble.filter(|_| wanted.is_same(&meta))),
            Some(Record::Deleted { held, .. }) => (held, None),
        };
        match held {
            Held::Version(held) if held.is_same(&meta) => Record::Synced(meta),
            held => Record::New {
                meta,
                held,
                trouble,
            },
        }
    }

    /// The record of a key that a whole listing has not; none where the destination has nothing either.
    #[must_use]
    pub fn unseen(self) -> Option<Record> {
        let (held, trouble) = match self {
            Record::Synced(meta) => (Held::Version(meta), None),
            Record::New { held, .. } => (held, None),
            Record::Deleted { held, trouble } => (held, trouble),
        };
        (held != Held::Nothing).then_some(Record::Deleted { held, trouble })
    }

    /// The record once its upload or deletion may have begun.
    #[must_use]
    pub fn begun(self) -> Record {
        let held = Held::Unknown;
        match self {
            Record::Synced(meta) => Record::Synced(meta),
            Record::New { meta, trouble, .. } => Record::New {
                meta,
                held,
                trouble,
            },
            Record::Deleted { trouble, .. } => Record::Deleted { held, trouble },
        }
    }

    /// The record where something later may have been known, and is lost: the destination may hold
    /// anything.
    #[must_use]
    pub fn uncertain(self) -> Record {
        match self {
            Record::Synced(meta) => Record::New {
                meta,
                held: Held::Unknown,
                trouble: None,
            },
            other => other.begun(),
        }
    }

    /// The record after its upload or deletion ended so; none after a deletion.
    #[must_use]
    pub fn after(self, outcome: Outcome) -> Option<Record> {
        let next = |before: Option<Trouble>, reason, at| {
            let attempts = before.map_or(0, |trouble| trouble.attempts);
            Some(Trouble {
                attempts: attempts.saturating_add(1),
                reason,
                at,
            })
        };
        match (self.begun(), outcome) {
            (Record::New { meta, .. }, Outcome::Uploaded | Outcome::Adopted) => {
                Some(Record::Synced(meta))
            }
            (Record::Deleted { .. }, Outcome::Deleted) => None,
            (
                Record::New {
                    meta,
                    held,
                    trouble,
                },
                Outcome::Failed(reason, at),
            ) => Some(Record::New {
                meta,
                held,
                trouble: next(trouble, reason, at),
            }),
            (Record::Deleted { held, trouble }, Outcome::Failed(reason, at)) => {
                Some(Record::Deleted {
                    held,
                    trouble: next(trouble, reason, at),
                })
            }
            // An outcome of another kind of work says nothing of this.
            (record, _) => Some(record),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn meta(version: u32) -> Meta {
        Meta {
            size_bytes: u64::from(version) * 1000,
            modified: 1_700_000_000 + i64::from(version),
            etag: Etag::Md5(u128::from(version).to_be_bytes()),
        }
    }

    /// The table of the required semantics.
    #[test]
    fn transitions() {
        let new = |meta, held, trouble| Record::New {
            meta,
            held,
            trouble,
        };
        let deleted = |held, trouble| Record::Deleted { held, trouble };
        let trouble = |attempts| Trouble {
            attempts,
            reason: Reason::DestinationRefused(451),
            at: 5,
        };
        let failed = Outcome::Failed(Reason::DestinationRefused(451), 5);
        let (one, two) = (meta(1), meta(2));
        let version = Held::Version(one.clone());

        // absent -> NEW; SYNCED and the same -> SYNCED; SYNCED and another -> NEW.
        let first = Record::seen(None, one.clone());
        assert_eq!(first, new(one.clone(), Held::Nothing, None));
        let synced = Record::Synced(one.clone());
        assert_eq!(Record::seen(Some(synced.clone()), one.clone()), synced);
        let changed = Record::seen(Some(synced.clone()), two.clone());
        assert_eq!(changed, new(two.clone(), version.clone(), None));
        // Back to the old version before anything began: nothing to do.
        assert_eq!(Record::seen(Some(changed.clone()), one.clone()), synced);
        let unclear = new(two.clone(), Held::Unknown, None);
        assert_eq!(changed.clone().begun(), unclear);
        // After something began, the old version is uploaded again.
        let again = Record::seen(Some(unclear), one.clone());
        assert_eq!(again, new(one.clone(), Held::Unknown, None));

        // A failure is ERROR, is tried again, and counts on for the same version.
        let error = first.clone().after(failed).unwrap();
        assert_eq!(error, new(one.clone(), Held::Unknown, Some(trouble(1))));
        assert_eq!(error.status(), Status::Error);
        assert_eq!(Record::seen(Some(error.clone()), one.clone()), error);
        let twice = error.clone().after(failed).unwrap();
        assert_eq!(twice.trouble().unwrap().attempts, 2);
        let other = Record::seen(Some(error.clone()), two.clone());
        assert_eq!(other, new(two, Held::Unknown, None));
        for done in [Outcome::Uploaded, Outcome::Adopted] {
            assert_eq!(error.clone().after(done), Some(synced.clone()));
        }

        // Not seen: dropped if nothing can be there, else to be deleted.
        assert_eq!(first.unseen(), None);
        assert_eq!(error.unseen(), Some(deleted(Held::Unknown, None)));
        assert_eq!(changed.unseen(), Some(deleted(version.clone(), None)));
        let gone = synced.clone().unseen().unwrap();
        assert_eq!(gone, deleted(version, None));
        assert_eq!(gone.status(), Status::DeletedInSource);
        assert_eq!(gone.clone().unseen(), Some(gone.clone()));
        // Seen again before a deletion began: nothing to do; after it: NEW.
        assert_eq!(Record::seen(Some(gone.clone()), one.clone()), synced);
        let begun = gone.clone().begun();
        assert_eq!(
            Record::seen(Some(begun.clone()), one.clone()),
            new(one, Held::Unknown, None)
        );
        // A deletion that fails stays; one that succeeds ends the record.
        let stays = gone.clone().after(failed).unwrap();
        assert_eq!(stays, deleted(Held::Unknown, Some(trouble(1))));
        assert_eq!(stays.status(), Status::DeletedInSource);
        assert_eq!(stays.clone().unseen(), Some(stays));
        assert_ne!(gone.clone().after(Outcome::Adopted), None);
        assert_eq!(gone.after(Outcome::Deleted), None);
        assert_eq!(synced.clone().after(Outcome::Deleted), Some(synced.clone()));
        assert_eq!(synced.clone().begun(), synced);
    }

    #[test]
    fn waits_grow_and_end() {
        let due = |attempts, at, now| {
            Trouble {
                attempts,
                reason: Reason::SourceFailed,
                at,
            }
            .is_due(now)
        };
        assert!(due(1, 100, 100));
        assert!(!due(2, 100, 159) && due(2, 100, 160));
        assert!(!due(3, 100, 219) && due(3, 100, 220));
        assert!(!due(u32::MAX, 0, 3599) && due(u32::MAX, 0, 3600));
        assert!(due(9, 1_000_000, 5), "a clock that was set back");
    }
}
