//! Ten times the data that a block may hold go through it: peak RSS stays below what it may hold and a
//! stated constant, each in a process of its own whose peak nobody else touches.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod alone;
mod folder;
mod tags;

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, BufWriter};
use std::time::Duration;

use alone::{MIB, is_alone, peak_of, tell_peak};
use folder::Folder;
use plimsoll::batches::{Batch, BatchLimits, OrderedStore, walk};
use plimsoll::budget::{Budget, Policy, Reservation};
use plimsoll::dictionary::{Dictionary, TermId};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::monitor::MonitorOptions;
use plimsoll::postings::{PostingsIndex, Query};
use plimsoll::stream::{CopyOptions, Pipeline, copy_file};
use plimsoll::worker::Worker;
use plimsoll::{Error, ErrorKind};

const BUDGET: u64 = 16 * MIB;
const DATA: u64 = 10 * BUDGET;
const CHUNK: u64 = MIB / 4;

/// Of those that take long to fill.
const INDEX_BUDGET: u64 = 4 * MIB;

/// Beside the budget: the program and its libraries, stacks, and what malloc keeps.
const BESIDE: u64 = 8 * MIB;

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// `least` is what shows that the data did go through memory.
#[track_caller]
fn check(test: &str, budget: u64, least: u64) {
    let peak = peak_of(test);
    println!(
        "{test}: peak RSS {:.1} MiB of {} + {}",
        peak as f64 / MIB as f64,
        budget / MIB,
        BESIDE / MIB
    );
    assert!(peak <= budget + BESIDE, "{test}: {peak}");
    assert!(peak >= least, "{test}: {peak}");
}

fn filled(bytes: u64) -> Vec<u8> {
    black_box(vec![1; usize::try_from(bytes).unwrap()])
}

#[test]
fn a_copy_holds_its_buffer() {
    check("copy", BUDGET, BUDGET / 2);
}

#[test]
#[ignore = "started by another test"]
fn copy() {
    if !is_alone() {
        return;
    }
    let folder = Folder::new("bounded-copy");
    let source = folder.path("source");
    File::create(&source).unwrap().set_len(DATA).unwrap();
    let options = CopyOptions {
        buffer_bytes: usize::try_from(BUDGET).unwrap(),
        ..CopyOptions::default()
    };
    let copied = copy_file(&source, folder.path("target"), options).unwrap();
    assert_eq!(copied.bytes, DATA);
    tell_peak();
}

#[test]
fn a_pipeline_holds_its_queues() {
    check("pipeline", BUDGET, BUDGET / 2);
}

