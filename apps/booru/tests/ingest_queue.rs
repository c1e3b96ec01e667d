//! Images that come in and what models are to do with them: one transaction, whatever ends the program.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod cluster;
mod collection;
mod gallery;
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cluster::{Cluster, name_of};
use collection::Folder;
use gallery::{Gallery, beside, put};
use plimsoll_booru::ingest::{Ingest, Mode, Outcome};
use plimsoll_booru::ml;
use plimsoll_booru::ml::settings::FileSettings;
use server::{Server, booru};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

const MODELS: [&str; 2] = ["Tagger", "Similarity"];

/// Files in the place of models are all that queueing looks for; no worker is there to read them.
fn put_models(board: &Path) {
    for name in MODELS {
        let folder = board.join("models").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("model.onnx"), "a model").unwrap();
    }
}

fn serve(board: &str, folder: &Path) -> Server {
    let arguments = ["serve", board, "--port", "0", "--no-password"];
    Server::spawn(&mut command(&arguments, folder))
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = booru(arguments);
    command
        .env("BOORU_FOLDER", folder)
        .env("HOME", "/nonexistent")
        .env("ML_WORKER_SOCKET", folder.join("ml.sock"))
        .env("ML_WORKER_PROGRAM", folder.join("no-worker"));
    command
}

fn run(arguments: &[&str], folder: &Path) {
    let output = command(arguments, folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a server while its database queues jobs, and starts another; the board has this one image then, and
/// one job of each kind.
fn kill_while_it_queues(
    board: &str,
    folder: &Path,
    is_held: impl FnMut() -> bool,
    let_go: impl FnOnce(),
    count: impl Fn(&str) -> u64,
) {
    let ingest = folder.join("ingest");
    put(&ingest, 1);
    let mut server = serve(board, folder);
    wait_until("the database to queue jobs", is_held);
    server.signal(libc::SIGKILL);
    server.wait();
    let_go();
    let _server = serve(board, folder);
    wait_until("the image", || count("SELECT count(*) FROM images") == 1);
    // They are there with it: nothing is to be waited for.
    let jobs = "SELECT count(*) FROM booru_jobs WHERE image_id = (SELECT id FROM images)";
    for kind in ["tag", "embed"] {
        assert_eq!(
            count(&format!("{jobs} AND kind = '{kind}'")),
            1,
            "no {kind} job"
        );
    }
    assert_eq!(count("SELECT count(*) FROM booru_jobs"), 2);
}

#[test]
fn a_kill_while_jobs_are_queued_leaves_no_image_without_them() {
    let gallery = Gallery::new("queue-kill");
    let folder = gallery.folder.root();
    put_models(folder);
    let board = folder.to_str().unwrap();
    run(&["jobs", board, "--retry"], folder);
    // To queue a job never ends, and is seen by what it writes first: more than the page cache holds.
    let numbers = |limit: &str| {
        format!(
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {limit}) SELECT i FROM n)"
        )
    };
    let hold = format!(
        "CREATE TABLE held (bytes BLOB); \
         CREATE TRIGGER hold BEFORE INSERT ON booru_jobs BEGIN \
         INSERT INTO held SELECT randomblob(4000) FROM {}; \
         INSERT INTO held SELECT NULL FROM {} WHERE i < 0; END",
        numbers("LIMIT 4000"),
        numbers("")
    );
    gallery.connection().execute_batch(&hold).unwrap();
    let log = gallery.database.with_file_name("booru.db-wal");
    let is_held = || fs::metadata(&log).is_ok_and(|log| log.len() > 8 << 20);
    let let_go = || {
        let sql = "DROP TRIGGER hold; DROP TABLE held";
        gallery.connection().execute_batch(sql).unwrap();
    };
    kill_while_it_queues(board, folder, is_held, let_go, |sql| gallery.count(sql));
    gallery.check_whole("after the kill");
}

#[test]
fn nor_does_one_of_a_board_in_postgresql() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let address = cluster.database();
    let folder = Folder::new("queue-kill-shared");
    put_models(folder.root());
    run(&["create", &address], folder.root());
    run(&["jobs", &address, "--retry"], folder.root());
    let sql = |sql: &str| cluster.sql(name_of(&address), sql);
    let count = |text: &str| sql(text)[0].parse::<u64>().unwrap();
    sql(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep(86400); RETURN NEW; END'; \
         CREATE TRIGGER hold BEFORE INSERT ON booru_jobs FOR EACH ROW EXECUTE FUNCTION hold()",
    );
    let held =
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let is_held = || count(&format!("SELECT count(*) {held}")) > 0;
    let let_go = || {
        // A server learns of a client's death when it next writes to it.
        sql(&format!("SELECT pg_terminate_backend(pid) {held}"));
        wait_until("the end of its connection", || {
            count(&format!("SELECT count(*) {held}")) == 0
        });
        sql("DROP TRIGGER hold ON booru_jobs");
    };
    kill_while_it_queues(&address, folder.root(), is_held, let_go, count);
}

fn models(board: &Path, environment: &[(&str, &str)]) -> ml::Settings {
    let read = ml::Settings::read(board, &FileSettings::default(), &|name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.into())
    });
    read.unwrap()
}

