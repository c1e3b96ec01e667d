//! The image board `booru`: load, bytes, searches and suggestions, beside plain SQL over the same file
//! with the settings of the original (64 MiB of page cache, 256 MiB mapped).
//!
//! Both answer the same: how many images match, and the first 150. Answers are compared before they are
//! timed. `--board FILE` names databases; without any, one of 13,028 images is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use plimsoll_booru::board::Board;
use plimsoll_booru::memory::Memory;
use plimsoll_booru::query::Category;
use plimsoll_booru::search::Page;
use plimsoll_booru::store::{Access, StoreOptions};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::{Value, json};

use crate::benchmarks::Plan;
use crate::cost::processor_time;
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::in_mib;

/// Databases as the tests of the board make them.
#[allow(
    clippy::unwrap_used,
    reason = "the tests' own source, where a panic is the report"
)]
#[path = "../../../apps/booru/tests/collection/mod.rs"]
mod collection;

mod original;

const ACT: &str = "--act-booru";
const PAGE: Page = Page {
    number: 1,
    images: 150,
};
const NEWEST: &str = "ingested_at IS NULL, ingested_at DESC, id DESC";

/// Repeats of one query: ours, and plain SQL until it has taken so long.
const REPEATS: usize = 200;
const REPEATS_OF_SQL: usize = 30;
const PATIENCE_WITH_SQL: Duration = Duration::from_secs(8);

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if !plan.boards.is_empty() {
        return plan
            .boards
            .iter()
            .try_for_each(|path| measure(path, report));
    }
    let folder = collection::Folder::new("bench");
    let size = collection::Size {
        images: 13_028,
        tags: 21_113,
        each: 48,
    };
    measure(
        &collection::make(&folder, collection::Era::Reordered, size, 1),
        report,
    )
}

fn options() -> StoreOptions {
    StoreOptions {
        access: Access::ReadOnly,
        cache_bytes: 4 << 20,
        patience: Duration::from_secs(5),
    }
}

fn measure(path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let board = Board::open(path, options())?;
    let images = board.catalog().images().len();
    let what = format!("{images} images, {} tags", board.catalog().tags().len());
    let asked = Asked::all(&board)?;
    measure_bytes(path, &what, images, report)?;
    measure_searches(&board, path, &asked, &what, report)?;
    measure_suggestions(&board, path, &what, report)
}

/// A query and what it asks in SQL: a condition on `i`, a row of `images`, with its values, and an order.
struct Asked {
    what: &'static str,
    query: String,
    condition: String,
    values: Vec<String>,
    order: &'static str,
}

const TAG: &str =
    "i.id IN (SELECT image_id FROM image_tags WHERE tag_id = (SELECT id FROM tags WHERE name = ?))";

impl Asked {
    fn of_tags(what: &'static str, query: String, tags: &[&String], order: &'static str) -> Asked {
        let conditions: Vec<&str> = tags.iter().map(|_| TAG).collect();
        Asked {
            what,
            query,
            condition: conditions.join(" AND "),
            values: tags.iter().map(|tag| (*tag).clone()).collect(),
            order,
        }
    }

    fn other(what: &'static str, query: &str, condition: &str) -> Asked {
        Asked {
            what,
            query: query.to_owned(),
            condition: condition.to_owned(),
            values: Vec::new(),
            order: NEWEST,
        }
    }

