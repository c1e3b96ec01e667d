//! Plimsoll beside other readers of process memory: tables of figures that were measured in turns
//! (A B C A B C …) in one run, so that a busy machine disturbs all alike.
//!
//! It prints, and writes nothing but the file that `--json` names.

mod benchmarks;
mod command;
mod cost;
mod machine;
mod peers;
mod race;
mod report;
mod spread;
mod table;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use benchmarks::Benchmark;
use report::Report;
use targets::Tool;

/// Measures plimsoll beside the peers that this machine has.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure [default: all]
    #[arg(value_enum)]
    benchmarks: Vec<Benchmark>,
    /// Measured rounds, after one that warms up
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Take this `plimsoll` instead of building the one beside this folder
    #[arg(long, value_name = "FILE")]
    plimsoll: Option<PathBuf>,
    /// Also write all tables and every single figure here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this many mappings (reading, stall)
    #[arg(long, value_name = "COUNT")]
    vmas: Vec<usize>,
    /// Only this many GiB (reading)
    #[arg(long, value_name = "COUNT")]
    gib: Vec<usize>,
    /// Databases of image boards (booru); without any, one is made
    #[arg(long, value_name = "FILE")]
    board: Vec<PathBuf>,
    /// Only this many vectors (similarity)
    #[arg(long, value_name = "COUNT")]
    vectors: Vec<usize>,
    /// How many files come onto an image board (ingest) [default: 1000]
    #[arg(long, value_name = "COUNT")]
    files: Option<usize>,
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(answered) = command::answer_peak_rss() {
        return answered.map(|()| ExitCode::SUCCESS);
    }
    if let Some(done) = benchmarks::answer() {
        return done.map(|()| ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    if arguments.rounds == 0 {
        anyhow::bail!("give at least one round");
    }
    let tool = Tool::find(arguments.plimsoll.as_deref())?;
    let plan = benchmarks::Plan {
        tool,
        rounds: arguments.rounds,
        vmas: arguments.vmas,
        gib: arguments.gib,
        boards: arguments.board,
        vectors: arguments.vectors,
        files: arguments.files,
    };
    let chosen = if arguments.benchmarks.is_empty() {
        Benchmark::ALL.to_vec()
    } else {
        arguments.benchmarks
    };
    let mut report = Report::start(&plan.tool);
    for benchmark in chosen {
        benchmark.run(&plan, &mut report)?;
    }
    report.finish();
    if let Some(path) = arguments.json {
        std::fs::write(&path, report.to_json())
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
