//! How long a reader keeps its target from changing its mappings: a subject maps 64 KiB, touches
//! them and unmaps them, over and over, and tells how long that took it while someone reads it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_probe::MethodChoice;
use plimsoll_subjects::Subject;
use serde_json::{Value, json};

use crate::benchmarks::Plan;
use crate::peers::own;
use crate::peers::plain::PlainReader;
use crate::report::{Bar, Limit, Report};
use crate::spread::{Spread, short};
use crate::table::Table;
use crate::targets::{GIB, room_for};

const VMAS: &[usize] = &[1, 100, 20_000];
const SIZE_GIB: usize = 4;

/// Promised: the 99th percentile grows by less than this.
const ADDED_P99_MAX_MICROSECONDS: f64 = 100.0;

/// How long one turn lasts: many readings back to back, or two at 1 Hz.
const TURN: Duration = Duration::from_millis(2000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    /// Costs a core as the others do, and takes no lock: what is left is the lock's.
    Statm,
    Smaps,
    Rollup,
    Plimsoll,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    name: &'static str,
    what: What,
    /// Time from the start of one reading to the next; back to back without.
    every: Option<Duration>,
}

const SECOND: Option<Duration> = Some(Duration::from_secs(1));

const READERS: &[Reader] = &[
    reader("nobody", What::Nothing, None),
    reader("statm, back to back (no lock)", What::Statm, None),
    reader("plain smaps, back to back", What::Smaps, None),
    reader("smaps_rollup, back to back", What::Rollup, None),
    reader("plimsoll, back to back", What::Plimsoll, None),
    reader("plain smaps, 1 Hz", What::Smaps, SECOND),
    reader("smaps_rollup, 1 Hz", What::Rollup, SECOND),
    reader("plimsoll, 1 Hz", What::Plimsoll, SECOND),
];

const fn reader(name: &'static str, what: What, every: Option<Duration>) -> Reader {
    Reader { name, what, every }
}

/// What one turn showed.
#[derive(Clone, Debug, Default)]
struct Turn {
    /// Of the target's operation, in microseconds.
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// Of single readings, in milliseconds.
    readings: Vec<f64>,
    /// What plimsoll says was its longest hold, in microseconds.
    claimed: Option<f64>,
}

pub(crate) fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for &vmas in &Plan::chosen(&plan.vmas, VMAS) {
        let title = format!("stall of the target: {vmas} VMAs, {SIZE_GIB} GiB");
        if let Err(reason) = room_for(SIZE_GIB * GIB) {
            let mut table = Table::new(title, &["reader"]);
            table.row(vec![reason]);
            report.table(table);
            continue;
        }
        stall(plan, report, title, vmas)?;
    }
    Ok(())
}

