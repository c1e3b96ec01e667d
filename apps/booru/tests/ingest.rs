//! Files that come onto a board: what is kept of them, where, and what becomes of those that can't be.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gallery::{Gallery, beside, picture, put, reason};
use plimsoll_booru::board::Board;
use plimsoll_booru::ingest::{Files, Mode, Outcome, delete};
use plimsoll_booru::search::Page;
use plimsoll_booru::store::Access;
use serde_json::{Value, json};

const ALL: Page = Page {
    number: 1,
    images: 500,
};

fn total(gallery: &Gallery, query: &str) -> usize {
    let board = Board::open(&gallery.database, collection::options(Access::ReadOnly)).unwrap();
    board.search(&query.parse().unwrap(), ALL, 0).unwrap().total
}

#[test]
fn files_come_with_all_that_is_said_of_them() {
    let gallery = Gallery::new("import");
    let from = gallery.folder.path("new");
    let first = put(&from, 1);
    fs::write(
        beside(&first, ".txt"),
        "Solo character:Miku\nhair rating:general",
    )
    .unwrap();
    let second = put(&from.join("set"), 2);
    let post = json!({"id": 7, "parent_id": 6, "score": 12, "fav_count": 3, "rating": "q",
        "tag_string_general": "solo hat", "tag_string_artist": "me", "tag_string_meta": "x"});
    let other = json!({"id": 9, "score": {"total": 2}, "rating": "s",
        "tags": {"species": ["hat", "cat"], "general": ["y"]}, "relationships": {"parent_id": null}});
    let sources = json!({"sources": {"e621": other, "danbooru": post}});
    fs::write(beside(&second, ".json"), sources.to_string()).unwrap();
    put(&from, 3);
    fs::write(from.join("notes.doc"), "no picture").unwrap();

    let (totals, _) = gallery.import(&from, Mode::Copy);
    assert_eq!((totals.taken_in, totals.files()), (3, 3));
    assert!(first.exists() && beside(&first, ".txt").exists());
    gallery.check_whole("after an import");
    assert_eq!(total(&gallery, "solo"), 2);
    assert_eq!(total(&gallery, "character:miku rating:g"), 1);
    // Of two sites a tag has the category that says most, and the first site's numbers count.
    assert_eq!(total(&gallery, "species:hat artist:me meta:x cat y"), 1);
    assert_eq!(
        total(
            &gallery,
            "source:danbooru source:e621 score:12 favcount:3 has:parent"
        ),
        1
    );
    assert_eq!(total(&gallery, "rating:q"), 1);
    assert_eq!(total(&gallery, "metadata:missing"), 2);
    assert_eq!(total(&gallery, "width:41 height:50 date:>2020"), 1);
    let row = |column: &str| -> String {
        let sql = format!("SELECT {column} FROM images WHERE active_source = 'merged'");
        gallery
            .connection()
            .query_row(&sql, [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(row("phash").len(), 64);
    assert_eq!(row("colorhash").len(), 11);
    assert!(row("filepath").ends_with("/set_-_2.png"));
    let metadata: String = gallery
        .connection()
        .query_row(
            "SELECT data FROM raw_metadata ORDER BY length(data) DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["sources"]["danbooru"], post);
    assert_eq!(metadata["relative_path"], row("filepath"));

    let (totals, _) = gallery.import(&from, Mode::Copy);
    assert_eq!((totals.taken_in, totals.duplicates), (0, 3));
    assert!(first.exists());
    let totals = gallery.ingest().scan(&mut |_| {}).unwrap();
    assert_eq!((totals.stored, totals.files()), (3, 3), "{totals:?}");
}

#[test]
fn implied_tags_come_too_where_they_are_wanted() {
    let mut gallery = Gallery::new("implied");
    let mut board = Board::open(&gallery.database, collection::options(Access::InPlace)).unwrap();
    for tag in ["cat", "animal", "being"] {
        board
            .create_tag(tag, plimsoll_booru::query::Category::General)
            .unwrap();
    }
    board.create_rule("cat", "animal").unwrap();
    board.create_rule("animal", "being").unwrap();
    drop(board);
    let from = gallery.folder.path("new");
    fs::write(beside(&put(&from, 1), ".txt"), "cat").unwrap();
    gallery.import(&from, Mode::Copy);
    assert_eq!(total(&gallery, "being animal"), 1);
    gallery.settings.implied = plimsoll_booru::edit::Implied::LeftOut;
    fs::write(beside(&put(&from, 2), ".txt"), "cat").unwrap();
    gallery.import(&from, Mode::Copy);
    assert_eq!((total(&gallery, "cat"), total(&gallery, "being")), (2, 1));
}

#[test]
fn moved_files_go_only_when_they_are_stored() {
    let gallery = Gallery::new("move");
    let from = gallery.settings.ingest.clone();
    let first = put(&from, 1);
    fs::write(beside(&first, ".txt"), "solo").unwrap();
    let again = fs::read(&first).unwrap();
    let (totals, _) = gallery.import(&from, Mode::Move);
    assert_eq!((totals.taken_in, totals.duplicates), (1, 0));
    fs::write(from.join("again.png"), again).unwrap();
    let (totals, events) = gallery.import(&from, Mode::Move);
    assert_eq!(totals.duplicates_removed, 1, "{events:?}");
    gallery.check_whole("after a move");
    assert!(files_below(&from).is_empty());

    // The same file with other words beside it: these are not known yet.
    let second = put(&from, 4);
    gallery.import(&from, Mode::Copy);
    fs::write(beside(&second, ".txt"), "other").unwrap();
    let (totals, events) = gallery.import(&second, Mode::Move);
    assert_eq!(totals.set_aside, 1);
    assert!(reason(&events, "4.png").contains("files beside it"));
    assert!(second.exists());
    fs::remove_file(beside(&second, ".txt")).unwrap();

    // The stored file is damaged: this one may be the last that is whole.
    let (path, _) = gallery.rows().pop().unwrap();
    let stored = gallery.settings.images.join(&path);
    let whole = fs::read(&stored).unwrap();
    fs::write(&stored, &whole[1..]).unwrap();
    // It was set aside as it is: it has to change to be looked at again.
    let again = from.join("third.png");
    fs::rename(&second, &again).unwrap();
    let (_, events) = gallery.import(&again, Mode::Move);
    assert!(reason(&events, "third.png").contains("has other bytes now"));
    assert!(again.exists());

    // It is lost: this one takes its place.
    fs::remove_file(&stored).unwrap();
    let fourth = from.join("fourth.png");
    fs::rename(&again, &fourth).unwrap();
    let (totals, _) = gallery.import(&fourth, Mode::Move);
    assert_eq!(totals.restored, 1);
    assert_eq!(fs::read(&stored).unwrap(), whole);
    let (totals, _) = gallery.import(&fourth, Mode::Move);
    assert_eq!(totals.duplicates_removed, 1);
    assert!(!fourth.exists());
    gallery.check_whole("at the end");
}

#[test]
fn what_is_no_picture_is_set_aside_and_stops_nothing() {
    let gallery = Gallery::new("aside");
    let from = gallery.folder.path("new");
    put(&from, 1);
    let good = picture(2, 300, 300);
    let mut giant = good.clone();
    // Width and height of the header.
    giant[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let files: [(&str, &[u8]); 7] = [
        ("empty.png", b""),
        ("text.jpg", b"#!/bin/sh\nexit 1\n"),
        ("giant.png", &giant),
        ("broken.jpg", b"\xff\xd8\xff\xe0nothing follows"),
        ("new.avif", b"\0\0\0\x20ftypavif0000mif1"),
        ("comic.zip", b"PK\x03\x04 no archive"),
        (
            "film.webm",
            b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x42\x82\x88matroska",
        ),
    ];
    for (name, bytes) in files {
        fs::write(from.join(name), bytes).unwrap();
    }
    fs::write(from.join("cut.png"), &good[..good.len() / 2]).unwrap();
    let damaged = put(&from, 5);
    fs::write(beside(&damaged, ".json"), "{no json").unwrap();

    let (totals, events) = gallery.import(&from, Mode::Copy);
    assert_eq!((totals.taken_in, totals.set_aside), (2, 8), "{events:?}");
    assert!(reason(&events, "empty.png").contains("empty"));
    assert!(reason(&events, "text.jpg").contains("first bytes"));
    assert!(reason(&events, "new.avif").contains("AVIF"));
    assert!(reason(&events, "film.webm").contains("Matroska"));
    assert!(reason(&events, "5.png").contains("no JSON"));
    let cut = events.iter().find(|event| event.path.ends_with("cut.png"));
    let Outcome::TakenIn { note, .. } = &cut.unwrap().outcome else {
        panic!("{cut:?}");
    };
    assert!(note.as_ref().unwrap().contains("ends too early"));
    gallery.check_whole("beside what was set aside");

    let (totals, _) = gallery.import(&from, Mode::Copy);
    assert_eq!(
        (totals.still_aside, totals.set_aside, totals.duplicates),
        (8, 0, 2)
    );
    // Written anew, it is tried again.
    fs::write(from.join("empty.png"), &good).unwrap();
    fs::write(beside(&damaged, ".json"), "{}").unwrap();
    let (totals, _) = gallery.import(&from, Mode::Copy);
    assert_eq!((totals.taken_in, totals.still_aside), (1, 7));
    assert_eq!(gallery.count("SELECT count(*) FROM booru_set_aside"), 7);
}

#[test]
fn an_archive_is_shown_by_its_first_picture_and_a_video_without_one() {
    use plimsoll::stream::CopyOptions;
    use plimsoll::stream::zip::{ZipMethod, ZipNew, ZipWriter};

    let gallery = Gallery::new("archive");
    let from = gallery.folder.path("new");
    fs::create_dir(&from).unwrap();
    let mut archive = ZipWriter::create(from.join("a.zip"), CopyOptions::default()).unwrap();
    for (name, width) in [("10.png", 33), ("9.png", 77), ("animation.json", 10)] {
        let bytes = picture(1, width, 20);
        let new = ZipNew::new(name.as_bytes(), ZipMethod::Deflated);
        archive.add(&new, &bytes[..]).unwrap();
    }
    archive.commit().unwrap();
    let (totals, events) = gallery.import(&from, Mode::Copy);
    assert_eq!(totals.taken_in, 1, "{events:?}");
    assert_eq!(total(&gallery, "width:77 .zip"), 1);
    gallery.check_whole("with an archive");

    let film = from.join("film.mp4");
    fs::write(&film, b"\0\0\0\x20ftypisom and no more").unwrap();
    // Programs by the name that is looked for: one that writes a picture, one that fails.
    let programs = gallery.folder.path("bin");
    fs::create_dir(&programs).unwrap();
    let frame = gallery.folder.path("frame.png");
    fs::write(&frame, picture(4, 60, 50)).unwrap();
    let program = |script: &str| {
        let path = programs.join("ffmpeg");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let import = |path: &str| {
        Command::new(env!("CARGO_BIN_EXE_booru"))
            .args(["import", gallery.folder.root().to_str().unwrap()])
            .arg(&film)
            .env("PATH", path)
            .output()
            .unwrap()
    };
    let path = format!("{}:/usr/bin:/bin", programs.display());
    program("echo 'moov atom not found' >&2; exit 1");
    let failed = import(&path);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("moov atom not found"), "{failed:?}");
    assert_eq!(failed.status.code(), Some(1));
    // Without the program it is stored, and that is said.
    fs::write(&film, b"\0\0\0\x20ftypisom and no more.").unwrap();
    let without = import("/nowhere");
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.contains("ffmpeg is not installed"), "{without:?}");
    assert_eq!(without.status.code(), Some(0));
    assert_eq!(total(&gallery, "has:video -width:>0"), 1);
    fs::write(&film, b"\0\0\0\x20ftypisom and no more..").unwrap();
    program(&format!(
        "for last; do :; done; cp '{}' \"${{last#file:}}\"",
        frame.display()
    ));
    let with = import(&path);
    assert_eq!(with.status.code(), Some(0), "{with:?}");
    assert_eq!(total(&gallery, "has:video width:60"), 1);
}

#[test]
fn names_that_are_taken_lead_elsewhere() {
    let gallery = Gallery::new("names");
    let from = gallery.folder.path("new");
    for (number, folder) in [(1, "a/set"), (2, "b/set"), (4, "c/set"), (5, "d/set")] {
        let folder = from.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("same.png"), picture(number, 30, 30)).unwrap();
    }
    let (totals, _) = gallery.import(&from, Mode::Copy);
    assert_eq!(totals.taken_in, 4);
    gallery.check_whole("with equal names");
    let rows = gallery.rows();
    assert!(
        rows.iter()
            .any(|(path, _)| path.ends_with("/set_-_same.png"))
    );
    let with_sum = rows
        .iter()
        .filter(|(path, md5)| path.ends_with(&format!("_{md5}.png")));
    assert_eq!(with_sum.count(), 3);
}

#[test]
fn any_name_is_taken_and_none_leads_elsewhere() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let gallery = Gallery::new("hostile");
    let from = gallery.folder.path("new");
    let long = format!("{}.png", "x".repeat(240));
    let names: [&[u8]; 7] = [
        b"a\nb\x1b[31m.png",
        b"not \xff utf-8.png",
        b"-y -i http:.png",
        b"..png",
        b"'; DROP TABLE images; --.png",
        "ä\u{202e}gnp.png".as_bytes(),
        long.as_bytes(),
    ];
    for (number, name) in names.iter().enumerate() {
        let folder = from.join(OsStr::from_bytes(b"s\\et\n"));
        fs::create_dir_all(&folder).unwrap();
        let name = OsStr::from_bytes(name);
        fs::write(folder.join(name), picture(number as u32 * 3 + 1, 30, 30)).unwrap();
    }
    // Hidden ones and links are passed by.
    fs::write(from.join(".hidden.png"), picture(50, 30, 30)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", from.join("link.png")).unwrap();
    let (totals, events) = gallery.import(&from, Mode::Copy);
    assert_eq!((totals.taken_in, totals.files()), (6, 6), "{events:?}");
    gallery.check_whole("with any names");
    for (path, _) in gallery.rows() {
        let parts: Vec<&str> = path.split('/').collect();
        assert!(parts.len() == 2 && parts[1].len() <= 240, "{path:?}");
        assert!(!path.chars().any(char::is_control), "{path:?}");
    }
}

#[test]
fn deleted_images_come_back_from_the_trash_with_their_tags() {
    let gallery = Gallery::new("trash");
    let from = gallery.folder.path("new");
    for number in 1..=4 {
        let tags = format!("tag{number} artist:someone re:zero rating:explicit");
        fs::write(beside(&put(&from, number), ".txt"), tags).unwrap();
    }
    gallery.import(&from, Mode::Copy);
    let mut board = Board::open(&gallery.database, collection::options(Access::InPlace)).unwrap();
    let ids = board.all_matches(&"tag1 or tag2".parse().unwrap()).unwrap();
    let deleted = delete(&mut board, &gallery.settings, &ids, Files::Trashed).unwrap();
    assert_eq!((deleted.images, deleted.files, deleted.missing), (2, 2, 0));
    let ids = board.all_matches(&"tag3".parse().unwrap()).unwrap();
    let deleted = delete(&mut board, &gallery.settings, &ids, Files::Deleted).unwrap();
    assert_eq!((deleted.images, deleted.files), (1, 1));
    assert!(delete(&mut board, &gallery.settings, &ids, Files::Deleted).is_err());
    drop(board);
    gallery.check_whole("after deletions");
    assert_eq!(gallery.rows().len(), 1);
    assert_eq!(files_below(&gallery.settings.images).len(), 1);
    assert_eq!(files_below(&gallery.settings.thumbnails).len(), 1);
    assert_eq!(files_below(&gallery.settings.trash).len(), 4);
    let (totals, _) = gallery.import(&gallery.settings.trash, Mode::Move);
    assert_eq!(totals.taken_in, 2);
    assert_eq!(
        total(
            &gallery,
            "tag1 artist:someone general:re:zero rating:explicit"
        ),
        1
    );
    assert_eq!(total(&gallery, "tag2"), 1);
    assert!(files_below(&gallery.settings.trash).is_empty());
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if !name.starts_with('.') {
            files.push(path);
        }
    }
    files
}

#[test]
fn two_importers_at_once_take_in_each_file_once() {
    let gallery = Gallery::new("two");
    let from = gallery.settings.ingest.clone();
    const FILES: u32 = 60;
    for number in 1..=FILES {
        let path = put(&from, number);
        let again = from.join("more").join(path.file_name().unwrap());
        if number % 4 == 0 {
            fs::create_dir_all(from.join("more")).unwrap();
            fs::copy(&path, again).unwrap();
        }
    }
    let importers = [(), ()].map(|()| {
        Command::new(env!("CARGO_BIN_EXE_booru"))
            .args(["import", "--move", "--json"])
            .args([gallery.folder.root(), from.as_path()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut taken_in = 0;
    for importer in importers {
        let output = importer.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let totals: Value = serde_json::from_slice(&output.stdout).unwrap();
        taken_in += totals["taken_in"].as_u64().unwrap();
    }
    assert_eq!(taken_in, u64::from(FILES));
    gallery.check_whole("after two importers");
    // What one met while the other had it under way is a duplicate in the next run.
    gallery.import(&from, Mode::Move);
    assert!(files_below(&from).is_empty());
    assert_eq!(files_below(&gallery.settings.images).len(), FILES as usize);
}

#[test]
fn a_watcher_takes_in_what_comes_once_nobody_writes_to_it() {
    let gallery = Gallery::new("watch");
    put(&gallery.settings.ingest, 1);
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_booru"))
        .args(["watch", gallery.folder.root().to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |rows: usize| {
        let begun = Instant::now();
        while gallery.rows().len() < rows {
            assert!(begun.elapsed() < Duration::from_secs(120), "{rows} rows");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for(1);
    // In pieces, for longer than a file that nobody writes to waits.
    let path = gallery.settings.ingest.join("slow.png");
    let bytes = picture(2, 60, 50);
    let mut file = fs::File::create(&path).unwrap();
    for piece in bytes.chunks(bytes.len() / 6 + 1) {
        std::io::Write::write_all(&mut file, piece).unwrap();
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(gallery.rows().len(), 1, "it is not whole");
    }
    drop(file);
    wait_for(2);
    // A folder that is moved in, with what is said of a file.
    let folder = gallery.folder.path("outside");
    fs::write(beside(&put(&folder, 4), ".txt"), "solo").unwrap();
    fs::rename(&folder, gallery.settings.ingest.join("set")).unwrap();
    // And one straight into the folder of images.
    fs::write(
        gallery.settings.images.join("straight.png"),
        picture(5, 30, 30),
    )
    .unwrap();
    wait_for(4);
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    assert_eq!(total(&gallery, "solo"), 1);
    assert!(!path.exists());
    gallery.check_whole("after a watch");
    // A kill may have left the last one where it was, as a duplicate.
    gallery.ingest().scan(&mut |_| {}).unwrap();
    assert_eq!(files_below(&gallery.settings.ingest).len(), 0);
    assert_eq!(files_below(&gallery.settings.images).len(), 4);
}
