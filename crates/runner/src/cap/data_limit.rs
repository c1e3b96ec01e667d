//! A cap by RLIMIT_DATA: each process alone, what it has mapped privately and writable, resident or
//! not (setrlimit(2), since Linux 4.7; `data_vm` in mm/mmap.c). Allocations fail instead of a kill.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use plimsoll_model::Bytes;

use crate::Launch;

/// What it counts, for people.
pub(super) const MEANING: &str = "each process alone: private writable memory that is mapped, \
                                  resident or not; allocations fail";

/// `limit`, or the hard limit that we run under already and can't raise.
pub(super) fn possible(limit: Bytes) -> Bytes {
    let mut current = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit(2) fills the struct.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_DATA, &raw mut current) };
    if failed == 0 {
        limit.min(Bytes(current.rlim_max))
    } else {
        limit
    }
}

/// Makes `command` run under the limit, soft and hard.
pub(super) fn prepare(command: &mut Command, limit: Bytes) {
    if limit == Launch::UNLIMITED {
        return;
    }
    let set = move || {
        let limit = libc::rlimit {
            rlim_cur: limit.0,
            rlim_max: limit.0,
        };
        // SAFETY: the pointer is valid for the call.
        match unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call, setrlimit(2), and allocates nothing.
    unsafe { command.pre_exec(set) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_the_hard_one_is_lowered() {
        let possible = possible(Bytes::mib(1));
        assert!(possible <= Bytes::mib(1));
    }
}
