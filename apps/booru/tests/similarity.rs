//! Images with like tags are those of a plain loop over all images; blends, answers that are kept, commands.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use collection::{Era, Folder, Random, SMALL, Size, make, open, tag_name};
use plimsoll::budget::{Budget, Policy};
use plimsoll_booru::board::Board;
use plimsoll_booru::similarity::{
    By, Kind, Match, Method, SemanticOptions, Similar, Similarity, SimilarityOptions, TagOptions,
    TagSimilarity,
};
use plimsoll_booru::store::Access;
use rusqlite::{Connection, params};
use serde_json::Value;

const METHODS: [Method; 5] = [
    Method::Jaccard,
    Method::Weighted,
    Method::WeightedTfidf,
    Method::Asymmetric,
    Method::AsymmetricTfidf,
];

/// All that the tables say, for a plain loop.
struct Oracle {
    images: Vec<u32>,
    tags: BTreeMap<u32, BTreeSet<u32>>,
    counts: BTreeMap<u32, u32>,
    categories: BTreeMap<u32, (Option<String>, Option<String>, String)>,
}

impl Oracle {
    fn of(path: &Path) -> Oracle {
        let database = Connection::open(path).unwrap();
        let mut oracle = Oracle {
            images: collection::ids(&database, "SELECT id FROM images ORDER BY id"),
            tags: BTreeMap::new(),
            counts: BTreeMap::new(),
            categories: BTreeMap::new(),
        };
        let has = |column: &str| {
            let sql = format!("SELECT {column} FROM tags LIMIT 1");
            if database.prepare(&sql).is_ok() {
                column.to_owned()
            } else {
                "NULL".to_owned()
            }
        };
        let sql = format!(
            "SELECT id, {}, {}, name FROM tags",
            has("category"),
            has("extended_category")
        );
        let mut statement = database.prepare(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let of = (
                row.get(1).unwrap(),
                row.get(2).unwrap(),
                row.get(3).unwrap(),
            );
            oracle.categories.insert(row.get(0).unwrap(), of);
        }
        let mut statement = database
            .prepare("SELECT image_id, tag_id FROM image_tags")
            .unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (image, tag) = (row.get(0).unwrap(), row.get(1).unwrap());
            oracle.tags.entry(image).or_default().insert(tag);
            *oracle.counts.entry(tag).or_default() += 1;
        }
        oracle
    }

    fn is_rating(&self, tag: u32) -> bool {
        let (category, _, name) = &self.categories[&tag];
        category.as_deref() == Some("rating") || category.is_none() && name.starts_with("rating:")
    }

    fn weight(&self, tag: u32, options: TagOptions) -> f64 {
        if options.method == Method::Jaccard {
            return 1.0;
        }
        let (category, extended, _) = &self.categories[&tag];
        let plain = match category.as_deref() {
            Some("character") => 6.0,
            Some("copyright" | "general") | None => 3.0,
            Some("species") => 2.5,
            Some("artist") => 2.0,
            Some("meta") => 0.5,
            Some(_) => 1.0,
        };
        let category = match extended.as_deref().filter(|_| options.use_extended) {
            Some("02_Body_Hair") => 3.5,
            Some("21_Status") => 1.5,
            Some("00_Subject_Count") => 2.0,
            _ => plain,
        };
        let count = f64::from(self.counts[&tag]);
        match options.method {
            Method::WeightedTfidf | Method::AsymmetricTfidf => {
                ((self.images.len() as f64 / (count + 1.0)).ln() + 1.0) * category
            }
            _ => category / (count + 1.0).ln(),
        }
    }

    /// Every image that is alike, with its score.
    fn similar_to(&self, image: u32, options: TagOptions) -> BTreeMap<u32, f64> {
        let own = self.tags.get(&image).cloned().unwrap_or_default();
        let weigh = |tags: &mut dyn Iterator<Item = &u32>| -> f64 {
            let tags = tags.filter(|tag| !self.is_rating(**tag));
            tags.map(|tag| self.weight(*tag, options)).sum()
        };
        let mut found = BTreeMap::new();
        for (other, tags) in self.tags.iter().filter(|(other, _)| **other != image) {
            let shared = weigh(&mut own.intersection(tags));
            if shared == 0.0 {
                continue;
            }
            let of_both = shared / weigh(&mut own.union(tags));
            let score = match options.method {
                Method::Asymmetric | Method::AsymmetricTfidf => {
                    options.alpha * shared / weigh(&mut own.iter())
                        + (1.0 - options.alpha) * of_both
                }
                _ => of_both,
            };
            found.insert(*other, score);
        }
        found
    }
}

