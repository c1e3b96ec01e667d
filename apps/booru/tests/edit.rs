//! Edits against a plain model, in any order: the tables, the text columns, the full-text table, and the
//! catalog, which has to answer as one that is read anew.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod model;
mod oracle;

use collection::{Era, Folder, Random, SMALL, Size, make, open, open_holding, options, tag_name};
use model::Model;
use oracle::{Maker, check};
use plimsoll_booru::board::Board;
use plimsoll_booru::catalog::TagsHeld;
use plimsoll_booru::edit::{Implied, NewImage, OldName};
use plimsoll_booru::query::Category;
use plimsoll_booru::search::Page;
use plimsoll_booru::store::Access;
use rusqlite::Connection;

const STEPS: usize = 60;

fn check_edits(era: Era, seed: u64, held: TagsHeld) {
    let folder = Folder::new("edits");
    let path = make(&folder, era, SMALL, seed);
    let mut random = Random(seed);
    let mut model = Model::read(&Connection::open(&path).unwrap(), era);
    let mut board = open_holding(&path, held);
    let mut done = Vec::new();
    for step in 0..STEPS {
        done.push(model.step(&mut board, era, &mut random));
        let what = done[done.len().saturating_sub(3)..].join("; ");
        {
            let connection = Connection::open(&path).unwrap();
            model.check(&connection, era, &what);
            // The check of the full-text table writes: to the board it is another program.
            board.refresh().unwrap();
        }
        if step % 15 == 14 && era != Era::Old {
            check_answers(&mut board, &path, &model, &mut random);
        }
    }
}

/// Answers of the board that followed all edits, and of one that is read anew.
fn check_answers(board: &mut Board, path: &std::path::Path, model: &Model, random: &mut Random) {
    let names = model.tags.keys().chain(model.aliases.keys()).cloned();
    // Ratings in one list mean any of them, which the oracle asks for by itself.
    let names = names.filter(|name| !name.starts_with("rating:"));
    let others = (0..SMALL.tags).map(tag_name);
    let connection = Connection::open(path).unwrap();
    let mut maker = Maker::new(&connection, names.chain(others).collect(), random.next());
    let fresh = open(path);
    for _ in 0..150 {
        let asked = maker.query();
        check(board, &connection, &asked, random);
        check(&fresh, &connection, &asked, random);
    }
    for typed in ["ha", "lon", "new", "o_", "re:", "zzz", "x'"] {
        assert_eq!(board.suggest(typed), fresh.suggest(typed), "{typed}");
    }
}

#[test]
fn a_database_of_now_follows_any_edits() {
    check_edits(Era::Now, 11, TagsHeld::Ids);
    check_edits(Era::Now, 12, TagsHeld::Ids);
}

#[test]
fn a_database_with_other_columns_and_no_triggers_follows_any_edits() {
    check_edits(Era::Reordered, 13, TagsHeld::Ids);
}

#[test]
fn an_old_database_follows_any_edits() {
    check_edits(Era::Old, 14, TagsHeld::Ids);
}

#[test]
fn tags_held_by_name_follow_any_edits() {
    check_edits(Era::Now, 15, TagsHeld::Names { interned: false });
    check_edits(Era::Now, 16, TagsHeld::Names { interned: true });
}

/// As above, but nobody else writes, so that the catalog is never read anew.
#[test]
fn the_catalog_follows_edits_without_being_read_anew() {
    check_following(TagsHeld::Ids);
    check_following(TagsHeld::Names { interned: false });
    check_following(TagsHeld::Names { interned: true });
}

fn check_following(held: TagsHeld) {
    let folder = Folder::new("follow");
    let path = make(&folder, Era::Now, SMALL, 15);
    let mut random = Random(15);
    let mut model = Model::read(&Connection::open(&path).unwrap(), Era::Now);
    let mut board = open_holding(&path, held);
    for step in 0..150 {
        model.step(&mut board, Era::Now, &mut random);
        if step % 30 == 29 {
            check_answers(&mut board, &path, &model, &mut random);
        }
    }
    assert!(!board.refresh().unwrap(), "nobody else has written");
}

const ALL: Page = Page {
    number: 1,
    images: 500,
};

fn total(board: &Board, query: &str) -> usize {
    board.search(&query.parse().unwrap(), ALL, 0).unwrap().total
}

