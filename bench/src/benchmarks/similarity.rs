//! Search by embeddings: `booru` beside FAISS IndexFlatIP and a product of matrices in numpy, over the same
//! `similarity.db`.
//!
//! Vectors are made, 60 about each of some centres, as those of images are; each contestant is a process of
//! its own, one after the other in turns, and answers the same questions: the 50 images most like one. The
//! Python that is asked has numpy and faiss: `python3`, or what BENCH_PYTHON names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use plimsoll::budget::{Budget, Policy};
use plimsoll_booru::similarity::{Kind, Semantic, SemanticOptions};
use plimsoll_booru::store::Access;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::benchmarks::Plan;
use crate::cost::processor_time_of_all;
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::in_mib;

const ACT: &str = "--act-similarity";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/flat_ip.py");
const DIMENSIONS: usize = 1024;
const SIZES: [usize; 2] = [15_000, 200_000];
const QUERIES: usize = 60;
const K: usize = 50;
const ROUNDS_MAX: usize = 3;

/// As the board has it.
const HELD_MIB: u64 = 64;

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for size in Plan::chosen(&plan.vectors, &SIZES) {
        let folder = Scratch::new(size)?;
        make(&folder.0, size)?;
        measure(&folder.0, size, plan.rounds.min(ROUNDS_MAX), report)?;
    }
    Ok(())
}

/// A folder of its own, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(size: usize) -> anyhow::Result<Scratch> {
        let name = format!("plimsoll-bench-vectors-{}-{size}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// SplitMix64, and normal numbers by Box and Muller.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f32 {
        ((self.next() >> 40) as f32 + 0.5) / (1 << 24) as f32
    }

    fn normal(&mut self, numbers: usize) -> Vec<f32> {
        let mut vector = Vec::with_capacity(numbers);
        while vector.len() < numbers {
            let (length, angle) = (
                (-2.0 * self.unit().ln()).sqrt(),
                self.unit() * std::f32::consts::TAU,
            );
            vector.extend([length * angle.cos(), length * angle.sin()]);
        }
        vector.truncate(numbers);
        vector
    }
}

fn normalize(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    vector.iter_mut().for_each(|number| *number /= length);
}

