//! What the mirror costs: its state beside stores that keep a row for each key, and the whole program over
//! a simulated bucket. See ../README.md.

mod objects;
mod stores;
mod table;
mod usage;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use plimsoll_s3_simulator::Bucket;
use serde_json::{Value, json};
use stores::{Phase, STORES};
use table::{median, mib, seconds, short, spread};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// State work of all stores in turns, each in a process of its own.
    Stores(StoresArguments),
    /// State work of one store: ours, lmdb, redb, sqlite, or listing, which does nothing else.
    Store(StoreArguments),
    /// `mirror run` on a bucket in which nothing has changed.
    Whole(whole::WholeArguments),
    /// Makes a state by which a bucket of so many objects is at the destination already.
    Seed {
        count: u64,
        /// What `mirror` is run with: `run --state DIR …`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct StoresArguments {
    /// Keys; may be given several times.
    #[arg(long, default_values_t = [1_000_000])]
    count: Vec<u64>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Names of some.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The bucket is listed as it was.
    #[arg(long)]
    unchanged: bool,
}

#[derive(Debug, Args)]
struct StoreArguments {
    name: String,
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    #[arg(long)]
    unchanged: bool,
    /// Where its files are while it runs; it may not be there before, and is not afterwards.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Act::Stores(arguments) => {
            for count in &arguments.count {
                all_stores(&arguments, *count)?;
            }
            Ok(())
        }
        Act::Store(arguments) => one_store(&arguments),
        Act::Whole(arguments) => whole::run(&arguments),
        Act::Seed { count, arguments } => whole::seed(objects::bucket(count), &arguments),
    }
}

