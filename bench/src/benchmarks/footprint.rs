//! How much memory the tool itself takes: its peak RSS on small, cut-up and real processes,
//! beside those of others that read the same one.

use std::process::Command;

use plimsoll_subjects::{Program, Subject};
use serde_json::json;

use crate::benchmarks::Plan;
use crate::command;
use crate::peers::programs;
use crate::report::{Bar, Limit, Report};
use crate::spread::Spread;
use crate::table::Table;
use crate::targets::{cut_memory, in_mib};

/// Promised for `inspect`, in MiB.
const RSS_MAX_MIB: f64 = 24.0;

/// More than most kernels allow (vm.max_map_count is 65,530 by default).
const VMAS_MOST: &str = "100000";

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut table = Table::new(
        "footprint: peak RSS of the reader, MiB",
        &["reader", "target", "peak MiB"],
    );
    let small = Subject::start("steady_anonymous", &["--mib", "4"]);
    targets(plan, report, &mut table, small.pid, "4 MiB of memory")?;
    drop(small);
    match cut_memory(20_000, 1) {
        Ok(cut) => targets(plan, report, &mut table, cut.pid, "20000 VMAs, 1 GiB")?,
        Err(reason) => table.row(vec!["20000 VMAs, 1 GiB".to_owned(), reason]),
    }
    let most = Subject::start("swiss_vmas", &["--vmas", VMAS_MOST, "--pages", "1"]);
    let target = match most.truth["stopped_by"].as_str() {
        Some(_) => format!(
            "{} VMAs, all that vm.max_map_count allows here",
            most.number("vmas")
        ),
        None => format!("{} VMAs", most.number("vmas")),
    };
    targets(plan, report, &mut table, most.pid, &target)?;
    drop(most);
    match Program::PythonNumpy.start(&[]) {
        Ok(python) => targets(plan, report, &mut table, python.pid, "CPython with numpy")?,
        Err(skipped) => table.row(vec!["CPython with numpy".to_owned(), skipped.to_string()]),
    }
    let mut ps = plan.tool.command();
    ps.arg("ps");
    measure(&mut table, plan.rounds, "plimsoll ps", "all processes", &ps)?;
    table.note(
        "wait4's ru_maxrss, of commands started by a small process: what a command shows is not \
         below that one's own peak of about 3 MiB.",
    );
    report.table(table);
    Ok(())
}

fn targets(
    plan: &Plan,
    report: &mut Report,
    table: &mut Table,
    pid: u32,
    target: &str,
) -> anyhow::Result<()> {
    let mut inspect = plan.tool.command();
    inspect.args(["inspect", &pid.to_string(), "--format", "json"]);
    let found = measure(table, plan.rounds, "plimsoll inspect", target, &inspect)?;
    report.bar(Bar {
        what: format!("peak RSS of inspect, {target}"),
        limit: Limit::Below(RSS_MAX_MIB),
        unit: "MiB",
        found,
    });
    let mut pmap = Command::new("pmap");
    pmap.args(["-X", &pid.to_string()]);
    measure(table, plan.rounds, "pmap -X", target, &pmap)?;
    let mut psutil = Command::new("python3");
    psutil.args(["-c", &programs::psutil_program(pid)]);
    measure(
        table,
        plan.rounds,
        "python3 + psutil memory_maps",
        target,
        &psutil,
    )?;
    Ok(())
}

/// A row; the bare figures are returned.
fn measure(
    table: &mut Table,
    rounds: usize,
    name: &str,
    target: &str,
    command: &Command,
) -> anyhow::Result<Option<Spread>> {
    if let Err(reason) = programs::installed(command) {
        table.row(vec![name.to_owned(), reason]);
        return Ok(None);
    }
    let mut peaks = Vec::new();
    for _ in 0..rounds {
        match command::peak_rss(command) {
            Ok(peak) => peaks.push(in_mib(peak)),
            Err(error) => {
                table.row(vec![name.to_owned(), format!("failed: {error:#}")]);
                return Ok(None);
            }
        }
    }
    let found = Spread::of(&peaks);
    let text = found.map_or("-".to_owned(), |found| found.text());
    table.row(vec![name.to_owned(), target.to_owned(), text]);
    table.raw(json!({ "name": name, "target": target, "peak_mebibytes": peaks }));
    Ok(found)
}
