//! /proc/PID/status: the quick figures, the owner and the state; see proc_pid_status(5).

use plimsoll_model::{Bytes, ProcessState, StatusFigures};

use crate::maps::decimal;

/// What status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub figures: StatusFigures,
    /// Whether it has memory at all: kernel threads and zombies print no `Vm` lines.
    pub has_memory: bool,
    /// Whether RSS is given in three parts (kernel 4.5 and later).
    pub has_rss_parts: bool,
    /// Of the code of the program, without libraries: what execve(2) found in it.
    pub text: Option<Bytes>,
    /// Real user id.
    pub uid: u32,
    pub state: ProcessState,
}

/// Parses the text of /proc/PID/status. Never fails: an absent line leaves its field as it was.
#[must_use]
pub fn parse_status(text: &[u8]) -> Status {
    let mut status = Status {
        figures: StatusFigures::default(),
        has_memory: false,
        has_rss_parts: false,
        text: None,
        uid: 0,
        state: ProcessState::Other,
    };
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        read_line(&mut status, key, value);
    }
    status
}

fn read_line(status: &mut Status, key: &[u8], value: &[u8]) {
    let figures = &mut status.figures;
    match key {
        b"VmSize" => figures.virtual_size = kilobytes(value),
        b"VmHWM" => figures.rss_peak = kilobytes(value),
        b"VmRSS" => {
            figures.rss = kilobytes(value);
            status.has_memory = true;
        }
        b"RssAnon" => {
            figures.anon = kilobytes(value);
            status.has_rss_parts = true;
        }
        b"RssFile" => figures.file = kilobytes(value),
        b"RssShmem" => figures.shmem = kilobytes(value),
        b"VmSwap" => figures.swap = kilobytes(value),
        b"VmExe" => status.text = Some(kilobytes(value)),
        b"VmLck" => figures.locked = kilobytes(value),
        // VmPMD was a line of its own from 4.0 to 4.14.
        b"VmPTE" | b"VmPMD" => {
            let sum = figures.page_tables.0.saturating_add(kilobytes(value).0);
            figures.page_tables = Bytes(sum);
        }
        b"HugetlbPages" => figures.hugetlb = kilobytes(value),
        b"Threads" => figures.threads = number(value),
        b"Uid" => status.uid = number(value),
        b"State" => {
            status.state = match value.first() {
                Some(b'R') => ProcessState::Running,
                Some(b'S') => ProcessState::Sleeping,
                Some(b'D') => ProcessState::DiskSleep,
                Some(b'T' | b't') => ProcessState::Stopped,
                Some(b'Z') => ProcessState::Zombie,
                Some(b'X' | b'x') => ProcessState::Dead,
                Some(b'I') => ProcessState::Idle,
                _ => ProcessState::Other,
            }
        }
        _ => {}
    }
}

fn leading_number(value: &[u8]) -> u64 {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    decimal(&value[..digits]).unwrap_or(0)
}

fn number(value: &[u8]) -> u32 {
    u32::try_from(leading_number(value)).unwrap_or(u32::MAX)
}

/// `kB` in /proc means 1024 bytes.
fn kilobytes(value: &[u8]) -> Bytes {
    Bytes(leading_number(value).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_recorded_status() {
        let status = parse_status(include_bytes!("../fixtures/linux-6.18/python.status"));
        assert!(status.has_memory && status.has_rss_parts);
        let figures = status.figures;
        assert_eq!(figures.rss, figures.anon + figures.file + figures.shmem);
        assert!(figures.rss_peak >= figures.rss && figures.virtual_size > figures.rss);
        assert_eq!(status.text, Some(Bytes::kib(4)));
        assert!(figures.threads >= 1 && !figures.page_tables.is_zero());
        assert_eq!(status.state, ProcessState::Sleeping);
    }

    #[test]
    fn a_kernel_thread_has_no_memory() {
        let status = parse_status(b"Name:\tkthreadd\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\n");
        assert!(!status.has_memory);
    }

    #[test]
    fn a_name_can_not_forge_a_line() {
        // The kernel escapes newlines in Name as \n, so that "Name:\tx\\nVmRSS: 9 kB" is one line.
        let status = parse_status(b"Name:\tx\\nVmRSS:\t 9 kB\nVmRSS:\t     12 kB\n");
        assert_eq!(status.figures.rss, Bytes::kib(12));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_status(&bytes);
        }

        #[test]
        fn figures_come_back(rss in 0_u64..1 << 40, swap in 0_u64..1 << 40, threads: u32) {
            let text = format!("VmRSS:\t{rss:8} kB\nVmSwap:\t{swap:8} kB\nThreads:\t{threads}\n");
            let figures = parse_status(text.as_bytes()).figures;
            prop_assert_eq!(figures.rss, Bytes::kib(rss));
            prop_assert_eq!(figures.swap, Bytes::kib(swap));
            prop_assert_eq!(figures.threads, threads);
        }
    }
}
