//! What an ingest leaves alone, and what it does in spite of something that is wrong.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gallery::{Gallery, beside, picture, put, reason};
use plimsoll_booru::board::Board;
use plimsoll_booru::ingest::{Files, Mode, Outcome, Watcher, delete, thumbnail_path};
use plimsoll_booru::store::Access;
use serde_json::{Value, json};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_watcher_leaves_what_a_link_leads_to_and_folders_of_the_board() {
    let mut gallery = Gallery::new("links");
    let folder = gallery.settings.ingest.clone();
    gallery.settings.trash = folder.join("trash");
    gallery.settings.thumbnails = folder.join("small");
    let outside = gallery.folder.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, folder.join("link")).unwrap();
    fs::create_dir(&gallery.settings.trash).unwrap();
    let ingest = gallery.ingest();
    let mut watcher = Watcher::new(&ingest).unwrap();
    let begun = Instant::now();
    let (step, at) = (Cell::new(0), Cell::new(begun));
    let kept = Cell::new(Vec::new());
    // Asked again and again, it does one thing after the other.
    let is_over = || {
        assert!(begun.elapsed() < PATIENCE, "step {}", step.get());
        let rows = gallery.rows().len();
        let next = match step.get() {
            0 => {
                put(&folder, 1);
                true
            }
            1 if rows > 0 => {
                kept.set(vec![put(&outside, 2), put(&gallery.settings.trash, 4)]);
                at.set(Instant::now());
                true
            }
            2 if at.get().elapsed() > Duration::from_millis(500) => {
                put(&folder, 5);
                true
            }
            3 if rows > 1 && !folder.join("5.png").exists() => return true,
            _ => false,
        };
        step.set(step.get() + u32::from(next));
        false
    };
    watcher.run(&is_over, &mut |_| {}, &mut |error| panic!("{error:#}"));
    assert!(kept.take().iter().all(|path| path.exists()));
    assert_eq!(gallery.rows().len(), 2, "{:?}", gallery.rows());
    gallery.check_whole("beside a link");
}

#[test]
fn a_file_that_cannot_be_deleted_keeps_no_other_and_does_not_come_back() {
    let gallery = Gallery::new("stuck");
    let from = gallery.folder.path("new");
    for number in 1..=3 {
        put(&from, number);
    }
    gallery.import(&from, Mode::Copy);
    let rows = gallery.rows();
    let path = |number: usize| gallery.settings.images.join(&rows[number].0);
    // There can be no trash: deletions stay half done, as by a kill.
    fs::write(&gallery.settings.trash, "").unwrap();
    let delete = |id: u32, files: Files| {
        let mut board =
            Board::open(&gallery.database, collection::options(Access::InPlace)).unwrap();
        delete(&mut board, &gallery.settings, &[id], files)
    };
    let error = format!("{:#}", delete(1, Files::Trashed).unwrap_err());
    assert!(error.contains("trash"), "{error}");
    assert!(path(0).exists());
    let bystander = gallery.settings.images.join("../bystander.png");
    fs::write(&bystander, "x").unwrap();
    let noted = |what: &str| {
        let sql = format!("SELECT count(*) FROM booru_deletions WHERE path LIKE '{what}'");
        gallery.count(&sql)
    };
    gallery
        .connection()
        .execute(
            "INSERT INTO booru_deletions (path, is_trashed, tags) VALUES ('../bystander.png', 0, '')",
            [],
        )
        .unwrap();
    // It is told, and this one goes.
    assert!(delete(2, Files::Deleted).is_err());
    assert!(!path(1).exists() && bystander.exists());
    assert_eq!((noted("%"), noted("../%")), (1, 0));

    let ingest = gallery.ingest();
    assert!(ingest.finish_deletions().is_err());
    let totals = ingest.scan(&mut |_| {}).unwrap();
    assert_eq!((totals.to_go, totals.stored, totals.files()), (1, 1, 2));
    let import = Command::new(env!("CARGO_BIN_EXE_booru"))
        .args([
            std::ffi::OsStr::new("import"),
            gallery.folder.root().as_ref(),
        ])
        .arg(&gallery.settings.images)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&import.stderr);
    assert!(
        import.status.success() && said.contains("trash"),
        "{import:?}"
    );
    assert_eq!(gallery.rows().len(), 1);

    // A watcher that runs does the rest once it can.
    fs::remove_file(&gallery.settings.trash).unwrap();
    let begun = Instant::now();
    let is_over = || {
        assert!(begun.elapsed() < PATIENCE);
        noted("%") == 0
    };
    let mut watcher = Watcher::new(&ingest).unwrap();
    watcher.run(&is_over, &mut |_| {}, &mut |error| panic!("{error:#}"));
    // The first question comes before anything is done.
    assert!(!path(0).exists());
    assert!(gallery.settings.trash.join(&rows[0].0).exists());
    assert_eq!(gallery.rows().len(), 1);
}

