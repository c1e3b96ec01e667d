//! The fields of /proc/PID/stat that tell who a process is; see proc_pid_stat(5).

use plimsoll_model::ProcessState;

use crate::maps::decimal;

/// PF_KTHREAD in include/linux/sched.h: the task is a kernel thread.
const FLAG_KERNEL_THREAD: u64 = 0x0020_0000;

/// PF_FORKNOEXEC there: the task was forked and has executed no program since.
const FLAG_FORKED: u64 = 0x40;

/// Identity of a process, and of the program in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: u32,
    /// May hold any byte but NUL, also blanks, parentheses and newlines.
    pub name: String,
    pub state: ProcessState,
    /// Whether it has executed a program since it was forked: what it had before is not its own any more.
    pub has_executed: bool,
    pub parent: u32,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub threads: u32,
    /// Clock ticks after boot.
    pub start_time: u64,
    /// Of address space; 0 without one.
    pub virtual_bytes: u64,
    /// Bottom of the first stack: another one after execve(2). 0 without permission.
    pub stack_start: u64,
}

/// Parses the text of /proc/PID/stat; `None` when it makes no sense.
#[must_use]
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    // The name is not escaped: it ends at the last parenthesis.
    let close = text.iter().rposition(|byte| *byte == b')')?;
    if close < open {
        return None;
    }
    let pid = number(text[..open].trim_ascii())?;
    let mut fields = text[close + 1..]
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    // `at` counts as proc_pid_stat(5) does: state is field 3.
    let state = fields.next()?;
    let mut at = 3;
    let mut field = |wanted: u32| {
        let skipped = wanted.checked_sub(at + 1)?;
        at = wanted;
        fields.nth(usize::try_from(skipped).ok()?)
    };
    let parent = number(field(4)?)?;
    let flags = decimal(field(9)?)?;
    let minor_faults = decimal(field(10)?)?;
    let major_faults = decimal(field(12)?)?;
    let threads = number(field(20)?)?;
    let start_time = decimal(field(22)?)?;
    let virtual_bytes = decimal(field(23)?)?;
    let stack_start = decimal(field(28)?)?;
    Some(Stat {
        pid,
        name: String::from_utf8_lossy(&text[open + 1..close]).into_owned(),
        state: if flags & FLAG_KERNEL_THREAD != 0 {
            ProcessState::KernelThread
        } else {
            state_of(state)
        },
        has_executed: flags & FLAG_FORKED == 0,
        parent,
        minor_faults,
        major_faults,
        threads,
        start_time,
        virtual_bytes,
        stack_start,
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    decimal(bytes).and_then(|value| u32::try_from(value).ok())
}

fn state_of(letter: &[u8]) -> ProcessState {
    match letter {
        b"R" => ProcessState::Running,
        b"S" => ProcessState::Sleeping,
        b"D" => ProcessState::DiskSleep,
        b"T" | b"t" => ProcessState::Stopped,
        b"Z" => ProcessState::Zombie,
        b"X" | b"x" => ProcessState::Dead,
        b"I" => ProcessState::Idle,
        _ => ProcessState::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(name: &str, state: &str, flags: u64) -> String {
        format!(
            "42 ({name}) {state} 7 42 42 34816 42 {flags} 100 0 3 0 1 2 0 0 20 0 5 0 987654 \
             1000000 200 18446744073709551615 1 2 140737488347136 0 0 0 0 0 0 0 0 0 17 1 0 0\n"
        )
    }

    #[test]
    fn names_may_hold_anything() {
        for name in ["cat", "a b", "a) R 1 (", "((", "))", "line\nfeed", ""] {
            let parsed = parse_stat(line(name, "S", 0x40_0000).as_bytes()).expect(name);
            assert_eq!(parsed.name, name);
            assert_eq!((parsed.pid, parsed.parent), (42, 7));
            assert_eq!((parsed.minor_faults, parsed.major_faults), (100, 3));
            assert_eq!((parsed.threads, parsed.start_time), (5, 987_654));
            assert_eq!(parsed.virtual_bytes, 1_000_000);
            assert_eq!(parsed.stack_start, 140_737_488_347_136);
            assert_eq!(parsed.state, ProcessState::Sleeping);
        }
    }

    #[test]
    fn states() {
        let check = |letter, flags, expected| {
            let parsed = parse_stat(line("x", letter, flags).as_bytes()).expect("a stat line");
            assert_eq!(parsed.state, expected);
        };
        check("Z", 0, ProcessState::Zombie);
        check("t", 0, ProcessState::Stopped);
        check("I", 0x0420_8040, ProcessState::KernelThread);
        check("?", 0, ProcessState::Other);
        let has_executed =
            |flags| parse_stat(line("x", "S", flags).as_bytes()).map(|stat| stat.has_executed);
        assert_eq!(has_executed(0x40_0000), Some(true));
        assert_eq!(has_executed(0x40_0040), Some(false));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_stat(&bytes);
        }

        #[test]
        fn a_cut_line_is_refused_or_whole(cut in 0_usize..120) {
            let whole = line("x", "S", 0);
            if let Some(parsed) = parse_stat(&whole.as_bytes()[..cut.min(whole.len())]) {
                prop_assert_eq!(parsed.start_time, 987_654);
            }
        }
    }
}
