//! Images that look alike: which pairs are found, in which order they are asked about, and what comes of an
//! answer.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use collection::{Era, Folder, Random, SMALL, make, open};
use image::{Rgb, RgbImage};
use plimsoll_booru::board::Board;
use plimsoll_booru::duplicates::{Folders, Label, QueueOrder};
use plimsoll_booru::edit::Action;
use plimsoll_booru::relations::RelationKind;
use plimsoll_booru_picture::phash::{HashSize, Phash};
use rusqlite::Connection;

const SIZE: HashSize = HashSize::Bits256;

/// Gives most images hashes: a few kinds, with up to 24 bits turned.
fn give_hashes(path: &Path, seed: u64) {
    let mut random = Random(seed);
    let kinds: Vec<[u64; 4]> = (0..12).map(|_| [0; 4].map(|_| random.next())).collect();
    let connection = Connection::open(path).unwrap();
    let ids = collection::ids(&connection, "SELECT id FROM images");
    for (place, id) in ids.into_iter().enumerate() {
        let mut words = *random.pick(&kinds);
        for _ in 0..random.below(24) {
            let bit = random.below(256);
            words[bit / 64] ^= 1 << (bit % 64);
        }
        let hash = match place % 9 {
            0 => continue,
            1 => Phash::Bits64(words[0]).to_string(),
            2 if place % 2 == 0 => "no hash".to_owned(),
            _ => Phash::Bits256(words).to_string(),
        };
        let sql = "UPDATE images SET phash = ?1 WHERE id = ?2";
        connection.execute(sql, (&hash, id)).unwrap();
    }
}

type Row = (u32, u32, u32);

/// By what the original does: all pairs, one by one.
fn right_pairs(connection: &Connection, distance_max: u32) -> BTreeSet<Row> {
    let sql = "SELECT id, phash FROM images WHERE phash IS NOT NULL ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Vec<(u32, String)> = rows.unwrap().map(Result::unwrap).collect();
    let mut pairs = BTreeSet::new();
    for (place, (a, first)) in rows.iter().enumerate() {
        for (b, second) in &rows[place + 1..] {
            let differing = first.bytes().zip(second.bytes()).map(|(x, y)| {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                Some((digit(x)? ^ digit(y)?).count_ones())
            });
            let distance: Option<u32> = differing.sum();
            if let Some(distance) = distance
                && first.len() == second.len()
                && distance <= distance_max
            {
                pairs.insert((*a, *b, distance));
            }
        }
    }
    pairs
}

fn rows(connection: &Connection, sql: &str) -> Vec<Row> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

const STORED: &str = "SELECT image_id_a, image_id_b, distance FROM duplicate_pairs";

fn board(folder: &Folder, era: Era) -> (Board, Connection) {
    let path = make(folder, era, SMALL, 5);
    give_hashes(&path, 6);
    (open(&path), Connection::open(&path).unwrap())
}