/// Of a picture of the gallery, which stands before the sum in its name.
fn number(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap();
    name.split('_').next().unwrap()
}

impl Gallery {
    fn queueing(&self, environment: &[(&str, &str)]) -> Ingest {
        let models = models(self.folder.root(), environment);
        self.ingest().queueing(Some(models))
    }

    /// Kinds of jobs, and the number of the image that each is of.
    fn jobs(&self) -> Vec<String> {
        let connection = self.connection();
        let sql = "SELECT kind || ' ' || image.filepath FROM booru_jobs AS job \
                   JOIN images AS image ON image.id = image_id WHERE state = 'queued'";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        let short = |row: String| {
            let (kind, path) = row.split_once(' ').unwrap();
            format!("{kind} {}", number(path))
        };
        let mut jobs: Vec<String> = rows.unwrap().map(|row| short(row.unwrap())).collect();
        jobs.sort();
        jobs
    }
}

#[test]
fn what_cannot_be_queued_is_not_taken_in_and_comes_the_next_time() {
    let gallery = Gallery::new("queue-full");
    put_models(gallery.folder.root());
    let from = gallery.folder.path("new");
    for number in 1..=3 {
        put(&from, number);
    }
    let ingest = gallery.queueing(&[]);
    let import = || ingest.import(std::slice::from_ref(&from), Mode::Move, &mut |_| {});
    run(
        &["jobs", gallery.folder.root().to_str().unwrap(), "--retry"],
        gallery.folder.root(),
    );
    let full = "CREATE TRIGGER full BEFORE INSERT ON booru_jobs WHEN NEW.kind = 'embed' \
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    gallery.connection().execute_batch(full).unwrap();
    let error = format!("{:#}", import().unwrap_err());
    assert!(error.contains("the disk is full"), "{error}");
    let left = fs::read_dir(&from).unwrap().count();
    let counted = |table: &str| gallery.count(&format!("SELECT count(*) FROM {table}"));
    assert_eq!((left, counted("images"), counted("booru_jobs")), (3, 0, 0));
    gallery
        .connection()
        .execute_batch("DROP TRIGGER full")
        .unwrap();
    assert_eq!(import().unwrap().taken_in, 3);
    let expected = ["embed 1", "embed 2", "embed 3", "tag 1", "tag 2", "tag 3"];
    assert_eq!(gallery.jobs(), expected);
    gallery.check_whole("after the disk was full");
}

#[test]
fn only_what_is_switched_on_is_queued_and_tags_where_no_site_gave_some() {
    let check = |environment: &[(&str, &str)], without: &str, expected: &[&str]| {
        let gallery = Gallery::new("queue-kinds");
        put_models(gallery.folder.root());
        let model = format!("models/{without}/model.onnx");
        // Some cases name none that is to go.
        let _ = fs::remove_file(gallery.folder.path(&model));
        let of_site = put(&gallery.settings.ingest, 1);
        let post = r#"{"category": "danbooru", "id": 7, "tag_string_general": "solo"}"#;
        fs::write(beside(&of_site, ".json"), post).unwrap();
        let by_hand = put(&gallery.settings.ingest, 2);
        fs::write(beside(&by_hand, ".txt"), "solo").unwrap();
        let mut told = Vec::new();
        let ingest = gallery.queueing(environment);
        let totals = ingest.scan(&mut |event| {
            if let Outcome::TakenIn { queued, path, .. } = &event.outcome {
                let number = number(path);
                told.extend(queued.iter().map(|kind| format!("{kind} {number}")));
            }
        });
        assert_eq!(totals.unwrap().taken_in, 2, "{environment:?}");
        told.sort();
        assert_eq!(told, expected, "{environment:?}");
        let is_there = "SELECT count(*) FROM sqlite_master WHERE name = 'booru_jobs'";
        match gallery.count(is_there) {
            0 => assert!(expected.is_empty(), "{environment:?}"),
            _ => assert_eq!(gallery.jobs(), expected, "{environment:?}"),
        }
    };
    check(&[], "", &["embed 1", "embed 2", "tag 2"]);
    let always = [("LOCAL_TAGGER_ALWAYS_RUN", "true")];
    check(&always, "", &["embed 1", "embed 2", "tag 1", "tag 2"]);
    check(&always, "Tagger", &["embed 1", "embed 2"]);
    check(&[], "Similarity", &["tag 2"]);
    let no_tagger = [("ENABLE_LOCAL_TAGGER", "false")];
    check(&no_tagger, "", &["embed 1", "embed 2"]);
    check(&no_tagger, "Similarity", &[]);
}

#[test]
fn no_command_that_takes_in_images_queues_them_by_itself() {
    let gallery = Gallery::new("queue-import");
    let board = gallery.folder.root();
    put_models(board);
    run(&["jobs", board.to_str().unwrap(), "--retry"], board);
    let from = gallery.folder.path("new");
    put(&from, 1);
    let arguments = ["import", board.to_str().unwrap(), from.to_str().unwrap()];
    run(&arguments, board);
    assert_eq!(gallery.rows().len(), 1);
    assert_eq!(gallery.count("SELECT count(*) FROM booru_jobs"), 0);
}