/// A `similarity.db` as the original makes it.
fn make(folder: &Path, size: usize) -> anyhow::Result<()> {
    let mut random = Random(size as u64);
    let mut centres = Vec::new();
    for _ in 0..(size / 60).max(8) {
        let mut centre = random.normal(DIMENSIONS);
        normalize(&mut centre);
        centres.push(centre);
    }
    let database = Connection::open(folder.join("similarity.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN; CREATE TABLE embeddings (\
         image_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP); \
         CREATE INDEX idx_embeddings_created_at ON embeddings(created_at);",
    )?;
    let spread = 0.7 / (DIMENSIONS as f32).sqrt();
    let sql = "INSERT INTO embeddings VALUES (?1, ?2, '2026-01-08 00:00:00')";
    let mut insert = database.prepare(sql)?;
    for image in 1..=size {
        let centre = &centres[(random.next() % centres.len() as u64) as usize];
        let mut vector = random.normal(DIMENSIONS);
        for (number, centre) in vector.iter_mut().zip(centre) {
            *number = centre + *number * spread;
        }
        normalize(&mut vector);
        let bytes: Vec<u8> = vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        insert.execute(params![image, bytes])?;
    }
    drop(insert);
    database.execute_batch("COMMIT")?;
    Ok(())
}

/// Who answers, in what way.
#[derive(Clone, Debug)]
struct Contestant {
    name: &'static str,
    command: Vec<String>,
    /// Rounds told so far; the last error where it can't be asked.
    told: Vec<Value>,
    skipped: Option<String>,
}

impl Contestant {
    fn ours(
        name: &'static str,
        folder: &Path,
        kind: Kind,
        held_mib: u64,
        threads: usize,
    ) -> anyhow::Result<Contestant> {
        let own = std::env::current_exe()?;
        let command = vec![
            own.display().to_string(),
            ACT.to_owned(),
            folder.display().to_string(),
            kind.to_string(),
            held_mib.to_string(),
            threads.to_string(),
        ];
        Ok(Contestant {
            name,
            command,
            told: Vec::new(),
            skipped: None,
        })
    }

    fn peer(
        name: &'static str,
        peer: &str,
        folder: &Path,
        queries: &str,
        threads: usize,
    ) -> Contestant {
        let python = std::env::var("BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let command = [
            python.as_str(),
            SCRIPT,
            peer,
            &folder.display().to_string(),
            queries,
            &K.to_string(),
            &threads.to_string(),
        ];
        Contestant {
            name,
            command: command.map(str::to_owned).into(),
            told: Vec::new(),
            skipped: None,
        }
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        let output = Command::new(&self.command[0])
            .args(&self.command[1..])
            .output();
        let output = match output {
            Ok(output) if output.status.success() => output,
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                ensure!(
                    error.contains("ModuleNotFoundError"),
                    "{}: {error}",
                    self.name
                );
                self.skipped = Some(
                    "skipped: pip install numpy faiss-cpu, and name that Python by BENCH_PYTHON"
                        .to_owned(),
                );
                return Ok(());
            }
            Err(error) => {
                self.skipped = Some(format!("skipped: {error}"));
                return Ok(());
            }
        };
        self.told.push(serde_json::from_slice(&output.stdout)?);
        Ok(())
    }

    /// Of all rounds, sorted.
    fn times(&self, clock: &str) -> Vec<f64> {
        let rounds = self.told.iter().filter_map(|told| told[clock].as_array());
        let mut times: Vec<f64> = rounds.flatten().filter_map(Value::as_f64).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn median(&self, figure: &str) -> Option<f64> {
        let figures: Vec<f64> = self
            .told
            .iter()
            .filter_map(|told| told[figure].as_f64())
            .collect();
        Spread::of(&figures).map(|spread| spread.median)
    }
}

/// Evenly among all.
fn queries(size: usize) -> Vec<u32> {
    (0..QUERIES)
        .map(|number| (1 + number * size / QUERIES) as u32)
        .collect()
}

fn measure(folder: &Path, size: usize, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let asked = serde_json::to_string(&queries(size))?;
    let ours =
        |name, kind, held_mib, threads| Contestant::ours(name, folder, kind, held_mib, threads);
    let peer = |name, peer, threads| Contestant::peer(name, peer, folder, &asked, threads);
    let mut contestants = vec![
        ours("booru, int8", Kind::Int8, HELD_MIB, 1)?,
        peer("FAISS IndexFlatIP", "faiss", 1),
        peer("numpy", "numpy", 1),
        ours("booru, int8, 2 threads", Kind::Int8, HELD_MIB, 2)?,
        peer("FAISS, 2 threads", "faiss", 2),
        ours("booru, int8, nothing held", Kind::Int8, 0, 1)?,
        ours("booru, int8, all held", Kind::Int8, 1024, 1)?,
        ours("booru, f16", Kind::F16, HELD_MIB, 1)?,
    ];
    for round in 0..=rounds {
        for one in &mut contestants {
            one.ask()?;
            if round == 0 {
                // It has warmed up files and caches.
                one.told.clear();
            }
        }
    }
    let what = format!("{size} vectors of {DIMENSIONS} numbers");
    check(&contestants, &what)?;
    tell_times(&contestants, &what, report);
    tell_bytes(&contestants, &what, report);
    tell_bars(&contestants, size, &what, report);
    Ok(())
}

/// All of ours answer the same, and so do the others but for what sums in `f32` swap.
fn check(contestants: &[Contestant], what: &str) -> anyhow::Result<()> {
    let answers = |one: &Contestant| -> Option<Vec<Vec<u64>>> {
        serde_json::from_value(one.told.first()?["answers"].clone()).ok()
    };
    let Some(first) = answers(&contestants[0]) else {
        return Ok(());
    };
    for one in &contestants[1..] {
        let Some(other) = answers(one) else {
            continue;
        };
        let same = first
            .iter()
            .zip(&other)
            .map(|(first, other)| first.iter().filter(|image| other.contains(image)).count());
        let share = same.sum::<usize>() as f64 / (QUERIES * K) as f64;
        let is_ours = one.name.starts_with("booru");
        ensure!(
            if is_ours {
                first == other
            } else {
                share > 0.995
            },
            "{}: {share} of its answers are ours, {what}",
            one.name
        );
    }
    Ok(())
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

fn tell_times(contestants: &[Contestant], what: &str, report: &mut Report) {
    let mut table = Table::new(
        format!("similarity: the {K} most like one, milliseconds p50 / p95, {what}"),
        &[
            "",
            "wall",
            "cpu",
            "FAISS cpu / this",
            "build s",
            "open s",
            "recall of codes alone",
        ],
    );
    let faiss = contestants[1].times("cpu");
    for one in contestants {
        if let Some(reason) = &one.skipped {
            table.row(vec![one.name.to_owned(), reason.clone()]);
            continue;
        }
        let (wall, cpu) = (one.times("wall"), one.times("cpu"));
        let cell = |times: &[f64]| {
            format!(
                "{} / {}",
                short(quantile(times, 0.5)),
                short(quantile(times, 0.95))
            )
        };
        let ratio = match faiss.is_empty() {
            true => "-".to_owned(),
            false => short(quantile(&faiss, 0.5) / quantile(&cpu, 0.5)),
        };
        let figure = |name| one.median(name).map_or("-".to_owned(), short);
        table.row(vec![
            one.name.to_owned(),
            cell(&wall),
            cell(&cpu),
            ratio,
            figure("build_seconds"),
            figure("open_seconds"),
            figure("recall"),
        ]);
        table.raw(json!({ "name": one.name, "rounds": one.told }));
    }
    table.note("Ours read the vector they ask by from the database; the others have it.");
    table.note("Ours answer the same to the last place; the others but for sums in f32 that differ in the last bits.");
    report.table(table);
}

fn tell_bytes(contestants: &[Contestant], what: &str, report: &mut Report) {
    let mut table = Table::new(
        format!("similarity: RSS of the process, MiB, {what}"),
        &[
            "",
            "before",
            "as built or opened",
            "while used",
            "its peak",
            "behind",
            "while used, above before",
            "anonymous behind, above before",
        ],
    );
    for one in contestants.iter().filter(|one| one.skipped.is_none()) {
        let mib = |name| {
            one.median(name)
                .map_or("-".to_owned(), |bytes| short(in_mib(bytes as u64)))
        };
        let above = |figure, before| match (one.median(figure), one.median(before)) {
            (Some(bytes), Some(before)) => short(in_mib((bytes - before).max(0.0) as u64)),
            _ => "-".to_owned(),
        };
        table.row(vec![
            one.name.to_owned(),
            mib("rss_before"),
            mib("rss_built"),
            mib("rss_used"),
            mib("rss_peak"),
            mib("rss_idle"),
            above("rss_used", "rss_before"),
            above("anonymous_idle", "anonymous_before"),
        ]);
    }
    report.table(table);
}

fn tell_bars(contestants: &[Contestant], size: usize, what: &str, report: &mut Report) {
    let ours = &contestants[0];
    let mib = |name| {
        ours.median(name)
            .and_then(|bytes| Spread::of(&[in_mib(bytes as u64)]))
    };
    let limit = match size {
        ..100_000 => 64.0,
        _ => 160.0,
    };
    report.bar(Bar {
        what: format!("similarity: RSS while used, {what}"),
        limit: Limit::Below(limit),
        unit: "MiB",
        found: mib("rss_peak"),
    });
    let above = match (
        ours.median("anonymous_idle"),
        ours.median("anonymous_before"),
    ) {
        (Some(idle), Some(before)) => Spread::of(&[in_mib((idle - before).max(0.0) as u64)]),
        _ => None,
    };
    report.bar(Bar {
        what: format!("similarity: anonymous RSS behind idleness, above before, {what}"),
        limit: Limit::Below(2.0),
        unit: "MiB",
        found: above,
    });
    let (faiss, cpu) = (contestants[1].times("cpu"), ours.times("cpu"));
    report.bar(Bar {
        what: format!("similarity: FAISS's processor time by ours, p50, {what}"),
        limit: Limit::AtLeast(1.0),
        unit: "times",
        found: (!faiss.is_empty() && !cpu.is_empty())
            .then(|| Spread::of(&[quantile(&faiss, 0.5) / quantile(&cpu, 0.5)]))
            .flatten(),
    });
}

/// Builds, opens and searches once, and tells what that took.
pub(crate) fn answer_act() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != ACT {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    let kind = match arguments.next()?.as_str() {
        "f16" => Kind::F16,
        "f32" => Kind::F32,
        _ => Kind::Int8,
    };
    let held_mib = arguments.next()?.parse().ok()?;
    let threads = arguments.next()?.parse().ok()?;
    Some(tell(&folder, kind, held_mib, threads))
}

fn tell(folder: &Path, kind: Kind, held_mib: u64, threads: usize) -> anyhow::Result<()> {
    let options = SemanticOptions {
        access: Access::InPlace,
        kind,
        held_bytes_max: held_mib << 20,
        idle_timeout: Duration::from_secs(300),
        threads,
        patience: Duration::from_secs(5),
    };
    let semantic = Semantic::new(folder, options, &Budget::new(1 << 40, Policy::Greedy));
    let (before, anonymous_before) = (status("VmRSS:")?, status("RssAnon:")?);
    let begin = Instant::now();
    let survey = semantic.build()?.context("vectors were made")?;
    let build_seconds = begin.elapsed().as_secs_f64();
    semantic.unload();
    let queries = queries(survey.vectors as usize);
    let all = |_: u32| true;
    let begin = Instant::now();
    semantic.similar_to(queries[0], K, &all)?;
    let open_seconds = begin.elapsed().as_secs_f64();
    let built = status("VmRSS:")?;
    let (mut wall, mut cpu, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for query in &queries {
        let (begin, processor) = (Instant::now(), processor_time_of_all());
        let found = semantic
            .similar_to(*query, K, &all)?
            .context("it has a vector")?;
        cpu.push((processor_time_of_all() - processor).as_secs_f64() * 1e3);
        wall.push(begin.elapsed().as_secs_f64() * 1e3);
        answers.push(found.iter().map(|one| one.id).collect::<Vec<u32>>());
    }
    let (used, peak) = (status("VmRSS:")?, status("VmHWM:")?);
    let mut same = 0;
    for (query, answer) in queries.iter().zip(&answers) {
        let vector = semantic.vector(*query)?.context("it has a vector")?;
        let found = semantic.search_codes(&vector, K + 1)?;
        let others = found.iter().filter(|one| one.id != *query).take(K);
        same += others.filter(|one| answer.contains(&one.id)).count();
    }
    semantic.unload_if_idle(Instant::now() + Duration::from_secs(301));
    let told = json!({
        "build_seconds": build_seconds,
        "open_seconds": open_seconds,
        "rss_before": before,
        "anonymous_before": anonymous_before,
        "anonymous_idle": status("RssAnon:")?,
        "rss_built": built,
        "rss_used": used,
        "rss_peak": peak,
        "rss_idle": status("VmRSS:")?,
        "wall": wall,
        "cpu": cpu,
        "answers": answers,
        "recall": same as f64 / (QUERIES * K) as f64,
    });
    println!("{told}");
    Ok(())
}

fn status(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("a line of /proc/self/status")?.parse::<u64>()? << 10)
}
