//! What accounting for allocations costs a program that allocates heavily, beside other counting
//! allocators. Each is the same program over another global allocator (`allocators/`), in a process
//! of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::json;

use crate::benchmarks::Plan;
use crate::command;
use crate::race::{Clock, Contestant, Figures, Measured, find, race};
use crate::report::{Bar, Limit, Report};
use crate::spread::Spread;
use crate::table::Table;
use crate::targets::in_mib;

/// Promised, of the workload that does what programs do.
const RATIO_MAX: f64 = 1.05;
const THREADS: u64 = 8;
/// How many times fewer operations dhat does: it takes a lock and a call stack for each.
const DHAT_SHARE: u64 = 100;

struct Workload {
    name: &'static str,
    what: &'static str,
    /// Of each thread: about a second of processor time in all.
    operations: u64,
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "text",
        what: "splits text, counts words in maps, sorts; an operation is a word, about 5 calls",
        operations: 500_000,
    },
    Workload {
        name: "churn",
        what: "replaces blocks of 16 to 1024 bytes at random and writes them; one pair of calls",
        operations: 4_000_000,
    },
    Workload {
        name: "pairs",
        what: "allocates 64 bytes, frees them and does nothing else; one pair of calls",
        operations: 10_000_000,
    },
];

/// Program, and what its accounting knows.
const ALLOCATORS: [(&str, &str); 6] = [
    ("none", "the C library's allocator"),
    ("ledger", "live, peak, total by tag"),
    ("cap", "live, peak of the process"),
    ("stats_alloc", "sums of the process"),
    ("tracking", "sums by group"),
    ("dhat", "call stacks"),
];

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let programs = build()?;
    for workload in &WORKLOADS {
        measure(plan, report, &programs, workload)?;
    }
    memory(report, &programs)
}

fn measure(
    plan: &Plan,
    report: &mut Report,
    programs: &Path,
    workload: &Workload,
) -> anyhow::Result<()> {
    let contestants = ALLOCATORS
        .iter()
        .map(|(name, _)| {
            let share = if *name == "dhat" { DHAT_SHARE } else { 1 };
            let operations = workload.operations / share;
            Contestant::new(*name, move || {
                let mut command = program(programs, name, workload.name, operations);
                Ok(command::run(&mut command)?.cost.into())
            })
        })
        .collect();
    let measured = race(contestants, plan.rounds);
    let none = find(&measured, "none").context("none is measured")?.clone();
    let mut table = Table::new(
        format!("ledger: {}, {THREADS} threads", workload.name),
        &["allocator", "knows", "cpu ns", "cpu ratio", "wall ratio"],
    );
    for (one, (_, knows)) in measured.iter().zip(ALLOCATORS) {
        row(&mut table, one, knows, &none, workload);
    }
    table.note(format!("It {}.", workload.what));
    table.note(format!(
        "ns of processor time an operation; ratios to none, round by round. dhat does one in \
         {DHAT_SHARE} of the operations."
    ));
    report.table(table);
    if workload.name == "text" {
        let ledger = find(&measured, "ledger").context("the ledger is measured")?;
        report.bar(Bar {
            what: format!("ledger, {}: processor time beside none", workload.name),
            limit: Limit::Below(RATIO_MAX),
            unit: "times",
            found: ledger.times(&none, Clock::Cpu),
        });
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "operations are far below 2^52")]
fn row(table: &mut Table, one: &Measured, knows: &str, none: &Measured, workload: &Workload) {
    let share = if one.name == "dhat" { DHAT_SHARE } else { 1 };
    let operations = (workload.operations / share * THREADS) as f64;
    let each: Vec<f64> = one
        .clock(Clock::Cpu)
        .iter()
        .map(|milliseconds| milliseconds * 1e6 / operations)
        .collect();
    let cell = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| spread.text());
    let scaled = scale(one, share as f64);
    table.row(vec![
        one.name.clone(),
        knows.to_owned(),
        cell(Spread::of(&each)),
        cell(scaled.times(none, Clock::Cpu)),
        cell(scaled.times(none, Clock::Wall)),
    ]);
    table.raw(json!({
        "name": one.name,
        "operations": operations,
        "cpu_milliseconds": one.clock(Clock::Cpu),
        "wall_milliseconds": one.clock(Clock::Wall),
    }));
}

/// As if it had done all operations.
fn scale(one: &Measured, share: f64) -> Measured {
    let times = |figures: &[f64]| figures.iter().map(|figure| figure * share).collect();
    Measured {
        name: one.name.clone(),
        part: one.part,
        figures: one
            .figures
            .as_ref()
            .map_err(Clone::clone)
            .map(|figures| Figures {
                wall: times(&figures.wall),
                cpu: times(&figures.cpu),
            }),
    }
}

/// Peak RSS of one run of the workload that keeps blocks, by allocator.
fn memory(report: &mut Report, programs: &Path) -> anyhow::Result<()> {
    let mut table = Table::new(
        format!("ledger: peak RSS of churn, {THREADS} threads, MiB"),
        &["allocator", "peak MiB"],
    );
    for (name, _) in ALLOCATORS {
        let peak = command::peak_rss(&program(programs, name, "churn", 100_000))?;
        table.row(vec![name.to_owned(), format!("{:.1}", in_mib(peak))]);
        table.raw(json!({ "name": name, "rss_peak_bytes": peak }));
    }
    report.table(table);
    Ok(())
}

fn program(programs: &Path, name: &str, workload: &str, operations: u64) -> Command {
    let mut command = Command::new(programs.join(name));
    command.args([workload, &THREADS.to_string(), &operations.to_string()]);
    command
}

/// Builds the programs; returns the folder that they are in.
fn build() -> anyhow::Result<PathBuf> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = bench.join("target");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "allocators"])
        .args(["--package", "plimsoll-allocators", "--target-dir"])
        .arg(&target)
        .current_dir(bench)
        .status()
        .context("failed to start cargo")?;
    if !status.success() {
        bail!("failed to build the allocators ({status})");
    }
    Ok(target.join("allocators"))
}
