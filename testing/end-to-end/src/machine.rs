//! What the machine can do for a test, and saying so where it cannot; and waiting for what must come.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a test waits for what must come: far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
    std::env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

/// A child of `parent` whose name is `name`, if there is one now.
#[must_use]
pub fn child_of(parent: u32, name: &str) -> Option<u32> {
    let pids = Path::new("/proc").read_dir().into_iter().flatten();
    let mut pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold blanks and brackets; what follows the last bracket does not.
        let (Some((before, after)), Some(comm)) = (stat.rsplit_once(')'), stat.split_once('('))
        else {
            return false;
        };
        let called = before.len() >= stat.len() - comm.1.len()
            && before[stat.len() - comm.1.len()..] == *name;
        let ppid = after.split_whitespace().nth(1);
        called && ppid.and_then(|ppid| ppid.parse().ok()) == Some(parent)
    })
}

/// RSS of a process in bytes; 0 when it has ended.
#[must_use]
pub fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// Asks again and again until `holds`.
///
/// # Panics
/// Where it never does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
    }
}

/// A file system of a few KiB in memory, mounted on a folder; gone when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount.
    #[must_use]
    pub fn mount(folder: &Path, bytes: u64) -> Option<SmallDisk> {
        let size = format!("size={bytes}");
        let arguments = ["-t", "tmpfs", "-o", &size, "plimsoll-test"];
        let output = Command::new("mount").args(arguments).arg(folder).output();
        match output {
            Ok(output) if output.status.success() => Some(SmallDisk(folder.to_owned())),
            Ok(output) => {
                skip(
                    "a small disk",
                    String::from_utf8_lossy(&output.stderr).trim(),
                );
                None
            }
            Err(error) => {
                skip("a small disk", format!("mount: {error}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a reader of the test that is about to end may still be in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
