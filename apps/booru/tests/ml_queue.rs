//! The queue of work by models: ids, answers that come late, and what a board leaves under way.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod workers;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use plimsoll_booru::ml::Kind;
use plimsoll_booru::ml::queue::{self, Blame, State};
use serde_json::Value;
use workers::{PATIENCE, Place, signal, wait_for};

/// A board whose queue is there and has nobody who works it off.
fn idle(images: usize) -> (Place, workers::Served) {
    let place = Place::new(images);
    let served = place.serve();
    served.service.stop();
    (place, served)
}

/// A board whose worker starts once the file is there that comes with it.
fn gated(images: usize) -> (Place, PathBuf) {
    let place = Place::new(images);
    let go = place.folder.path("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", go.display());
    (place.wrapped(&wait), go)
}

fn wait_for_running(place: &Place, jobs: i64) {
    wait_for("the request", || {
        let sql = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'running'";
        (place.count(sql) == jobs).then_some(())
    });
}

#[test]
fn an_id_is_given_once_also_where_its_job_is_gone() {
    let (place, served) = idle(3);
    let board = served.board();
    let store = board.store();
    let id = |image| {
        queue::submit(store, Kind::Upscale, &[image]).unwrap();
        let job = queue::find(store, Kind::Upscale, image).unwrap();
        job.unwrap().id
    };
    let first = id(1);
    queue::cancel(store, None).unwrap();
    let second = id(2);
    assert!(second > first, "{second} after {first}");
    // What is in the queue already takes none.
    let again = queue::submit(store, Kind::Upscale, &[2, 3]).unwrap();
    assert_eq!((again.queued, again.already), (1, 1));
    let third = queue::find(store, Kind::Upscale, 3).unwrap().unwrap().id;
    assert_eq!(third, second + 1);
    drop(board);
    // A queue that was made before ids were counted goes on after its last.
    let connection = place.connection();
    connection.execute("DROP TABLE booru_job_ids", []).unwrap();
    let later = place.serve();
    later.service.stop();
    let board = later.board();
    queue::submit(board.store(), Kind::Tag, &[1]).unwrap();
    let job = queue::find(board.store(), Kind::Tag, 1).unwrap().unwrap();
    assert_eq!(job.id, third + 1);
}

#[test]
fn an_answer_that_comes_late_ends_no_job_but_its_own() {
    let (_place, served) = idle(2);
    let mut board = served.board();
    queue::submit(board.store(), Kind::Tag, &[1]).unwrap();
    let late = queue::take(board.store(), Kind::Tag, 1).unwrap().remove(0);
    board.delete_images(&[1]).unwrap();
    let store = board.store();
    queue::submit(store, Kind::Tag, &[2]).unwrap();
    assert!(!queue::finish(store, late.id).unwrap());
    queue::set_aside(store, &[(late.id, "late".to_owned())]).unwrap();
    let other = queue::find(store, Kind::Tag, 2).unwrap().unwrap();
    assert_eq!((other.state, other.tries), (State::Queued, 0));
    // Nor one that was put back, until it is taken again.
    let taken = queue::take(store, Kind::Tag, 1).unwrap();
    queue::give_back(store, &taken, Blame::None).unwrap();
    assert!(!queue::finish(store, other.id).unwrap());
    queue::set_aside(store, &[(other.id, "late".to_owned())]).unwrap();
    let state = || queue::find(store, Kind::Tag, 2).unwrap().unwrap().state;
    assert_eq!(state(), State::Queued);
    queue::take(store, Kind::Tag, 1).unwrap();
    assert!(queue::finish(store, other.id).unwrap());
    assert_eq!(state(), State::Done);
}

#[test]
fn an_image_that_is_deleted_while_a_model_looks_at_it_gets_nothing() {
    let (place, go) = gated(2);
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2]).unwrap();
    wait_for_running(&place, 2);
    served.board().delete_images(&[1]).unwrap();
    fs::write(&go, "").unwrap();
    assert_eq!(served.finish(Kind::Tag).counts.done, 1);
    let of = "SELECT MIN(image_id) FROM local_tagger_predictions";
    assert_eq!(place.count(of), 2);
    // A vector stands in a file of its own, which knows of no image.
    let (place, go) = gated(2);
    let served = place.serve();
    served.service.submit(Kind::Embed, &[1]).unwrap();
    wait_for_running(&place, 1);
    served.board().delete_images(&[1]).unwrap();
    served.service.submit(Kind::Embed, &[2]).unwrap();
    fs::write(&go, "").unwrap();
    assert_eq!(served.finish(Kind::Embed).counts.done, 1);
    let similar = rusqlite::Connection::open(place.board().join("data/similarity.db")).unwrap();
    let vectors = similar.query_row(
        "SELECT COUNT(*), MIN(image_id) FROM embeddings",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    assert_eq!(vectors.unwrap(), (1, 2));
}

