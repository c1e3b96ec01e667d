//! Search by embeddings: the same as comparing all vectors, whatever was done to database and file in
//! between.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::fs;
use std::path::Path;
use std::time::Duration;

use collection::{Folder, Random};
use plimsoll::budget::{Budget, Policy};
use plimsoll_booru::similarity::{Kind, Match, Semantic, SemanticOptions};
use plimsoll_booru::store::Access;
use proptest::prelude::*;
use rusqlite::{Connection, params};

const KINDS: [Kind; 3] = [Kind::Int8, Kind::F16, Kind::F32];

fn options(kind: Kind) -> SemanticOptions {
    SemanticOptions {
        access: Access::InPlace,
        kind,
        held_bytes_max: 1 << 20,
        idle_timeout: Duration::from_secs(300),
        threads: 2,
        patience: Duration::from_secs(5),
    }
}

fn open(folder: &Path, options: SemanticOptions) -> Semantic {
    Semantic::new(folder, options, &Budget::new(1 << 30, Policy::Greedy))
}

/// As the original makes it.
fn database(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("similarity.db")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS embeddings (image_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, \
             created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP); \
             CREATE INDEX IF NOT EXISTS idx_embeddings_created_at ON embeddings(created_at);",
        )
        .unwrap();
    connection
}

const LONG_AGO: &str = "2026-01-08 00:00:00";

fn put_bytes(database: &Connection, image: u32, bytes: &[u8], at: &str) {
    let sql =
        "INSERT OR REPLACE INTO embeddings (image_id, embedding, created_at) VALUES (?1, ?2, ?3)";
    database.execute(sql, params![image, bytes, at]).unwrap();
}

fn put(database: &Connection, image: u32, vector: &[f32]) {
    put_bytes(database, image, &bytes_of(vector), LONG_AGO);
}

fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// All rows of a length, compared one by one in plain `f64`.
fn oracle(folder: &Path, query: &[f32], k: usize, is_wanted: impl Fn(u32) -> bool) -> Vec<Match> {
    let database = Connection::open(folder.join("similarity.db")).unwrap();
    let mut statement = database
        .prepare("SELECT image_id, CAST(embedding AS BLOB) FROM embeddings WHERE typeof(embedding) = 'blob' AND image_id < 4000000000")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let mut all = Vec::new();
    for row in rows {
        let (id, bytes): (u32, Vec<u8>) = row.unwrap();
        let vector: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        if bytes.len() == query.len() * 4 && vector.iter().all(|x| x.is_finite()) && is_wanted(id) {
            let products = vector.iter().zip(query);
            let score: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            // Zeros of both signs are one score.
            let score = score + 0.0;
            all.push(Match { id, score });
        }
    }
    all.sort_by(|one, other| {
        other
            .score
            .total_cmp(&one.score)
            .then(one.id.cmp(&other.id))
    });
    all.truncate(k);
    all
}

/// Whole numbers: sums are exact in any order, and ties are ties.
fn whole(random: &mut Random, dimensions: usize) -> Vec<f32> {
    (0..dimensions)
        .map(|_| random.below(7) as f32 - 3.0)
        .collect()
}

fn unit(random: &mut Random, dimensions: usize) -> Vec<f32> {
    let number = |random: &mut Random| random.below(2_000_001) as f32 / 1e6 - 1.0;
    let vector: Vec<f32> = (0..dimensions).map(|_| number(random)).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
    vector.into_iter().map(|x| x / length).collect()
}

fn assert_same(found: &[Match], expected: &[Match]) {
    let ids = |of: &[Match]| of.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(found), ids(expected), "{found:?} {expected:?}");
    for (one, other) in found.iter().zip(expected) {
        assert!((one.score - other.score).abs() <= 1e-12 * other.score.abs().max(1.0));
    }
}

