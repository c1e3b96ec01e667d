//! An empty folder for a test's files, on the disk of the target folder; removed when dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_subjects::profile_folder;

#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = profile_folder()
            .join("end-to-end-scratch")
            .join(format!("{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("failed to create {}: {error}", folder.display()));
        Scratch(folder)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as an argument.
    ///
    /// # Panics
    /// Where the target folder's path is not UTF-8.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str()
            .expect("the target folder's path is UTF-8")
            .to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Leftovers cost disk space alone.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