/// The last step is the slow one: queues run full.
#[test]
#[ignore = "started by another test"]
fn pipeline() {
    if !is_alone() {
        return;
    }
    // An item in each of the three threads, the rest in two queues.
    let queue = usize::try_from((BUDGET - 3 * CHUNK) / 2).unwrap();
    let mut through = 0;
    Pipeline::new(queue, move |out| {
        (0..DATA / CHUNK).try_for_each(|_| out.send(filled(CHUNK)))
    })
    .unwrap()
    .step(|bytes: Vec<u8>, out| out.send(bytes))
    .unwrap()
    .finish(|bytes| {
        through += bytes.len() as u64;
        for _ in 0..50 {
            std::thread::yield_now();
        }
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(through, DATA);
    tell_peak();
}

/// A store that is made up as it is read.
struct Rows;

const ROW: u64 = 1000;

impl OrderedStore for Rows {
    type Key = u64;
    type Value = Vec<u8>;
    type Error = Error;

    fn read_batch(
        &mut self,
        after: Option<&u64>,
        limits: BatchLimits,
    ) -> Result<Batch<u64, Vec<u8>>, Error> {
        let mut batch = Batch::new(limits);
        for key in after.map_or(0, |after| after + 1)..DATA / ROW {
            if !batch.push(key, filled(ROW))? {
                break;
            }
        }
        Ok(batch)
    }
}

#[test]
fn a_walk_holds_one_batch() {
    check("batches", BUDGET, BUDGET / 2);
}

#[test]
#[ignore = "started by another test"]
fn batches() {
    if !is_alone() {
        return;
    }
    let limits = BatchLimits {
        items: usize::MAX,
        bytes: usize::try_from(BUDGET / 2).unwrap(),
    };
    let mut rows = 0;
    let walked = walk(&mut Rows, limits, |_, batch| {
        rows += batch.entries().len() as u64;
        Ok::<_, Error>(())
    });
    assert!(walked.unwrap().batches > 10);
    assert_eq!(rows, DATA / ROW);
    tell_peak();
}

#[test]
fn lazy_resources_make_room_for_each_other() {
    check("lazy", BUDGET, BUDGET / 2);
}

/// Twenty models of half a budget each, used by turns; the budget unloads who stands idle.
#[test]
#[ignore = "started by another test"]
fn lazy() {
    if !is_alone() {
        return;
    }
    let budget = Budget::new(BUDGET, Policy::Greedy);
    let options = LazyOptions {
        cost_bytes: BUDGET / 2,
        ..LazyOptions::default()
    };
    let models: Vec<_> = (0..20)
        .map(|number| {
            Lazy::new(&budget, format!("model {number}"), options, |_| {
                Ok::<_, Error>(filled(BUDGET / 2))
            })
        })
        .collect();
    for _ in 0..2 {
        for model in &models {
            assert_eq!(model.get().unwrap().len() as u64, BUDGET / 2);
        }
    }
    let unloads = models
        .iter()
        .map(|model| model.figures().unloaded_by_pressure_total)
        .sum::<u64>();
    // Two are there at a time; which of them goes is the budget's choice.
    assert!(unloads >= 20, "{unloads}");
    tell_peak();
}

#[test]
fn a_supervisor_holds_the_calls_in_flight() {
    check("worker", BUDGET, BUDGET / 4);
}

#[test]
#[ignore = "the worker of the test above"]
fn worker_process() {
    plimsoll::worker::serve(|request, _| Ok(request.to_vec())).unwrap();
}

/// A request and its reply are each there as a memfd, which is not in RSS, and as the caller's bytes.
#[test]
#[ignore = "started by another test"]
fn worker() {
    if !is_alone() {
        return;
    }
    const REQUEST: u64 = 2 * MIB;
    let worker = Worker::builder(std::env::current_exe().unwrap())
        .args(["--exact", "worker_process", "--ignored"])
        .call_timeout(PATIENCE)
        .build()
        .unwrap();
    let in_flight = BUDGET / (2 * REQUEST);
    let mut through = 0;
    while through < DATA {
        let request = filled(REQUEST);
        let calls: Vec<_> = (0..in_flight)
            .map(|_| worker.submit(&request).unwrap())
            .collect();
        // Replies stay until all are there.
        let replies: Vec<_> = calls.into_iter().map(|call| call.wait().unwrap()).collect();
        through += replies.iter().map(|reply| reply.len() as u64).sum::<u64>();
    }
    assert_eq!(worker.figures().started_total, 1);
    tell_peak();
}

/// Grows the reservation to what is held now and the most that one more rebuild takes; or has the
/// caller start anew.
fn fits(reservation: &mut Reservation, bytes: u64) -> bool {
    match reservation.resize(bytes) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::OutOfBudget);
            false
        }
    }
}

#[test]
fn dictionaries_of_ten_budgets_are_stored_one_by_one() {
    check("dictionary", INDEX_BUDGET, INDEX_BUDGET / 2);
}

