//! A record of yomins-sync's cache, and what it is worth. Pure.

use serde::Deserialize;

use crate::record::{Etag, Held, Meta, Record};

/// Longest hash that is taken: no source has one of a tenth of that.
const HASH_BYTES_MAX: usize = 1024;

/// As it is stored, in JSON.
#[derive(Debug, Deserialize)]
struct Stored {
    size: u64,
    /// Seconds since 1970.
    mtime: i64,
    /// The ETag, with its quotes.
    hash: String,
    status: u8,
}

/// The original's statuses, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CachedStatus {
    New,
    Synced,
    DeletedInSource,
    /// Synced, and not listed yet by the run that was ended.
    TempDeleted,
    Error,
}

impl CachedStatus {
    fn of(number: u8) -> Option<CachedStatus> {
        Some(match number {
            0 => CachedStatus::New,
            1 => CachedStatus::Synced,
            2 => CachedStatus::DeletedInSource,
            3 => CachedStatus::TempDeleted,
            4 => CachedStatus::Error,
            _ => return None,
        })
    }

    pub(super) fn is_synced(self) -> bool {
        matches!(self, CachedStatus::Synced | CachedStatus::TempDeleted)
    }
}

/// What the cache says of a file is synced: whether that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Synced,
    Nothing,
}

/// A record as this program has it.
///
/// # Errors
/// Why nobody can use it.
pub(super) fn parse(value: &[u8], trust: Trust) -> Result<(CachedStatus, Record), String> {
    let stored: Stored = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let Some(status) = CachedStatus::of(stored.status) else {
        return Err(format!("no status is {}", stored.status));
    };
    if stored.hash.len() > HASH_BYTES_MAX {
        let length = stored.hash.len();
        return Err(format!("its hash has {length} bytes"));
    }
    let meta = Meta {
        size_bytes: stored.size,
        modified: stored.mtime,
        etag: Etag::parse(&stored.hash),
    };
    let record = match status {
        status if status.is_synced() && trust == Trust::Synced => Record::Synced(meta),
        CachedStatus::DeletedInSource => unclear(),
        // A failed upload may have left the old file, the new one, or a part of it under the last name.
        _ => Record::New {
            meta,
            held: Held::Unknown,
            trouble: None,
        },
    };
    Ok((status, record))
}

/// Of a key of which only this is known, that the destination may hold something: uploaded if the next
/// listing has it, and deleted if not.
pub(super) fn unclear() -> Record {
    Record::Deleted {
        held: Held::Unknown,
        trouble: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_what_is_known() {
        let value =
            |status: i32| format!(r#"{{"size":5,"mtime":-7,"hash":"\"abc\"","status":{status}}}"#);
        let meta = || Meta {
            size_bytes: 5,
            modified: -7,
            etag: Etag::Text("abc".into()),
        };
        let new = || Record::New {
            meta: meta(),
            held: Held::Unknown,
            trouble: None,
        };
        let check = |status, trust, expected: Record| {
            let parsed = parse(value(status).as_bytes(), trust);
            assert_eq!(parsed.map(|(_, record)| record), Ok(expected), "{status}");
        };
        check(0, Trust::Synced, new());
        check(1, Trust::Synced, Record::Synced(meta()));
        check(2, Trust::Synced, unclear());
        check(3, Trust::Synced, Record::Synced(meta()));
        check(4, Trust::Synced, new());
        for synced in [1, 3] {
            check(synced, Trust::Nothing, new());
        }
        check(2, Trust::Nothing, unclear());
        for status in [5, -1, 256] {
            assert!(parse(value(status).as_bytes(), Trust::Synced).is_err());
        }
    }

    #[test]
    fn what_is_no_record_is_told() {
        let long = format!(
            r#"{{"size":1,"mtime":1,"hash":"{}","status":1}}"#,
            "x".repeat(1025)
        );
        for value in [
            "",
            "{}",
            "null",
            r#"{"size":-1,"mtime":1,"hash":"","status":1}"#,
            r#"{"size":1.5,"mtime":1,"hash":"","status":1}"#,
            r#"{"size":1,"mtime":1,"hash":"","status":1}x"#,
            r#"{"size":1,"mtime":1,"status":1}"#,
            &long,
        ] {
            assert!(parse(value.as_bytes(), Trust::Synced).is_err(), "{value}");
        }
    }
}
