//! What a full breakdown costs, beside others who read the same process: as a library call in
//! this process, and as a whole command.

use std::cell::RefCell;

use plimsoll_model::Method;
use plimsoll_probe::MethodChoice;
use plimsoll_subjects::Subject;

use crate::benchmarks::Plan;
use crate::cost::Cost;
use crate::peers::plain::PlainReader;
use crate::peers::programs::{self, pmap, psutil_script, python_start, smem};
use crate::peers::psutil::{Psutil, PsutilMethod};
use crate::peers::{own, procfs};
use crate::race::{Clock, Contestant, Measured, Turn, find, race};
use crate::report::{Bar, Limit, Report};
use crate::table::Table;
use crate::targets::{GIB, cut_memory};

const VMAS: &[usize] = &[100, 2_000, 20_000];
const SIZES_GIB: &[usize] = &[1, 4, 8];

/// The promises are made for this many mappings.
const VMAS_PROMISED: usize = 20_000;
const PROCFS_RATIO_MIN: f64 = 2.5;
const TOOLS_RATIO_MIN: f64 = 7.0;

const PROCFS: &str = "procfs smaps()";
const PSUTIL_MAPS: &str = "psutil memory_maps";
const COMMAND: &str = "plimsoll inspect --format json";

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for &gib in &Plan::chosen(&plan.gib, SIZES_GIB) {
        for &vmas in &Plan::chosen(&plan.vmas, VMAS) {
            read_shape(plan, report, vmas, gib)?;
        }
    }
    Ok(())
}

fn read_shape(plan: &Plan, report: &mut Report, vmas: usize, gib: usize) -> anyhow::Result<()> {
    let shape = format!("{vmas} VMAs, {gib} GiB");
    let subject = match cut_memory(vmas, gib) {
        Ok(subject) => subject,
        Err(reason) => {
            let mut table = Table::new(format!("reading: {shape}"), &["reader"]);
            table.row(vec![reason]);
            report.table(table);
            return Ok(());
        }
    };
    let (_, cost) = own::read(subject.pid, MethodChoice::Auto)?;
    let calls = in_process(subject.pid, cost.method, plan.rounds);
    let ours = &calls[0];
    let mut table = Table::of_costs(
        format!("reading in a process that stays: {shape}"),
        &calls,
        ours,
    );
    table.note(
        "Ratios are to the first row. smaps and smaps_rollup are read and not parsed; procfs and \
         psutil parse smaps and attribute nothing.",
    );
    report.table(table);
    let pages = gib * GIB / 4096 / vmas;
    // With its path: another process of the same name would be read too.
    let program = Subject::executable("swiss_vmas");
    let command_line = format!("^{} --vmas {vmas} --pages {pages}$", program.display());
    let commands = whole_commands(plan, subject.pid, &command_line);
    let own_command = &commands[0];
    report.table(Table::of_costs(
        format!("reading by a command: {shape}"),
        &commands,
        own_command,
    ));
    if vmas == VMAS_PROMISED {
        promise(report, &shape, &calls, &commands);
    }
    Ok(())
}

fn in_process(pid: u32, auto: Method, rounds: usize) -> Vec<Measured> {
    let psutil = Psutil::start().map(RefCell::new);
    let plain = RefCell::new(PlainReader::new());
    let plain = |name: &'static str| {
        let plain = &plain;
        move || {
            let (read, cost) = Cost::of(|| plain.borrow_mut().read(pid, name));
            read.map(|_| Turn::from(cost))
        }
    };
    let (first, second) = match auto {
        Method::Walk => (MethodChoice::Walk, MethodChoice::Smaps),
        _ => (MethodChoice::Smaps, MethodChoice::Walk),
    };
    let own = |method: MethodChoice| move || own::read(pid, method).map(|(turn, _)| turn);
    let name = |method: MethodChoice| format!("plimsoll, {method:?}").to_lowercase();
    let mut contestants = vec![
        Contestant::new(format!("{} (auto)", name(first)), own(first)),
        Contestant::new(name(second), own(second)),
        Contestant::new("plain read of smaps", plain("smaps")),
        Contestant::new("plain read of smaps_rollup", plain("smaps_rollup")),
        Contestant::new(PROCFS, || procfs::read(pid)),
    ];
    for (name, method) in [
        (PSUTIL_MAPS, PsutilMethod::Maps),
        ("psutil memory_full_info", PsutilMethod::FullInfo),
    ] {
        contestants.push(match &psutil {
            Ok(psutil) => Contestant::new(name, move || psutil.borrow_mut().read(method, &[pid])),
            Err(reason) => Contestant::skipped(name, reason.clone()),
        });
    }
    race(contestants, rounds)
}

fn whole_commands(plan: &Plan, pid: u32, command_line: &str) -> Vec<Measured> {
    let mut inspect = plan.tool.command();
    inspect.args(["inspect", &pid.to_string(), "--format", "json"]);
    let contestants = vec![
        programs::contestant(COMMAND, inspect, "cargo build --release"),
        pmap("-x", pid),
        pmap("-X", pid),
        smem(command_line),
        psutil_script(pid),
        python_start(),
    ];
    race(contestants, plan.rounds)
}

/// The bars: library calls against library calls, commands against commands.
fn promise(report: &mut Report, shape: &str, calls: &[Measured], commands: &[Measured]) {
    for (clock, word) in [(Clock::Cpu, "cpu"), (Clock::Wall, "wall")] {
        let mut bar = |name: &str, among: &[Measured], least: f64| {
            let found = find(among, name).and_then(|peer| peer.times(&among[0], clock));
            report.bar(Bar {
                what: format!("breakdown faster than {name}, {word}, {shape}"),
                limit: Limit::AtLeast(least),
                unit: "times",
                found,
            });
        };
        bar(PROCFS, calls, PROCFS_RATIO_MIN);
        bar(PSUTIL_MAPS, calls, TOOLS_RATIO_MIN);
        for name in ["pmap -x", "pmap -X", "smem -m"] {
            bar(name, commands, TOOLS_RATIO_MIN);
        }
    }
}