    /// The classes of queries of which the original was measured, and what it can not ask.
    fn all(board: &Board) -> anyhow::Result<Vec<Asked>> {
        let ranked = ranked(board, None);
        let character = ranked_first(board, Category::Character)?;
        let at = |rank: usize| ranked.get(rank).context("a collection of so few tags");
        let (first, second, third) = (at(0)?, at(1)?, at(2)?);
        let (tenth, hundredth, thousandth) = (at(9)?, at(99)?, at(999)?);
        let rare = at(ranked.len() * 2 / 5)?;
        let one = |what, tag: &String| Asked::of_tags(what, tag.clone(), &[tag], NEWEST);
        let all = |what, tags: &[&String]| {
            let query: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
            Asked::of_tags(what, query.join(" "), tags, NEWEST)
        };
        let without = |what, with: Option<&String>, tag: &String| {
            let tags: Vec<&String> = with.into_iter().chain([tag]).collect();
            let with = with.map_or(String::new(), |with| format!("{with} "));
            let mut asked = Asked::of_tags(what, format!("{with}-{tag}"), &tags, NEWEST);
            let at = asked.condition.len() - TAG.len();
            asked.condition.insert_str(at, "NOT ");
            asked
        };
        let score = "score IS NULL, score DESC, id DESC";
        let width = "image_width IS NULL, image_width DESC, id DESC";
        Ok(vec![
            Asked::other("empty (home)", "", "1"),
            one("1 tag, most frequent", first),
            one("1 tag, rank 10", tenth),
            one("1 tag, rank 100", hundredth),
            one("1 tag, rank 1,000", thousandth),
            one("1 tag, rare", rare),
            all("3 tags, frequent", &[first, second, third]),
            all(
                "3 tags, frequent and 2 rarer",
                &[first, hundredth, thousandth],
            ),
            all("character and 2 general", &[&character, first, second]),
            without("tag, not a frequent one", Some(tenth), first),
            without("not a frequent tag, alone", None, first),
            Asked::of_tags(
                "tag of a category",
                format!("character:{character}"),
                &[&character],
                NEWEST,
            ),
            Asked::of_tags(
                "tag by score",
                format!("{tenth} order:score"),
                &[tenth],
                score,
            ),
            Asked::of_tags(
                "frequent tag by width",
                format!("{first} order:width"),
                &[first],
                width,
            ),
            Asked::other(
                "rating",
                "rating:general",
                &TAG.replace('?', "'rating:general'"),
            ),
            Asked::other(
                "score and size",
                "score:>20 width:>=1000",
                "i.score > 20 AND i.image_width >= 1000",
            ),
            Asked::other(
                "source",
                "source:yandere",
                "i.id IN (SELECT image_id FROM image_sources WHERE source_id = \
                 (SELECT id FROM sources WHERE name = 'yandere'))",
            ),
            Asked::other(
                "part of a name or path",
                "\"kimo\"",
                "(instr(lower(i.filepath), 'kimo') > 0 OR i.id IN (SELECT image_id FROM tags CROSS JOIN \
                 image_tags ON tags.id = tag_id WHERE instr(lower(name), 'kimo') > 0))",
            ),
            Asked::other(
                "part of a path",
                "filename:77",
                "instr(lower(i.filepath), '77') > 0",
            ),
            Asked::other(
                "pattern",
                "*_hair",
                "i.id IN (SELECT image_id FROM tags CROSS JOIN image_tags ON tags.id = tag_id \
                 WHERE lower(name) GLOB '*_hair')",
            ),
        ])
    }

    fn count_sql(&self) -> String {
        format!("SELECT count(*) FROM images AS i WHERE {}", self.condition)
    }

    fn page_sql(&self) -> String {
        format!(
            "SELECT i.id FROM images AS i WHERE {} ORDER BY {} LIMIT 150",
            self.condition, self.order
        )
    }
}

/// Names by falling counts; of words that no query reads as something else.
fn ranked(board: &Board, category: Option<Category>) -> Vec<String> {
    let catalog = board.catalog();
    let tags = catalog.tags();
    let terms = tags.terms().filter(|(_, kind)| match category {
        None => kind.category().is_some(),
        category => kind.category() == category,
    });
    let mut counted: Vec<_> = terms
        .map(|(term, _)| (catalog.count_of(term), term))
        .collect();
    counted.sort_by_key(|(count, term)| (std::cmp::Reverse(*count), *term));
    let names = counted.into_iter().map(|(_, term)| tags.name(term));
    names
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .collect()
}

fn ranked_first(board: &Board, category: Category) -> anyhow::Result<String> {
    ranked(board, Some(category))
        .into_iter()
        .next()
        .context("a collection without characters")
}

/// A connection as the original opens it.
fn plain_sql(path: &Path) -> anyhow::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -65536)?;
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(100);
    Ok(connection)
}

fn ask_sql(connection: &Connection, asked: &Asked) -> anyhow::Result<(usize, Vec<u32>)> {
    let mut count = connection.prepare_cached(&asked.count_sql())?;
    let total = count.query_row(params_from_iter(&asked.values), |row| row.get(0))?;
    let mut page = connection.prepare_cached(&asked.page_sql())?;
    let ids = page.query_map(params_from_iter(&asked.values), |row| row.get(0))?;
    Ok((total, ids.collect::<Result<_, _>>()?))
}

fn ask(board: &Board, query: &str) -> anyhow::Result<(usize, Vec<u32>)> {
    let found = board.search(&query.parse()?, PAGE, 0)?;
    Ok((found.total, found.ids))
}

