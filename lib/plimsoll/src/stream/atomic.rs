//! A file that appears whole or not at all. Memory: a descriptor and two paths.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};

const PREFIX: &str = ".plimsoll-";
const SUFFIX: &str = ".part";

/// Read, write and execute for all. The set-id bits aren't carried over: the new file may be owned by
/// somebody else.
pub(super) const MODE_KEPT: u32 = 0o777;

/// Names tried: each is taken only by leftovers of a process of the same id.
const NAMES_MAX: u32 = 1000;

/// A file written under another name beside its target, and put in its place by [`commit`] in one step:
/// whoever opens the target, before, meanwhile or after a crash, has the old or the new file whole.
/// Dropped without [`commit`], it is removed and the target is as it was.
///
/// The permissions of a target that is there are kept; a new one gets those of any new file. Owner,
/// set-id bits and extended attributes aren't kept, and a link in place of the target is replaced, not followed.
/// It is written without a buffer: wrap it in a `BufWriter` for small writes.
///
/// A process that is killed leaves the unfinished file: [`remove_leftovers`].
///
/// [`commit`]: AtomicFile::commit
///
/// ```
/// use std::io::Write;
/// use plimsoll::stream::AtomicFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("plimsoll-doc-atomic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("settings.toml");
/// let mut file = AtomicFile::create(&path)?;
/// file.write_all(b"answer = 42\n")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"answer = 42\n");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temp: PathBuf,
    target: PathBuf,
    permissions: Option<Permissions>,
    is_committed: bool,
}

impl AtomicFile {
    /// Begins a file that will be `target`, in a folder that exists.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a target that is a folder or device, or has no name, [`ErrorKind::Io`] for what
    /// the system refuses.
    pub fn create(target: impl AsRef<Path>) -> Result<AtomicFile, Error> {
        let target = target.as_ref();
        let (permissions, mode) = match fs::metadata(target) {
            Ok(found) if !found.is_file() => return Err(invalid(target, "it is no regular file")),
            // Nobody else reads it before it has the permissions of the old one.
            Ok(found) => {
                let mode = found.permissions().mode() & MODE_KEPT;
                (Some(Permissions::from_mode(mode)), 0o600)
            }
            Err(_) => (None, 0o666),
        };
        if target.file_name().is_none() {
            return Err(invalid(target, "it has no name"));
        }
        let (file, temp) = create_beside(target, mode)?;
        Ok(AtomicFile {
            file,
            temp,
            target: target.to_owned(),
            permissions,
            is_committed: false,
        })
    }

    /// Permissions that the file gets at [`AtomicFile::commit`].
    pub fn set_permissions(&mut self, permissions: Permissions) {
        self.permissions = Some(permissions);
    }

    /// The file, to read it back, to set its length or times.
    #[must_use]
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the bytes durable, puts the file in place of the target, and makes that durable too: two
    /// `fsync`, which is what it takes.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; the target is as it was, but where the message says that it is replaced.
    pub fn commit(mut self) -> Result<(), Error> {
        let failed = |what: &str, target: &Path, error| {
            let message = format!("replace {}: {what}", target.display());
            Error::with_source(ErrorKind::Io, message, error)
        };
        if let Some(permissions) = self.permissions.take() {
            self.file
                .set_permissions(permissions)
                .map_err(|e| failed("its permissions can't be set", &self.target, e))?;
        }
        self.file
            .sync_all()
            .map_err(|e| failed("the new file can't be made durable", &self.target, e))?;
        fs::rename(&self.temp, &self.target)
            .map_err(|e| failed("the new file can't be put in place", &self.target, e))?;
        self.is_committed = true;
        sync_folder(folder_of(&self.target)).map_err(|e| {
            let what = "it is replaced, but a power failure may still undo that";
            failed(what, &self.target, e)
        })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // Nobody can be told; what stays is found by `remove_leftovers`.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for AtomicFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Removes files in `folder` that an [`AtomicFile`] of a killed process left, and says how many. Those
/// that some process is still writing are locked, and stay. O(names in the folder).
///
/// # Errors
/// [`ErrorKind::Io`] when the folder can't be read or such a file not removed.
pub fn remove_leftovers(folder: impl AsRef<Path>) -> Result<usize, Error> {
    let folder = folder.as_ref();
    let failed = |error| {
        let message = format!("remove leftovers in {}", folder.display());
        Error::with_source(ErrorKind::Io, message, error)
    };
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if !is_ours || !entry.file_type().map_err(failed)?.is_file() {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if file.try_lock().is_err() {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            // Its writer put it in place since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(removed)
}

/// A new file in the folder of `target`, locked for as long as it is open.
pub(super) fn create_beside(target: &Path, mode: u32) -> Result<(File, PathBuf), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = folder_of(target);
    let failed = |error| {
        let message = format!("create a file in {}", folder.display());
        Error::with_source(ErrorKind::Io, message, error)
    };
    for _ in 0..NAMES_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temp = folder.join(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temp);
        match file {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
            Ok(file) => match hold(&file) {
                Ok(true) => return Ok((file, temp)),
                Ok(false) => {}
                Err(error) => {
                    let _ = fs::remove_file(&temp);
                    return Err(failed(error));
                }
            },
        }
    }
    let message = format!(
        "create a file in {}: {NAMES_MAX} names are taken; see remove_leftovers",
        folder.display()
    );
    Err(Error::new(ErrorKind::Exhausted, message))
}

/// A new file in the folder of `target` without a name: gone when it is dropped, and also when the
/// process is killed.
pub(super) fn unnamed_beside(target: &Path) -> Result<File, Error> {
    let (file, path) = create_beside(target, 0o600)?;
    fs::remove_file(&path).map_err(|error| {
        let message = format!("take the name off {}", path.display());
        Error::with_source(ErrorKind::Io, message, error)
    })?;
    Ok(file)
}

/// Locks a file that was just created; false when [`remove_leftovers`] was faster.
fn hold(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(TryLockError::WouldBlock) => Ok(false),
        // A file system without locks: then nothing there is ever taken for a leftover.
        Err(TryLockError::Error(_)) => Ok(true),
    }
}

/// The folder that a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn invalid(target: &Path, why: &str) -> Error {
    let message = format!("replace {}: {why}", target.display());
    Error::new(ErrorKind::Invalid, message)
}