#[test]
fn what_another_program_writes_is_seen_before_the_next_edit() {
    let folder = Folder::new("beside");
    let path = make(&folder, Era::Now, SMALL, 16);
    let mut board = open(&path);
    let before = total(&board, "solo");
    let other = Connection::open(&path).unwrap();
    let sql = "INSERT INTO image_tags (image_id, tag_id, source) \
               SELECT images.id, tags.id, 'user' FROM images, tags WHERE tags.name = 'solo' ON CONFLICT DO NOTHING";
    other.execute(sql, []).unwrap();
    other
        .execute("UPDATE tags SET name = 'other' WHERE name = 'hair'", [])
        .unwrap();
    assert_eq!(total(&board, "solo"), before, "not before it is asked for");
    // An edit does: it meets the tag by its new name, on all its images.
    board
        .merge_tags(&["solo".to_owned()], "other", OldName::IsForgotten)
        .unwrap();
    assert_eq!(total(&board, "other"), SMALL.images);
    let sql = "SELECT count(*) FROM images WHERE ' ' || tags_general || ' ' LIKE '% other %'";
    let count: usize = other.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, SMALL.images);
    assert!(!board.refresh().unwrap());
    other.execute("DELETE FROM image_tags", []).unwrap();
    assert!(board.refresh().unwrap());
    assert_eq!(total(&board, "tagcount:0"), SMALL.images);
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let folder = Folder::new("fails");
    let path = make(&folder, Era::Now, SMALL, 17);
    let before = Model::read(&Connection::open(&path).unwrap(), Era::Now);
    let mut board = open(&path);
    // The first tag is there and merged, the second is not.
    let tags = ["hair".to_owned(), "nobody".to_owned()];
    let error = board
        .merge_tags(&tags, "solo", OldName::BecomesAlias)
        .unwrap_err();
    assert!(
        error.to_string().contains("there is no tag \"nobody\""),
        "{error}"
    );
    let error = board.add_tags(&[3, 4], &["solo".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("there is no image 4"), "{error}");
    let error = board.add_tags(&[3], &["a b".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("no name of a tag"), "{error}");
    assert_eq!(
        Model::read(&Connection::open(&path).unwrap(), Era::Now),
        before
    );
    assert!(total(&board, "hair") > 0);

    let mut board = Board::open(&path, options(Access::ReadOnly)).unwrap();
    let error = board.create_tag("new", Category::General).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn rules_fire_over_others_once_and_only_while_active() {
    let folder = Folder::new("rules");
    let path = make(&folder, Era::Now, SMALL, 18);
    let mut board = open(&path);
    for tag in ["a", "b", "c", "d"] {
        board.create_tag(tag, Category::Character).unwrap();
    }
    board.add_tags(&[3, 5], &["a".to_owned()]).unwrap();
    board.add_tags(&[5], &["c".to_owned()]).unwrap();
    for (tag, implied) in [("a", "b"), ("b", "c"), ("c", "a"), ("a", "d")] {
        board.create_rule(tag, implied).unwrap();
    }
    let other = Connection::open(&path).unwrap();
    let sql = "UPDATE tag_implications SET status = 'rejected' WHERE implied_tag_id = \
               (SELECT id FROM tags WHERE name = 'd')";
    other.execute(sql, []).unwrap();
    assert_eq!(
        board.apply_rules().unwrap().added,
        3,
        "b and c for one, b for the other"
    );
    assert_eq!(board.apply_rules().unwrap().added, 0);
    assert_eq!((total(&board, "a b c"), total(&board, "d")), (2, 0));
    let source = |image: u32, tag: &str| -> String {
        let sql = "SELECT source FROM image_tags JOIN tags ON tags.id = tag_id WHERE image_id = ?1 AND name = ?2";
        other
            .query_row(sql, (image, tag), |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        (source(5, "c").as_str(), source(3, "c").as_str()),
        ("user", "implication")
    );
    // What is implied is in the text columns too, where the original's own search looks.
    let sql = "SELECT count(*) FROM images_fts WHERE images_fts MATCH 'tags_character : c'";
    assert_eq!(
        other
            .query_row(sql, [], |row| row.get::<_, u32>(0))
            .unwrap(),
        2
    );
}

/// More tags than are looked at one by one: the names are put in order anew.
#[test]
fn suggestions_are_right_after_more_new_tags_than_are_kept_aside() {
    let folder = Folder::new("many");
    let path = make(&folder, Era::Now, SMALL, 19);
    let mut board = open(&path);
    for (round, image) in [3, 5, 7].into_iter().enumerate() {
        let tags: Vec<String> = (0..200)
            .map(|tag| format!("many_{}", tag * (round + 1)))
            .collect();
        board.add_tags(&[image], &tags).unwrap();
        for typed in ["many", "_18", "hair", "_399", "_9"] {
            assert_eq!(
                board.suggest(typed),
                open(&path).suggest(typed),
                "{typed} in round {round}"
            );
        }
    }
    let groups = board.suggest("many_6");
    let first = &groups[0].items[0];
    // 6 in all three, as often as 0 and multiples of 6; it comes first among those that begin so.
    assert_eq!((first.tag.as_str(), first.count), ("many_6", Some(3)));
    assert_eq!(total(&board, "many_*"), 3);
}

/// So many are deleted that what they leave in memory is given up; then images come again.
#[test]
fn a_board_that_lost_most_of_its_images_holds_what_is_left() {
    let folder = Folder::new("worn");
    let size = Size {
        images: 3000,
        tags: 40,
        each: 3,
    };
    let path = make(&folder, Era::Now, size, 21);
    let mut board = open(&path);
    let bytes = |board: &Board| -> usize {
        let parts = board.catalog().components();
        let of_images = parts.iter().filter(|part| !part.is_of_tags);
        of_images.map(|part| part.bytes).sum()
    };
    let ids = board.all_matches(&"".parse().unwrap()).unwrap();
    let before = bytes(&board);
    board.delete_images(&ids[..1000]).unwrap();
    assert!(
        bytes(&board) > before * 9 / 10,
        "a third is held under their numbers"
    );
    board.delete_images(&ids[1000..2500]).unwrap();
    let held = bytes(&board);
    assert!(
        held < before / 4,
        "{held} of {before} bytes for a sixth of the images"
    );
    assert_eq!(total(&board, ""), 500);
    for number in 0..600_u32 {
        let mut md5 = [1; 16];
        md5[..4].copy_from_slice(&number.to_be_bytes());
        let image = NewImage {
            path: format!("new/{number}.png"),
            md5,
            score: Some(number.into()),
            ..NewImage::default()
        };
        board.add_image(&image, Implied::LeftOut).unwrap();
    }
    let grown = bytes(&board);
    assert!(
        grown < before / 2,
        "{grown} of {before} bytes for a third of the images"
    );
    let connection = Connection::open(&path).unwrap();
    let mut maker = Maker::new(&connection, vec!["solo".into(), "new".into()], 22);
    for _ in 0..100 {
        let asked = maker.query();
        check(&board, &connection, &asked, &mut Random(23));
    }
}

#[test]
fn an_older_full_text_table_and_triggers_of_others_go_on() {
    let folder = Folder::new("older");
    let path = make(&folder, Era::Reordered, SMALL, 20);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "DROP TABLE images_fts;
             CREATE VIRTUAL TABLE images_fts USING fts5(filepath, tags_all);
             INSERT INTO images_fts SELECT filepath, '' FROM images;",
        )
        .unwrap();
    let mut board = open(&path);
    board.add_tags(&[3, 5], &["brand_new".to_owned()]).unwrap();
    let found = || -> u32 {
        let sql = "SELECT count(*) FROM images_fts WHERE images_fts MATCH 'tags_all : brand'";
        other.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let count = |table: &str| -> usize {
        other
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!((found(), count("images_fts")), (2, SMALL.images));
    // Somebody's own trigger runs: then all of them do, and none is left out.
    other
        .execute_batch(
            "CREATE TABLE seen (image_id INTEGER);
             CREATE TRIGGER mine AFTER INSERT ON image_tags BEGIN INSERT INTO seen VALUES (new.image_id); END;",
        )
        .unwrap();
    board
        .add_tags(&[7, 9, 11], &["brand_new".to_owned()])
        .unwrap();
    assert_eq!(count("seen"), 3);
}

/// Rows that the original's triggers would mend with the image are mended: one too many, one that is gone.
#[test]
fn the_full_text_table_has_one_row_for_each_image_that_changed() {
    let folder = Folder::new("mend");
    let path = make(&folder, Era::Now, SMALL, 21);
    let other = Connection::open(&path).unwrap();
    let mut board = open(&path);
    // Looked up one by one, and read at once.
    for (count, tag) in [(5_usize, "few"), (200, "many")] {
        let images = board.all_matches(&"order:id_asc".parse().unwrap()).unwrap();
        let images = &images[..count];
        let twice = "INSERT INTO images_fts SELECT * FROM images_fts WHERE filepath = \
                     (SELECT filepath FROM images WHERE id = ?1)";
        other.execute(twice, [images[0]]).unwrap();
        let gone =
            "DELETE FROM images_fts WHERE filepath = (SELECT filepath FROM images WHERE id = ?1)";
        other.execute(gone, [images[1]]).unwrap();
        board.add_tags(images, &[tag.to_owned()]).unwrap();
        let model = Model::read(&other, Era::Now);
        model.clone().check(&other, Era::Now, tag);
        let sql = "SELECT count(*) FROM images_fts WHERE images_fts MATCH ?1";
        let found: usize = other
            .query_row(sql, [format!("tags_all : {tag}")], |row| row.get(0))
            .unwrap();
        assert_eq!(found, count);
    }
}

/// The original's table of November 2025 knows no source `implication`.
#[test]
fn a_database_that_refuses_tags_of_rules_is_edited_without_them() {
    let folder = Folder::new("refuses");
    let path = make(&folder, Era::Now, SMALL, 22);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "DELETE FROM image_tags WHERE source = 'implication';
             ALTER TABLE image_tags RENAME TO newer;
             CREATE TABLE image_tags (image_id INTEGER, tag_id INTEGER, source TEXT DEFAULT 'original'
                 CHECK(source IN ('original', 'user', 'ai_inference')), PRIMARY KEY (image_id, tag_id));
             INSERT INTO image_tags SELECT image_id, tag_id, source FROM newer;
             DROP TABLE newer;",
        )
        .unwrap();
    let mut board = open(&path);
    for tag in ["one", "two"] {
        board.create_tag(tag, Category::General).unwrap();
    }
    board.create_rule("one", "two").unwrap();
    let image = NewImage {
        path: "abc/refuses.png".to_owned(),
        md5: [7; 16],
        tags: [(Category::General, vec!["one".to_owned()])].into(),
        ..NewImage::default()
    };
    board.add_image(&image, Implied::Applied).unwrap();
    assert_eq!((total(&board, "one"), total(&board, "two")), (1, 0));
    for refused in [
        board.apply_rules(),
        board.apply_rule("one", "two"),
        board.reapply_rules(),
    ] {
        let said = format!("{:#}", refused.unwrap_err());
        assert!(said.contains("refuses tags that come from rules"), "{said}");
    }
}

#[test]
fn an_edit_is_done_however_often_another_program_writes() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    let folder = Folder::new("often");
    let path = make(&folder, Era::Now, SMALL, 23);
    let mut board = Board::open(
        &path,
        plimsoll_booru::store::StoreOptions {
            patience: std::time::Duration::from_secs(60),
            ..options(Access::InPlace)
        },
    )
    .unwrap();
    let (is_over, writes) = (AtomicBool::new(false), AtomicU32::new(0));
    let edits = std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Connection::open(&path).unwrap();
            other
                .busy_timeout(std::time::Duration::from_secs(60))
                .unwrap();
            while !is_over.load(Ordering::Relaxed) {
                other
                    .execute("UPDATE images SET score = score + 1 WHERE id = 5", [])
                    .unwrap();
                writes.fetch_add(1, Ordering::Relaxed);
                // SQLite asks for the lock now and then, and none is kept for who waits.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let mut edits = Vec::new();
        for number in 0..10 {
            let before = writes.load(Ordering::Relaxed);
            edits.push(board.add_tags(&[3], &[format!("often_{number}")]));
            // The other one has its turn, after which the board has been overtaken.
            let begun = std::time::Instant::now();
            while writes.load(Ordering::Relaxed) == before && begun.elapsed().as_secs() < 20 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        edits
    });
    assert!(writes.into_inner() >= 5);
    let last = format!("often_{}", edits.len() - 1);
    edits.into_iter().for_each(|edit| {
        edit.unwrap();
    });
    assert_eq!(total(&board, &last), 1);
    assert_eq!(total(&open(&path), &format!("often_0 {last}")), 1);
}

#[test]
fn an_old_name_with_capitals_leads_on() {
    let folder = Folder::new("capitals");
    let path = make(&folder, Era::Now, SMALL, 24);
    let other = Connection::open(&path).unwrap();
    let sql = "INSERT INTO tags (name, category) VALUES ('Foo', 'general')";
    other.execute(sql, []).unwrap();
    let mut board = open(&path);
    board.add_tags(&[3], &["foo".to_owned()]).unwrap();
    board
        .rename_tag("Foo", "bar", OldName::BecomesAlias)
        .unwrap();
    for board in [&board, &open(&path)] {
        assert_eq!((total(board, "Foo"), total(board, "bar")), (1, 1));
    }
    board.add_tags(&[5], &["Foo".to_owned()]).unwrap();
    assert_eq!(total(&board, "bar"), 2);
    board.delete_alias("foo").unwrap();
    let left = "SELECT count(*) FROM booru_aliases WHERE lower(name) = 'foo'";
    let left: u32 = other.query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
