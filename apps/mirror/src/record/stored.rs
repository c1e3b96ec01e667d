//! Records as bytes.

use anyhow::{Result, bail};

use super::{Etag, Held, Meta, Reason, Record, Trouble};
use crate::number::{put_number, take_number};

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

    /// Appends what [`Record::Synced`] of this is stored as.
    pub(crate) fn encode_synced(meta: &Meta, bytes: &mut Vec<u8>) {
        bytes.push(SYNCED);
        encode_meta(meta, bytes);
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

pub(crate) fn encode_meta(meta: &Meta, bytes: &mut Vec<u8>) {
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

pub(crate) fn decode_meta(from: &mut &[u8]) -> Result<Meta> {
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
mod tests {
    use super::super::tests::meta;
    use super::*;
    use proptest::prelude::*;

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
}
