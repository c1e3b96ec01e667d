//! What is known of one key, and how that changes. Pure.
//!
//! A record says what the source last showed and what the destination may hold. Its status follows from
//! that; the names are those of the original: `NEW`, `SYNCED`, `DELETED_IN_SOURCE`, `ERROR`. Its
//! `TEMP_DELETED` needs no record here: a key is "not seen yet" while the listing has not passed it.
//!
//! Memory: some 60 bytes; stored, 24 to 29 bytes of a synced one with an MD5.

use std::fmt;

use anyhow::{Result, bail};

use crate::number::{put_number, take_number};

/// Hash of an object as the source tells it, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Etag {
    /// The source tells none.
    None,
    /// An MD5, in lower-case digits.
    Md5([u8; 16]),
    /// Of an upload in so many parts.
    Parts([u8; 16], u32),
    /// Anything else.
    Text(Box<str>),
}

impl Etag {
    /// Takes what a listing says, with or without its quotes.
    #[must_use]
    pub fn parse(text: &str) -> Etag {
        let text = text.trim_matches('"');
        if text.is_empty() {
            return Etag::None;
        }
        let (digits, parts) = match text.split_once('-') {
            Some((digits, parts)) => (digits, Some(parts)),
            None => (text, None),
        };
        let Some(bytes) = parse_md5(digits) else {
            return Etag::Text(text.into());
        };
        // "-07" would come back as "-7".
        let number =
            parts.map(|parts| parts.parse::<u32>().ok().filter(|n| n.to_string() == parts));
        match number {
            None => Etag::Md5(bytes),
            Some(Some(number)) => Etag::Parts(bytes, number),
            Some(None) => Etag::Text(text.into()),
        }
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Etag::None => Ok(()),
            Etag::Md5(bytes) => digits(f, bytes),
            Etag::Parts(bytes, number) => {
                digits(f, bytes)?;
                write!(f, "-{number}")
            }
            Etag::Text(text) => f.write_str(text),
        }
    }
}

fn parse_md5(digits: &str) -> Option<[u8; 16]> {
    let is_lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 32 || !digits.as_bytes().iter().all(is_lower) {
        return None;
    }
    Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
}

/// What a listing tells of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub modified: i64,
    pub etag: Etag,
}

impl Meta {
    /// Whether both are the same content: by the hash, or by size and time where one of them has none.
    #[must_use]
    pub fn is_same(&self, other: &Meta) -> bool {
        match (&self.etag, &other.etag) {
            (Etag::None, _) | (_, Etag::None) => {
                (self.size_bytes, self.modified) == (other.size_bytes, other.modified)
            }
            (one, two) => one == two,
        }
    }
}

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
            (Record::New { meta, .. }, Outcome::Uploaded) => Some(Record::Synced(meta)),
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

// What the first byte of a stored record tells.
const SYNCED: u8 = 0;
const NEW: u8 = 1;
const DELETED: u8 = 2;
const KIND_MASK: u8 = 0b11;
const TROUBLE: u8 = 1 << 2;
const HELD_VERSION: u8 = 1 << 3;
const HELD_UNKNOWN: u8 = 1 << 4;

/// Stored in place of a record that is gone.
pub const GONE: &[u8] = &[0b11];

