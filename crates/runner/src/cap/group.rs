//! A memory cgroup made for one command: making, entering, emptying and removing it, which is the
//! same in both versions.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_model::{Bytes, CgroupVersion};
use plimsoll_probe::group_pids;

/// How often, and how far apart, what the kernel does behind our back is looked at again: the end
/// of killed processes, and the charges that these give back.
const TRIES: u32 = 200;
/// How often a group with processes in it is looked at: those that are just being killed, with or
/// by what the kernel killed, go in that time; others stay for good.
const OCCUPIED_TRIES: u32 = 60;
const TRY_PAUSE: Duration = Duration::from_millis(5);

/// An own group, removed when dropped unless processes are left in it.
#[derive(Debug)]
pub(super) struct Group {
    version: CgroupVersion,
    directory: PathBuf,
    /// `cgroup.procs`, open for writing: a forked child may open nothing.
    processes: File,
    /// The group in which the memory controller was switched on for this one.
    enabled_in: Option<PathBuf>,
    removed: bool,
}

impl Group {
    /// Makes a group below `parent` that a child of ours can enter; tried with one.
    pub(super) fn make(
        version: CgroupVersion,
        parent: &Path,
        enabled_in: Option<PathBuf>,
    ) -> Result<Group, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-{}-{number}", std::process::id());
        let directory = parent.join(name);
        fs::create_dir(&directory)
            .map_err(|error| format!("make a group in {}: {error}", parent.display()))?;
        let path = directory.join("cgroup.procs");
        let processes = match File::options().write(true).open(&path) {
            Ok(processes) => processes,
            Err(error) => {
                // It was made a moment ago and is empty.
                let _ = fs::remove_dir(&directory);
                return Err(format!("open {}: {error}", path.display()));
            }
        };
        let group = Group {
            version,
            directory,
            processes,
            enabled_in,
            removed: false,
        };
        match try_to_enter(group.processes.as_raw_fd()) {
            Ok(()) => Ok(group),
            Err(error) => Err(format!("enter a group in {}: {error}", parent.display())),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn version(&self) -> CgroupVersion {
        self.version
    }

    /// Writes to a file of the group.
    pub(super) fn write(&self, file: &str, value: &str) -> Result<(), String> {
        write_file(&self.directory.join(file), value)
    }

    /// Sets a limit. The kernel refuses one below what is charged (EBUSY), and the child that tried
    /// to enter may not have given all of its pages back yet.
    pub(super) fn write_limit(&self, file: &str, limit: Bytes) -> Result<(), String> {
        let mut tries = 0;
        loop {
            match self.write(file, &limit.0.to_string()) {
                Err(_) if tries < TRIES => tries += 1,
                written => return written,
            }
            std::thread::sleep(TRY_PAUSE);
        }
    }

    /// Makes `command` enter the group after the fork and before its program is executed.
    pub(super) fn prepare(&self, command: &mut Command) -> io::Result<()> {
        // The closure owns a descriptor of its own, which lives as long as the command.
        let processes = self.processes.try_clone()?;
        let enter = move || enter(processes.as_raw_fd());
        // SAFETY: the closure makes one write(2), which is async-signal-safe (signal-safety(7)),
        // and allocates nothing.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    /// Kills what is in the group until it is empty.
    pub(super) fn kill_all(&self) {
        for _ in 0..TRIES {
            let Ok(pids) = group_pids(&self.directory) else {
                return;
            };
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                crate::child::send(pid, libc::SIGKILL);
            }
            std::thread::sleep(TRY_PAUSE);
        }
    }

    pub(super) fn remove(mut self) -> io::Result<()> {
        self.remove_now()
    }

    fn remove_now(&mut self) -> io::Result<()> {
        self.removed = true;
        let mut tries = 0;
        loop {
            match fs::remove_dir(&self.directory) {
                Ok(()) => break,
                Err(error) => {
                    let occupied = group_pids(&self.directory).is_ok_and(|pids| !pids.is_empty());
                    if (occupied && tries >= OCCUPIED_TRIES) || tries == TRIES {
                        return Err(error);
                    }
                }
            }
            tries += 1;
            std::thread::sleep(TRY_PAUSE);
        }
        switch_off(self.enabled_in.as_deref());
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.removed {
            // Nothing was started in it, so nothing can keep it.
            let _ = self.remove_now();
        }
    }
}

/// Takes back that the memory controller was switched on for groups below `parent`.
pub(super) fn switch_off(parent: Option<&Path>) {
    if let Some(parent) = parent {
        // Left on it does no harm, and others may have come to use it meanwhile (EBUSY).
        let _ = write_file(&parent.join("cgroup.subtree_control"), "-memory");
    }
}

/// Writes to a file that is there; cgroup files are never created.
pub(super) fn write_file(path: &Path, value: &str) -> Result<(), String> {
    use std::io::Write;
    File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| format!("write {value} to {}: {error}", path.display()))
}

/// Moves the calling process: "0" stands for the writer in both versions. Async-signal-safe.
fn enter(processes: RawFd) -> io::Result<()> {
    // SAFETY: the buffer is static; on a bad descriptor the call fails without harm.
    let written = unsafe { libc::write(processes, b"0".as_ptr().cast(), 1) };
    if written == 1 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether a child of ours can enter: a group may be there and writable, and still refuse processes
/// (threaded groups, and groups whose common parent is not ours; cgroup-v2.rst, "Delegation").
fn try_to_enter(processes: RawFd) -> io::Result<()> {
    // SAFETY: the child makes only async-signal-safe calls (write, _exit), so it does not matter
    // what locks other threads hold.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let code = match enter(processes) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
        };
        // SAFETY: _exit(2) ends the child here, without the handlers of the parent's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    loop {
        // SAFETY: waits for the child made above and writes to a local.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if libc::WIFEXITED(status) {
        match libc::WEXITSTATUS(status) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    } else {
        Err(io::Error::other("the child that tried it was killed"))
    }
}