fn check(semantic: &Semantic, folder: &Path, query: &[f32], k: usize) {
    let found = semantic.search(query, k, &|_| true).unwrap();
    assert_same(&found, &oracle(folder, query, k, |_| true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_are_those_of_comparing_all(
        seed in any::<u64>(),
        dimensions in 1_usize..70,
        count in 0_usize..400,
        k in 1_usize..60,
        is_whole in any::<bool>(),
        kind in prop::sample::select(KINDS.to_vec()),
        held in prop::sample::select(vec![0_u64, 3000, 1 << 20]),
    ) {
        let folder = Folder::new("semantic");
        let random = &mut Random(seed);
        let make = if is_whole { whole } else { unit };
        {
            let database = database(folder.root());
            database.execute_batch("BEGIN").unwrap();
            for _ in 0..count {
                // Many the same, so that places are decided by the id.
                let vector = match random.one_in(4) {
                    true => vec![1.0; dimensions],
                    false => make(random, dimensions),
                };
                put(&database, 1 + random.below(1000) as u32, &vector);
            }
            database.execute_batch("COMMIT").unwrap();
        }
        let semantic = open(folder.root(), SemanticOptions { held_bytes_max: held, ..options(kind) });
        for _ in 0..4 {
            let query = make(random, dimensions);
            check(&semantic, folder.root(), &query, k);
            let found = semantic.search(&query, k, &|id| id % 3 == 1).unwrap();
            assert_same(&found, &oracle(folder.root(), &query, k, |id| id % 3 == 1));
        }
    }
}

/// Edits by the board and by another program, in any order, with unloads between.
#[test]
fn answers_follow_all_edits() {
    for (round, kind) in KINDS.into_iter().cycle().take(6).enumerate() {
        let folder = Folder::new("semantic-edits");
        let random = &mut Random(round as u64);
        let other = database(folder.root());
        let semantic = open(folder.root(), options(kind));
        let mut second = 0;
        for _ in 0..400 {
            let image = 1 + random.below(60) as u32;
            match random.below(12) {
                0..4 => semantic.add(image, &whole(random, 24)).unwrap(),
                4 => {
                    semantic.remove(image).unwrap();
                }
                5..7 => {
                    second += 1;
                    let at = format!("2026-01-08 00:{:02}:{:02}", second / 60, second % 60);
                    put_bytes(&other, image, &bytes_of(&whole(random, 24)), &at);
                }
                7 => {
                    other
                        .execute("DELETE FROM embeddings WHERE image_id = ?1", [image])
                        .unwrap();
                }
                8 if random.one_in(4) => {
                    semantic.unload();
                }
                _ => check(
                    &semantic,
                    folder.root(),
                    &whole(random, 24),
                    1 + random.below(20),
                ),
            }
        }
        check(&semantic, folder.root(), &whole(random, 24), 60);
    }
}

#[test]
fn a_vector_replaced_within_its_second_is_seen() {
    let folder = Folder::new("semantic-second");
    let other = database(folder.root());
    let random = &mut Random(5);
    for image in 1..50 {
        let sql = "INSERT OR REPLACE INTO embeddings (image_id, embedding) VALUES (?1, ?2)";
        let vector = bytes_of(&whole(random, 16));
        other.execute(sql, params![image, vector]).unwrap();
    }
    let semantic = open(folder.root(), options(Kind::Int8));
    check(&semantic, folder.root(), &whole(random, 16), 10);
    for image in 1..50 {
        let sql = "UPDATE embeddings SET embedding = ?2 WHERE image_id = ?1";
        let vector = bytes_of(&whole(random, 16));
        other.execute(sql, params![image, vector]).unwrap();
        check(&semantic, folder.root(), &whole(random, 16), 10);
    }
}

#[test]
fn a_vector_replaced_with_its_time_is_seen_by_its_score_or_a_build() {
    let folder = Folder::new("semantic-stale");
    let other = database(folder.root());
    for image in 1..=40 {
        put(&other, image, &[image as f32, 0.0, 1.0]);
    }
    let semantic = open(folder.root(), options(Kind::Int8));
    check(&semantic, folder.root(), &[1.0, 0.0, 0.0], 3);
    put(&other, 40, &[-5.0, 0.0, 1.0]);
    check(&semantic, folder.root(), &[1.0, 0.0, 0.0], 3);
    put(&other, 1, &[100.0, 0.0, 1.0]);
    semantic.build().unwrap().unwrap();
    check(&semantic, folder.root(), &[1.0, 0.0, 0.0], 3);
}

#[test]
fn rows_that_are_no_vectors_are_counted_and_left() {
    let folder = Folder::new("semantic-wrong");
    let other = database(folder.root());
    let random = &mut Random(9);
    for image in 1..=30 {
        put(&other, image, &unit(random, 8));
    }
    put_bytes(&other, 31, b"", LONG_AGO);
    put_bytes(&other, 32, &[1, 2, 3], LONG_AGO);
    put(&other, 33, &[1.0; 9]);
    put(&other, 34, &[f32::NAN; 8]);
    put(&other, 35, &[f32::INFINITY; 8]);
    let sql = "INSERT INTO embeddings VALUES (36, 'text', '2026-01-08 00:00:00'), (5000000000, x'00', NULL)";
    other.execute(sql, []).unwrap();
    let semantic = open(folder.root(), options(Kind::Int8));
    for _ in 0..2 {
        let survey = semantic.survey().unwrap().unwrap();
        assert_eq!((survey.rows, survey.vectors, survey.skipped), (37, 30, 6));
        assert_eq!(survey.dimensions, 8);
        check(&semantic, folder.root(), &unit(random, 8), 40);
        semantic.unload();
    }
    assert!(semantic.search(&[0.0; 9], 1, &|_| true).is_err());
    assert!(semantic.search(&[f32::NAN; 8], 1, &|_| true).is_err());
    assert_eq!(semantic.similar_to(77, 5, &|_| true).unwrap(), None);
    let alike = semantic.similar_to(7, 50, &|_| true).unwrap().unwrap();
    assert_eq!(alike.len(), 29);
    assert!(alike.iter().all(|one| one.id != 7));
    // Another model takes over: its vectors are of another length, and soon most.
    for image in 1..=20 {
        put_bytes(
            &other,
            image,
            &bytes_of(&unit(random, 12)),
            "2026-02-01 00:00:00",
        );
    }
    check(&semantic, folder.root(), &unit(random, 12), 40);
    assert_eq!(semantic.survey().unwrap().unwrap().dimensions, 12);
}

#[test]
fn without_a_database_nothing_is_found_or_made() {
    let folder = Folder::new("semantic-none");
    let semantic = open(folder.root(), options(Kind::Int8));
    assert_eq!(semantic.search(&[1.0], 5, &|_| true).unwrap(), []);
    assert_eq!(semantic.survey().unwrap(), None);
    assert!(!semantic.remove(1).unwrap());
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0);
    // The first vector makes it, as the original would.
    semantic.add(3, &[0.6, 0.8]).unwrap();
    semantic.add(4, &[0.8, 0.6]).unwrap();
    check(&semantic, folder.root(), &[0.6, 0.8], 5);
    assert_eq!(semantic.survey().unwrap().unwrap().vectors, 2);
    let read_only = SemanticOptions {
        access: Access::ReadOnly,
        ..options(Kind::Int8)
    };
    let semantic = open(folder.root(), read_only);
    assert!(semantic.add(5, &[1.0, 0.0]).is_err());
    check(&semantic, folder.root(), &[0.6, 0.8], 5);
}

/// A file that is cut or changed at any place is found out, and the answers stay right.
#[test]
fn a_damaged_file_is_made_anew() {
    for kind in KINDS {
        let folder = Folder::new("semantic-torn");
        let other = database(folder.root());
        let random = &mut Random(3);
        for image in 1..=5 {
            put(&other, image, &whole(random, 6));
        }
        let query = whole(random, 6);
        let semantic = open(folder.root(), options(kind));
        check(&semantic, folder.root(), &query, 3);
        semantic.add(2, &whole(random, 6)).unwrap();
        semantic.remove(3).unwrap();
        check(&semantic, folder.root(), &query, 3);
        semantic.unload();
        let path = folder.path("similarity.vectors");
        let whole_file = fs::read(&path).unwrap();
        for held_bytes_max in [0, 1 << 20] {
            let options = SemanticOptions {
                held_bytes_max,
                ..options(kind)
            };
            for at in 0..whole_file.len() {
                fs::write(&path, &whole_file[..at]).unwrap();
                check(&open(folder.root(), options), folder.root(), &query, 3);
                let mut flipped = whole_file.clone();
                flipped[at] ^= 1 << (at % 8);
                fs::write(&path, &flipped).unwrap();
                check(&open(folder.root(), options), folder.root(), &query, 3);
            }
        }
        // Damaged while it is in use.
        let semantic = open(
            folder.root(),
            SemanticOptions {
                held_bytes_max: 0,
                ..options(kind)
            },
        );
        check(&semantic, folder.root(), &query, 3);
        fs::write(&path, &whole_file[..50]).unwrap();
        check(&semantic, folder.root(), &query, 3);
    }
}

#[test]
fn a_folder_in_the_place_of_the_file_is_named() {
    let folder = Folder::new("semantic-folder");
    put(&database(folder.root()), 1, &[1.0, 0.0]);
    fs::create_dir(folder.path("similarity.vectors")).unwrap();
    let semantic = open(folder.root(), options(Kind::Int8));
    let error = semantic.search(&[1.0, 0.0], 5, &|_| true).unwrap_err();
    assert!(
        format!("{error:#}").contains("similarity.vectors"),
        "{error:#}"
    );
}

#[test]
fn it_is_unloaded_when_idle_and_by_pressure() {
    let folder = Folder::new("semantic-idle");
    let other = database(folder.root());
    let random = &mut Random(6);
    for image in 1..=200 {
        put(&other, image, &unit(random, 64));
    }
    let budget = Budget::new(64 << 10, Policy::Greedy);
    let semantic = Semantic::new(folder.root(), options(Kind::Int8), &budget);
    assert!(!semantic.status().is_loaded);
    check(&semantic, folder.root(), &unit(random, 64), 5);
    let status = semantic.status();
    assert!(status.is_loaded && status.held_bytes > 200 * 64);
    assert_eq!((status.vectors, status.dimensions), (200, 64));
    let now = std::time::Instant::now();
    assert!(!semantic.unload_if_idle(now));
    assert!(semantic.unload_if_idle(now + Duration::from_secs(301)));
    assert_eq!(semantic.status().held_bytes, 0);
    check(&semantic, folder.root(), &unit(random, 64), 5);
    let reservation = budget.consumer("something else").reserve(60 << 10).unwrap();
    let status = semantic.status();
    assert_eq!(
        (status.held_bytes, status.unloads_by_pressure_total),
        (0, 1)
    );
    // With no memory left it is read from the file.
    check(&semantic, folder.root(), &unit(random, 64), 5);
    drop(reservation);
}