#[test]
fn a_job_of_an_image_that_another_program_deleted_keeps_nobody_waiting() {
    let (place, served) = idle(2);
    queue::submit(served.board().store(), Kind::Tag, &[1, 2]).unwrap();
    drop(served);
    let connection = place.connection();
    connection
        .pragma_update(None, "foreign_keys", false)
        .unwrap();
    connection
        .execute("DELETE FROM images WHERE id = 1", [])
        .unwrap();
    assert_eq!(place.count("SELECT COUNT(*) FROM booru_jobs"), 2);
    let served = place.serve();
    assert_eq!(served.finish(Kind::Tag).counts.done, 1);
    assert_eq!(place.count("SELECT COUNT(*) FROM booru_jobs"), 1);
}

#[test]
fn jobs_run_works_off_all_kinds_unless_one_is_named() {
    let place = Place::new(3).with("UPSCALER_ENABLED", "false");
    let board = place.board();
    let board = board.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = place.command(arguments).arg("--json").output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let figures = ["done", "left"].map(|name| report[name].as_u64().unwrap());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), figures, error)
    };
    for arguments in [&["tag-images", board, ""][..], &["embed", board]] {
        let queued = run(&[arguments, &["--queue-only"]].concat());
        assert_eq!(queued.1[1], 3);
    }
    let (code, figures, error) = run(&["jobs", board, "--run", "--kind", "embed"]);
    assert_eq!((code, figures), (0, [3, 0]), "{error}");
    run(&["embed", board, "--again", "--queue-only"]);
    run(&["upscale", board, "1", "--queue-only"]);
    // One kind that has to wait keeps no other from its work, and is told.
    let (code, figures, error) = run(&["jobs", board, "--run"]);
    assert_eq!(code, 2);
    assert_eq!(figures[1], 1, "{error}");
    assert!(error.contains("UPSCALER_ENABLED is false"), "{error}");
    let done = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'done'";
    assert_eq!(place.count(done), 6);
}

/// The end of a command, which must not be waited for in vain.
fn end(mut child: Child) -> std::process::ExitStatus {
    let begun = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the command does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_same_command_takes_up_all_that_was_under_way_when_it_was_killed() {
    let (place, go) = gated(3);
    let start = || {
        let mut command = place.command(&["tag-images"]);
        command.arg(place.board()).arg("").stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let served = place.serve();
    served.service.stop();
    drop(served);
    let mut first = start();
    // All three are of one request, so nothing is queued.
    wait_for_running(&place, 3);
    signal(first.id(), libc::SIGKILL);
    first.wait().unwrap();
    fs::write(&go, "").unwrap();
    assert!(end(start()).success());
    // The worker that the killed command was about to start may come up beside that of the second, and one of
    // them goes: that costs a try at the most.
    let done =
        "SELECT COUNT(*) FROM booru_jobs WHERE state = 'done' AND tries <= 2 AND cut_off = 1";
    assert_eq!(place.count(done), 3);
}

#[test]
fn work_that_a_failing_database_leaves_under_way_is_taken_up_by_the_next_step() {
    let place = Place::new(3);
    let served = place.serve();
    // Neither is a result taken nor a job put back.
    let sql = "CREATE TRIGGER full BEFORE UPDATE ON booru_jobs WHEN NEW.state <> 'running' \
               BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    place.connection().execute(sql, []).unwrap();
    served.service.submit(Kind::Tag, &[1, 2, 3]).unwrap();
    let error = wait_for("the error", || served.service.status().unwrap().error);
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(served.kind(Kind::Tag).counts.running, 3);
    place.connection().execute("DROP TRIGGER full", []).unwrap();
    let counts = served.finish(Kind::Tag).counts;
    assert_eq!((counts.done, counts.failed), (3, 0));
    // No try and no death is counted: neither was theirs.
    let sql = "SELECT COUNT(*) FROM booru_jobs WHERE tries = 1 AND cut_off = 0";
    assert_eq!(place.count(sql), 3);
    wait_for("the end of the step", || {
        let error = served.service.status().unwrap().error;
        error.is_none().then_some(())
    });
}