/// A folder of this process's own, gone at the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// At a path where nothing is, or among temporary files.
    pub(crate) fn new(path: Option<&Path>) -> Result<Folder> {
        let own = || std::env::temp_dir().join(format!("mirror-bench-{}", std::process::id()));
        let path = path.map_or_else(own, Path::to_owned);
        fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(Folder(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn one_store(arguments: &StoreArguments) -> Result<()> {
    let folder = Folder::new(arguments.folder.as_deref())?;
    let bucket = objects::bucket(arguments.count);
    let bucket: Bucket = bucket.in_generation(u32::from(!arguments.unchanged));
    let phases = stores::measure(&arguments.name, folder.path(), bucket)?;
    if arguments.json {
        let phases: Vec<Value> = phases.iter().map(to_json).collect();
        println!("{}", json!(phases));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = phases
        .iter()
        .map(|phase| {
            let cost = phase.cost;
            vec![
                phase.name.to_owned(),
                short(seconds(cost.wall)),
                short(seconds(cost.cpu)),
                short(mib(cost.rss_max)),
                short(mib(cost.anon_max)),
                short(mib(cost.file_max)),
                short(phase.file_bytes as f64 / arguments.count as f64),
                phase.changed.to_string(),
            ]
        })
        .collect();
    let title = format!("{}, {} keys", arguments.name, arguments.count);
    let columns = [
        "phase",
        "wall s",
        "CPU s",
        "peak RSS MiB",
        "anon",
        "file",
        "bytes a key",
        "rows changed",
    ];
    table::print(&title, &columns, &rows);
    Ok(())
}

fn to_json(phase: &Phase) -> Value {
    let cost = phase.cost;
    json!({
        "name": phase.name,
        "wall_seconds": seconds(cost.wall),
        "cpu_seconds": seconds(cost.cpu),
        "rss_bytes": cost.rss_max,
        "anon_bytes": cost.anon_max,
        "file_bytes": cost.file_max,
        "stored_bytes": phase.file_bytes,
        "changed": phase.changed,
    })
}

/// One run of one store: figures by phase.
type Run = Vec<Value>;

fn all_stores(arguments: &StoresArguments, count: u64) -> Result<()> {
    let is_wanted = |name: &str| {
        let only = &arguments.only;
        only.is_empty() || only.iter().any(|one| one == name)
    };
    let names: Vec<_> = STORES.iter().filter(|(name, _)| is_wanted(name)).collect();
    if names.is_empty() {
        bail!("--only {:?}: no store is called so", arguments.only);
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); names.len()];
    for _ in 0..arguments.rounds {
        for (at, (name, _)) in names.iter().enumerate() {
            runs[at].push(start(name, count, arguments.unchanged)?);
        }
    }
    let ours = names.iter().position(|(name, _)| *name == "ours");
    let ours = ours.map(|at| run_seconds(&runs[at]));
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&runs)
        .map(|((_, title), runs)| row(title, runs, count, ours.as_deref()))
        .collect();
    let changes = match arguments.unchanged {
        true => "nothing has changed",
        false => "1 % removed, 1 % new, 0.5 % changed",
    };
    let title = format!(
        "state work of {count} keys, {changes}; wall s (CPU s), medians of {} rounds",
        arguments.rounds
    );
    let columns = [
        "store",
        "insert",
        "prepare",
        "scan",
        "finalize",
        "delete",
        "fold",
        "a run: CPU s",
        "times ours",
        "peak RSS MiB",
        "anon",
        "file",
        "bytes a key",
    ];
    table::print(&title, &columns, &rows);
    println!(
        "\nA run is prepare to delete; the listing, which is made up, is in it. Ours folds its delta into \
         its base once that is a tenth of it, here each fourth run."
    );
    Ok(())
}

/// Runs one store in a process of its own.
fn start(name: &str, count: u64, is_unchanged: bool) -> Result<Run> {
    let own = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(own);
    command.args(["store", name, "--json", "--count", &count.to_string()]);
    if is_unchanged {
        command.arg("--unchanged");
    }
    let output = command.output().context("start this program again")?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what {name} said"))
}

fn figure(phase: &Value, name: &str) -> f64 {
    phase[name].as_f64().unwrap_or(f64::NAN)
}

/// Of each run, the processor time of all phases but the first and the fold.
fn run_seconds(runs: &[Run]) -> Vec<f64> {
    let sum = |run: &Run| -> f64 {
        let phases = run.iter().skip(1).filter(|phase| phase["name"] != "fold");
        phases.map(|phase| figure(phase, "cpu_seconds")).sum()
    };
    runs.iter().map(sum).collect()
}

fn row(title: &str, runs: &[Run], count: u64, ours: Option<&[f64]>) -> Vec<String> {
    let mut cells = vec![title.to_owned()];
    for phase in ["insert", "prepare", "scan", "finalize", "delete", "fold"] {
        let all = |name: &str| -> Vec<f64> {
            let phases = runs.iter().flatten();
            let phases = phases.filter(|one| one["name"] == phase);
            phases.map(|one| figure(one, name)).collect()
        };
        let (wall, cpu) = (all("wall_seconds"), all("cpu_seconds"));
        cells.push(match wall.is_empty() {
            true => "-".to_owned(),
            false => format!("{} ({})", short(median(&wall)), short(median(&cpu))),
        });
    }
    let cpu = run_seconds(runs);
    cells.push(spread(&cpu, short));
    // Within each round: what disturbs a round disturbs both.
    let ratios = ours
        .map(|ours| -> Vec<f64> { cpu.iter().zip(ours).map(|(cpu, ours)| cpu / ours).collect() });
    cells.push(ratios.map_or("-".to_owned(), |ratios| spread(&ratios, short)));
    for name in ["rss_bytes", "anon_bytes", "file_bytes"] {
        let highest = |run: &Run| {
            let figures = run.iter().skip(1).map(|phase| figure(phase, name));
            mib(figures.fold(0.0, f64::max) as u64)
        };
        cells.push(short(median(&runs.iter().map(highest).collect::<Vec<_>>())));
    }
    let stored = |run: &Run| {
        run.last()
            .map_or(f64::NAN, |phase| figure(phase, "stored_bytes"))
    };
    let stored: Vec<f64> = runs.iter().map(|run| stored(run) / count as f64).collect();
    cells.push(short(median(&stored)));
    cells
}
