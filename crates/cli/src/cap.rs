//! What `run` says aloud about a cap: by what it is enforced, and what came of it.

use plimsoll_model::{Bytes, CapMechanism, CapRecord};
use plimsoll_runner::{End, Outcome};

/// A subject of which so few samples were taken had hardly begun, and below such a limit programs
/// do not get through their loader: `true` of glibc is charged some 250 KiB, larger ones more.
const SAMPLES_AT_START: u64 = 1;
const LOADER_NEEDS: Bytes = Bytes::mib(1);

/// Before the command runs: the limit, the mechanism, and why it is none that is stronger.
pub(crate) fn tell_start(record: &CapRecord, place: &str) {
    eprintln!(
        "plimsoll: limit {} by {} ({place})",
        record.limit,
        record.mechanism.name()
    );
    // That the memory controller is in one hierarchy and not in the other makes no cap weaker.
    if record.mechanism == CapMechanism::DataLimit {
        for reason in &record.refused {
            eprintln!("plimsoll: not by {reason}");
        }
    }
}

/// After the command, where the cap had it killed.
pub(crate) fn tell_end(outcome: &Outcome) {
    if let Some(line) = end_line(outcome) {
        eprintln!("plimsoll: {line}");
    }
}

fn end_line(outcome: &Outcome) -> Option<String> {
    let cap = outcome.cap.as_ref()?;
    let kills = cap.oom_kills.filter(|kills| *kills > 0)?;
    let processes = if kills == 1 { "process" } else { "processes" };
    let peak = cap.charge_peak.map_or_else(String::new, |peak| {
        format!("; charged at most {peak}, page cache and kernel memory included")
    });
    let hits = cap
        .limit_hits
        .map_or_else(String::new, |hits| format!(", {hits} times at the limit"));
    let at_start = if outcome.end == End::Killed(libc::SIGKILL)
        && cap.limit < LOADER_NEEDS
        && outcome.samples <= SAMPLES_AT_START
    {
        ". It was killed at its start: the limit is below what the program and its loader need"
    } else {
        ""
    };
    Some(format!(
        "{kills} {processes} killed by the kernel for the limit of {} ({}){peak}{hits}{at_start}",
        cap.limit,
        cap.mechanism.name()
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_model::ProcessId;

    use super::*;

    fn outcome(end: End, samples: u64, oom_kills: Option<u64>) -> Outcome {
        Outcome {
            root: ProcessId {
                pid: 1,
                start_time: 1,
            },
            started_at: Duration::ZERO,
            length: Duration::ZERO,
            end,
            interrupted: None,
            samples,
            breakdowns: 0,
            ticks_missed: 0,
            recorder_cpu: Duration::ZERO,
            cpu: Duration::ZERO,
            major_faults: 0,
            errors: String::new(),
            cap: Some(CapRecord {
                mechanism: CapMechanism::CgroupV1,
                limit: Bytes::mib(32),
                charge_peak: Some(Bytes::mib(32)),
                limit_hits: Some(57),
                oom_kills,
                refused: Vec::new(),
            }),
        }
    }

    #[test]
    fn a_kill_for_the_cap_is_told_with_the_kernel_s_numbers() {
        let check = |outcome: Outcome, expected: Option<&str>| {
            assert_eq!(end_line(&outcome).as_deref(), expected);
        };
        let killed = End::Killed(libc::SIGKILL);
        check(outcome(End::Exited(0), 20, Some(0)), None);
        check(outcome(killed, 20, Some(0)), None);
        check(outcome(killed, 20, None), None);
        check(
            outcome(killed, 20, Some(1)),
            Some(
                "1 process killed by the kernel for the limit of 32.0 MiB (cgroup v1); charged at \
                 most 32.0 MiB, page cache and kernel memory included, 57 times at the limit",
            ),
        );
        let mut early = outcome(killed, 0, Some(2));
        early.cap.as_mut().unwrap().limit = Bytes::kib(64);
        let early = end_line(&early).unwrap();
        assert!(early.starts_with("2 processes killed"), "{early}");
        assert!(early.contains("killed at its start"), "{early}");
    }
}