/// A dictionary that is full is stored, and the next one begun; then all are read again, one by one.
#[test]
#[ignore = "started by another test"]
fn dictionary() {
    if !is_alone() {
        return;
    }
    let folder = Folder::new("bounded-dictionary");
    let budget = Budget::new(INDEX_BUDGET, Policy::Greedy);
    let mut reservation = budget.consumer("dictionary").reserve(0).unwrap();
    let mut dictionary = Dictionary::new();
    let (mut text_bytes, mut strings, mut stored) = (0, 0_u64, Vec::new());
    let store = |dictionary: &Dictionary, number: usize| {
        let file = File::create(folder.path(&number.to_string())).unwrap();
        dictionary.write_to(BufWriter::new(file)).unwrap();
        dictionary.len()
    };
    while text_bytes < 10 * INDEX_BUDGET {
        let text = format!("images/{:03x}/{strings:020}.jpg", strings % 4096);
        dictionary.insert(&text).unwrap();
        text_bytes += text.len() as u64;
        strings += 1;
        // While it is rebuilt there are two, and 5 bytes a string.
        if strings % 1000 == 0 {
            let peak = 2 * dictionary.size_bytes() as u64 + 5 * u64::from(dictionary.len());
            if !fits(&mut reservation, peak) {
                stored.push(store(&dictionary, stored.len()));
                dictionary = Dictionary::new();
            }
        }
    }
    stored.push(store(&dictionary, stored.len()));
    drop(dictionary);
    assert!(stored.len() > 5, "{stored:?}");
    for (number, len) in stored.iter().enumerate() {
        let file = File::open(folder.path(&number.to_string())).unwrap();
        let read = Dictionary::read_from(BufReader::new(file)).unwrap();
        assert_eq!(read.len(), *len);
    }
    assert_eq!(
        stored.iter().map(|len| u64::from(*len)).sum::<u64>(),
        strings
    );
    tell_peak();
}

#[test]
fn postings_of_ten_budgets_are_asked_one_by_one() {
    check("postings", INDEX_BUDGET, INDEX_BUDGET / 2);
}

/// An index that is full is asked and let go, and the next one begun.
#[test]
#[ignore = "started by another test"]
fn postings() {
    if !is_alone() {
        return;
    }
    const TERMS: usize = 5_000;
    let budget = Budget::new(INDEX_BUDGET, Policy::Greedy);
    let mut reservation = budget.consumer("postings").reserve(0).unwrap();
    let mut index = PostingsIndex::new();
    let (mut through, mut found, mut begun) = (0, 0, 1);
    let query = Query::All(vec![
        Query::Term(TermId::new(0)),
        Query::Not(Box::new(Query::Term(TermId::new(1)))),
    ]);
    let mut images = tags::Images::new(usize::MAX, TERMS, 48);
    let mut document = 0;
    while through < 10 * INDEX_BUDGET {
        index.insert_document(
            document,
            images.next().unwrap().into_iter().map(TermId::new),
        );
        document += 1;
        // malloc's own bytes for each small block come to what is asked for.
        let malloc = 16 * TERMS as u64;
        if document % 1000 == 0
            && !fits(
                &mut reservation,
                index.size_bytes() as u64 + malloc + MIB / 2,
            )
        {
            through += index.size_bytes() as u64;
            found += index.count(&query).unwrap();
            index = PostingsIndex::new();
            begun += 1;
        }
    }
    assert!(begun > 8 && found > 0, "{begun} {found}");
    tell_peak();
}

#[test]
fn a_monitor_and_its_operations_hold_what_they_say() {
    // Nothing of the budget is used: the monitor adds a thread and its figures.
    let peak = peak_of("monitor");
    println!("monitor: peak RSS {:.1} MiB", peak as f64 / MIB as f64);
    assert!(peak <= BESIDE, "{peak}");
}

/// More names of operations than are told apart, and ten thousand operations.
#[test]
#[ignore = "started by another test"]
fn monitor() {
    if !is_alone() {
        return;
    }
    let monitor = MonitorOptions::default().start().unwrap();
    for number in 0..10_000 {
        let ((), _) = monitor.operation(format!("operation {number}"), || ());
    }
    let figures = monitor.figures();
    assert!(figures.operations.len() <= 257);
    let ended: u64 = figures
        .operations
        .iter()
        .map(|(_, figures)| figures.count)
        .sum();
    assert_eq!(ended, 10_000);
    assert!(monitor.metrics().prometheus().len() < 1 << 20);
    tell_peak();
}
