//! Databases that are none, are damaged, held by others or lack what is needed: one clear error each, and
//! the file as it was.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::fs;
use std::path::Path;

use collection::{Era, Folder, SMALL, make, open, options};
use plimsoll_booru::board::Board;
use plimsoll_booru::query::Category;
use plimsoll_booru::store::{Access, Store, is_busy};
use rusqlite::Connection;

/// What opening says: all of it on one line.
fn failure(path: &Path) -> String {
    match Board::open(path, options(Access::ReadOnly)) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => format!("{error:#}"),
    }
}

fn check(path: &Path, parts: &[&str]) {
    let before = fs::read(path).ok();
    let said = failure(path);
    assert!(!said.contains('\n'), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    assert_eq!(fs::read(path).ok(), before, "the file has changed");
}

fn database(folder: &Folder, sql: &str) -> std::path::PathBuf {
    let path = folder.path("booru.db");
    let _ = fs::remove_file(&path);
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

#[test]
fn what_is_not_there_or_no_database_is_said() {
    let folder = Folder::new("none");
    check(
        &folder.path("nothing.db"),
        &["nothing.db", "no folder or database", "booru create"],
    );
    check(folder.root(), &["find the database of", "booru create"]);
    let path = folder.path("text.db");
    fs::write(
        &path,
        "This is a text of some length, and no database at all.".repeat(100),
    )
    .unwrap();
    check(&path, &["text.db", "it is no SQLite database"]);
    let path = folder.path("empty.db");
    fs::write(&path, "").unwrap();
    check(
        &path,
        &[
            "no database of an image board",
            "table images, table tags, table image_tags",
        ],
    );
}

#[test]
fn missing_tables_and_columns_are_named_all_at_once() {
    let folder = Folder::new("missing");
    let path = database(
        &folder,
        "CREATE TABLE images (id INTEGER PRIMARY KEY, filepath TEXT); CREATE TABLE tags (name TEXT);
         CREATE TABLE image_tags (image_id INTEGER, tag INTEGER);",
    );
    check(
        &path,
        &["column images.md5, column tags.id, column image_tags.tag_id"],
    );
}

#[test]
fn ids_and_names_that_can_not_be_are_told_with_the_way_to_find_them() {
    let folder = Folder::new("ids");
    let tables = "CREATE TABLE images (id INTEGER PRIMARY KEY, filepath TEXT, md5 TEXT);
         CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE image_tags (image_id INTEGER, tag_id INTEGER);";
    for (rows, part) in [
        (
            "INSERT INTO tags VALUES (-1, 'a')",
            "the id of a tag is Integer(-1)",
        ),
        (
            "INSERT INTO tags VALUES (5000000000, 'a')",
            "the id of a tag is Integer(5000000000)",
        ),
        (
            "INSERT INTO tags VALUES (1, 'a'), (2, 'a')",
            "tag 1 has its name \"a\" too",
        ),
        (
            "INSERT INTO images VALUES (0, 'a', 'b')",
            "the id of an image is Integer(0)",
        ),
    ] {
        let path = database(&folder, &format!("{tables}{rows}"));
        check(&path, &["booru doctor", part]);
    }
}

#[test]
fn rows_that_lead_nowhere_are_left_out_and_counted() {
    let folder = Folder::new("nowhere");
    let path = database(
        &folder,
        "CREATE TABLE images (id INTEGER PRIMARY KEY, filepath TEXT, md5 TEXT, score INTEGER);
         CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE image_tags (image_id, tag_id);
         CREATE TABLE favourites (image_id INTEGER PRIMARY KEY);
         INSERT INTO images VALUES (1, 'a', 'a', 'many'), (7, 'b', 'b', 2.5), (9, 'c', 'c', 9223372036854775807);
         INSERT INTO tags VALUES (1, 'x'), (2, x'ff00'), (3, '');
         INSERT INTO image_tags VALUES (1, 1), (1, 1), (2, 1), (7, 4), (NULL, 1), (7, 'x'), ('q', 1), (9, 3);
         INSERT INTO favourites VALUES (1), (2);",
    );
    let board = open(&path);
    let skipped = board.catalog().skipped();
    assert_eq!((skipped.pairs, skipped.others), (5, 1));
    let page = plimsoll_booru::search::Page {
        number: 1,
        images: 10,
    };
    let found = |query: &str| board.search(&query.parse().unwrap(), page, 0).unwrap().ids;
    assert_eq!(found("x order:id_asc"), [1]);
    assert_eq!(found("tagcount:>0 order:id_asc"), [1, 9]);
    // Text and parts of numbers are no scores.
    assert_eq!(found("order:score"), [9, 7, 1]);
    assert_eq!(found("score:>2"), [9]);
}

#[test]
fn a_damaged_file_is_told_wherever_it_is_damaged() {
    let folder = Folder::new("damaged");
    let path = make(&folder, Era::Reordered, SMALL, 1);
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 40);
    let (mut told, mut unnoticed) = (0, 0);
    for page in 1..pages {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        match Board::open(&path, options(Access::ReadOnly)) {
            // Not every page is read to load a board: text columns and full text are not.
            Ok(board) => {
                unnoticed += 1;
                assert_eq!(board.catalog().images().len(), SMALL.images);
            }
            Err(error) => {
                let said = format!("{error:#}");
                assert!(
                    said.contains("it is damaged; take a copy") && !said.contains('\n'),
                    "{said}"
                );
                told += 1;
            }
        }
    }
    assert!(told > 10 && unnoticed > 0, "{told} told, {unnoticed} not");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(failure(&path).contains("it is damaged"), "a file cut off");
}

#[test]
fn a_database_that_another_program_holds_is_waited_for_and_then_told() {
    let folder = Folder::new("held");
    let path = make(&folder, Era::Now, SMALL, 1);
    let mut board = open(&path);
    let mut other = Connection::open(&path).unwrap();
    let held = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    let error = board.create_tag("new", Category::General).unwrap_err();
    assert!(is_busy(&error));
    let said = format!("{error:#}");
    assert!(
        said.contains("begin to change") && said.contains("another program holds it"),
        "{said}"
    );
    // Reading goes on beside a writer, and writing behind it.
    open(&path);
    drop(held);
    board.create_tag("new", Category::General).unwrap();

    // A rollback journal does not allow that.
    other
        .pragma_update(None, "journal_mode", "DELETE")
        .unwrap_or(());
    drop(board);
    drop(other);
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = Board::open(&path, options(Access::ReadOnly)).unwrap_err();
    assert!(is_busy(&error), "{error:#}");
    assert!(
        format!("{error:#}").contains("another program holds it"),
        "{error:#}"
    );
}

#[test]
fn a_new_database_is_never_made_over_another() {
    let folder = Folder::new("create");
    let path = folder.path("board/data/booru.db");
    Store::create(&path).unwrap();
    let error = Store::create(&path).unwrap_err();
    assert!(format!("{error:#}").contains("exists"), "{error:#}");
    let board = Board::open(&folder.path("board"), options(Access::InPlace)).unwrap();
    assert!(board.catalog().images().is_empty() && board.catalog().tags().is_empty());
    assert!(
        board
            .suggest("ha")
            .iter()
            .all(|group| group.name == "Filters")
    );
}

/// Opening changes nothing of a database, whoever made it: not a byte where it has no write-ahead log.
#[test]
fn a_database_that_is_read_or_edited_keeps_its_settings_and_ids() {
    let folder = Folder::new("kept");
    let path = make(&folder, Era::Reordered, SMALL, 2);
    let before = fs::read(&path).unwrap();
    drop(open(&path));
    drop(Board::open(&path, options(Access::ReadOnly)).unwrap());
    assert_eq!(fs::read(&path).unwrap(), before);
    let kept = || {
        let connection = Connection::open(&path).unwrap();
        let setting = |name: &str| -> String {
            connection
                .query_row(
                    &format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
                    [],
                    |row| row.get(0),
                )
                .unwrap()
        };
        let settings = [
            "journal_mode",
            "user_version",
            "application_id",
            "page_size",
            "auto_vacuum",
        ]
        .map(setting);
        let sql = "SELECT group_concat(id || name, ' ') FROM (SELECT id, name FROM tags WHERE name <> 'new' ORDER BY id)";
        let tags: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        (settings, tags)
    };
    let first = kept();
    open(&path).add_tags(&[3], &["new".to_owned()]).unwrap();
    assert_eq!(kept(), first);
}
