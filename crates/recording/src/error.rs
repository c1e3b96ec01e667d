//! Everything that can go wrong with a recording, in words for the person who gave its name.

use std::path::{Path, PathBuf};

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error(
        "create recording {}: a file of that name exists; choose another name, or replace it with --overwrite",
        path.display()
    )]
    Exists { path: PathBuf },
    #[error("create recording {}: {source}", path.display())]
    Create {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "write recording {}: the disk is full or a size limit is reached; what was written until now stays readable",
        path.display()
    )]
    DiskFull { path: PathBuf },
    #[error("write recording {}: {detail}; what was written until now stays readable", path.display())]
    Write { path: PathBuf, detail: String },
    #[error("open recording {}: {source}", path.display())]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("open recording {}: it is not a recording (not a SQLite file)", path.display())]
    NotSqlite { path: PathBuf },
    #[error(
        "open recording {}: it is a SQLite file, but not a plimsoll recording",
        path.display()
    )]
    NotRecording { path: PathBuf },
    #[error(
        "open recording {}: its schema version is {found}, this program knows versions up to {known}; read it with a newer plimsoll",
        path.display()
    )]
    NewerSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "open recording {}: it is damaged ({detail}); `sqlite3 FILE .recover` may save parts of it",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    #[error(
        "open recording {}: the recorder was cut off in the middle of a write, and finishing that needs write permission; copy the file and its -journal to a folder of yours and open the copy",
        path.display()
    )]
    UnfinishedWrite { path: PathBuf },
    #[error("open recording {}: another program holds it locked; close that and try again", path.display())]
    Locked { path: PathBuf },
    #[error("read recording {}: {detail}", path.display())]
    Read { path: PathBuf, detail: String },
}

impl RecordingError {
    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> RecordingError {
        RecordingError::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }

    /// A failure while writing, by SQLite's code.
    pub(crate) fn from_write(path: &Path, error: &rusqlite::Error) -> RecordingError {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => RecordingError::DiskFull { path },
            _ => RecordingError::Write {
                path,
                detail: error.to_string(),
            },
        }
    }

    /// A failure while opening or reading, by SQLite's code.
    pub(crate) fn from_read(path: &Path, error: &rusqlite::Error) -> RecordingError {
        use rusqlite::{Error, ErrorCode};
        let owned = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => RecordingError::NotSqlite { path: owned },
            Some(ErrorCode::DatabaseCorrupt) => RecordingError::damaged(path, error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                RecordingError::Locked { path: owned }
            }
            Some(ErrorCode::ReadOnly) => RecordingError::UnfinishedWrite { path: owned },
            // A table or column that the schema promises is not there, or sqlite_schema is torn.
            Some(ErrorCode::Unknown) => RecordingError::damaged(path, error.to_string()),
            Some(_) => RecordingError::Read {
                path: owned,
                detail: error.to_string(),
            },
            // Wrong type in a column, no UTF-8, a missing row.
            None => match error {
                Error::QueryReturnedNoRows => RecordingError::damaged(path, "a row is missing"),
                other => RecordingError::damaged(path, other.to_string()),
            },
        }
    }
}