impl Record {
    /// Appends the record as it is stored.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let (kind, meta, held, trouble) = match self {
            Record::Synced(meta) => (SYNCED, Some(meta), &Held::Nothing, None),
            Record::New {
                meta,
                held,
                trouble,
            } => (NEW, Some(meta), held, *trouble),
            Record::Deleted { held, trouble } => (DELETED, None, held, *trouble),
        };
        let held_flag = match held {
            Held::Nothing => 0,
            Held::Version(_) => HELD_VERSION,
            Held::Unknown => HELD_UNKNOWN,
        };
        let trouble_flag = if trouble.is_some() { TROUBLE } else { 0 };
        bytes.push(kind | held_flag | trouble_flag);
        if let Some(meta) = meta {
            encode_meta(meta, bytes);
        }
        if let Held::Version(meta) = held {
            encode_meta(meta, bytes);
        }
        if let Some(trouble) = trouble {
            put_number(bytes, u64::from(trouble.attempts));
            encode_reason(trouble.reason, bytes);
            put_number(bytes, trouble.at);
        }
    }

    /// Reads a record; none where it says that the key is gone.
    ///
    /// # Errors
    /// Bytes that no record is stored as.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Record>> {
        if bytes == GONE {
            return Ok(None);
        }
        let from = &mut bytes;
        let flags = take_byte(from)?;
        if flags & !(KIND_MASK | TROUBLE | HELD_VERSION | HELD_UNKNOWN) != 0 {
            bail!("a record has flags that nobody writes");
        }
        let kind = flags & KIND_MASK;
        let meta = match kind {
            SYNCED | NEW => Some(decode_meta(from)?),
            _ => None,
        };
        let held = match flags & (HELD_VERSION | HELD_UNKNOWN) {
            0 => Held::Nothing,
            HELD_VERSION => Held::Version(decode_meta(from)?),
            HELD_UNKNOWN => Held::Unknown,
            _ => bail!("a record has flags that nobody writes"),
        };
        let trouble = if flags & TROUBLE == 0 {
            None
        } else {
            let attempts = u32::try_from(take_number(from)?)?;
            let reason = decode_reason(from)?;
            Some(Trouble {
                attempts,
                reason,
                at: take_number(from)?,
            })
        };
        if !from.is_empty() {
            bail!("a record is longer than it should be");
        }
        Ok(Some(match (kind, meta) {
            (SYNCED, Some(meta)) => Record::Synced(meta),
            (NEW, Some(meta)) => Record::New {
                meta,
                held,
                trouble,
            },
            (DELETED, None) => Record::Deleted { held, trouble },
            _ => bail!("a record is of no known kind"),
        }))
    }
}

pub(crate) fn encode_reason(reason: Reason, bytes: &mut Vec<u8>) {
    let (code, detail) = reason.code();
    bytes.push(code);
    put_number(bytes, u64::from(detail));
}

pub(crate) fn decode_reason(from: &mut &[u8]) -> Result<Reason> {
    let code = take_byte(from)?;
    let detail = u16::try_from(take_number(from)?)?;
    match Reason::from_code(code, detail) {
        Some(reason) => Ok(reason),
        None => bail!("no reason of a failure has the code {code}"),
    }
}

const ETAG_NONE: u8 = 0;
const ETAG_MD5: u8 = 1;
const ETAG_PARTS: u8 = 2;
const ETAG_TEXT: u8 = 3;

