//! `plimsoll ps` over many processes, beside reading smaps_rollup of each once and no more.

use std::cell::RefCell;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use plimsoll_probe::{Grouping, TableOptions, list_pids, read_process_table};

use crate::benchmarks::Plan;
use crate::cost::Cost;
use crate::peers::plain::PlainReader;
use crate::peers::programs;
use crate::peers::psutil::{Psutil, PsutilMethod};
use crate::race::{Clock, Contestant, Turn, find, race};
use crate::report::{Bar, Limit, Report};
use crate::table::Table;

/// Processes started besides those that are there.
const PROCESSES: usize = 300;

/// Promised: at most so many times the plain loop.
const PLAIN_RATIO_MAX: f64 = 2.0;

const PLAIN: &str = "plain loop over smaps_rollup";
const LIBRARY: &str = "plimsoll, library";
const COMMAND: &str = "plimsoll ps";

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let sleepers = Sleepers::start(PROCESSES)?;
    let pids = list_pids().context("failed to list processes")?;
    let psutil = Psutil::start().map(RefCell::new);
    let plain = RefCell::new(PlainReader::new());
    let mut contestants = vec![
        Contestant::new(PLAIN, || {
            let (_, cost) = Cost::of(|| read_rollups(&mut plain.borrow_mut()));
            Ok(Turn::from(cost))
        }),
        Contestant::new(LIBRARY, || {
            let grouping = Grouping::Process;
            let (table, cost) = Cost::of(|| read_process_table(TableOptions { grouping }));
            let rows = table
                .context("failed to read the process table")?
                .rows
                .len();
            anyhow::ensure!(rows >= PROCESSES, "only {rows} processes were found");
            Ok(Turn::from(cost))
        }),
        command(plan, COMMAND, &[]),
        command(plan, "plimsoll ps --format json", &["--format", "json"]),
    ];
    let mut aux = Command::new("ps");
    aux.arg("aux");
    contestants.push(programs::contestant("ps aux", aux, "apt install procps"));
    contestants.push(programs::contestant(
        "smem",
        Command::new("smem"),
        "apt install smem",
    ));
    let name = "psutil memory_full_info of each";
    contestants.push(match &psutil {
        Ok(psutil) => Contestant::new(name, || {
            psutil.borrow_mut().read(PsutilMethod::FullInfo, &pids)
        }),
        Err(reason) => Contestant::skipped(name, reason.clone()),
    });
    let measured = race(contestants, plan.rounds);
    drop(sleepers);
    let mut table = Table::of_costs(
        format!("ps: {} processes", pids.len()),
        &measured,
        &measured[0],
    );
    table.note(
        "Ratios are to the first row, which parses nothing. ps aux reads no page tables and tells \
         RSS only. psutil: in a process that stays.",
    );
    report.table(table);
    for (clock, word) in [(Clock::Cpu, "cpu"), (Clock::Wall, "wall")] {
        for name in [LIBRARY, COMMAND] {
            let found = find(&measured, name).and_then(|ours| ours.times(&measured[0], clock));
            report.bar(Bar {
                what: format!("{name}: as long as the plain loop, {word}"),
                limit: Limit::Below(PLAIN_RATIO_MAX),
                unit: "times",
                found,
            });
        }
    }
    Ok(())
}

fn command<'a>(plan: &Plan, name: &str, arguments: &[&str]) -> Contestant<'a> {
    let mut ps = plan.tool.command();
    ps.arg("ps").args(arguments);
    programs::contestant(name, ps, "cargo build --release")
}

/// Lists the processes and reads what can be read.
fn read_rollups(plain: &mut PlainReader) -> usize {
    let pids = list_pids().unwrap_or_default();
    pids.into_iter()
        .filter_map(|pid| plain.read(pid, "smaps_rollup").ok())
        .sum()
}

/// Processes that sleep until this is dropped.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: usize) -> anyhow::Result<Sleepers> {
        let mut sleepers = Sleepers(Vec::with_capacity(count));
        for _ in 0..count {
            let child = Command::new("sleep")
                .arg("3600")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .context("failed to start sleep")?;
            sleepers.0.push(child);
        }
        Ok(sleepers)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only where it has ended already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
