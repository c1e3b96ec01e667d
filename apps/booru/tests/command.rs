//! The `booru` command: what it prints, its exit codes, its settings, and that it may be killed at any time.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod model;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use collection::{Era, Folder, SMALL, Size, make};
use model::Model;
use rusqlite::Connection;
use serde_json::Value;

fn booru(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
    command
        .args(arguments)
        .env_remove("IMAGES_PER_PAGE")
        .env_remove("DB_CACHE_SIZE_MB");
    command
}

fn run(arguments: &[&str]) -> Output {
    booru(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&run(arguments))).unwrap()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_new_board_is_made_filled_searched_and_looked_at() {
    let folder = Folder::new("command");
    let board = folder.path("board");
    text(&run(&["create", name(&board)]));
    let again = run(&["create", name(&board)]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists"));
    let connection = Connection::open(board.join("data/booru.db")).unwrap();
    let sql = "INSERT INTO images (filepath, md5, score) VALUES ('a/\u{1b}[31m.png', 'x', 3), ('b/b.jpg', 'y', 5)";
    connection.execute(sql, []).unwrap();
    let said = text(&run(&[
        "tag",
        name(&board),
        "add",
        "Long_Hair",
        "score:>=3",
    ]));
    assert_eq!(said, "1 tags changed, 2 put on images, 0 taken off\n");
    let said = text(&run(&["search", name(&board), "long_hair order:score"]));
    assert_eq!(
        said,
        "         2  b/b.jpg\n         1  a/\\u{1b}[31m.png\n2 images, page 1 of 1\n"
    );
    let found = json(&[
        "search",
        name(&board),
        "long_hair",
        "--images-per-page",
        "1",
        "--page",
        "2",
        "--json",
    ]);
    assert_eq!(found["images"][0]["id"], 1);
    assert_eq!(
        (&found["page"], &found["total_pages"], &found["has_more"]),
        (&2.into(), &2.into(), &false.into())
    );
    let random = json(&["search", name(&board), "order:random", "--json"]);
    assert!(
        random["query"]
            .as_str()
            .unwrap()
            .starts_with("order:random:"),
        "{random}"
    );
    let suggested = json(&["suggest", name(&board), "solo -lon", "--json"]);
    assert_eq!(suggested["groups"][0]["items"][0]["tag"], "-long_hair");
    assert_eq!(suggested["groups"][0]["items"][0]["category"], Value::Null);
    let stats = json(&["stats", name(&board), "--json"]);
    assert_eq!(
        (&stats["images"], &stats["tags"], &stats["pairs"]),
        (&2.into(), &1.into(), &2.into())
    );
    for command in ["stats", "memory", "doctor"] {
        assert!(
            text(&run(&[command, name(&board)])).lines().count() > 3,
            "{command}"
        );
    }
}

#[test]
fn tags_are_edited_by_commands_unless_it_is_read_only() {
    let folder = Folder::new("tags");
    let path = make(&folder, Era::Now, SMALL, 1);
    let tag = |arguments: &[&str]| run(&[&["tag", name(&path)], arguments].concat());
    for arguments in [
        &["create", "new", "--category", "artist"][..],
        &["rename", "new", "newer", "--alias"],
        &["add", "new", "solo"],
        &["remove", "newer", "hair"],
        &["categorize", "meta", "newer"],
        &["alias", "newest", "newer"],
        &["merge", "--into", "solo", "hair", "hat"],
        &["imply", "newer", "solo"],
        &["apply-rules"],
        &["unimply", "newer", "solo"],
        &["unalias", "newest"],
        &["delete", "newer", "nobody"],
    ] {
        let done = tag(arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
    for (arguments, part) in [
        (&["--read-only", "create", "x"][..], "read-only"),
        (&["create", "a b"], "no name of a tag"),
        (
            &["create", "x", "--category", "y"],
            "character, copyright, artist",
        ),
        (&["rename", "nobody", "x"], "no tag \"nobody\""),
        (&["add", "x", "(solo"], "query, character 1"),
    ] {
        let failed = tag(arguments);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(
            (failed.status.code(), said.lines().count()),
            (Some(2), 1),
            "{said}"
        );
        assert!(said.contains(part), "{said}");
    }
}

/// What begins with `-` is a query, and no flag.
#[test]
fn a_query_may_begin_with_a_minus() {
    let folder = Folder::new("minus");
    let path = make(&folder, Era::Now, SMALL, 1);
    let total = |query: &str| -> u64 {
        let found = json(&["search", name(&path), query, "--json"]);
        found["total_results"].as_u64().unwrap()
    };
    assert!(total("hat") > 0);
    for query in ["-hat", "--hat", "-solo", "-(solo hair)", "-*a*"] {
        let rest = total(&query[1..]);
        assert_eq!(total(query) + rest, 400, "{query}");
    }
    let suggested = json(&["suggest", name(&path), "-ha", "--json"]);
    assert!(
        suggested["groups"][0]["items"][0]["tag"]
            .as_str()
            .unwrap()
            .starts_with('-')
    );
    let done = run(&["tag", name(&path), "add", "hatless", "-hat"]);
    assert!(text(&done).starts_with("1 tags changed"));
    assert_eq!(total("hatless"), total("-hat"));
    for arguments in [
        &["search", "--help"][..],
        &["suggest", "--help"],
        &["tag", "x", "add", "--help"],
    ] {
        assert!(text(&run(arguments)).contains("Usage:"), "{arguments:?}");
    }
}

#[test]
fn settings_come_from_flags_then_the_environment_then_the_file() {
    let folder = Folder::new("settings");
    let path = make(&folder, Era::Now, SMALL, 1);
    let board = name(folder.root()).to_owned();
    let pages = |command: &mut Command| -> u64 {
        let found: Value = serde_json::from_str(&text(&command.output().unwrap())).unwrap();
        found["total_pages"].as_u64().unwrap()
    };
    let search = ["search", board.as_str(), "", "--json"];
    assert_eq!(pages(&mut booru(&search)), 3, "400 images, 150 a page");
    fs::write(folder.path("booru.toml"), "images_per_page = 100\n").unwrap();
    assert_eq!(pages(&mut booru(&search)), 4);
    // The same for the database of the folder, which may lie in its `data`.
    fs::create_dir(folder.path("data")).unwrap();
    fs::rename(&path, folder.path("data/booru.db")).unwrap();
    let database = folder.path("data/booru.db");
    let of_database = ["search", name(&database), "", "--json"];
    assert_eq!(pages(&mut booru(&of_database)), 4);
    assert_eq!(pages(booru(&search).env("IMAGES_PER_PAGE", "50")), 8);
    let flagged = [&search[..], &["--images-per-page", "40"]].concat();
    assert_eq!(pages(booru(&flagged).env("IMAGES_PER_PAGE", "50")), 10);
    for (file, part) in [
        ("images_per_pag = 1\n", "images_per_pag"),
        ("images_per_page = 0\n", "1 to 500"),
    ] {
        fs::write(folder.path("booru.toml"), file).unwrap();
        let failed = run(&search);
        let said = String::from_utf8_lossy(&failed.stderr);
        assert!(
            failed.status.code() == Some(2) && said.contains(part),
            "{said}"
        );
    }
}

#[test]
fn a_doctor_tells_what_is_wrong_by_its_exit_code() {
    let folder = Folder::new("doctor");
    let path = make(&folder, Era::Now, SMALL, 1);
    let diagnosis = json(&["doctor", name(&path), "--deep", "--json"]);
    assert_eq!(diagnosis["tags"], SMALL.tags as u64 + 4);
    assert_eq!(diagnosis["tags"], diagnosis["valid_ids"]);
    assert_eq!(diagnosis["deep"]["images_lacking_words"], 0);
    assert_eq!(diagnosis["deep"]["images_with_other_words"], 0);
    assert!(diagnosis["tag_structures_bytes"].as_u64().unwrap() > 1000);
    let connection = Connection::open(&path).unwrap();
    let sick = |sql: &str, parts: &[&str]| {
        connection.execute_batch(sql).unwrap();
        let done = run(&["doctor", name(&path), "--deep"]);
        assert_eq!(done.status.code(), Some(1), "{sql}: {done:?}");
        let said = String::from_utf8(done.stdout).unwrap();
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
    };
    connection
        .execute(
            "UPDATE images SET tags_meta = tags_meta || ' left_over' WHERE id = 3",
            [],
        )
        .unwrap();
    let diagnosis = json(&["doctor", name(&path), "--deep", "--json"]);
    assert_eq!(
        diagnosis["deep"]["images_with_other_words"], 1,
        "no fault: the original leaves such"
    );
    sick(
        "PRAGMA foreign_keys = OFF; INSERT INTO image_tags (image_id, tag_id) VALUES (4, 10)",
        &["Tags of images that lead nowhere: 1"],
    );
    sick(
        "DELETE FROM images_fts WHERE rowid = 7",
        &["Images: 400", "Rows of the full-text table: 399"],
    );
    sick(
        "INSERT INTO tags (id, name) VALUES (3000000000, 'far')",
        &["Valid IDs: 154", "Total tags: 155"],
    );
    sick(
        "INSERT INTO tags (id, name) VALUES (-1, 'below')",
        &["Can't be loaded", "not known"],
    );
    let done = run(&["doctor", name(&folder.path("nothing"))]);
    assert_eq!(done.status.code(), Some(2));
}

/// Killed at whatever moment, an edit has happened or has not; never a part of it.
#[test]
fn a_killed_edit_has_happened_in_whole_or_not_at_all() {
    const LARGER: Size = Size {
        images: 3000,
        tags: 150,
        each: 9,
    };
    let folder = Folder::new("killed");
    let path = make(&folder, Era::Now, LARGER, 1);
    let before = Model::read(&Connection::open(&path).unwrap(), Era::Now);
    let copy = folder.path("copy.db");
    let merge = |path: &Path| {
        let mut command = booru(&[
            "tag",
            name(path),
            "merge",
            "--into",
            "solo",
            "hair",
            "long_hair",
            "Hat",
            "red_eyes",
        ]);
        command.stdout(Stdio::null());
        command
    };
    // How long it takes, and what comes of it.
    let take_copy = || {
        for (from, to) in [("booru.db", "copy.db"), ("booru.db-wal", "copy.db-wal")] {
            let _ = fs::remove_file(folder.path(to));
            let _ = fs::copy(folder.path(from), folder.path(to));
        }
        let _ = fs::remove_file(folder.path("copy.db-shm"));
    };
    take_copy();
    let start = std::time::Instant::now();
    assert!(merge(&copy).status().unwrap().success());
    let whole = start.elapsed();
    let after = Model::read(&Connection::open(&copy).unwrap(), Era::Now);
    assert_ne!(after, before);
    let (mut happened, mut not) = (0, 0);
    for step in 0..24 {
        take_copy();
        let mut child = merge(&copy).spawn().unwrap();
        // Any moments will do: nothing is waited for.
        std::thread::sleep(whole * step / 20 + Duration::from_millis(u64::from(step % 3)));
        let _ = child.kill();
        child.wait().unwrap();
        let connection = Connection::open(&copy).unwrap();
        let mut left = Model::read(&connection, Era::Now);
        match left == after {
            true => happened += 1,
            false => {
                assert_eq!(left, before, "after {step} of 20 parts of {whole:?}");
                not += 1;
            }
        }
        left.check(&connection, Era::Now, "a kill");
    }
    assert!(
        not > 0 && happened + not == 24,
        "{happened} happened, {not} not"
    );
}