fn encode_meta(meta: &Meta, bytes: &mut Vec<u8>) {
    put_number(bytes, meta.size_bytes);
    // Times before 1970 are rare: zigzag keeps them short as well.
    put_number(bytes, ((meta.modified << 1) ^ (meta.modified >> 63)) as u64);
    match &meta.etag {
        Etag::None => bytes.push(ETAG_NONE),
        Etag::Md5(digest) => {
            bytes.push(ETAG_MD5);
            bytes.extend_from_slice(digest);
        }
        Etag::Parts(digest, number) => {
            bytes.push(ETAG_PARTS);
            bytes.extend_from_slice(digest);
            put_number(bytes, u64::from(*number));
        }
        Etag::Text(text) => {
            bytes.push(ETAG_TEXT);
            put_number(bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

fn decode_meta(from: &mut &[u8]) -> Result<Meta> {
    let size_bytes = take_number(from)?;
    let zigzag = take_number(from)?;
    let modified = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    let etag = match take_byte(from)? {
        ETAG_NONE => Etag::None,
        ETAG_MD5 => Etag::Md5(take_digest(from)?),
        ETAG_PARTS => Etag::Parts(take_digest(from)?, u32::try_from(take_number(from)?)?),
        ETAG_TEXT => {
            let length = usize::try_from(take_number(from)?)?;
            Etag::Text(std::str::from_utf8(take(from, length)?)?.into())
        }
        other => bail!("no hash is of kind {other}"),
    };
    Ok(Meta {
        size_bytes,
        modified,
        etag,
    })
}

fn take_digest(from: &mut &[u8]) -> Result<[u8; 16]> {
    Ok(take(from, 16)?.try_into()?)
}

fn take_byte(from: &mut &[u8]) -> Result<u8> {
    Ok(take(from, 1)?[0])
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    match from.split_at_checked(length) {
        Some((taken, rest)) => {
            *from = rest;
            Ok(taken)
        }
        None => bail!("a record is cut off"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn meta(version: u32) -> Meta {
        Meta {
            size_bytes: u64::from(version) * 1000,
            modified: 1_700_000_000 + i64::from(version),
            etag: Etag::Md5(u128::from(version).to_be_bytes()),
        }
    }

    fn any_meta() -> impl Strategy<Value = Meta> {
        let etag = prop_oneof![
            Just(Etag::None),
            any::<[u8; 16]>().prop_map(Etag::Md5),
            (any::<[u8; 16]>(), any::<u32>()).prop_map(|(md5, parts)| Etag::Parts(md5, parts)),
            "[ -~]{1,40}".prop_map(|text| Etag::Text(text.into())),
        ];
        (any::<u64>(), any::<i64>(), etag).prop_map(|(size_bytes, modified, etag)| Meta {
            size_bytes,
            modified,
            etag,
        })
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let held = prop_oneof![
            Just(Held::Nothing),
            Just(Held::Unknown),
            any_meta().prop_map(Held::Version)
        ];
        let reason = (1_u8..9, any::<u16>()).prop_map(|(code, detail)| {
            let reason = Reason::from_code(code, detail).unwrap();
            Reason::from_code(reason.code().0, reason.code().1).unwrap()
        });
        let trouble = proptest::option::of((1_u32.., reason, any::<u64>()).prop_map(
            |(attempts, reason, at)| Trouble {
                attempts,
                reason,
                at,
            },
        ));
        (0..3, any_meta(), held, trouble).prop_map(|(kind, meta, held, trouble)| match kind {
            0 => Record::Synced(meta),
            1 => Record::New {
                meta,
                held,
                trouble,
            },
            _ => Record::Deleted { held, trouble },
        })
    }

    proptest! {
        #[test]
        fn records_come_back(record in any_record()) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            prop_assert_eq!(Record::decode(&bytes).unwrap(), Some(record));
            for length in 0..bytes.len() {
                prop_assert!(Record::decode(&bytes[..length]).is_err());
            }
            bytes.push(0);
            prop_assert!(Record::decode(&bytes).is_err());
        }

        #[test]
        fn bytes_of_others_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Record::decode(&bytes);
        }
    }

    #[test]
    fn a_synced_record_is_short() {
        let mut bytes = Vec::new();
        Record::Synced(meta(3000)).encode(&mut bytes);
        assert!(bytes.len() <= 29, "{} bytes", bytes.len());
    }

    #[test]
    fn etags_come_back_as_they_were() {
        let check = |text: &str, expected: Etag| {
            let etag = Etag::parse(text);
            assert_eq!(etag, expected, "{text}");
            assert_eq!(etag.to_string(), text.trim_matches('"'));
        };
        let md5 = [0xab; 16];
        check(&format!("\"{}\"", "ab".repeat(16)), Etag::Md5(md5));
        check(&"ab".repeat(16), Etag::Md5(md5));
        check(&format!("{}-7", "ab".repeat(16)), Etag::Parts(md5, 7));
        for text in [
            format!("{}-07", "ab".repeat(16)),
            format!("{}-", "ab".repeat(16)),
            "AB".repeat(16),
            "abc".to_owned(),
        ] {
            check(&text, Etag::Text(text.as_str().into()));
        }
        check("", Etag::None);
        check("\"\"", Etag::None);
    }

    #[test]
    fn without_a_hash_size_and_time_decide() {
        let with = meta(1);
        let without = Meta {
            etag: Etag::None,
            ..meta(1)
        };
        assert!(with.is_same(&without) && without.is_same(&with));
        let later = Meta {
            modified: 0,
            ..without.clone()
        };
        assert!(!later.is_same(&with) && !later.is_same(&without));
        let copied = Meta {
            modified: 0,
            ..with.clone()
        };
        assert!(copied.is_same(&with), "the same content, put again");
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
        assert_eq!(error.clone().after(Outcome::Uploaded), Some(synced.clone()));

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
