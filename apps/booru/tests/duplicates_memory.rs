//! What a search for duplicates holds, and that nothing of it stays.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use collection::{Era, Folder, Random, Size, make, open};
use plimsoll::ledger::Ledger;
use plimsoll::stage::Stage;
use plimsoll_booru::duplicates::QueueOrder;
use plimsoll_booru_picture::phash::Phash;
use rusqlite::Connection;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

const IMAGES: usize = 6_000;

#[test]
fn a_search_holds_what_it_says_and_lets_it_go() {
    let folder = Folder::new("duplicates-memory");
    let size = Size {
        images: IMAGES,
        tags: 50,
        each: 2,
    };
    let path = make(&folder, Era::Now, size, 3);
    let mut connection = Connection::open(&path).unwrap();
    let ids = collection::ids(&connection, "SELECT id FROM images ORDER BY id");
    let mut random = Random(4);
    let transaction = connection.transaction().unwrap();
    // The full-text rows stay as they are, for which each of these would look through all of them.
    transaction
        .execute_batch("DROP TRIGGER images_fts_update")
        .unwrap();
    let mut kept = [0; 4];
    for (place, id) in ids.iter().enumerate() {
        // One of ten is like the one before.
        match place % 10 {
            9 => kept[place % 4] ^= 1 << random.below(64),
            _ => kept = [0; 4].map(|_| random.next()),
        }
        let hash = Phash::Bits256(kept).to_string();
        let sql = "UPDATE images SET phash = ?1 WHERE id = ?2";
        transaction.execute(sql, (&hash, *id)).unwrap();
    }
    transaction.commit().unwrap();
    let mut board = open(&path);
    let stage = Stage::begin("scan");
    let scanned = board.scan_duplicates(15).unwrap();
    let live = stage.end().live.unwrap();
    assert_eq!(scanned.images, IMAGES as u64);
    assert!((580..=640).contains(&scanned.pairs), "{}", scanned.pairs);
    let peak = live.peak_bytes.unwrap() - live.begin_bytes;
    // Hashes with their ids, one order of them, the boxes, and pairs in a list that has doubled.
    let most = IMAGES as u64 * (36 + 4) + (256 << 10) + scanned.pairs * 12 * 3 + (32 << 10);
    println!("{peak} bytes at most, {most} were expected");
    assert!(peak <= most, "{peak} bytes, {most} were expected");
    let left = live.end_bytes.saturating_sub(live.begin_bytes);
    assert!(left <= 16 << 10, "{left} bytes stay");

    let stage = Stage::begin("page");
    let page = board
        .duplicate_queue(15, QueueOrder::Distance, 0, 50)
        .unwrap();
    assert_eq!(page.pairs.len(), 50);
    let similar = board.visually_similar(ids[8], 15.0, 50).unwrap();
    assert_eq!(similar[0].image, ids[9]);
    let live = stage.end().live.unwrap();
    let peak = live.peak_bytes.unwrap() - live.begin_bytes;
    assert!(
        peak <= 64 << 10,
        "{peak} bytes for a page and an image's likes"
    );
}
