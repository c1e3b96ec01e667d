//! Bytes: what vectors hold while they are searched and behind that, by the allocator's own count; and
//! that the kernel has them back.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::time::{Duration, Instant};

use collection::{Folder, Random};
use plimsoll::budget::{Budget, Policy};
use plimsoll::ledger::{self, Ledger};
use plimsoll::stage::Stage;
use plimsoll_booru::similarity::{Kind, Semantic, SemanticOptions};
use plimsoll_booru::store::Access;
use rusqlite::{Connection, params};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

const MIB: u64 = 1 << 20;
const DIMENSIONS: usize = 1024;
/// As the seed's collection.
const VECTORS: u32 = 15_000;

fn fill(folder: &Folder) {
    let database = Connection::open(folder.path("similarity.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA synchronous = OFF; BEGIN; CREATE TABLE embeddings (image_id INTEGER PRIMARY KEY, \
             embedding BLOB NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
        )
        .unwrap();
    let random = &mut Random(1);
    let mut insert = database
        .prepare("INSERT INTO embeddings VALUES (?1, ?2, '2026-01-08 00:00:00')")
        .unwrap();
    for image in 1..=VECTORS {
        let vector: Vec<u8> = (0..DIMENSIONS)
            .flat_map(|_| (random.below(2001) as f32 / 18_500.0 - 0.054).to_le_bytes())
            .collect();
        insert.execute(params![image, vector]).unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
}

fn vectors_bytes() -> u64 {
    let tags = ledger::snapshot();
    let tag = tags.iter().find(|tag| tag.name == "similarity: vectors");
    tag.map_or(0, |tag| tag.live_bytes)
}

fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[test]
fn vectors_are_small_while_used_and_nothing_behind() {
    let folder = Folder::new("vectors-memory");
    fill(&folder);
    let check = |held_bytes_max: u64, held: std::ops::Range<u64>| {
        let options = SemanticOptions {
            access: Access::InPlace,
            kind: Kind::Int8,
            held_bytes_max,
            idle_timeout: Duration::from_secs(300),
            threads: 2,
            patience: Duration::from_secs(5),
        };
        let budget = Budget::new(64 * MIB, Policy::Greedy);
        let semantic = Semantic::new(folder.root(), options, &budget);
        let before = anonymous();
        assert_eq!(vectors_bytes(), 0);

        let query = semantic.vector(7).unwrap().unwrap();
        let stage = Stage::begin("load");
        assert_eq!(semantic.search(&query, 50, &|_| true).unwrap()[0].id, 7);
        let live = stage.end().live.unwrap();
        let peak = live.peak_bytes.unwrap() - live.begin_bytes;
        let status = semantic.status();
        println!(
            "held {} bytes, {} by the ledger; loading peaked at {peak}; RSS grew by {}",
            status.held_bytes,
            vectors_bytes(),
            anonymous() - before
        );
        assert!(held.contains(&status.held_bytes), "{}", status.held_bytes);
        // The account is the allocator's count, but for what goes with it.
        assert!(status.held_bytes.abs_diff(vectors_bytes()) < 64 << 10);
        assert!(peak < status.held_bytes + 2 * MIB, "{peak}");
        assert!(anonymous() - before < status.held_bytes + 8 * MIB);

        let stage = Stage::begin("request");
        semantic.search(&query, 50, &|_| true).unwrap();
        let live = stage.end().live.unwrap();
        let request = live.peak_bytes.unwrap() - live.begin_bytes;
        println!("a search adds {request} bytes");
        assert!(request < MIB, "{request}");

        assert!(semantic.unload_if_idle(Instant::now() + Duration::from_secs(301)));
        assert_eq!((vectors_bytes(), budget.figures().held_bytes), (0, 0));
        let behind = anonymous().saturating_sub(before);
        println!("behind it RSS is {behind} bytes above what it was");
        assert!(behind < 2 * MIB, "{behind}");
    };
    // Held whole: a byte a number and what goes with a vector.
    check(64 * MIB, 14 * MIB..17 * MIB);
    // Held in part, and not at all.
    check(4 * MIB, 3 * MIB..5 * MIB);
    check(0, 0..MIB / 2);
}