fn stall(plan: &Plan, report: &mut Report, title: String, vmas: usize) -> anyhow::Result<()> {
    let mib = (SIZE_GIB * 1024).to_string();
    let arguments = ["--mib", &mib, "--vmas", &vmas.to_string()];
    let mut subject = Subject::start("mmap_stall", &arguments);
    let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); READERS.len()];
    for round in 0..=plan.rounds {
        for (reader, turns) in READERS.iter().zip(&mut turns) {
            let turn = take_turn(&mut subject, *reader)?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let mut table = Table::new(
        title,
        &[
            "reader",
            "reading ms",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "max us",
            "added p99 us",
            "claimed max us",
        ],
    );
    let alone = &turns[0];
    for (reader, turns) in READERS.iter().zip(&turns) {
        table.row(row(reader, turns, alone));
        table.raw(raw(reader, turns));
        if reader.what == What::Plimsoll {
            report.bar(Bar {
                what: format!(
                    "{}: added stall p99, {vmas} VMAs, {SIZE_GIB} GiB",
                    reader.name
                ),
                limit: Limit::Below(ADDED_P99_MAX_MICROSECONDS),
                unit: "us",
                found: added_p99(turns, alone),
            });
        }
    }
    table.note(
        "The target's operation: mmap 64 KiB, touch, munmap. Added p99: to the round's own turn \
         with nobody reading. Claimed: the longest hold of the mm lock that plimsoll itself says, \
         its own waiting for the lock or a core included.",
    );
    report.table(table);
    Ok(())
}

fn take_turn(subject: &mut Subject, reader: Reader) -> anyhow::Result<Turn> {
    let stop = AtomicBool::new(false);
    let pid = subject.pid;
    let (answer, read) = thread::scope(|scope| {
        let reading = scope.spawn(|| read_until(&stop, pid, reader));
        subject.tell("start");
        thread::sleep(TURN);
        let answer = subject.tell("take");
        stop.store(true, Ordering::Relaxed);
        (answer, reading.join())
    });
    let Ok(read) = read else {
        anyhow::bail!("the reader {:?} panicked", reader.name);
    };
    let (readings, claimed) = read?;
    Ok(Turn {
        p50: microseconds(&answer, "p50_nanoseconds"),
        p99: microseconds(&answer, "p99_nanoseconds"),
        p999: microseconds(&answer, "p999_nanoseconds"),
        max: microseconds(&answer, "max_nanoseconds"),
        readings,
        claimed,
    })
}

type Readings = (Vec<f64>, Option<f64>);

fn read_until(stop: &AtomicBool, pid: u32, reader: Reader) -> anyhow::Result<Readings> {
    let mut plain = PlainReader::new();
    let mut readings = Vec::new();
    let mut claimed: Option<f64> = None;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        match reader.what {
            What::Nothing => thread::sleep(Duration::from_millis(1)),
            What::Statm => _ = plain.read(pid, "statm")?,
            What::Smaps => _ = plain.read(pid, "smaps")?,
            What::Rollup => _ = plain.read(pid, "smaps_rollup")?,
            What::Plimsoll => {
                let (_, cost) = own::read(pid, MethodChoice::Auto)?;
                let hold = cost.longest_hold.as_secs_f64() * 1e6;
                claimed = Some(claimed.map_or(hold, |most| most.max(hold)));
            }
        }
        let took = started.elapsed();
        if reader.what != What::Nothing {
            readings.push(took.as_secs_f64() * 1e3);
        }
        wait(stop, started, reader.every);
    }
    Ok((readings, claimed))
}

/// Until `every` has passed since `started`, or the turn is over.
fn wait(stop: &AtomicBool, started: Instant, every: Option<Duration>) {
    let Some(every) = every else { return };
    while started.elapsed() < every && !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn row(reader: &Reader, turns: &[Turn], alone: &[Turn]) -> Vec<String> {
    let of = |figure: fn(&Turn) -> f64| {
        let figures: Vec<f64> = turns.iter().map(figure).collect();
        Spread::of(&figures).map_or("-".to_owned(), |spread| spread.text())
    };
    let readings: Vec<f64> = turns
        .iter()
        .flat_map(|turn| turn.readings.clone())
        .collect();
    let claimed: Vec<f64> = turns.iter().filter_map(|turn| turn.claimed).collect();
    let text = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| spread.text());
    vec![
        reader.name.to_owned(),
        Spread::of(&readings).map_or("-".to_owned(), |spread| short(spread.median)),
        of(|turn| turn.p50),
        of(|turn| turn.p99),
        of(|turn| turn.p999),
        of(|turn| turn.max),
        match reader.what {
            What::Nothing => "-".to_owned(),
            _ => text(added_p99(turns, alone)),
        },
        text(Spread::of(&claimed)),
    ]
}

/// Round by round.
fn added_p99(turns: &[Turn], alone: &[Turn]) -> Option<Spread> {
    let added: Vec<f64> = turns
        .iter()
        .zip(alone)
        .map(|(turn, alone)| turn.p99 - alone.p99)
        .collect();
    Spread::of(&added)
}

fn raw(reader: &Reader, turns: &[Turn]) -> Value {
    let of = |figure: fn(&Turn) -> f64| turns.iter().map(figure).collect::<Vec<f64>>();
    json!({
        "name": reader.name,
        "p50_microseconds": of(|turn| turn.p50),
        "p99_microseconds": of(|turn| turn.p99),
        "p999_microseconds": of(|turn| turn.p999),
        "max_microseconds": of(|turn| turn.max),
        "readings": turns.iter().map(|turn| turn.readings.len()).collect::<Vec<_>>(),
        "claimed_max_microseconds": turns.iter().map(|turn| turn.claimed).collect::<Vec<_>>(),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of an operation are far below 2^52"
)]
fn microseconds(answer: &Value, key: &str) -> f64 {
    answer[key].as_u64().unwrap_or_default() as f64 / 1e3
}
