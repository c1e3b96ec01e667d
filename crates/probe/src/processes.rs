//! Which processes there are: all of them, and those of a name.
//!
//! Main functions: [`list_pids`], [`find_by_name`]. `ProcDirectory` reads the
//! small files of many processes with one buffer and few system calls; it is not for the large
//! per-mapping files of one process.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use plimsoll_model::{ProcessId, ProcessInfo, ProcessState};

use crate::cgroup::memory_group;
use crate::error::ProbeError;
use crate::maps::decimal;
use crate::stat::{Stat, parse_stat};

/// The pids of all processes that can be seen, ascending. A `hidepid` mount of /proc hides those
/// of others.
pub fn list_pids() -> Result<Vec<u32>, ProbeError> {
    pids_in("/proc").map_err(|source| ProbeError::List { source })
}

/// The processes called `name`: by the kernel's name for them, by the file name of their program,
/// or by [`ProcessInfo::application`]. A number is a pid. Kernel threads, zombies and this
/// process itself are not found by name.
pub fn find_by_name(name: &str) -> Result<Vec<ProcessInfo>, ProbeError> {
    let mut directory = ProcDirectory::open().map_err(|source| ProbeError::List { source })?;
    if let Some(pid) = decimal(name.as_bytes()).and_then(|pid| u32::try_from(pid).ok()) {
        return Ok(directory.read_info(pid).into_iter().collect());
    }
    let this_process = std::process::id();
    Ok(list_pids()?
        .into_iter()
        .filter(|pid| *pid != this_process)
        .filter_map(|pid| directory.read_info(pid))
        .filter(|process| has_memory(process.state) && is_called(process, name))
        .collect())
}

fn is_called(process: &ProcessInfo, name: &str) -> bool {
    let program = process
        .executable
        .as_ref()
        .and_then(|path| path.file_name());
    process.name == name
        || program.is_some_and(|program| program == name)
        || process.application() == name
}

/// Whether a process in this state has an address space.
pub(crate) fn has_memory(state: ProcessState) -> bool {
    !matches!(
        state,
        ProcessState::KernelThread | ProcessState::Zombie | ProcessState::Dead
    )
}

/// The names in a directory that are numbers, ascending.
pub(crate) fn pids_in(directory: &str) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(pid) = decimal(name.as_encoded_bytes()).and_then(|pid| u32::try_from(pid).ok())
        {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The inode of the initial PID namespace (`PROC_PID_INIT_INO` in include/linux/proc_ns.h). In any
/// other, processes outside of it are not to be seen.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether no process is outside of the PID namespace that is seen here.
pub(crate) fn in_initial_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|namespace| namespace.as_os_str() == INITIAL_PID_NAMESPACE)
}

/// /proc, held open, and one buffer for everything read below it.
#[derive(Debug)]
pub(crate) struct ProcDirectory {
    root: OwnedFd,
    buffer: Vec<u8>,
    pub(crate) bytes_read: u64,
}

