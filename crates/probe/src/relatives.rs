//! Whether a process shares its anonymous pages with nobody, told without a look at them: the kernel takes 40 to
//! 60 ns to say of one page who maps it, and 11 to 16 to say that it is there.
//!
//! Anonymous pages come to another process by fork(2), and stay until one of the two executes a program
//! (PF_FORKNOEXEC in /proc/PID/stat is the flag of those that have not). So whoever shares those of a process that
//! has executed its program itself was forked from it, in its PID namespace or one below, and has the flag. fork(2) copies the head of the
//! address space too, and in it the bottom of the first stack, which execve(2) puts at random: whoever has another
//! one is no relative. Of whom it may not be seen, the size of the program's code is. Beside that, KSM merges
//! pages of all processes; it tells how many.
//!
//! Where anything is not known the answer is no. Two that give the same address without being relatives, as
//! without randomization, cost a full look and no truth. What would deceive it is a forked process that has given itself
//! another address, by PR_SET_MM of prctl(2), or one that has ended and whose memory a driver keeps; a walk looks
//! at a sample of pages, to see.

use std::io;

use plimsoll_model::{Bytes, ProcessState};

use crate::processes::{ProcDirectory, in_initial_namespace, list_pids};
use crate::stat::Stat;
use crate::status::parse_status;

/// Looking at so many pages costs what looking at one process does, 10 to 20 µs.
const PAGES_PER_PROCESS: u64 = 400;

/// Whether nobody else maps an anonymous page of the process whose `stat` this is, and whose program has so much
/// `text`. Where that costs more than to look at its `pages`, the answer is no. O(processes).
pub(crate) fn has_none(stat: &Stat, text: Option<Bytes>, pages: u64) -> bool {
    let Ok(pids) = list_pids() else {
        return false;
    };
    if stat.stack_start == 0
        || pages / PAGES_PER_PROCESS <= pids.len() as u64
        || !sees_all(stat, &pids)
        || !merges_nothing()
    {
        return false;
    }
    let Ok(mut directory) = ProcDirectory::open() else {
        return false;
    };
    let mut others = pids.into_iter().filter(|pid| *pid != stat.pid);
    others.all(|pid| match look_at(&mut directory, pid, stat) {
        // It is gone.
        Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        Ok(Seen::Other) => true,
        Ok(Seen::Perhaps) => false,
        Ok(Seen::Hidden(other)) => text.is_some() && other.is_some() && other != text,
    })
}

/// Whether relatives can be seen. Every PID namespace has a process 1, which `hidepid` hides from others. Who was
/// forked and has executed nothing may have relatives above the namespace.
fn sees_all(stat: &Stat, pids: &[u32]) -> bool {
    pids.first() == Some(&1) && (stat.has_executed || in_initial_namespace())
}

/// Documentation/admin-guide/mm/ksm.rst.
fn merges_nothing() -> bool {
    match std::fs::read("/sys/kernel/mm/ksm/pages_shared") {
        Ok(count) => count.trim_ascii() == b"0",
        // CONFIG_KSM is not set; unless nothing is mounted there at all.
        Err(error) => {
            error.kind() == io::ErrorKind::NotFound
                && std::path::Path::new("/sys/kernel/mm").is_dir()
        }
    }
}

/// What another process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No relative.
    Other,
    Perhaps,
    /// Its stack may not be seen; how much text its program has.
    Hidden(Option<Bytes>),
}

fn look_at(directory: &mut ProcDirectory, pid: u32, stat: &Stat) -> io::Result<Seen> {
    let process = directory.enter(pid)?;
    let Some(other) = directory.try_read_stat(&process)? else {
        return Ok(Seen::Perhaps);
    };
    Ok(match seen(stat, &other) {
        Seen::Hidden(_) => {
            let status = directory.read(&process, c"status")?;
            Seen::Hidden(parse_status(status).text)
        }
        seen => seen,
    })
}

fn seen(stat: &Stat, other: &Stat) -> Seen {
    let is_other = match other.state {
        ProcessState::KernelThread => true,
        _ if stat.has_executed && other.has_executed => true,
        _ if other.stack_start == 0 && other.virtual_bytes > 0 => return Seen::Hidden(None),
        // Other threads may have what this one has no more, or is about to give up.
        _ if other.stack_start == 0 => other.threads < 2,
        _ => other.stack_start != stat.stack_start,
    };
    match is_other {
        true => Seen::Other,
        false => Seen::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: u64 = 0x7000;

    fn stat(state: ProcessState, threads: u32, stack_start: u64, virtual_bytes: u64) -> Stat {
        Stat {
            pid: 7,
            name: String::new(),
            state,
            has_executed: false,
            parent: 1,
            minor_faults: 0,
            major_faults: 0,
            threads,
            start_time: 0,
            virtual_bytes,
            stack_start,
        }
    }

    #[test]
    fn what_is_not_known_may_be_a_relative() {
        use ProcessState::{KernelThread, Running, Sleeping, Zombie};
        let forked = stat(Sleeping, 1, STACK, 4096);
        let executed = Stat {
            has_executed: true,
            ..forked.clone()
        };
        for (other, expected) in [
            (stat(Sleeping, 1, 0x8000, 4096), Seen::Other),
            (stat(Sleeping, 1, STACK, 4096), Seen::Perhaps),
            (stat(Sleeping, 9, 0, 4096), Seen::Hidden(None)),
            (stat(Running, 1, 0, 0), Seen::Other),
            (stat(Running, 2, 0, 0), Seen::Perhaps),
            (stat(Zombie, 1, 0, 0), Seen::Other),
            (stat(Zombie, 2, 0, 0), Seen::Perhaps),
            (stat(KernelThread, 1, 0, 0), Seen::Other),
        ] {
            assert_eq!(seen(&forked, &other), expected, "{other:?}");
            assert_eq!(seen(&executed, &other), expected, "{other:?}");
            let other = Stat {
                has_executed: true,
                ..other
            };
            // Its parent may be the one that has executed their program.
            assert_eq!(seen(&forked, &other), expected, "{other:?}");
            assert_eq!(seen(&executed, &other), Seen::Other, "{other:?}");
        }
    }
}