/// The same images by the same scores, but for what `f32` rounds: it may swap equals, and decide at 0.1.
fn assert_alike(found: &[Match], expected: &BTreeMap<u32, f64>, k: usize) {
    const OFF: f64 = 1e-4;
    for one in found {
        assert!(
            (one.score - expected[&one.id]).abs() < OFF,
            "{one:?} {}",
            expected[&one.id]
        );
        assert!(one.score > 0.1);
    }
    for pair in found.windows(2) {
        let is_ordered = pair[0].score > pair[1].score
            || (pair[0].score == pair[1].score && pair[0].id < pair[1].id);
        assert!(is_ordered, "{pair:?}");
    }
    let least = match found.len() == k {
        true => found[k - 1].score,
        false => 0.1,
    };
    for (id, score) in expected.iter().filter(|(_, score)| **score > least + OFF) {
        assert!(
            found.iter().any(|one| one.id == *id),
            "{id} {score} {least}"
        );
    }
}

fn check_all(board: &Board, path: &Path, random: &mut Random) {
    let oracle = Oracle::of(path);
    for method in METHODS {
        for use_extended in [false, true] {
            let options = TagOptions {
                method,
                alpha: 0.6,
                use_extended,
            };
            let tags = TagSimilarity::new(options);
            for _ in 0..6 {
                let image = *random.pick(&oracle.images);
                let k = 1 + random.below(60);
                let found = tags.similar_to(board, image, k, &|_| true).unwrap();
                assert_alike(&found, &oracle.similar_to(image, options), k);
            }
            let bytes = tags.held_bytes();
            assert!(bytes > 0 && tags.unload() == bytes && tags.held_bytes() == 0);
        }
    }
}

#[test]
fn images_alike_by_tags_are_those_of_a_plain_loop() {
    for (seed, era) in [(1, Era::Now), (2, Era::Reordered), (3, Era::Old)] {
        let folder = Folder::new("alike");
        let path = make(&folder, era, SMALL, seed);
        if era != Era::Old {
            let database = Connection::open(&path).unwrap();
            for (rest, extended) in [
                (0, "02_Body_Hair"),
                (1, "21_Status"),
                (2, "99_None"),
                (3, "00_Subject_Count"),
            ] {
                let sql = "UPDATE tags SET extended_category = ?1 WHERE id % 7 = ?2";
                database.execute(sql, params![extended, rest]).unwrap();
            }
        }
        let mut board = open(&path);
        let random = &mut Random(seed);
        check_all(&board, &path, random);
        // What is held follows edits.
        let images = board.all_matches(&"*hair*".parse().unwrap()).unwrap();
        board
            .add_tags(&images, &["solo".to_owned(), "brand_new".to_owned()])
            .unwrap();
        board.delete_tags(&[tag_name(3)]).unwrap();
        check_all(&board, &path, random);
        assert!(
            TagSimilarity::default()
                .similar_to(&board, 999_999, 5, &|_| true)
                .is_err()
        );
    }
}

