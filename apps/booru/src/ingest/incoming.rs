//! The folder below that of images in which a new file lies until it has its place: copies, and pictures out of
//! videos and archives. What a killed process left there is removed at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

/// Walks pass by folders that begin with a dot.
const FOLDER: &str = ".incoming";

/// Names tried for one file: each that is taken is of a process of the same id.
const NAMES_MAX: u32 = 1000;

/// The folder, on the file system of the images.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: PathBuf,
    next: AtomicU64,
}

/// A file there, removed when it is dropped; locked as long as it is held, so that nobody takes it for one
/// that is left.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It has its place, or a later start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Incoming {
    /// Makes the folder, and removes what killed processes left in it.
    ///
    /// # Errors
    /// A folder that can't be made or read.
    pub(super) fn open(images: &Path) -> Result<Incoming> {
        let folder = images.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let reading = || format!("clear {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            let Ok(file) = File::open(&path) else {
                continue;
            };
            if file.try_lock().is_ok() {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(error).with_context(reading);
                    }
                    _ => {}
                }
            }
        }
        Ok(Incoming {
            folder,
            next: AtomicU64::new(0),
        })
    }

    /// A new file, empty.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub(super) fn file(&self, ending: &str) -> Result<Waiting> {
        for _ in 0..NAMES_MAX {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}.{ending}", std::process::id());
            let path = self.folder.join(name);
            let making = || format!("make {}", path.display());
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            let file = match file {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file.with_context(making)?,
            };
            // Another start may have met it before the lock, and removed it.
            if file.try_lock().is_ok() && path.exists() {
                return Ok(Waiting { path, file });
            }
        }
        bail!(
            "make a file in {}: {NAMES_MAX} names are taken; empty it",
            self.folder.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_and_what_is_held_stays() {
        let root = std::env::temp_dir().join(format!("booru-incoming-{}", std::process::id()));
        let first = Incoming::open(&root).unwrap();
        let held = first.file("png").unwrap();
        let left = root.join(FOLDER).join("1-1.jpg");
        fs::write(&left, "x").unwrap();
        let second = Incoming::open(&root).unwrap();
        assert!(held.path.exists() && !left.exists());
        let other = second.file("png").unwrap();
        assert_ne!(other.path, held.path);
        let path = held.path.clone();
        drop(held);
        assert!(!path.exists());
        drop(other);
        fs::remove_dir_all(root).unwrap();
    }
}
