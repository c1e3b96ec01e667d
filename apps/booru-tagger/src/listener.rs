//! The worker's socket: one worker a socket, a stale one replaced, nobody else's business.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// For an earlier worker to end that has closed its socket: longer than it lets its work finish.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A socket that listens, and the claim on its name.
pub struct Listener {
    /// Accepts connections; does not block.
    pub socket: UnixListener,
    path: PathBuf,
    /// Held as long as the worker lives: who has it may replace the socket's file.
    _lock: File,
}

impl Listener {
    /// Listens at `path`; `None` where another worker does so already.
    ///
    /// # Errors
    /// For a folder in which others could replace the socket, or one that can't be made.
    pub fn bind(path: &Path) -> Result<Option<Listener>> {
        let bound = Self::try_bind(path);
        bound.with_context(|| format!("listen at ML_WORKER_SOCKET, {}", path.display()))
    }

    fn try_bind(path: &Path) -> Result<Option<Listener>> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        prepare_folder(folder.unwrap_or(Path::new(".")))?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&lock_path)
            .with_context(|| format!("open {}", Path::new(&lock_path).display()))?;
        if !claim(&lock, path)? {
            return Ok(None);
        }
        // Whose socket this was, the lock says that it has ended.
        match fs::symlink_metadata(path) {
            Ok(found) => {
                use std::os::unix::fs::FileTypeExt;
                ensure!(
                    found.file_type().is_socket(),
                    "there is a file of that name which is no socket; it is left alone"
                );
                fs::remove_file(path)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // SAFETY: sets a number; no other thread makes files yet.
        let before = unsafe { libc::umask(0o177) };
        let socket = UnixListener::bind(path);
        // SAFETY: as above.
        unsafe { libc::umask(before) };
        let socket = socket?;
        socket.set_nonblocking(true)?;
        Ok(Some(Listener {
            socket,
            path: path.to_owned(),
            _lock: lock,
        }))
    }

    /// Takes the name away, so that who comes now starts another worker; who stands in line, unread,
    /// is refused when the process ends.
    pub fn close(&self) {
        // Gone already, or its folder is: nobody finds it, which is what is wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the lock is ours; one on its way out, which answers no more, is waited for.
fn claim(lock: &File, path: &Path) -> Result<bool> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => {}
        }
        if UnixStream::connect(path).is_ok() || begun.elapsed() > LEAVE_WAIT {
            return Ok(false);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// A folder that only this user, or a sticky one as /tmp that nobody else, can replace files in.
fn prepare_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
    }
    let found = fs::metadata(folder)?;
    let mode = found.permissions().mode();
    // SAFETY: takes nothing and can't fail.
    let own = unsafe { libc::geteuid() };
    let is_others = found.uid() != own && found.uid() != 0;
    let is_open = mode & 0o022 != 0 && mode & 0o1000 == 0;
    if is_others || is_open {
        bail!(
            "others may replace files in {} (owner {}, mode {:o}); use a folder of your own with mode 0700",
            folder.display(),
            found.uid(),
            mode & 0o7777
        );
    }
    Ok(())
}