/// Edits change what is held between two questions of the same kind.
#[test]
fn an_edit_is_seen_by_the_next_question() {
    let folder = Folder::new("alike-edits");
    let path = make(&folder, Era::Now, SMALL, 5);
    let mut board = open(&path);
    let tags = TagSimilarity::default();
    let random = &mut Random(5);
    for _ in 0..8 {
        let oracle = Oracle::of(&path);
        let image = *random.pick(&oracle.images);
        let found = tags.similar_to(&board, image, 30, &|_| true).unwrap();
        assert_alike(&found, &oracle.similar_to(image, TagOptions::default()), 30);
        let other = *random.pick(&oracle.images);
        board
            .add_tags(&[image, other], &[tag_name(random.below(100))])
            .unwrap();
        board
            .remove_tags(&[other], &[tag_name(random.below(100))])
            .unwrap();
    }
}

fn similarity(folder: &Folder, cached: Option<usize>) -> Similarity {
    let idle_timeout = Duration::from_secs(300);
    let options = SimilarityOptions {
        semantic: Some(SemanticOptions {
            access: Access::InPlace,
            kind: Kind::Int8,
            held_bytes_max: 1 << 20,
            idle_timeout,
            threads: 1,
            patience: Duration::from_secs(5),
        }),
        tags: TagOptions::default(),
        cached,
        idle_timeout,
    };
    Similarity::open(
        Some(folder.root()),
        options,
        &Budget::new(1 << 30, Policy::Greedy),
    )
}

/// Vectors of the first images, near each other by number; and one of an image that there is not.
fn embed(similarity: &Similarity, ids: &[u32]) {
    for (number, id) in ids.iter().enumerate() {
        let angle = number as f32 / 50.0;
        similarity.add(*id, &[angle.cos(), angle.sin()]).unwrap();
    }
    similarity.add(1_000_000, &[1.0, 0.0]).unwrap();
}

fn ids_of(found: &[Similar]) -> Vec<u32> {
    found.iter().map(|one| one.id).collect()
}

#[test]
fn ways_of_being_alike_are_asked_for_one_by_one_and_blended() {
    let folder = Folder::new("blend");
    let path = make(&folder, Era::Now, SMALL, 6);
    let board = open(&path);
    let ids = board.all_matches(&"order:id".parse().unwrap()).unwrap();
    let similarity = similarity(&folder, None);
    let ask = |by| similarity.similar(&board, ids[0], by, 20);
    assert!(ask(By::Semantic).is_err(), "there is no embedding yet");
    let database = Connection::open(&path).unwrap();
    let hash = |id: u32, hash: &str| {
        let sql = "UPDATE images SET phash = ?2 WHERE id = ?1";
        database.execute(sql, (id, hash)).unwrap();
    };
    database
        .execute("UPDATE images SET phash = NULL", [])
        .unwrap();
    let error = ask(By::Visual).unwrap_err().to_string();
    assert!(error.contains("booru duplicates"), "{error}");
    embed(&similarity, &ids[..60]);
    assert_eq!(ids_of(&ask(By::Semantic).unwrap()), ids[1..21]);
    // Of 256 bits: 60 are as many as look alike.
    for (place, bits) in [(0, 0), (3, 8), (70, 60), (71, 61), (72, 4)] {
        let ones = "f".repeat(bits / 4) + ["", "1", "3", "7"][bits % 4];
        hash(ids[place], &format!("{ones:0<64}"));
    }
    hash(ids[73], "no hash");
    let looks = ask(By::Visual).unwrap();
    assert_eq!(ids_of(&looks), [ids[72], ids[3], ids[70]]);
    assert_eq!(looks[0].visual, Some(1.0 - 4.0 / 256.0));

    let blended = ask(By::Blend).unwrap();
    assert!(
        blended
            .iter()
            .any(|one| one.id == ids[3] && one.visual.is_some())
    );
    let tags: BTreeMap<u32, f64> = similarity
        .similar(&board, ids[0], By::Tags, 500)
        .unwrap()
        .iter()
        .map(|one| (one.id, one.score))
        .collect();
    for one in &blended {
        assert_eq!(one.tags, tags.get(&one.id).copied());
        let parts = 0.6 * one.semantic.unwrap_or(0.0)
            + 0.2 * one.tags.unwrap_or(0.0)
            + 0.2 * one.visual.unwrap_or(0.0);
        assert!((one.score - parts).abs() < 1e-12, "{one:?}");
    }
    assert!(
        blended
            .iter()
            .all(|one| one.id != ids[0] && one.id != 1_000_000)
    );
    assert!(similarity.status().tags_held_bytes > 0);
    let later = std::time::Instant::now() + Duration::from_secs(301);
    assert!(similarity.unload_if_idle(later));
    let status = similarity.status();
    assert_eq!(
        (status.tags_held_bytes, status.semantic.unwrap().held_bytes),
        (0, 0)
    );
}

