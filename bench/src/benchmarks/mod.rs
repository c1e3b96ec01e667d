//! The benchmarks: each answers one question of cost with one or more tables.

mod batches;
mod booru;
mod calls;
mod copies;
mod dictionary;
mod footprint;
mod ingest;
mod ledger;
mod postings;
mod ps;
mod reading;
mod run_cost;
mod similarity;
mod stall;
/// Tags and images, as the tests of the library take them.
#[path = "../../../lib/plimsoll/tests/tags/mod.rs"]
mod tags;
mod walks;

use clap::ValueEnum;

use crate::report::Report;
use crate::targets::Tool;

/// What is asked of the benchmarks.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) tool: Tool,
    pub(crate) rounds: usize,
    /// Only these numbers of mappings; all without any.
    pub(crate) vmas: Vec<usize>,
    /// Only these sizes; all without any.
    pub(crate) gib: Vec<usize>,
    /// Databases of image boards; one is made without any.
    pub(crate) boards: Vec<std::path::PathBuf>,
    /// Only these numbers of vectors; all without any.
    pub(crate) vectors: Vec<usize>,
    /// How many files come onto an image board.
    pub(crate) files: Option<usize>,
}

impl Plan {
    /// Those of `all` that were asked for.
    pub(crate) fn chosen(asked: &[usize], all: &[usize]) -> Vec<usize> {
        if asked.is_empty() {
            return all.to_vec();
        }
        asked.to_vec()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// A full breakdown, beside procfs, psutil, pmap and smem
    Reading,
    /// How long reading keeps the target from mapping memory
    Stall,
    /// Peak RSS of the tool itself
    Footprint,
    /// All processes, beside a plain loop over smaps_rollup
    Ps,
    /// The insides of allocators, for each 100 MiB
    Walks,
    /// `plimsoll run` at 10 Hz
    RunCost,
    /// The library's dictionary, beside lasso, fst and a hash map
    Dictionary,
    /// The library's postings, beside roaring
    Postings,
    /// The library's allocator that counts by tag, beside others that count
    Ledger,
    /// Copies of files, beside std and cp
    Stream,
    /// Archives edited and listed, beside the zip crate, Python and zip
    Zip,
    /// Walks that write, beside one long transaction that collects
    Batches,
    /// One call of budget, lazy, stage, monitor and worker, beside what programs take instead
    Calls,
    /// The image board, beside plain SQL over the same database
    Booru,
    /// The image board's search by embeddings, beside FAISS and numpy
    Similarity,
    /// Files that come onto the image board, beside Pillow and imagehash
    Ingest,
}

/// Does what this process was started for by a benchmark, if it was.
pub(crate) fn answer() -> Option<anyhow::Result<()>> {
    calls::answer_worker()
        .or_else(copies::answer_act)
        .or_else(batches::answer_act)
        .or_else(booru::answer_act)
        .or_else(similarity::answer_act)
}

impl Benchmark {
    pub(crate) const ALL: &[Benchmark] = &[
        Benchmark::Footprint,
        Benchmark::Reading,
        Benchmark::Stall,
        Benchmark::Ps,
        Benchmark::Walks,
        Benchmark::RunCost,
        Benchmark::Dictionary,
        Benchmark::Postings,
        Benchmark::Ledger,
        Benchmark::Stream,
        Benchmark::Zip,
        Benchmark::Batches,
        Benchmark::Calls,
        Benchmark::Booru,
        Benchmark::Similarity,
        Benchmark::Ingest,
    ];

    pub(crate) fn run(self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Benchmark::Reading => reading::run(plan, report),
            Benchmark::Stall => stall::run(plan, report),
            Benchmark::Footprint => footprint::run(plan, report),
            Benchmark::Ps => ps::run(plan, report),
            Benchmark::Walks => walks::run(plan, report),
            Benchmark::RunCost => run_cost::run(plan, report),
            Benchmark::Dictionary => dictionary::run(plan, report),
            Benchmark::Postings => postings::run(plan, report),
            Benchmark::Ledger => ledger::run(plan, report),
            Benchmark::Stream => copies::run_stream(plan, report),
            Benchmark::Zip => copies::run_zip(plan, report),
            Benchmark::Batches => batches::run(plan, report),
            Benchmark::Calls => calls::run(plan, report),
            Benchmark::Booru => booru::run(plan, report),
            Benchmark::Similarity => similarity::run(plan, report),
            Benchmark::Ingest => ingest::run(plan, report),
        }
    }
}
