//! The queue of work by models: ids, answers that come late, and what a board leaves under way.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod workers;

use std::fs;
use std::process::{Child, Stdio};

use plimsoll_booru::ml::Kind;
use plimsoll_booru::ml::queue::{self, Blame, State};
use workers::{PATIENCE, Place, signal, wait_for};

/// A board whose queue is there and has nobody who works it off.
fn idle(images: usize) -> (Place, workers::Served) {
    let place = Place::new(images);
    let served = place.serve();
    served.service.stop();
    (place, served)
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
    let place = Place::new(2);
    let go = place.folder.path("go");
    let place = place.wrapped(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done",
        go.display()
    ));
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2]).unwrap();
    wait_for("the request", || {
        let sql = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'running'";
        (place.count(sql) == 2).then_some(())
    });
    served.board().delete_images(&[1]).unwrap();
    served.service.submit(Kind::Embed, &[2]).unwrap();
    fs::write(&go, "").unwrap();
    assert_eq!(served.finish(Kind::Tag).counts.done, 1);
    assert_eq!(served.finish(Kind::Embed).counts.done, 1);
    let of = "SELECT COUNT(DISTINCT image_id) FROM local_tagger_predictions";
    assert_eq!(place.count(of), 1);
    let similar = rusqlite::Connection::open(place.board().join("data/similarity.db")).unwrap();
    let sql = "SELECT COUNT(*) FROM embeddings";
    let vectors: i64 = similar.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(vectors, 1);
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
    let place = Place::new(3);
    let go = place.folder.path("go");
    let place = place.wrapped(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done",
        go.display()
    ));
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
    wait_for("the request", || {
        let sql = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'running'";
        (place.count(sql) == 3).then_some(())
    });
    signal(first.id(), libc::SIGKILL);
    first.wait().unwrap();
    fs::write(&go, "").unwrap();
    assert!(end(start()).success());
    let done = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'done' AND tries = 1 AND cut_off = 1";
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