#[test]
fn a_pipe_beside_a_picture_keeps_nobody_waiting() {
    let gallery = Gallery::new("pipe");
    let from = gallery.folder.path("new");
    let path = put(&from, 1);
    let made = Command::new("mkfifo").arg(beside(&path, ".txt")).status();
    assert!(made.unwrap().success());
    let second = put(&from, 2);
    fs::write(from.join("tags"), "solo").unwrap();
    symlink(from.join("tags"), beside(&second, ".txt")).unwrap();
    put(&from, 4);
    let (send, done) = channel();
    std::thread::spawn(move || {
        // Who waits may have given up.
        let _ = send.send(gallery.import(&from, Mode::Copy));
    });
    let (totals, events) = done.recv_timeout(PATIENCE).expect("it waits for a writer");
    assert_eq!((totals.taken_in, totals.set_aside), (1, 2), "{events:?}");
    for name in ["1.png", "2.png"] {
        assert!(reason(&events, name).contains("no regular file"));
    }
}

#[test]
fn all_that_is_said_beside_a_moved_file_is_kept() {
    let gallery = Gallery::new("whole");
    let from = gallery.settings.ingest.clone();
    let post = json!({"id": 7, "tag_string_general": "solo"});
    let plain = json!({"sources": {"danbooru": &post}}).to_string();
    let cases = [
        (plain.clone(), true),
        (serde_json::to_string_pretty(&post).unwrap(), true),
        // A field beside the sites, two sites of one name, two that have none, a field twice, a long number.
        (
            json!({"note": "mine", "sources": {"danbooru": &post}}).to_string(),
            false,
        ),
        (
            json!({"sources": {"Danbooru": {"id": 1}, "danbooru": {"id": 2}}}).to_string(),
            false,
        ),
        (
            json!({"sources": {"?": {"a": 1}, "!": {"b": 2}}}).to_string(),
            false,
        ),
        (
            r#"{"id": 1, "id": 2, "tag_string_general": "solo"}"#.to_owned(),
            false,
        ),
        (
            r#"{"x": 0.12345678901234567890123, "tag_string_general": "a"}"#.to_owned(),
            false,
        ),
    ];
    for (number, (text, _)) in (1..).zip(&cases) {
        fs::write(beside(&put(&from, number), ".json"), text).unwrap();
    }
    let (totals, events) = gallery.import(&from, Mode::Move);
    assert_eq!(totals.taken_in, cases.len() as u64, "{events:?}");
    assert_eq!(fs::read_dir(&from).unwrap().count(), 0);
    for (event, number) in events.iter().zip(1..) {
        let name = event.path.file_stem().unwrap().to_str().unwrap();
        let (text, is_whole) = &cases[name.parse::<usize>().unwrap() - 1];
        let Outcome::TakenIn { id, .. } = event.outcome else {
            panic!("{number}: {event:?}");
        };
        let sql = "SELECT data FROM raw_metadata WHERE image_id = ?1";
        let kept: String = gallery
            .connection()
            .query_row(sql, [id], |row| row.get(0))
            .unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        let expected = (!is_whole).then_some(text.as_str());
        assert_eq!(kept["sidecar_json"].as_str(), expected, "{text}");
    }
    // Again, it is known.
    fs::write(beside(&put(&from, 3), ".json"), &cases[2].0).unwrap();
    let (totals, events) = gallery.import(&from, Mode::Move);
    assert_eq!(totals.duplicates_removed, 1, "{events:?}");
}

#[test]
fn what_was_set_aside_is_tried_again_when_it_is_asked_for() {
    let gallery = Gallery::new("retry");
    let from = gallery.folder.path("new");
    let path = put(&from, 1);
    fs::write(beside(&path, ".json"), "{no json").unwrap();
    let import = |more: &[&str]| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_booru"))
            .args(["import", "--json"])
            .args(more)
            .args([gallery.folder.root(), from.as_path()])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    assert_eq!(import(&[])["set_aside"], 1);
    assert_eq!(import(&["--retry-set-aside"])["set_aside"], 1);
    fs::write(beside(&path, ".json"), "{}").unwrap();
    assert_eq!(import(&[])["still_aside"], 1);
    assert_eq!(import(&["--retry-set-aside"])["taken_in"], 1);
    assert_eq!(gallery.count("SELECT count(*) FROM booru_set_aside"), 0);
}

#[test]
fn files_of_one_name_in_their_place_get_small_pictures_of_their_own() {
    let gallery = Gallery::new("stem");
    let bucket = gallery.settings.images.join("abc");
    fs::create_dir_all(&bucket).unwrap();
    fs::write(bucket.join("a.png"), picture(1, 30, 40)).unwrap();
    fs::write(bucket.join("a.bmp"), picture(3, 50, 20)).unwrap();
    fs::write(beside(&bucket.join("a.bmp"), ".txt"), "solo").unwrap();
    let ingest = gallery.ingest();
    let totals = ingest.scan(&mut |_| {}).unwrap();
    assert_eq!(totals.taken_in, 2, "{totals:?}");
    let rows = gallery.rows();
    assert_ne!(thumbnail_path(&rows[0].0), thumbnail_path(&rows[1].0));
    gallery.check_whole("with files of one name");
    // One has moved, and is nowhere else.
    let totals = ingest.scan(&mut |_| {}).unwrap();
    assert_eq!((totals.stored, totals.files()), (2, 2), "{totals:?}");
}
