//! Reads rpm's SQLite database without writing, locking or waiting.
//!
//! The database lies in another process's root, which SQLite must not be let to resolve: it
//! follows links by their text, and the text of `/proc/PID/root` is `/`, so it would open this
//! machine's own database instead. [`Database`] therefore opens it in an already opened folder
//! through a VFS that takes names as they are.
//!
//! rpm writes in WAL mode; `immutable=1` reads what was last checkpointed.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, params};

use super::header::Header;
use crate::root::descriptor_path;

/// Virtual-machine steps of one query before it is given up. A lookup takes some ten for each
/// package with files in the folder, of which a large system has a few thousand; a database made
/// to run for ever reaches this within half a second.
const QUERY_STEPS_LIMIT: c_int = 5_000_000;

/// The longest header that is read, which SQLite holds in memory: at some 100 bytes a file, room
/// for more than 80,000 files.
const HEADER_BYTES_LIMIT: i64 = 8 << 20;

/// Packages that are looked into for one file name and folder. Two own one file in practice
/// (multilib); more than this is not a real database.
const OWNERS_LIMIT: i64 = 32;

/// SQLite's page cache, instead of its default of 2 MiB.
const CACHE_KIB: i64 = 1024;

const VFS_NAME: &CStr = c"plimsoll-verbatim";

#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    /// Keeps the descriptor in the database's name open.
    _folder: OwnedFd,
}

/// A package that owns a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Database {
    /// Opens the regular file `name` in `folder`.
    pub(crate) fn open(folder: OwnedFd, name: &str) -> Result<Database, rusqlite::Error> {
        let vfs = register_vfs()?;
        let path = descriptor_path(&folder).join(name);
        let uri = format!("file:{}?immutable=1&mode=ro", path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(uri, flags, vfs)?;
        limit_steps(&connection);
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // A view in a table's place could compute anything.
        let tables: i64 = connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
             AND name IN ('Packages', 'Basenames', 'Dirnames')",
            [],
            |row| row.get(0),
        )?;
        if tables != 3 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        Ok(Database {
            connection,
            _folder: folder,
        })
    }

    /// The package that installed `name` in `folder` (with a `/` at its end).
    pub(crate) fn owner(&self, folder: &str, name: &str) -> Result<Option<Owner>, rusqlite::Error> {
        let mut candidates = self.connection.prepare_cached(
            "SELECT DISTINCT b.hnum, b.idx FROM Basenames b JOIN Dirnames d ON d.hnum = b.hnum
             WHERE b.key = ?1 AND d.key = ?2 ORDER BY b.hnum, b.idx LIMIT ?3",
        )?;
        let mut rows = candidates.query(params![name, folder, OWNERS_LIMIT])?;
        while let Some(row) = rows.next()? {
            let (package, file): (i64, i64) = (row.get(0)?, row.get(1)?);
            let Ok(file) = usize::try_from(file) else {
                continue;
            };
            if let Some(owner) = self.owner_in(package, file, folder, name)? {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// The package itself, if its header says that its file number `file` is this one.
    fn owner_in(
        &self,
        package: i64,
        file: usize,
        folder: &str,
        name: &str,
    ) -> Result<Option<Owner>, rusqlite::Error> {
        let mut header = self
            .connection
            .prepare_cached("SELECT blob FROM Packages WHERE hnum = ?1 AND length(blob) <= ?2")?;
        let owner = header
            .query_row(params![package, HEADER_BYTES_LIMIT], |row| {
                let header = Header::parse(row.get_ref(0)?.as_blob()?);
                Ok(header.and_then(|header| {
                    header
                        .installed(file, folder.as_bytes(), name.as_bytes())
                        .then_some(Owner {
                            name: header.name()?,
                            version: header.version().unwrap_or_default(),
                        })
                }))
            })
            .optional()?;
        Ok(owner.flatten())
    }
}

/// Ends a statement that runs for too many steps.
fn limit_steps(connection: &Connection) {
    unsafe extern "C" fn give_up(_: *mut c_void) -> c_int {
        1
    }
    // SAFETY: the handle is open, and the callback uses neither its argument nor any other state.
    unsafe {
        ffi::sqlite3_progress_handler(
            connection.handle(),
            QUERY_STEPS_LIMIT,
            Some(give_up),
            std::ptr::null_mut(),
        );
    }
}

/// Registers, once in a process, SQLite's own lock-free VFS with one change: a file's full name
/// is the name given, no links resolved.
fn register_vfs() -> Result<&'static CStr, rusqlite::Error> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: both functions may be called from any thread. The found VFS is static in
        // SQLite; the copy is leaked, so it lives as long as SQLite may use it. All of its
        // methods but one are the original's, which reach their state through pAppData and the
        // VFS passed in, exactly as SQLite's own variants of the unix VFS share them.
        unsafe {
            ffi::sqlite3_initialize();
            let original = ffi::sqlite3_vfs_find(c"unix-none".as_ptr());
            if original.is_null() {
                return ffi::SQLITE_NOTFOUND;
            }
            let mut vfs = *original;
            vfs.zName = VFS_NAME.as_ptr();
            vfs.pNext = std::ptr::null_mut();
            vfs.xFullPathname = Some(name_as_given);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0)
        }
    });
    if code == ffi::SQLITE_OK {
        Ok(VFS_NAME)
    } else {
        Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(code),
            Some("SQLite's unix-none VFS can't be used".to_string()),
        ))
    }
}

/// xFullPathname that copies its input.
///
/// SAFETY of callers: SQLite passes a nul-terminated name and a buffer of `size` bytes.
unsafe extern "C" fn name_as_given(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: `name` is nul-terminated, as SQLite's contract for this method says.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(size).is_ok_and(|size| name.len() <= size) {
        // SAFETY: `out` has room for `size` bytes, of which at most `name.len()` are written, and
        // SQLite's two buffers do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_CANTOPEN
    }
}
