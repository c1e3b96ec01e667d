//! Threads of a process: id, name, and where each one's stack is now.

use plimsoll_model::{Gap, GapReason, Thread};

use crate::proc_file::ProcDir;

/// More threads than this are counted and not listed: two files are opened for each.
const THREADS_MAX: usize = 20_000;

/// Threads in order of their ids, with a gap for what could not be read.
pub(crate) fn read_threads(process: &ProcDir, gaps: &mut Vec<Gap>) -> Vec<Thread> {
    let mut ids = match std::fs::read_dir(format!("/proc/{}/task", process.pid)) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .collect::<Vec<_>>(),
        Err(error) => {
            gaps.push(Gap::new("threads", GapReason::Denied, error.to_string()));
            return Vec::new();
        }
    };
    ids.sort_unstable();
    if ids.len() > THREADS_MAX {
        let detail = format!("{} threads, {THREADS_MAX} listed", ids.len());
        gaps.push(Gap::new("threads", GapReason::Bounded, detail));
        ids.truncate(THREADS_MAX);
    }
    let mut denied = None;
    let mut threads = Vec::with_capacity(ids.len());
    for tid in ids {
        // A thread that ended meanwhile is no gap: it is not there any more.
        let Ok(name) = process.read(&format!("task/{tid}/comm")) else {
            continue;
        };
        let stack_pointer = match process.read(&format!("task/{tid}/syscall")) {
            Ok(text) => parse_stack_pointer(&text),
            Err(error) => {
                denied.get_or_insert(error);
                None
            }
        };
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        threads.push(Thread {
            tid,
            name: String::from_utf8_lossy(name).into_owned(),
            stack_pointer,
        });
    }
    if let Some(error) = denied.filter(|error| error.raw_os_error() != Some(libc::ESRCH)) {
        gaps.push(Gap::new(
            "used part of thread stacks",
            GapReason::Denied,
            format!("/proc/{}/task/TID/syscall: {error}", process.pid),
        ));
    }
    threads
}

/// The stack pointer in /proc/PID/task/TID/syscall: `running`, or `NR six-arguments SP PC`, or
/// `-1 SP PC` outside a system call; proc_pid_syscall(5).
pub(crate) fn parse_stack_pointer(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let at = match fields.len() {
        3 if fields[0] == "-1" => 1,
        9 => 7,
        _ => return None,
    };
    let pointer = u64::from_str_radix(fields[at].strip_prefix("0x")?, 16).ok()?;
    (pointer != 0).then_some(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stack_pointers() {
        let check = |text: &str, expected| {
            assert_eq!(parse_stack_pointer(text.as_bytes()), expected, "{text}");
        };
        let sleeping = "230 0x0 0x0 0x7ffe 0x0 0x0 0x0 0x7ffee6b2e3a8 0x7f9c8f0d6a7a\n";
        check(sleeping, Some(0x7ffe_e6b2_e3a8));
        check("-1 0x7ffc12 0x7f00aa\n", Some(0x7f_fc12));
        check("running\n", None);
        check("", None);
        check("0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", None);
        check("1 2 3 4 5 6 7 8 9\n", None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse_stack_pointer(&bytes);
        }
    }
}
