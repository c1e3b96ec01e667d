//! What the machine can do for a test, and saying so where it cannot.

use std::path::PathBuf;

/// Says aloud why a test did not run. Cargo shows it with `--nocapture`; a failing neighbour shows it
/// always.
pub fn skip(test: &str, why: impl std::fmt::Display) {
    eprintln!("skipped: {test}: {why}");
}

#[must_use]
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The path of the first of `names` that is in `PATH`.
#[must_use]
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file());
    found
}