#[test]
fn answers_are_kept_until_what_they_are_of_changes() {
    let folder = Folder::new("kept");
    let path = make(&folder, Era::Now, SMALL, 7);
    let mut board = open(&path);
    let ids = board.all_matches(&"order:id".parse().unwrap()).unwrap();
    let kept = similarity(&folder, Some(5));
    embed(&kept, &ids[..30]);
    let image = ids[3];
    let rows = |sql: &str| -> i64 {
        let database = Connection::open(&path).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let all = "SELECT count(*) FROM similar_images_cache";
    let asked = kept.similar(&board, image, By::Blend, 5).unwrap();
    assert_eq!(rows(all), 0, "a question writes nothing");
    let written = kept.refresh_cached(&board, image, By::Blend).unwrap();
    assert_eq!((ids_of(&asked), rows(all)), (ids_of(&written), 5));
    let by =
        "SELECT count(*) FROM similar_images_cache WHERE similarity_type = 'blended' AND rank = 1";
    assert_eq!(rows(by), 1);
    // What is kept is told, whatever is true now; without the setting it is not read.
    let database = Connection::open(&path).unwrap();
    database
        .execute(
            "UPDATE similar_images_cache SET similarity_score = 7 WHERE rank = 1",
            [],
        )
        .unwrap();
    board.refresh().unwrap();
    assert_eq!(
        kept.similar(&board, image, By::Blend, 1).unwrap()[0].score,
        7.0
    );
    let plain = similarity(&folder, None);
    assert!(plain.similar(&board, image, By::Blend, 1).unwrap()[0].score < 2.0);
    // An edit of an image drops its answer, and where it stands in those of others.
    let second = written[1].id;
    board
        .add_tags(&[second], &["other_now".to_owned()])
        .unwrap();
    assert_eq!(rows(all), 4);
    board.add_tags(&[image], &["other_now".to_owned()]).unwrap();
    assert_eq!(rows(all), 0);
    kept.refresh_cached(&board, image, By::Tags).unwrap();
    assert!(rows(all) > 0);
    kept.forget_cached(&board, image).unwrap();
    assert_eq!(rows(all), 0);
}

fn booru(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_booru"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = booru(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn commands_tell_of_images_and_embeddings() {
    let folder = Folder::new("similar-command");
    let path = make(&folder, Era::Now, SMALL, 8);
    let board = open(&path);
    let ids = board.all_matches(&"order:id".parse().unwrap()).unwrap();
    let root = folder.root().to_str().unwrap();
    let none = json(&["embeddings", root, "status", "--json"]);
    assert_eq!(none["vectors"], 0);
    embed(&similarity(&folder, None), &ids[..50]);
    let told = json(&["embeddings", root, "status", "--json"]);
    assert_eq!(
        (told["vectors"].as_u64(), told["vectors_without"].as_u64()),
        (Some(51), Some(1))
    );
    assert_eq!(told["images_without"].as_u64(), Some(ids.len() as u64 - 50));
    assert_eq!(
        json(&["embeddings", root, "build", "--json"])["vectors"],
        51
    );

    let id = ids[0].to_string();
    let by_id = json(&[
        "similar", root, &id, "--by", "semantic", "--limit", "3", "--json",
    ]);
    let found = by_id["images"].as_array().unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0]["id"], ids[1]);
    assert_eq!(found[0]["path"], board.path_of(ids[1]).unwrap());
    let by_path = format!("images/{}", board.path_of(ids[0]).unwrap());
    let by_path = json(&[
        "similar", root, &by_path, "--by", "semantic", "--limit", "3", "--json",
    ]);
    assert_eq!(by_path, by_id);
    let text = booru(&["similar", root, &id]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), 12, "{text}");
    assert!(text.contains("embeddings 0."), "{text}");

    let refused = booru(&["similar", root, "no/such.png"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("no/such.png"), "{error}");
}