/// Passes a text of any size through `buffer`, whole lines at a time. A line that is longer than
/// the buffer is skipped. Returns how many bytes were read.
pub(crate) fn stream_lines(
    file: &mut impl io::Read,
    buffer: &mut [u8],
    mut on_lines: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut total = 0;
    let mut filled = 0;
    let mut inside_long_line = false;
    loop {
        let count = match file.read(&mut buffer[filled..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += count as u64;
        filled += count;
        let newline = buffer[..filled].iter().rposition(|byte| *byte == b'\n');
        let whole = newline.map_or(0, |last| last + 1);
        let first = if inside_long_line {
            let end = buffer[..whole].iter().position(|byte| *byte == b'\n');
            end.map_or(whole, |end| end + 1)
        } else {
            0
        };
        inside_long_line &= whole == 0;
        on_lines(&buffer[first..whole]);
        if count == 0 {
            return Ok(total);
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
        if filled == buffer.len() {
            inside_long_line = true;
            filled = 0;
        }
    }
}

/// The directory of one process. All reads through it are of the same process: once that is gone
/// they fail, even when its pid is taken by another.
#[derive(Debug)]
pub(crate) struct ProcessDirectory {
    descriptor: OwnedFd,
}

/// The largest file read through the buffer. A command line may take up to a quarter of the stack
/// limit, 2 MiB by default; one that is longer is cut.
const FILE_BYTES_MAX: usize = 4 << 20;

impl ProcDirectory {
    pub(crate) fn open() -> io::Result<ProcDirectory> {
        Ok(ProcDirectory {
            root: open_at(libc::AT_FDCWD, c"/proc", libc::O_PATH | libc::O_DIRECTORY)?,
            buffer: vec![0; 16 * 1024],
            bytes_read: 0,
        })
    }

    pub(crate) fn enter(&self, pid: u32) -> io::Result<ProcessDirectory> {
        let name = CString::new(pid.to_string())?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Ok(ProcessDirectory {
            descriptor: open_at(self.root.as_raw_fd(), &name, flags)?,
        })
    }

    /// The whole of a small file, up to 4 MiB.
    pub(crate) fn read(&mut self, process: &ProcessDirectory, name: &CStr) -> io::Result<&[u8]> {
        let file = open_at(process.descriptor.as_raw_fd(), name, libc::O_RDONLY)?;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                if filled >= FILE_BYTES_MAX {
                    break;
                }
                self.buffer.resize(filled * 2, 0);
            }
            let rest = &mut self.buffer[filled..];
            // SAFETY: the pointer and length are those of a live, writable slice.
            let count =
                unsafe { libc::read(file.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len()) };
            match usize::try_from(count) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        self.bytes_read += filled as u64;
        Ok(&self.buffer[..filled])
    }

    /// A file of any size, whole lines at a time.
    pub(crate) fn read_lines(
        &mut self,
        process: &ProcessDirectory,
        name: &CStr,
        on_lines: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let file = open_at(process.descriptor.as_raw_fd(), name, libc::O_RDONLY)?;
        let mut file = std::fs::File::from(file);
        self.bytes_read += stream_lines(&mut file, &mut self.buffer, on_lines)?;
        Ok(())
    }

    /// Who a process is; `None` when it is gone.
    pub(crate) fn read_info(&mut self, pid: u32) -> Option<ProcessInfo> {
        let process = self.enter(pid).ok()?;
        let stat = self.read_stat(&process)?;
        let (process, stat) = self.with_memory(process, stat);
        let cgroup = self.read_group(&process);
        self.complete_info(&process, stat, cgroup)
    }

    pub(crate) fn read_stat(&mut self, process: &ProcessDirectory) -> Option<Stat> {
        self.try_read_stat(process).ok()?
    }

    /// `None` when it makes no sense.
    pub(crate) fn try_read_stat(&mut self, process: &ProcessDirectory) -> io::Result<Option<Stat>> {
        self.read(process, c"stat").map(parse_stat)
    }

    /// The directory and state of a thread with memory, when the first thread of a process has
    /// ended before the others: /proc/PID shows that one's only. All else is left as it is.
    pub(crate) fn with_memory(
        &mut self,
        process: ProcessDirectory,
        stat: Stat,
    ) -> (ProcessDirectory, Stat) {
        if has_memory(stat.state) || stat.threads < 2 {
            return (process, stat);
        }
        let threads = pids_in(&format!("/proc/{}/task", stat.pid)).unwrap_or_default();
        for thread in threads.into_iter().filter(|thread| *thread != stat.pid) {
            let Ok(other) = process.enter_thread(thread) else {
                continue;
            };
            if let Some(state) = self.read_stat(&other).map(|stat| stat.state)
                && has_memory(state)
            {
                return (other, Stat { state, ..stat });
            }
        }
        (process, stat)
    }

    /// The group in the hierarchy that accounts memory.
    pub(crate) fn read_group(&mut self, process: &ProcessDirectory) -> Option<String> {
        memory_group(self.read(process, c"cgroup").ok()?)
    }

    /// Adds to `stat` what other files say; `None` when the process is gone.
    pub(crate) fn complete_info(
        &mut self,
        process: &ProcessDirectory,
        stat: Stat,
        cgroup: Option<String>,
    ) -> Option<ProcessInfo> {
        let (command, executable) = if has_memory(stat.state) {
            let command = self.read(process, c"cmdline").map(parse_command_line);
            (command.unwrap_or_default(), process.executable())
        } else {
            (Vec::new(), None)
        };
        Some(ProcessInfo {
            id: ProcessId {
                pid: stat.pid,
                start_time: stat.start_time,
            },
            parent: stat.parent,
            name: stat.name,
            command,
            executable,
            uid: process.uid()?,
            state: stat.state,
            cgroup,
        })
    }
}

impl ProcessDirectory {
    fn enter_thread(&self, thread: u32) -> io::Result<ProcessDirectory> {
        let name = CString::new(format!("task/{thread}"))?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Ok(ProcessDirectory {
            descriptor: open_at(self.descriptor.as_raw_fd(), &name, flags)?,
        })
    }

    /// The effective user. The owner of the directory itself is that user always, unlike the
    /// owner of the files in it (`task_dump_owner` in fs/proc/base.c).
    fn uid(&self) -> Option<u32> {
        // SAFETY: fstat(2) fills the struct it is given; all-zero is a valid value of it.
        let (status, rc) = unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            let rc = libc::fstat(self.descriptor.as_raw_fd(), &raw mut status);
            (status, rc)
        };
        (rc == 0).then_some(status.st_uid)
    }

    /// The program's path; `None` without permission.
    fn executable(&self) -> Option<PathBuf> {
        let mut target = [0_u8; libc::PATH_MAX as usize];
        // SAFETY: the name is NUL-terminated, and the buffer is writable for its whole length.
        let count = unsafe {
            libc::readlinkat(
                self.descriptor.as_raw_fd(),
                c"exe".as_ptr(),
                target.as_mut_ptr().cast(),
                target.len(),
            )
        };
        let target = target.get(..usize::try_from(count).ok()?)?;
        Some(parse_executable(target))
    }
}

/// The target of /proc/PID/exe, without the mark of a program file that was deleted or replaced.
fn parse_executable(target: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = target.strip_suffix(b" (deleted)").unwrap_or(target);
    std::ffi::OsStr::from_bytes(path).into()
}

/// Arguments end with a NUL each. A program that writes its own title over them (nginx,
/// PostgreSQL) leaves text padded with NULs: trailing empty arguments are dropped.
pub(crate) fn parse_command_line(text: &[u8]) -> Vec<String> {
    let used = text
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    if used == 0 {
        return Vec::new();
    }
    text[..used]
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

fn open_at(directory: i32, name: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated; openat(2) has no other requirements on memory.
    let descriptor = unsafe { libc::openat(directory, name.as_ptr(), flags | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn command_lines() {
        let check = |text: &[u8], expected: &[&str]| assert_eq!(parse_command_line(text), expected);
        check(b"", &[]);
        check(b"\0\0", &[]);
        check(b"a\0b c\0", &["a", "b c"]);
        check(b"a\0\0b\0", &["a", "", "b"]);
        check(b"nginx: worker process\0\0\0\0", &["nginx: worker process"]);
        check(b"no end", &["no end"]);
    }

    #[test]
    fn this_process_is_listed_and_known() {
        let this_process = std::process::id();
        assert!(list_pids().unwrap().contains(&this_process));
        let found = find_by_name(&this_process.to_string()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id.pid, this_process);
        assert_eq!(found[0].executable, std::env::current_exe().ok());
        assert_eq!(found[0].command, std::env::args().collect::<Vec<_>>());
        // SAFETY: geteuid(2) can't fail and touches no memory.
        assert_eq!(found[0].uid, unsafe { libc::geteuid() });
    }

    #[test]
    fn nobody_has_a_name_that_is_not_there() {
        assert_eq!(find_by_name("no-such-program-here").unwrap(), []);
        assert_eq!(find_by_name("4194305").unwrap(), []);
    }

    #[test]
    fn lines_come_whole_and_long_ones_not_at_all() {
        let check = |text: &str, buffer_bytes: usize, expected: &str| {
            let mut seen = Vec::new();
            let mut buffer = vec![0; buffer_bytes];
            let total = stream_lines(&mut text.as_bytes(), &mut buffer, |lines| {
                seen.extend_from_slice(lines);
            });
            assert_eq!(total.unwrap(), text.len() as u64);
            assert_eq!(String::from_utf8(seen).unwrap(), expected, "{text:?}");
        };
        check("ab\ncd\n", 64, "ab\ncd\n");
        check("ab\ncd\n", 4, "ab\ncd\n");
        check("ab\n0123456789\ncd\n", 4, "ab\ncd\n");
        check("012345678\nab\n", 4, "ab\n");
        check("ab\nno end", 64, "ab\n");
        check("", 4, "");
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse_command_line(&text);
            parse_executable(&text);
        }

        #[test]
        fn arguments_round_trip(arguments in proptest::collection::vec("[^\0]{1,8}", 1..5)) {
            let text: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
            prop_assert_eq!(parse_command_line(text.as_bytes()), arguments);
        }
    }
}
