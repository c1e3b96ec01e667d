//! Where the built command is, built first if it is not there or is older than its sources.
//!
//! The executable is looked for beside the running test (`target/<profile>/`). `cargo test
//! --workspace` has built it there. Where it is missing or stale (`cargo test -p` of this package)
//! one `cargo build -p plimsoll-cli` into that same folder makes it; a lock file keeps several test
//! processes from doing so at the same time. `PLIMSOLL_EXECUTABLE` names another one to test, such
//! as an installed one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use plimsoll_subjects::{build, profile_folder};

/// The path of the `plimsoll` to test.
///
/// # Panics
/// Where it cannot be built.
pub fn executable() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("PLIMSOLL_EXECUTABLE") {
        Some(path) => PathBuf::from(path),
        None => built().unwrap_or_else(|error| panic!("failed to build plimsoll: {error}")),
    })
}

fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = own.ancestors().nth(2);
    workspace
        .expect("the package lies two folders deep")
        .to_owned()
}

fn built() -> io::Result<PathBuf> {
    let folder = profile_folder();
    let path = folder.join("plimsoll");
    if !is_current(&path)? {
        let lock = File::create(folder.join(".plimsoll-build-lock"))?;
        lock.lock()?;
        if !is_current(&path)? {
            build("plimsoll-cli", &folder)?;
        }
    }
    Ok(path)
}

/// Whether the executable is there and not older than any source of the tool.
fn is_current(path: &Path) -> io::Result<bool> {
    let Ok(built) = path.metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    for crate_folder in workspace().join("crates").read_dir()? {
        if newest_below(&crate_folder?.path().join("src"))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When the newest file anywhere below `folder` was modified.
fn newest_below(folder: &Path) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() {
            newest_below(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(found);
    }
    Ok(newest)
}