#[test]
fn all_pairs_are_stored() {
    let folder = Folder::new("pairs");
    let (mut board, connection) = board(&folder, Era::Now);
    for distance in [15, 3, 0, 22] {
        let scanned = board.scan_duplicates(distance).unwrap();
        let stored: BTreeSet<Row> = rows(&connection, STORED).into_iter().collect();
        let right = right_pairs(&connection, distance);
        assert!(
            right.len() > [1, 10, 100][usize::from(distance >= 3) + usize::from(distance >= 15)],
            "{}",
            right.len()
        );
        assert_eq!(stored, right);
        assert_eq!(scanned.pairs, right.len() as u64);
        let unreadable: u32 = connection
            .query_row(
                "SELECT count(*) FROM images WHERE phash = 'no hash'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(scanned.unreadable, u64::from(unreadable));
        let thresholds = collection::ids(
            &connection,
            "SELECT DISTINCT threshold FROM duplicate_pairs",
        );
        assert_eq!(thresholds, [distance]);
    }
}

/// Pages of the queue, put together.
fn queue(board: &Board, distance: u32, page_pairs: usize) -> Vec<Row> {
    let mut pairs = Vec::new();
    loop {
        let order = QueueOrder::Distance;
        let page = board
            .duplicate_queue(distance, order, pairs.len(), page_pairs)
            .unwrap();
        if page.pairs.is_empty() {
            assert_eq!(page.total, pairs.len() as u64);
            return pairs;
        }
        for pair in &page.pairs {
            assert_eq!(pair.image_a.path, board.path_of(pair.image_a.id).unwrap());
            pairs.push((pair.image_a.id, pair.image_b.id, pair.distance));
        }
    }
}

#[test]
fn the_queue_has_what_nobody_has_looked_at() {
    let folder = Folder::new("queue");
    let (mut board, connection) = board(&folder, Era::Now);
    assert_eq!(queue(&board, 15, 50), []);
    board.scan_duplicates(15).unwrap();
    // What the collection has of relations is hidden, whichever image is named first.
    let mut stored = rows(&connection, STORED);
    stored.sort_by_key(|(a, b, distance)| (*distance, *a, *b));
    for (number, (a, b, _)) in stored.iter().take(30).enumerate() {
        let (first, second) = if number % 2 == 0 { (a, b) } else { (b, a) };
        connection
            .execute(
                "INSERT OR IGNORE INTO image_relations (image_id_a, image_id_b, relation_type, source) \
                 VALUES (?1, ?2, 'parent_child', 'ingested')",
                (first, second),
            )
            .unwrap();
    }
    let related: BTreeSet<(u32, u32)> = rows(
        &connection,
        "SELECT image_id_a, image_id_b, 0 FROM image_relations",
    )
    .into_iter()
    .map(|(a, b, _)| (a.min(b), a.max(b)))
    .collect();
    for distance in [0, 5, 15] {
        let right: Vec<Row> = stored
            .iter()
            .copied()
            .filter(|(a, b, found)| *found <= distance && !related.contains(&(*a, *b)))
            .collect();
        for page_pairs in [1, 7, 50] {
            assert_eq!(queue(&board, distance, page_pairs), right);
        }
    }
    let page = board
        .duplicate_queue(15, QueueOrder::Distance, 0, 500)
        .unwrap();
    assert_eq!(page.scan_threshold, Some(15));
    for pair in &page.pairs {
        let right = (1.0 - f64::from(pair.distance) / 15.0) * 100.0;
        assert!((pair.confidence - right).abs() <= 0.05 + 1e-9, "{pair:?}");
        assert_eq!(pair.label, None);
    }
    let huge = board
        .duplicate_queue(15, QueueOrder::Difference, 0, usize::MAX)
        .unwrap();
    assert!(huge.pairs.len() <= 500);
}

#[test]
fn what_is_said_of_a_pair_is_done() {
    let folder = Folder::new("actions");
    let (mut board, connection) = board(&folder, Era::Now);
    connection
        .execute("DELETE FROM image_relations", [])
        .unwrap();
    board.scan_duplicates(15).unwrap();
    let mut done = BTreeSet::new();
    let mut next = |board: &Board| {
        let queue = queue(board, 15, 50);
        let free = |pair: &&Row| !done.contains(&pair.0) && !done.contains(&pair.1);
        let (a, b, _) = *queue.iter().find(free).unwrap();
        done.extend([a, b]);
        (a, b, queue.len())
    };
    let kinds = [
        (Action::NonDuplicate, RelationKind::NonDuplicate),
        (Action::Sibling, RelationKind::Sibling),
        (Action::ParentChildAb, RelationKind::ParentChild),
        (Action::ParentChildBa, RelationKind::ParentChild),
    ];
    for (action, kind) in kinds {
        let (a, b, before) = next(&board);
        // The names may come the other way round.
        let reviewed = board.review_duplicate(b, a, action).unwrap();
        assert_eq!(reviewed.deleted_path, None);
        assert_eq!(queue(&board, 15, 50).len(), before - 1);
        let (first, second) = match action {
            Action::ParentChildAb => (b, a),
            _ => (a, b),
        };
        let sql = "SELECT count(*) FROM image_relations WHERE image_id_a = ?1 AND image_id_b = ?2 \
                   AND relation_type = ?3 AND source = 'duplicate_review'";
        let found: u32 = connection
            .query_row(sql, (first, second, kind.name()), |row| row.get(0))
            .unwrap();
        assert_eq!(found, 1, "{action:?}");
        // It stays out of the queue after another search.
        board.scan_duplicates(15).unwrap();
        assert_eq!(queue(&board, 15, 50).len(), before - 1);
    }
    for action in [Action::DeleteA, Action::DeleteB] {
        let (a, b, _) = next(&board);
        let (gone, kept) = if action == Action::DeleteA {
            (a, b)
        } else {
            (b, a)
        };
        let path = board.path_of(gone).unwrap();
        let reviewed = board.review_duplicate(a, b, action).unwrap();
        assert_eq!(reviewed.deleted_path, Some(path));
        assert!(board.path_of(gone).is_err() && board.path_of(kept).is_ok());
        assert!(
            queue(&board, 15, 50)
                .iter()
                .all(|pair| pair.0 != gone && pair.1 != gone)
        );
        // Not both of them.
        let other = if action == Action::DeleteA {
            Action::DeleteB
        } else {
            Action::DeleteA
        };
        let error = format!("{:#}", board.review_duplicate(a, b, other).unwrap_err());
        assert!(error.contains(&gone.to_string()), "{error}");
        assert!(board.path_of(kept).is_ok());
    }
    let (a, _, _) = next(&board);
    assert!(board.review_duplicate(a, a, Action::DeleteA).is_err());
    assert!(board.review_duplicate(a, 999_999, Action::Sibling).is_err());
    assert!(board.path_of(a).is_ok());
    // A board that is read anew has the same.
    let fresh = open(board.store().path());
    assert_eq!(queue(&fresh, 15, 50), queue(&board, 15, 50));
}

#[test]
fn images_like_one_image() {
    let folder = Folder::new("similar");
    let (board, connection) = board(&folder, Era::Now);
    let hashed = "SELECT id FROM images WHERE length(phash) IN (16, 64) ORDER BY id LIMIT 8";
    for id in collection::ids(&connection, hashed) {
        for (distance, limit) in [(15.0, 500), (2.5, 500), (64.0, 7), (0.0, 3)] {
            let found = board.visually_similar(id, distance, limit).unwrap();
            let long: bool = connection
                .query_row(
                    "SELECT length(phash) = 64 FROM images WHERE id = ?1",
                    [id],
                    |row| row.get(0),
                )
                .unwrap();
            let bits = if long { 256.0 } else { 64.0 };
            let pairs = right_pairs(&connection, (distance * bits / 64.0) as u32);
            let mut right: Vec<(u32, u32)> = pairs
                .iter()
                .filter(|(a, b, _)| *a == id || *b == id)
                .map(|(a, b, distance)| (*distance, if *a == id { *b } else { *a }))
                .collect();
            right.sort_unstable();
            right.truncate(limit);
            let found: Vec<(u32, u32)> = found
                .iter()
                .map(|one| {
                    assert!((one.score - (1.0 - one.distance / 64.0)).abs() < 1e-12);
                    ((one.distance * bits / 64.0).round() as u32, one.image)
                })
                .collect();
            assert_eq!(found, right);
        }
    }
    let without = "SELECT id FROM images WHERE phash IS NULL LIMIT 1";
    let id = collection::ids(&connection, without)[0];
    let error = format!("{:#}", board.visually_similar(id, 15.0, 5).unwrap_err());
    assert!(error.contains("duplicates DIR hash"), "{error}");
    let error = format!(
        "{:#}",
        board.visually_similar(999_999, 15.0, 5).unwrap_err()
    );
    assert!(error.contains("no such image"), "{error}");
}

/// A picture of a kind, with a spot where one is asked for.
fn picture(kind: u32, spot: u32) -> RgbImage {
    RgbImage::from_fn(320, 240, |x, y| match x < spot && y < spot {
        true => Rgb([255, 0, 255]),
        false => {
            let wave = |of: u32| ((of * (kind + 1) / 3) % 256) as u8;
            Rgb([wave(x), wave(y), wave(x + y)])
        }
    })
}

/// A board whose first images have files, in `static/images`.
fn board_with_files(folder: &Folder) -> (Board, Connection, Folders) {
    let path = make(folder, Era::Now, SMALL, 5);
    let folders = Folders {
        images: folder.path("static/images"),
        thumbnails: folder.path("static/thumbnails"),
    };
    let connection = Connection::open(&path).unwrap();
    connection
        .execute("UPDATE images SET phash = NULL", [])
        .unwrap();
    for id in 1..=7 {
        let sql = "INSERT OR IGNORE INTO images (id, filepath, md5) VALUES (?1, ?2, ?3)";
        let path = format!("new/{id}.png");
        connection
            .execute(sql, (id, path, format!("{id:032x}")))
            .unwrap();
    }
    let pictures = [
        (1, "a/one.png", picture(1, 0)),
        (
            2,
            "a/two.png",
            image::imageops::resize(
                &picture(1, 0),
                160,
                120,
                image::imageops::FilterType::Triangle,
            ),
        ),
        (3, "b/three.png", picture(1, 60)),
        (4, "b/four.png", picture(7, 0)),
    ];
    for (id, name, picture) in &pictures {
        let file = folders.image(name).unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        picture.save(&file).unwrap();
        connection
            .execute(
                "UPDATE images SET filepath = ?1, image_width = ?2, image_height = ?3 WHERE id = ?4",
                (name, picture.width(), picture.height(), id),
            )
            .unwrap();
    }
    fs::write(folders.image("b/five.png").unwrap(), b"hello").unwrap();
    for (id, name) in [(5, "b/five.png"), (6, "../six.png"), (7, "b/seven.mp4")] {
        connection
            .execute("UPDATE images SET filepath = ?1 WHERE id = ?2", (name, id))
            .unwrap();
    }
    (open(&path), connection, folders)
}

#[test]
fn missing_hashes_are_made_from_the_files() {
    let folder = Folder::new("missing");
    let (mut board, connection, folders) = board_with_files(&folder);
    let full_text = "SELECT rowid FROM images_fts WHERE images_fts MATCH 'three'";
    assert_eq!(collection::ids(&connection, full_text).len(), 1);
    let filled = board.fill_hashes(&folders, SIZE, |_| {}).unwrap();
    assert_eq!(filled.hashed, 4);
    let videos =
        "SELECT id FROM images WHERE lower(filepath) LIKE '%.mp4' OR lower(filepath) LIKE '%.webm'";
    assert_eq!(
        filled.no_pictures,
        collection::ids(&connection, videos).len() as u64
    );
    assert_eq!(
        filled.hashed + filled.no_pictures + filled.failed,
        u64::from(collection::ids(&connection, "SELECT count(*) FROM images")[0])
    );
    let told = filled.failures.join("\n");
    assert!(
        told.contains("image 5: ") && told.contains("no PNG, JPEG"),
        "{told}"
    );
    assert!(
        told.contains("image 6: ") && told.contains("leads out of"),
        "{told}"
    );
    for (id, name) in [(1, "a/one.png"), (4, "b/four.png")] {
        let picture = plimsoll_booru_picture::read(
            &folders.image(name).unwrap(),
            &plimsoll_booru_picture::Limits::BOARD,
        );
        let picture = picture.unwrap();
        let size = SIZE;
        let right = (
            plimsoll_booru_picture::phash::phash(&picture, size).to_string(),
            plimsoll_booru_picture::colorhash::colorhash(&picture).to_string(),
        );
        let sql = "SELECT phash, colorhash FROM images WHERE id = ?1";
        let found: (String, String) = connection
            .query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(found, right);
    }
    assert_eq!(collection::ids(&connection, full_text).len(), 1);
    // Nothing is done twice, and no board is thought to have changed.
    assert_eq!(board.fill_hashes(&folders, SIZE, |_| {}).unwrap().hashed, 0);
    assert!(!board.refresh().unwrap());
}

#[test]
fn pairs_are_compared_by_their_pictures() {
    let folder = Folder::new("compared");
    let (mut board, connection, folders) = board_with_files(&folder);
    board.fill_hashes(&folders, SIZE, |_| {}).unwrap();
    connection
        .execute_batch(
            "DELETE FROM image_relations;
             DELETE FROM image_tags WHERE image_id IN (1, 2);
             UPDATE images SET phash = (SELECT phash FROM images WHERE id = 1) WHERE id IN (2, 3, 5);",
        )
        .unwrap();
    board.scan_duplicates(0).unwrap();
    let suggested = board.suggest_duplicates(&folders, |_| {}).unwrap();
    // Of 1, 2, 3 and 5 there are six pairs, and 5 can't be read.
    assert_eq!((suggested.compared, suggested.left_out), (3, 3));
    let page = board
        .duplicate_queue(5, QueueOrder::Difference, 0, 50)
        .unwrap();
    let label = |a: u32, b: u32| {
        let found = page
            .pairs
            .iter()
            .find(|pair| (pair.image_a.id, pair.image_b.id) == (a, b));
        found.unwrap().label
    };
    assert_eq!(page.pairs.len(), 6);
    assert_eq!(label(1, 3), Some(Label::LikelyVariation));
    assert_eq!(label(2, 3), Some(Label::LikelyVariation));
    assert_ne!(label(1, 2), Some(Label::LikelyVariation));
    assert_eq!(label(1, 5), None);
    let signals: Vec<_> = page
        .pairs
        .iter()
        .map(|pair| pair.suggestion.map(|of| of.signal))
        .collect();
    assert!(
        signals[..3].windows(2).all(|two| two[0] <= two[1]),
        "{signals:?}"
    );
    assert_eq!(signals[3..], [None; 3]);
    let first = page
        .pairs
        .iter()
        .find(|pair| pair.image_b.id == 2)
        .unwrap()
        .suggestion
        .unwrap();
    assert_eq!(first.pixel_ratio, 0.25);
    // They stay while the pair does.
    board.scan_duplicates(3).unwrap();
    assert_eq!(
        board.suggest_duplicates(&folders, |_| {}).unwrap().compared,
        0
    );
    connection
        .execute("UPDATE images SET phash = NULL WHERE id = 1", [])
        .unwrap();
    board.scan_duplicates(3).unwrap();
    let left = "SELECT count(*) FROM duplicate_pair_suggestions";
    assert_eq!(collection::ids(&connection, left), [1]);
}

#[test]
fn older_databases() {
    for era in [Era::Old, Era::Reordered] {
        let folder = Folder::new("older");
        let path = make(&folder, era, SMALL, 5);
        let connection = Connection::open(&path).unwrap();
        let ids = collection::ids(&connection, "SELECT id FROM images LIMIT 2");
        let mut board = open(&path);
        assert_eq!(queue(&board, 15, 50), []);
        let folders = Folders {
            images: folder.path("i"),
            thumbnails: folder.path("t"),
        };
        let scanned = board.scan_duplicates(15).unwrap();
        assert_eq!((scanned.images, scanned.pairs), (0, 0));
        assert_eq!(queue(&board, 15, 50), []);
        if era == Era::Old {
            let error = format!(
                "{:#}",
                board.fill_hashes(&folders, SIZE, |_| {}).unwrap_err()
            );
            assert!(error.contains("images.phash"), "{error}");
            let error = board.visually_similar(ids[0], 15.0, 5).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains("it has none"), "{error}");
        }
        board
            .review_duplicate(ids[0], ids[1], Action::NonDuplicate)
            .unwrap();
        assert_eq!(
            board.suggest_duplicates(&folders, |_| {}).unwrap().compared,
            0
        );
    }
}