#[test]
fn without_semantic_similarity_nothing_of_it_is_opened_or_made() {
    let folder = Folder::new("similar-off");
    make(&folder, Era::Now, SMALL, 9);
    // Would be an error, were it opened.
    std::fs::write(folder.path("similarity.db"), "no database").unwrap();
    let root = folder.root().to_str().unwrap();
    let off = ["--enable-semantic-similarity", "false"];
    let blended = json(&["similar", root, "3", "--json", off[0], off[1]]);
    let by_tags = json(&["similar", root, "3", "--by", "tags", "--json"]);
    let ids = |told: &Value| -> Vec<u64> {
        let images = told["images"].as_array().unwrap();
        images
            .iter()
            .map(|one| one["id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ids(&blended), ids(&by_tags));
    let refused = booru(&["similar", root, "3", "--by", "semantic", off[0], off[1]]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("ENABLE_SEMANTIC_SIMILARITY"), "{error}");
    let damaged = booru(&["similar", root, "3", "--by", "semantic"]);
    let error = String::from_utf8(damaged.stderr).unwrap();
    assert!(
        error.contains("similarity.db") && error.contains("no SQLite database"),
        "{error}"
    );
    assert!(!folder.path("similarity.vectors").exists());
}

/// As another user, who may read and not write.
#[test]
fn where_no_file_can_be_written_the_database_is_searched() {
    let folder = Folder::new("similar-read-only");
    let path = make(
        &folder,
        Era::Now,
        Size {
            images: 30,
            ..SMALL
        },
        10,
    );
    let board = open(&path);
    let ids = board.all_matches(&"order:id".parse().unwrap()).unwrap();
    embed(&similarity(&folder, None), &ids);
    drop(board);
    std::fs::remove_file(folder.path("similarity.vectors")).ok();
    for name in ["similarity.db", "booru.db"] {
        let database = Connection::open(folder.path(name)).unwrap();
        database
            .pragma_update(None, "journal_mode", "DELETE")
            .unwrap();
    }
    // SAFETY: it takes nothing and tells one number.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
    let root = folder.root().to_str().unwrap();
    let id = ids[0].to_string();
    command.args([
        "similar", root, &id, "--by", "semantic", "--limit", "3", "--json",
    ]);
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o555)).unwrap();
    if is_root {
        let nobody = 65_534;
        let mut probe = Command::new("/bin/true");
        let reached = Command::new(env!("CARGO_BIN_EXE_booru"))
            .arg("--version")
            .uid(nobody)
            .status();
        if probe.uid(nobody).status().is_err() || !reached.is_ok_and(|status| status.success()) {
            println!("skipped: another user can't run the program here");
            return;
        }
        command.uid(nobody).gid(nobody);
    }
    let output = command.output().unwrap();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<u64> = told["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect();
    assert_eq!(
        found,
        ids[1..4]
            .iter()
            .map(|id| u64::from(*id))
            .collect::<Vec<_>>()
    );
    assert!(!folder.path("similarity.vectors").exists());
}
