//! Where the built subjects are, built first if they are not there or are older than their source.
//!
//! The executables are looked for beside the running test (`target/<profile>/`, found from the path
//! of the test itself, `target/<profile>/deps/…`). `cargo test --workspace` has built them there.
//! Where they are missing or older than their sources (`cargo test -p` of another crate, a fresh
//! clone, a benchmark) one `cargo build -p <package> --bins` into that same target folder makes them. A
//! lock file keeps the many processes of nextest from doing so at the same time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The package of the subjects that need nothing but std and libc.
pub(crate) const SUBJECTS: Package = Package {
    name: "plimsoll-subjects",
    folder: "subjects",
    libraries: &["subjects/src"],
};
/// The package of the one subject that runs on jemalloc.
pub(crate) const JEMALLOC: Package = Package {
    name: "plimsoll-subjects-jemalloc",
    folder: "subjects-jemalloc",
    libraries: &["subjects/src"],
};
/// The package of the tutorial's programs, which use the library.
pub(crate) const TUTORIAL: Package = Package {
    name: "plimsoll-tutorial",
    folder: "../docs/guide/tutorial",
    libraries: &["../docs/guide/tutorial/src", "../lib/plimsoll/src"],
};

/// A package with binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    name: &'static str,
    /// From `testing/`.
    folder: &'static str,
    /// Folders, from `testing/`, whose files are in every binary of it.
    libraries: &'static [&'static str],
}

impl Package {
    fn source(self) -> PathBuf {
        testing_folder().join(self.folder).join("src")
    }

    fn source_of(self, binary: &str) -> PathBuf {
        self.source().join("bin").join(format!("{binary}.rs"))
    }
}

/// The folder that holds every package of the tests.
fn testing_folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent()
        .expect("the package lies in testing/")
        .to_owned()
}

/// The folder of the sources of other runtimes.
pub(crate) fn programs_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// `target/<profile>` of the running test, or of the workspace for a test that lives elsewhere (as
/// documentation tests do).
///
/// # Panics
/// Never in a cargo workspace: a running program has a path, and it lies in a folder.
#[must_use]
pub fn profile_folder() -> PathBuf {
    let running = std::env::current_exe().expect("a running program has a path");
    let folder = running.parent().expect("a program lies in a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a profile folder")
    } else {
        folder
    };
    if folder.join("deps").is_dir() {
        return folder.to_owned();
    }
    testing_folder()
        .parent()
        .expect("testing/ lies in the workspace")
        .join("target/debug")
}

/// The path of the executable `binary` of `package`, up to date with its sources.
pub(crate) fn binary(package: Package, binary: &str) -> io::Result<PathBuf> {
    static FOUND: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.get(binary) {
        return Ok(path.clone());
    }
    let source = package.source_of(binary);
    if !source.is_file() {
        let reason = format!(
            "there is no subject {binary:?}: {} is missing",
            source.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    let folder = profile_folder();
    let path = folder.join(binary);
    if !is_current(&path, package, binary)? {
        let lock = File::create(folder.join(".subjects-build-lock"))?;
        lock.lock()?;
        if !is_current(&path, package, binary)? {
            build(package.name, &folder)?;
        }
    }
    found.insert(binary.to_owned(), path.clone());
    Ok(path)
}

/// Whether the executable is there and not older than its source or the library it uses.
fn is_current(path: &Path, package: Package, binary: &str) -> io::Result<bool> {
    let Ok(built) = path.metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    let own = package.source_of(binary).metadata()?.modified()?;
    if own > built {
        return Ok(false);
    }
    for folder in package.libraries {
        if newest_below(&testing_folder().join(folder))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When the newest file below `folder` was modified, other binaries in `bin` left out.
fn newest_below(folder: &Path) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let found = if metadata.is_file() {
            metadata.modified()?
        } else if entry.file_name() == "bin" {
            continue;
        } else {
            newest_below(&entry.path())?
        };
        newest = newest.max(found);
    }
    Ok(newest)
}

/// Builds the executables of `package` into `folder`, a `target/<profile>`.
///
/// # Errors
/// Where cargo can't be started or the package does not compile.
///
/// # Panics
/// Where `folder` is the root of the file system.
pub fn build(package: &str, folder: &Path) -> io::Result<()> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let target = folder
        .parent()
        .expect("a profile folder lies in a target folder");
    // Cargo tells tests where it is; without it (a test started by hand) the one in PATH is it.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--bins",
            "--package",
            package,
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(testing_folder())
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "cargo build of {package} ended with {status}"
    )))
}