#[test]
fn the_command() {
    let folder = Folder::new("command");
    let (board, _, folders) = board_with_files(&folder);
    drop(board);
    let booru = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
        let output = command
            .arg("duplicates")
            .arg(folder.root())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            text,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text, _) = booru(&["hash"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("4 images hashed, "), "{text}");
    let (_, text, _) = booru(&["scan", "--json"]);
    let scanned: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(scanned["images"], 4);
    let (_, text, _) = booru(&["compare"]);
    assert!(text.contains("pairs compared"), "{text}");
    let (_, text, _) = booru(&["list", "--distance", "15", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pairs = page["pairs"].as_array().unwrap();
    assert_eq!(page["total"], scanned["pairs"]);
    assert!(
        pairs
            .iter()
            .any(|pair| pair["image_a"]["id"] == 1 && pair["image_b"]["id"] == 2)
    );
    let (_, text, _) = booru(&["similar", "1", "--distance", "5"]);
    assert!(text.contains("a/two.png"), "{text}");
    let file = folders.image("a/two.png").unwrap();
    assert!(file.exists());
    let (code, text, _) = booru(&["commit", "1", "2", "delete_b"]);
    assert_eq!((code, text.as_str()), (Some(0), "deleted a/two.png\n"));
    assert!(!file.exists() && folders.image("a/one.png").unwrap().exists());
    let trashed = fs::read_dir(folder.path("trash").join("a")).unwrap();
    let names: Vec<_> = trashed.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .any(|name| name.to_string_lossy().contains("two")),
        "{names:?}"
    );
    let (code, _, error) = booru(&["commit", "1", "2", "sibling"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("no image 2"), "{error}");
    let (code, _, error) = booru(&["list", "--limit", "501"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("500"), "{error}");
}

/// Each of two programs deletes one image of a pair, in favour of the other.
#[test]
fn two_programs_never_delete_both_images_of_a_pair() {
    let folder = Folder::new("both");
    let path = make(&folder, Era::Now, SMALL, 31);
    let ids = collection::ids(&Connection::open(&path).unwrap(), "SELECT id FROM images");
    let patient = plimsoll_booru::store::StoreOptions {
        patience: std::time::Duration::from_secs(60),
        ..collection::options(plimsoll_booru::store::Access::InPlace)
    };
    let mut boards = [0, 1].map(|_| Board::open(&path, patient).unwrap());
    for pair in ids.chunks_exact(2).take(20) {
        let start = std::sync::Barrier::new(2);
        let [one, other] = &mut boards;
        let delete = |board: &mut Board, action| {
            start.wait();
            board.review_duplicate(pair[0], pair[1], action).is_ok()
        };
        let done = std::thread::scope(|scope| {
            let a = scope.spawn(|| delete(one, Action::DeleteA));
            let b = scope.spawn(|| delete(other, Action::DeleteB));
            [a.join().unwrap(), b.join().unwrap()]
        });
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    }
    let left = Connection::open(&path).unwrap();
    let left = collection::ids(&left, "SELECT id FROM images");
    assert_eq!(left.len(), ids.len() - 20);
}
