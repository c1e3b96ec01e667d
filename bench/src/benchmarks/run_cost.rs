//! What `plimsoll run` takes of a core while it samples a steady process ten times a second.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use plimsoll_subjects::Subject;
use serde_json::json;

use crate::benchmarks::Plan;
use crate::report::{Bar, Limit, Report};
use crate::spread::Spread;
use crate::table::Table;
use crate::targets::{GIB, room_for};

/// Promised, in percent of one core.
const SHARE_MAX_PERCENT: f64 = 0.5;

/// One figure: as long as the time after which a steady process is read in full (`--breakdown-interval`),
/// so that there is one such reading in each.
const WINDOW: Duration = Duration::from_secs(30);
/// The first breakdown, and the first pages of the recording.
const SETTLING: Duration = Duration::from_secs(3);

const MIB: &str = "1024";

/// A peer that does the least: one process's memory_info() ten times a second.
const PSUTIL: &str = "
import sys, time, psutil
process = psutil.Process(int(sys.argv[1]))
print('ready {}', flush=True)
while True:
    process.memory_info()
    time.sleep(0.1)
";

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut table = Table::new(
        format!("run: processor time of the recorder at 10 Hz, 1 GiB, windows of {WINDOW:?}"),
        &["recorder", "percent of a core"],
    );
    if let Err(reason) = room_for(GIB) {
        table.row(vec!["plimsoll run".to_owned(), reason]);
        report.table(table);
        return Ok(());
    }
    let mut command = plan.tool.command();
    command
        .args([
            "run",
            "--interval",
            "100ms",
            "--quiet",
            "--report",
            "/dev/null",
            "--",
        ])
        .arg(Subject::executable("steady_anonymous"))
        .args(["--mib", MIB]);
    let recorder = Subject::start_command("plimsoll-run", command);
    let target = only_child(recorder.pid)?;
    let mut psutil = Command::new("python3");
    psutil.args(["-c", PSUTIL, &target.to_string()]);
    let has_psutil = Command::new("python3")
        .args(["-c", "import psutil"])
        .status()
        .is_ok_and(|status| status.success());
    let psutil = has_psutil.then(|| Subject::start_command("psutil-loop", psutil));
    thread::sleep(SETTLING);
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..plan.rounds {
        let pids: Vec<u32> = [Some(recorder.pid), psutil.as_ref().map(|one| one.pid)]
            .into_iter()
            .flatten()
            .collect();
        let shares = window(&pids)?;
        ours.push(shares[0]);
        theirs.extend(shares.get(1));
    }
    let found = Spread::of(&ours);
    let text = |found: Option<Spread>| found.map_or("-".to_owned(), |found| found.text());
    table.row(vec![
        "plimsoll run, breakdowns and recording".to_owned(),
        text(found),
    ]);
    table.raw(json!({ "name": "plimsoll run", "percent": ours }));
    table.row(vec![
        "psutil memory_info(), kept nowhere".to_owned(),
        match has_psutil {
            true => text(Spread::of(&theirs)),
            false => "skipped: psutil is not installed (pip install psutil)".to_owned(),
        },
    ]);
    table.raw(json!({ "name": "psutil memory_info()", "percent": theirs }));
    table.note(
        "Time on a core by /proc/PID/task/*/schedstat, without the child's. Both at the same time.",
    );
    report.table(table);
    report.bar(Bar {
        what: "run at 10 Hz on 1 GiB: share of a core".to_owned(),
        limit: Limit::Below(SHARE_MAX_PERCENT),
        unit: "%",
        found,
    });
    recorder.finish();
    Ok(())
}

/// Share of a core that each of `pids` takes over the next window, in percent.
fn window(pids: &[u32]) -> anyhow::Result<Vec<f64>> {
    let on_core = || {
        pids.iter()
            .map(|pid| on_core(*pid))
            .collect::<anyhow::Result<Vec<Duration>>>()
    };
    let (before, started) = (on_core()?, Instant::now());
    thread::sleep(WINDOW);
    let (after, took) = (on_core()?, started.elapsed());
    let shares = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (*after - *before).as_secs_f64() / took.as_secs_f64() * 100.0)
        .collect();
    Ok(shares)
}

/// The first number of schedstat: time on a core, in nanoseconds (Documentation/scheduler/
/// sched-stats.rst). Threads that have ended are not in it; the recorder's live as long as it.
fn on_core(pid: u32) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&folder).with_context(|| format!("failed to list {folder}"))? {
        let path = task?.path().join("schedstat");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let first = text
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        total += Duration::from_nanos(first.unwrap_or_default());
    }
    Ok(total)
}

fn only_child(pid: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let mut found = fs::read_to_string(&path).unwrap_or_default();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // The thread that started it, which need not be the first.
        found += &fs::read_to_string(task?.path().join("children")).unwrap_or_default();
    }
    let first = found.split_whitespace().next();
    first
        .and_then(|pid| pid.parse().ok())
        .with_context(|| format!("process {pid} has no child"))
}