/// Milliseconds of wall clock and processor, sorted.
struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    fn of(
        repeats: usize,
        patience: Duration,
        mut act: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Times> {
        let mut times = Times {
            wall: Vec::new(),
            cpu: Vec::new(),
        };
        let begin = Instant::now();
        while times.wall.len() < repeats && (times.wall.len() < 3 || begin.elapsed() < patience) {
            let (wall, cpu) = (Instant::now(), processor_time());
            act()?;
            times.wall.push(wall.elapsed().as_secs_f64() * 1e3);
            times.cpu.push((processor_time() - cpu).as_secs_f64() * 1e3);
        }
        times.wall.sort_by(f64::total_cmp);
        times.cpu.sort_by(f64::total_cmp);
        Ok(times)
    }

    fn cells(&self) -> [String; 2] {
        let text = |of: &[f64]| {
            format!(
                "{} / {}",
                short(quantile(of, 0.5)),
                short(quantile(of, 0.95))
            )
        };
        [text(&self.cpu), text(&self.wall)]
    }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

fn measure_searches(
    board: &Board,
    path: &Path,
    asked: &[Asked],
    what: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let connection = plain_sql(path)?;
    let mut table = Table::new(
        format!("booru: count and first page of 150, milliseconds p50 / p95, {what}"),
        &[
            "",
            "images",
            "cpu",
            "wall",
            "plain SQL cpu",
            "wall",
            "cpu ratio",
            "original p50",
        ],
    );
    let mut worst: Option<Times> = None;
    for one in asked {
        let answer = ask(board, &one.query)?;
        ensure!(
            answer == ask_sql(&connection, one)?,
            "{}: plain SQL answers otherwise",
            one.query
        );
        let ours = Times::of(REPEATS, Duration::MAX, || ask(board, &one.query).map(drop))?;
        let theirs = Times::of(REPEATS_OF_SQL, PATIENCE_WITH_SQL, || {
            ask_sql(&connection, one).map(drop)
        })?;
        let [cpu, wall] = ours.cells();
        let [cpu_of_sql, wall_of_sql] = theirs.cells();
        let ratio = quantile(&theirs.cpu, 0.5) / quantile(&ours.cpu, 0.5);
        table.row(vec![
            one.what.to_owned(),
            answer.0.to_string(),
            cpu,
            wall,
            cpu_of_sql,
            wall_of_sql,
            short(ratio),
            original::search(one.what, board.catalog().images().len()),
        ]);
        table.raw(json!({
            "query": one.query,
            "cpu_milliseconds": ours.cpu,
            "wall_milliseconds": ours.wall,
            "sql_cpu_milliseconds": theirs.cpu,
        }));
        if worst
            .as_ref()
            .is_none_or(|worst| quantile(&worst.cpu, 0.95) < quantile(&ours.cpu, 0.95))
        {
            worst = Some(ours);
        }
    }
    table.note("Each query is parsed anew. Answers are the same; the ratio is of medians.");
    table.note(original::NOTE);
    report.table(table);
    report.bar(Bar {
        what: format!("booru: p95 of the slowest kind of search, cpu, {what}"),
        limit: Limit::Below(5.0),
        unit: "ms",
        found: worst.and_then(|worst| Spread::of(&[quantile(&worst.cpu, 0.95)])),
    });
    Ok(())
}

fn measure_suggestions(
    board: &Board,
    path: &Path,
    what: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let connection = plain_sql(path)?;
    let mut table = Table::new(
        format!("booru: suggestions, milliseconds p50 / p95, {what}"),
        &[
            "typed",
            "cpu",
            "wall",
            "plain SQL cpu",
            "wall",
            "original p50",
        ],
    );
    let sql = "SELECT name, (SELECT count(*) FROM image_tags WHERE tag_id = tags.id) AS used FROM tags \
               WHERE name LIKE '%' || ? || '%' AND used > 0 ORDER BY used DESC, id LIMIT 20";
    let mut worst = 0.0_f64;
    for typed in [
        "lo",
        "hair",
        "blu",
        "ka",
        "1g",
        "looking_at_v",
        "-smi",
        "blue_h",
        "qqxqq",
    ] {
        let ours = Times::of(REPEATS, Duration::MAX, || {
            drop(board.suggest(typed));
            Ok(())
        })?;
        let theirs = Times::of(REPEATS_OF_SQL, PATIENCE_WITH_SQL, || {
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([typed.trim_start_matches('-')], |row| {
                row.get::<_, String>(0)
            })?;
            names.collect::<Result<Vec<_>, _>>()?;
            Ok(())
        })?;
        let [cpu, wall] = ours.cells();
        let [cpu_of_sql, wall_of_sql] = theirs.cells();
        worst = worst.max(quantile(&ours.cpu, 0.95));
        let original = original::suggestion(typed, board.catalog().images().len());
        table.row(vec![
            typed.to_owned(),
            cpu,
            wall,
            cpu_of_sql,
            wall_of_sql,
            original,
        ]);
    }
    table.note(original::NOTE);
    report.table(table);
    report.bar(Bar {
        what: format!("booru: p95 of the slowest suggestion, cpu, {what}"),
        limit: Limit::Below(2.0),
        unit: "ms",
        found: Spread::of(&[worst]),
    });
    Ok(())
}

/// Each in a process of its own: this program once more.
fn measure_bytes(
    path: &Path,
    what: &str,
    images: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let is_large = images > 100_000;
    let told = |act: &str| -> anyhow::Result<Value> {
        let output = Command::new(std::env::current_exe()?)
            .args([ACT, act])
            .arg(path)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let (ours, theirs) = (told("board")?, told("sql")?);
    let mib = |value: &Value| {
        value
            .as_u64()
            .map_or("-".to_owned(), |bytes| short(in_mib(bytes)))
    };
    let mut table = Table::new(
        format!("booru: memory, MiB, {what}"),
        &["", "booru", "plain SQL", "original"],
    );
    for part in ours["memory"]["components"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = part["name"].as_str().unwrap_or("").to_owned();
        table.row(vec![
            name,
            mib(&part["bytes"]),
            String::new(),
            String::new(),
        ]);
    }
    table.row(vec![
        "what is of tags".to_owned(),
        mib(&ours["memory"]["tags_bytes"]),
        String::new(),
        String::new(),
    ]);
    for (name, key) in [
        ("RSS at rest", "rss"),
        ("of it anonymous", "anonymous"),
        ("RSS at its peak while it was loaded", "load_peak"),
        ("all kinds of queries add at their peak", "queries"),
        ("RSS behind them", "rss_behind"),
    ] {
        let original = original::memory(name, images);
        table.row(vec![
            name.to_owned(),
            mib(&ours[key]),
            mib(&theirs[key]),
            original,
        ]);
    }
    let seconds = ours["load_seconds"].as_f64().unwrap_or(0.0);
    table.note(format!("Loaded in {} s of processor time.", short(seconds)));
    table.note(original::NOTE);
    table.raw(json!({ "booru": ours, "sql": theirs }));
    report.table(table);
    let bars = [
        ("tag structures", &ours["memory"]["tags_bytes"], [6.0, 40.0]),
        ("RSS at rest", &ours["rss"], [40.0, 120.0]),
        ("what a request adds", &ours["queries"], [4.0, 4.0]),
    ];
    for (name, value, limits) in bars {
        report.bar(Bar {
            what: format!("booru: {name}, {what}"),
            limit: Limit::Below(limits[usize::from(is_large)]),
            unit: "MiB",
            found: value
                .as_u64()
                .and_then(|bytes| Spread::of(&[in_mib(bytes)])),
        });
    }
    Ok(())
}

/// Loads a board, or opens a connection, asks all kinds of queries, and tells what that took.
pub(crate) fn answer_act() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != ACT {
        return None;
    }
    let act = arguments.next()?;
    let path = PathBuf::from(arguments.next()?);
    Some(tell(&act, &path))
}

fn tell(act: &str, path: &Path) -> anyhow::Result<()> {
    let cpu = processor_time();
    // The queries of both are chosen by what a board knows; it is gone before plain SQL begins.
    let board = Board::open(path, options())?;
    let load_seconds = (processor_time() - cpu).as_secs_f64();
    let asked = Asked::all(&board)?;
    // SAFETY: it takes a number and only looks after malloc's own free memory, under its locks.
    unsafe { libc::malloc_trim(0) };
    let load_peak = status("VmHWM:")?;
    let memory = Memory::read(&board.catalog())?;
    let told = match act {
        "board" => {
            let rest = reset_peak()?;
            asked
                .iter()
                .try_for_each(|one| ask(&board, &one.query).map(drop))?;
            json!({
                "memory": memory,
                "load_seconds": load_seconds,
                "load_peak": load_peak,
                "rss": memory.rss_bytes,
                "anonymous": memory.anonymous_bytes,
                "queries": status("VmHWM:")?.saturating_sub(rest),
                "rss_behind": status("VmRSS:")?,
            })
        }
        "sql" => {
            drop(board);
            // SAFETY: as above.
            unsafe { libc::malloc_trim(0) };
            let connection = plain_sql(path)?;
            let rest = reset_peak()?;
            asked
                .iter()
                .try_for_each(|one| ask_sql(&connection, one).map(drop))?;
            json!({
                "rss": rest,
                "queries": status("VmHWM:")?.saturating_sub(rest),
                "rss_behind": status("VmRSS:")?,
            })
        }
        other => bail!("{other}: no such act"),
    };
    println!("{told}");
    Ok(())
}

/// Resets the kernel's high-water mark of RSS (proc_pid_clear_refs(5)); RSS now.
fn reset_peak() -> anyhow::Result<u64> {
    fs::write("/proc/self/clear_refs", "5").context("reset the high-water mark of RSS")?;
    status("VmRSS:")
}

fn status(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("a line of /proc/self/status")?.parse::<u64>()? << 10)
}
