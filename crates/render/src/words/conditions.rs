//! The conditions that a run was under, in sentences that text and HTML share: the machine's memory
//! pressure, and its cap with what was there just before it was killed.

use std::time::Duration;

use plimsoll_model::{CapMechanism, CapRecord, Recorded, RssParts};

use crate::figures::run::composition_words;
use crate::words::number::{count, percent};
use crate::words::time::span;

/// "SIGKILL", signal(7): what the kernel sends when a group is out of memory.
const SIGKILL: i32 = 9;

/// What tasks of the machine waited for memory; nothing where the kernel does not say.
pub(crate) fn pressure_words(recorded: &Recorded) -> Option<String> {
    let last = recorded.pressure.last()?;
    Some(format!(
        "memory pressure of the machine: some task waited {}, all tasks {}, of {}",
        span(last.some),
        span(last.full),
        span(last.at)
    ))
}

/// The cap and what became of it; nothing for a run without one.
pub(crate) fn cap_words(recorded: &Recorded) -> Option<String> {
    let cap = recorded.cap.as_ref()?;
    let mut words = vec![format!("Cap: {}.", mechanism_words(cap))];
    if let Some(peak) = cap.charge_peak {
        let share = percent(peak, cap.limit);
        words.push(format!("Highest charge {peak}, {share} of it."));
    }
    match cap.limit_hits {
        Some(0) => words.push("It was never reached.".to_owned()),
        Some(hits) => {
            let hits = count(hits, "time", "times");
            words.push(format!("It was reached {hits}."));
        }
        None => {}
    }
    match cap.oom_kills {
        Some(0) if recorded.meta.exit_signal == Some(SIGKILL) => words.push(
            "The kernel killed no process for it: SIGKILL came from somewhere else.".to_owned(),
        ),
        Some(0) => words.push("The kernel killed no process for it.".to_owned()),
        Some(kills) => {
            let kills = count(kills, "process", "processes");
            words.push(format!("The kernel killed {kills} for it."));
        }
        None => {}
    }
    if !cap.refused.is_empty() {
        let refused: Vec<&str> = cap
            .refused
            .iter()
            .map(|reason| reason.trim_end_matches('.'))
            .collect();
        words.push(format!("Nothing stronger: {}.", refused.join("; ")));
    }
    Some(words.join(" "))
}

/// Which cap, and what counts to it.
fn mechanism_words(cap: &CapRecord) -> String {
    let (name, limit) = (cap.mechanism.name(), cap.limit);
    match cap.mechanism {
        CapMechanism::CgroupV2 | CapMechanism::CgroupV1 => format!(
            "{limit} by {name}, for all processes together, page cache and kernel memory included"
        ),
        CapMechanism::DataLimit => format!(
            "{limit} by {name}, for each process alone: what it maps private and writable, resident \
             or not; above it allocations fail"
        ),
    }
}

/// Who held what just before the kernel killed for the cap; nothing when it did not.
pub(crate) fn before_the_kill(recorded: &Recorded) -> Option<String> {
    let cap = recorded.cap.as_ref()?;
    let killed =
        cap.oom_kills.is_some_and(|kills| kills > 0) || recorded.meta.exit_signal == Some(SIGKILL);
    if !killed {
        return None;
    }
    let end = end_of_subject(recorded);
    let before = |at: Duration| span(end.saturating_sub(at));
    let mut words = Vec::new();
    match last_sample(recorded) {
        Some((at, parts)) => words.push(format!(
            "Just before the end: {} RSS in the last sample, {} before it, of that {} anonymous, {} \
             of files, {} shared memory, and {} in swap.",
            parts.rss,
            before(at),
            parts.anon,
            parts.file,
            parts.shmem,
            parts.swap
        )),
        None => words.push("Just before the end: no sample was taken.".to_owned()),
    }
    match recorded.breakdowns.iter().rfind(|timed| timed.at <= end) {
        Some(timed) => words.push(format!(
            "Who held it in the last breakdown, {} before the end: {}.",
            before(timed.at),
            composition_words(&timed.breakdown.components)
        )),
        None => words.push("Who held it is not known: no breakdown was taken.".to_owned()),
    }
    Some(words.join(" "))
}

fn end_of_subject(recorded: &Recorded) -> Duration {
    let meta = &recorded.meta;
    let root = recorded
        .processes
        .iter()
        .find(|process| process.id == meta.root);
    root.and_then(|root| root.ended).unwrap_or(meta.length)
}

/// All processes of the last tick together.
fn last_sample(recorded: &Recorded) -> Option<(Duration, RssParts)> {
    let last = recorded.samples.last()?;
    let tick = last.at.saturating_sub(recorded.meta.interval / 2);
    let mut parts = RssParts::default();
    recorded
        .samples
        .iter()
        .rev()
        .take_while(|sample| sample.at >= tick)
        .for_each(|sample| parts.add(sample));
    Some((last.at, parts))
}
