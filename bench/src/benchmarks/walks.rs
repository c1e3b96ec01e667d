//! What it costs to look inside allocators: the walk of glibc's chunks and the census of
//! CPython's small objects, for each 100 MiB of such memory.

use plimsoll_probe::MethodChoice;
use plimsoll_subjects::{Program, Subject};

use crate::benchmarks::Plan;
use crate::peers::own;
use crate::race::{Clock, Contestant, race};
use crate::report::Report;
use crate::spread::Spread;
use crate::table::Table;
use crate::targets::in_mib;

/// One process with much of one kind of memory.
struct Heap {
    name: &'static str,
    subject: Subject,
    /// What the allocator holds, by its own figures.
    held: u64,
}

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut table = Table::new(
        "walks: attribution inside allocators",
        &[
            "heap",
            "held MiB",
            "attribution cpu ms",
            "wall ms",
            "cpu ms per 100 MiB",
        ],
    );
    let mut heaps = vec![
        glibc(
            "glibc, blocks of 100 bytes",
            &["--count", "1000000", "--size", "100"],
        ),
        glibc(
            "glibc, blocks of 1000 bytes",
            &["--count", "100000", "--size", "1000"],
        ),
    ];
    match Program::PythonNumpy.start(&["--objects", "1500000", "--arrays", "1", "--mib", "1"]) {
        Ok(subject) => heaps.push(Heap {
            name: "CPython, small objects",
            held: pymalloc_bytes(&subject),
            subject,
        }),
        Err(skipped) => table.row(vec![
            "CPython, small objects".to_owned(),
            skipped.to_string(),
        ]),
    }
    let contestants = heaps
        .iter()
        .map(|heap| {
            let pid = heap.subject.pid;
            Contestant::new(heap.name, move || {
                own::read(pid, MethodChoice::Auto).map(|(turn, _)| turn)
            })
        })
        .collect();
    let measured = race(contestants, plan.rounds);
    let attributions = measured
        .iter()
        .filter(|one| one.part && one.name == own::ATTRIBUTION);
    for (heap, one) in heaps.iter().zip(attributions) {
        let held = in_mib(heap.held);
        let of =
            |figures: &[f64]| Spread::of(figures).map_or("-".to_owned(), |spread| spread.text());
        let share: Vec<f64> = one
            .clock(Clock::Cpu)
            .iter()
            .map(|cpu| cpu / held * 100.0)
            .collect();
        table.row(vec![
            heap.name.to_owned(),
            format!("{held:.0}"),
            of(one.clock(Clock::Cpu)),
            of(one.clock(Clock::Wall)),
            of(&share),
        ]);
    }
    table.note("All of the attribution of such a process is in it, not the walk alone.");
    report.table(table);
    Ok(())
}

fn glibc(name: &'static str, arguments: &[&str]) -> Heap {
    let subject = Subject::start("malloc_blocks", arguments);
    let held = subject.truth["glibc"]["arena_bytes"]
        .as_u64()
        .unwrap_or_default();
    Heap {
        name,
        subject,
        held,
    }
}

/// Arenas times the size of one.
fn pymalloc_bytes(subject: &Subject) -> u64 {
    let figures = &subject.truth["pymalloc"];
    let number = |key: &str| figures[key].as_u64().unwrap_or_default();
    number("arenas") * number("arena_bytes")
}
