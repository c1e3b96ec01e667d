//! Files that come onto an image board: `booru import` beside the same steps with Pillow and imagehash, in turns
//! over the same files. Both have to come to the same sums, sizes and hashes, which is compared first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::benchmarks::Plan;
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::in_mib;

const FILES: usize = 1000;
const WORKERS: usize = 2;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ingest.py");

/// Effort of WebP: ours, and the original's.
const METHODS: [usize; 2] = [4, 6];

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let scene = Scene::new(plan)?;
    let mut ours = Taken::default();
    let mut theirs = METHODS.map(|_| Taken::default());
    for round in 0..plan.rounds {
        ours.add(&scene.import(round)?)?;
        for (taken, method) in theirs.iter_mut().zip(METHODS) {
            taken.add(&scene.python(round, method)?)?;
        }
        scene.compare(round)?;
    }
    let mut table = Table::new(
        format!(
            "booru: {} JPEG and PNG files of 1 to 4 million pixels come in",
            scene.files
        ),
        &[
            "who",
            "images a second",
            "processor ms an image",
            "peak RSS",
        ],
    );
    table.row(ours.cells("booru import, WebP effort 4, all durable"));
    for (taken, method) in theirs.iter().zip(METHODS) {
        table.row(taken.cells(&format!("Python, Pillow, imagehash, WebP effort {method}")));
    }
    table.note(
        "Two threads each, from the first file to the last. Sums, sizes and hashes are the same. Python \
         copies files and commits rows without waiting for the disk.",
    );
    let raw = [
        ("booru", &ours),
        ("method 4", &theirs[0]),
        ("method 6", &theirs[1]),
    ];
    for (who, taken) in raw {
        table.raw(json!({"who": who, "rates": taken.rates, "cpu": taken.cpu, "rss": taken.rss}));
    }
    report.table(table);
    report.bar(Bar {
        what: "booru: images a second of an import, beside Python with the same effort of WebP"
            .into(),
        limit: Limit::AtLeast(1.0),
        unit: "times",
        found: Spread::of_ratios(&ours.rates, &theirs[0].rates),
    });
    Ok(())
}

/// Figures of the rounds.
#[derive(Default)]
struct Taken {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    rss: Vec<f64>,
}

impl Taken {
    fn add(&mut self, told: &Value) -> anyhow::Result<()> {
        let figure = |name: &str| {
            let figure = told[name].as_f64();
            figure.with_context(|| format!("{name} is not in {told}"))
        };
        let files = figure("taken_in")?;
        self.rates.push(files / figure("seconds")?);
        self.cpu.push(1000.0 * figure("cpu_seconds")? / files);
        self.rss.push(figure("rss_peak_bytes")?);
        Ok(())
    }

    fn cells(&self, who: &str) -> Vec<String> {
        let text = |figures: &[f64]| Spread::of(figures).map_or(String::new(), |all| all.text());
        let rss = self.rss.iter().copied().fold(0.0, f64::max);
        vec![
            who.to_owned(),
            text(&self.rates),
            text(&self.cpu),
            format!("{} MiB", short(in_mib(rss as u64))),
        ]
    }
}

/// Pictures, and where they are taken in; gone at the end.
struct Scene {
    folder: PathBuf,
    files: usize,
    booru: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Scene {
    fn new(plan: &Plan) -> anyhow::Result<Scene> {
        let folder = std::env::temp_dir().join(format!("bench-ingest-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let files = plan.files.unwrap_or(FILES);
        let scene = Scene {
            folder,
            files,
            booru: built()?,
        };
        let made = python(&[
            "make".as_ref(),
            &scene.pictures(),
            files.to_string().as_ref(),
        ]);
        made.context("make pictures; it takes `pip install pillow imagehash`")?;
        Ok(scene)
    }

    fn pictures(&self) -> PathBuf {
        self.folder.join("pictures")
    }

    fn import(&self, round: usize) -> anyhow::Result<Value> {
        let board = self.folder.join(format!("board{round}"));
        let created = Command::new(&self.booru)
            .arg("create")
            .arg(&board)
            .output()?;
        ensure!(created.status.success(), "{created:?}");
        let output = Command::new(&self.booru)
            .args(["import", "--json", "--max-workers", &WORKERS.to_string()])
            .args([board, self.pictures()])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn python(&self, round: usize, method: usize) -> anyhow::Result<Value> {
        let board = self.python_board(round, method);
        let (workers, method) = (WORKERS.to_string(), method.to_string());
        let told = python(&[
            "take".as_ref(),
            &self.pictures(),
            &board,
            workers.as_ref(),
            method.as_ref(),
        ])?;
        Ok(serde_json::from_str(&told)?)
    }

    fn python_board(&self, round: usize, method: usize) -> PathBuf {
        self.folder.join(format!("python{round}-{method}"))
    }

    /// Fails where both do not say the same of a file, and makes room.
    fn compare(&self, round: usize) -> anyhow::Result<()> {
        let board = self.folder.join(format!("board{round}"));
        let ours = rows(
            &board.join("data/booru.db"),
            "SELECT md5, image_width || ' ' || image_height || ' ' || phash || ' ' || colorhash FROM images",
        )?;
        for method in METHODS {
            let theirs = rows(
                &self.python_board(round, method).join("images.db"),
                "SELECT md5, width || ' ' || height || ' ' || phash || ' ' || colorhash FROM images",
            )?;
            for (md5, row) in &theirs {
                if ours.get(md5) != Some(row) {
                    bail!("{md5} is {:?} and with Python {row:?}", ours.get(md5));
                }
            }
            ensure!(ours.len() == theirs.len(), "not as many rows");
            fs::remove_dir_all(self.python_board(round, method))?;
        }
        fs::remove_dir_all(board)?;
        Ok(())
    }
}

fn rows(path: &Path, sql: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let connection = Connection::open(path)?;
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn python(arguments: &[&Path]) -> anyhow::Result<String> {
    let output = Command::new("python3").arg(SCRIPT).args(arguments).output();
    let output = output.context("failed to start python3")?;
    if !output.status.success() {
        bail!("{SCRIPT}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The release build of the workspace beside this folder.
fn built() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("bench/ lies in the workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "plimsoll-booru",
        ])
        .arg("--target-dir")
        .arg(root.join("target"))
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "failed to build booru ({status})");
    Ok(root.join("target/release/booru"))
}
