//! Work by models over the deaths of everybody who takes part in it: the real worker's program, real small
//! models, real signals.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod workers;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use plimsoll_booru::ml::queue::{self, State};
use plimsoll_booru::ml::{Kind, review};
use serde_json::Value;
use workers::{Place, fixture, signal, wait_for, worker_pid};

/// Every image has been tagged once: predictions of the five tags that are no ratings, each of them on the
/// image or waiting, a rating; the text columns and the full-text table say the same.
fn check_tagged_once(place: &Place, images: i64) {
    let count = |sql: &str| place.count(sql);
    let each = "SELECT COUNT(*) FROM (SELECT image_id FROM local_tagger_predictions \
                GROUP BY image_id HAVING COUNT(*) BETWEEN 3 AND 5)";
    assert_eq!(count(each), images);
    let predictions = count("SELECT COUNT(*) FROM local_tagger_predictions");
    let straight = "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id \
                    WHERE source = 'ai_inference' AND name NOT LIKE 'rating:%'";
    let waiting = count("SELECT COUNT(*) FROM booru_reviews");
    assert_eq!(count(straight) + waiting, predictions);
    assert!(images == 1 || (count(straight) > 0 && waiting > 0));
    let done = "SELECT COUNT(*) FROM booru_jobs WHERE kind = 'tag' AND state = 'done'";
    assert_eq!(count(done), images);
    assert_eq!(count("SELECT COUNT(*) FROM tag_deltas"), 0);
    let text = "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id \
                JOIN images ON images.id = image_id JOIN images_fts ON images_fts.filepath = images.filepath \
                WHERE name NOT LIKE 'rating:%' AND instr(images_fts.tags_all, name) > 0 \
                AND instr(coalesce(images.tags_general,'') || ' ' || \
                coalesce(images.tags_copyright,'') || ' ' || coalesce(images.tags_character,''), name) > 0";
    assert_eq!(count(text), count(straight));
}

#[test]
fn tags_vectors_and_larger_images() {
    let place = Place::new(7);
    let served = place.serve();
    let all: Vec<u32> = (1..=7).collect();
    assert!(!served.service.status().unwrap().has_worker);
    for kind in Kind::ALL {
        assert_eq!(served.service.submit(kind, &all).unwrap().queued, 7);
    }
    for kind in Kind::ALL {
        let status = served.finish(kind);
        assert_eq!((status.counts.done, status.counts.failed), (7, 0));
    }
    check_tagged_once(&place, 7);
    // What is in memory followed: each image has what the database says, by search.
    let found = |query: &str| served.board().all_matches(&query.parse().unwrap()).unwrap();
    assert_eq!(found("has:upscaled"), all);
    assert_eq!(found("rating:general"), all);
    let with_tag =
        "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE name = 'vocaloid'";
    assert_eq!(found("vocaloid").len() as i64, place.count(with_tag));
    let upscaled = place.board().join("static/upscaled/images/abc/0.png");
    assert!(fs::read(upscaled).unwrap().starts_with(b"\x89PNG"));
    let size = "SELECT upscaled_width * 1000 + upscaled_height FROM images WHERE id = 1";
    assert_eq!(place.count(size), 244_160);
    let similar = rusqlite::Connection::open(place.board().join("data/similarity.db")).unwrap();
    let sql = "SELECT COUNT(*) FROM embeddings WHERE length(embedding) = 2048";
    let vectors: i64 = similar.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(vectors, 7);
    // Asked again, all of it is done again, and to the same effect.
    served.service.submit(Kind::Tag, &all).unwrap();
    served.finish(Kind::Tag);
    check_tagged_once(&place, 7);
}

#[test]
fn what_was_refused_is_not_suggested_again_and_what_was_accepted_is_by_hand() {
    let place = Place::new(3);
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2, 3]).unwrap();
    served.finish(Kind::Tag);
    let which = |tag: &str| review::Which {
        tag: Some(tag.to_owned()),
        ..review::Which::default()
    };
    let count = |which: &review::Which| review::count(served.board().store(), which).unwrap();
    let waiting = count(&which("kagamine_rin"));
    assert!(waiting > 0);
    assert_eq!(
        review::reject(&mut served.board(), &which("kagamine_rin")).unwrap(),
        waiting
    );
    let waiting = count(&which("solo"));
    let accepted = review::accept(&mut served.board(), &which("solo")).unwrap();
    assert_eq!((accepted, count(&which("solo"))), (waiting, 0));
    let by_hand = "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id \
                   WHERE name = 'solo' AND source = 'user'";
    assert_eq!(place.count(by_hand) as u64, accepted);
    let deltas = "SELECT COUNT(*) FROM tag_deltas WHERE tag_name = 'solo' AND operation = 'add'";
    assert_eq!(place.count(deltas) as u64, accepted);
    // One that the model put on and somebody took off stays off.
    let sql = "SELECT image_id FROM image_tags JOIN tags ON tags.id = tag_id \
               WHERE name NOT LIKE 'rating:%' AND source = 'ai_inference' LIMIT 1";
    let image = u32::try_from(place.count(sql)).unwrap();
    let name: String = place
        .connection()
        .query_row(
            "SELECT name FROM image_tags JOIN tags ON tags.id = tag_id WHERE image_id = ?1 \
             AND name NOT LIKE 'rating:%' AND source = 'ai_inference' LIMIT 1",
            [image],
            |row| row.get(0),
        )
        .unwrap();
    served
        .board()
        .remove_tags(&[image], std::slice::from_ref(&name))
        .unwrap();
    served.service.submit(Kind::Tag, &[1, 2, 3]).unwrap();
    served.finish(Kind::Tag);
    assert_eq!(count(&which("kagamine_rin")), 0);
    assert_eq!(place.count(by_hand) as u64, accepted);
    let back = place.connection().query_row(
        "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE image_id = ?1 AND name = ?2",
        (image, &name),
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(back.unwrap(), 0, "{name} is on {image} again");
    let predicted = review::predictions_of(served.board().store(), image).unwrap();
    assert!(predicted.iter().all(|one| one.tag != "kagamine_rin"));
    let forgotten = review::forget_rejections(&mut served.board(), image).unwrap();
    assert!(forgotten <= 1);
}

#[test]
fn a_worker_that_is_killed_before_during_or_after_an_answer_costs_a_try() {
    let place = Place::new(4);
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1]).unwrap();
    served.finish(Kind::Tag);
    // After an answer.
    let first = worker_pid(&place).unwrap();
    signal(first, libc::SIGKILL);
    served.service.submit(Kind::Tag, &[2]).unwrap();
    served.finish(Kind::Tag);
    let second = worker_pid(&place).unwrap();
    assert_ne!(first, second);
    // Before one: it has the request, stands still, and is killed.
    signal(second, libc::SIGSTOP);
    served.service.submit(Kind::Tag, &[3, 4]).unwrap();
    let job = wait_for("the request", || {
        let job = served.job(Kind::Tag, 3);
        (job.state == State::Running).then_some(job)
    });
    assert_eq!(job.tries, 1);
    // The kernel lists who listens, and each connection that stands in line.
    let name = place.socket();
    wait_for("the connection", || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        let ours = sockets
            .lines()
            .filter(|line| line.ends_with(name.to_str().unwrap()));
        (ours.count() >= 2).then_some(())
    });
    signal(second, libc::SIGKILL);
    let status = served.finish(Kind::Tag);
    assert_eq!((status.counts.done, status.counts.failed), (4, 0));
    // Both were under way, so each was tried again, alone.
    assert_eq!(
        (
            served.job(Kind::Tag, 3).tries,
            served.job(Kind::Tag, 4).tries
        ),
        (2, 2)
    );
    check_tagged_once(&place, 4);
}

#[test]
fn an_upscale_that_is_killed_leaves_nothing_half_done() {
    let place = Place::new(1);
    // Ten thousands of tiles: it is under way for as long as this test needs.
    fs::copy(fixture("huge.png"), place.images().join("0.png")).unwrap();
    let served = place.serve();
    served.service.submit(Kind::Upscale, &[1]).unwrap();
    let progress = wait_for("a tile", || served.kind(Kind::Upscale).progress);
    assert!(progress.total > 10_000, "{progress:?}");
    let output = place.board().join("static/upscaled/images/abc/0.png");
    assert!(!output.exists());
    // The next worker gets another file of that name, which it can finish.
    fs::copy(fixture("wide.png"), place.images().join("0.png")).unwrap();
    signal(worker_pid(&place).unwrap(), libc::SIGKILL);
    served.finish(Kind::Upscale);
    assert_eq!(served.job(Kind::Upscale, 1).tries, 2);
    let folder = output.parent().unwrap();
    let left: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert_eq!(left, ["0.png"], "leftovers of the killed worker");
    assert_eq!(place.count("SELECT upscaled_width FROM images"), 244);
}

#[test]
fn an_upscale_can_be_cancelled_while_it_runs() {
    let place = Place::new(1);
    fs::copy(fixture("huge.png"), place.images().join("0.png")).unwrap();
    let served = place.serve();
    served.service.submit(Kind::Upscale, &[1]).unwrap();
    wait_for("a tile", || served.kind(Kind::Upscale).progress);
    assert_eq!(served.service.cancel(Some(Kind::Upscale)).unwrap(), 1);
    served.finish(Kind::Upscale);
    assert_eq!(place.count("SELECT COUNT(*) FROM booru_jobs"), 0);
    assert!(
        !place
            .board()
            .join("static/upscaled/images/abc/0.png")
            .exists()
    );
}

#[test]
fn a_worker_that_hangs_is_killed_and_replaced() {
    let place = Place::new(2).with("ML_WORKER_SILENCE_TIMEOUT", "3");
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1]).unwrap();
    served.finish(Kind::Tag);
    let hung = worker_pid(&place).unwrap();
    signal(hung, libc::SIGSTOP);
    served.service.submit(Kind::Tag, &[2]).unwrap();
    served.finish(Kind::Tag);
    assert_eq!(served.job(Kind::Tag, 2).tries, 2);
    assert_ne!(worker_pid(&place), Some(hung));
}

#[test]
fn an_image_that_kills_every_worker_is_set_aside_and_stops_no_other() {
    // The picture has 121 million pixels: decoded it does not fit.
    let place = Place::new(20).wrapped("export RUST_BACKTRACE=0; ulimit -v 200000");
    fs::copy(fixture("huge.png"), place.images().join("4.png")).unwrap();
    let served = place.serve();
    let all: Vec<u32> = (1..=20).collect();
    served.service.submit(Kind::Tag, &all).unwrap();
    let status = served.finish(Kind::Tag);
    assert_eq!((status.counts.done, status.counts.failed), (19, 1));
    let job = served.job(Kind::Tag, 5);
    let reason = job.reason.unwrap();
    assert_eq!((job.state, job.tries), (State::Failed, queue::TRIES_MAX));
    assert!(reason.contains("failed 3 times at this image"), "{reason}");
    let board = served.board();
    let failed = queue::list(board.store(), State::Failed, None, 10).unwrap();
    assert_eq!(failed.len(), 1);
    drop(board);
    // The machine has grown: it may be tried again.
    fs::copy(fixture("clear.png"), place.images().join("4.png")).unwrap();
    assert_eq!(served.service.retry(None).unwrap(), 1);
    assert_eq!(served.finish(Kind::Tag).counts.done, 20);
    check_tagged_once(&place, 20);
}

#[test]
fn bad_images_are_set_aside_with_their_reasons() {
    let place = Place::new(5);
    fs::write(place.images().join("0.png"), "no picture").unwrap();
    fs::remove_file(place.images().join("1.png")).unwrap();
    fs::copy(fixture("moving.gif"), place.images().join("3.png")).unwrap();
    let sql = "UPDATE images SET filepath = '../../../etc/passwd' WHERE id = 3";
    place.connection().execute(sql, []).unwrap();
    let served = place.serve();
    for kind in Kind::ALL {
        served.service.submit(kind, &[1, 2, 3, 4, 5]).unwrap();
    }
    for (kind, failed) in [(Kind::Tag, 3), (Kind::Embed, 3), (Kind::Upscale, 4)] {
        assert_eq!(served.finish(kind).counts.failed, failed, "{kind}");
        for (image, part) in [(1, "is no PNG"), (2, "No such file"), (3, "leads out of")] {
            let reason = served.job(kind, image).reason.unwrap();
            assert!(reason.contains(part), "{reason}");
        }
    }
    let reason = served.job(Kind::Upscale, 4).reason.unwrap();
    assert!(reason.contains("can't be upscaled"), "{reason}");
}

#[test]
fn garbage_at_the_socket_and_a_stale_socket() {
    let place = Place::new(1);
    let listener = UnixListener::bind(place.socket()).unwrap();
    let answers: [&[u8]; 2] = [
        &[255; 64],
        b"\x00\x00\x00\x34{\"id\":\"another\",\"status\":\"success\",\"data\":{\"a\":1}}   ",
    ];
    let socket = place.socket();
    let garbler = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).unwrap();
            let _ = stream.write_all(answer);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
        // It ends, and its socket stays behind.
        drop(listener);
        assert!(socket.exists());
    });
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1]).unwrap();
    served.finish(Kind::Tag);
    garbler.join().unwrap();
    assert_eq!(
        (
            served.job(Kind::Tag, 1).state,
            served.job(Kind::Tag, 1).tries
        ),
        (State::Done, 3)
    );
    check_tagged_once(&place, 1);
}

#[test]
fn a_worker_that_is_not_there_makes_the_work_wait() {
    let place = Place::new(2).with("ML_WORKER_PROGRAM", "/no/such/booru-tagger");
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2]).unwrap();
    let reason = served.reason(Kind::Tag);
    assert!(reason.contains("/no/such/booru-tagger"), "{reason}");
    let job = served.job(Kind::Tag, 1);
    assert_eq!((job.state, job.tries), (State::Queued, 0));
    drop(served);
    let output = place
        .command(&["jobs", "--run", "--json"])
        .arg(place.board())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["left"], 2);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("/no/such/booru-tagger"), "{text}");
    // Without a name it is looked for, and nobody is told to guess.
    let output = place
        .command(&["setup", "--yes"])
        .env("ML_WORKER_PROGRAM", "")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    // It lies beside the board's own program, as it does where both are installed.
    assert!(output.status.code().is_some());
}

#[test]
fn a_model_that_is_missing_damaged_or_of_another_shape_makes_the_work_wait_until_it_is_replaced() {
    let place = Place::new(5);
    let model = place.model("Tagger/model.onnx");
    fs::remove_file(&model).unwrap();
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2, 3, 4, 5]).unwrap();
    let expect = |part: &str| {
        let reason = wait_for(part, || {
            served
                .kind(Kind::Tag)
                .waits_because
                .filter(|reason| reason.contains(part))
        });
        let counts = served.kind(Kind::Tag).counts;
        assert_eq!((counts.queued, counts.failed), (5, 0), "{reason}");
        assert_eq!(served.job(Kind::Tag, 1).tries, 0);
    };
    expect("No such file");
    fs::copy(fixture("damaged.onnx"), &model).unwrap();
    expect("load the model");
    // An embedder in the place of a tagger: it runs, and tells 512 numbers of six tags.
    fs::copy(fixture("siglip.onnx"), &model).unwrap();
    expect("tags have names");
    fs::copy(fixture("wd14.onnx"), &model).unwrap();
    expect("is metadata_path another model's?");
    fs::copy(fixture("camie.onnx"), &model).unwrap();
    let done = wait_for("the work", || {
        let counts = served.kind(Kind::Tag).counts;
        (counts.open() == 0).then_some(counts)
    });
    assert_eq!((done.done, done.failed), (5, 0));
    check_tagged_once(&place, 5);
    // A vector of another length than is said must not get among the others.
    let place = Place::new(4).with("SEMANTIC_EMBEDDING_DIM", "600");
    let served = place.serve();
    served.service.submit(Kind::Embed, &[1, 2, 3, 4]).unwrap();
    let reason = served.reason(Kind::Embed);
    assert!(
        reason.contains("512 numbers") && reason.contains("600"),
        "{reason}"
    );
    assert!(!place.board().join("data/similarity.db").exists());
}

#[test]
fn a_full_disk_leaves_no_half_image() {
    // A file may have so few bytes as the worker's own small ones need; what it says may go to a longer one.
    let place = Place::new(1).wrapped("exec 2>/dev/null; trap '' XFSZ; ulimit -f 2");
    let served = place.serve();
    served.service.submit(Kind::Upscale, &[1]).unwrap();
    let status = served.finish(Kind::Upscale);
    assert_eq!((status.counts.done, status.counts.failed), (0, 1));
    let reason = served.job(Kind::Upscale, 1).reason.unwrap();
    assert!(
        reason.contains("write ") && reason.contains("0.png"),
        "{reason}"
    );
    let folder = place.board().join("static/upscaled/images/abc");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    assert_eq!(
        place.count("SELECT COUNT(*) FROM images WHERE upscaled_width IS NOT NULL"),
        0
    );
    // The same worker goes on with what needs no place.
    served.service.submit(Kind::Tag, &[1]).unwrap();
    assert_eq!(served.finish(Kind::Tag).counts.done, 1);
}

#[test]
fn a_board_that_is_killed_goes_on_where_it_was() {
    // The worker starts once it may, so that the board dies with a request under way.
    let place = Place::new(20);
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
    let running = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'booru_jobs'";
    let mut first = start();
    wait_for("the request", || {
        let is_there = place.count(running) == 1;
        let sql = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'running'";
        (is_there && place.count(sql) == 16).then_some(())
    });
    signal(first.id(), libc::SIGKILL);
    first.wait().unwrap();
    fs::write(&go, "").unwrap();
    // Twice more, at some moment of the work.
    for pause in [20, 60] {
        let mut again = start();
        thread::sleep(Duration::from_millis(pause));
        signal(again.id(), libc::SIGKILL);
        again.wait().unwrap();
    }
    let output = place
        .command(&["jobs", "--run", "--json"])
        .arg(place.board())
        .output()
        .unwrap();
    let failed = "SELECT COUNT(*) FROM booru_jobs WHERE state = 'failed'";
    assert_eq!(place.count(failed), 0);
    assert!(output.status.success(), "{output:?}");
    check_tagged_once(&place, 20);
    assert_eq!(place.count("SELECT MAX(tries) FROM booru_jobs"), 1);
    let cut_off = place.count("SELECT MAX(cut_off) FROM booru_jobs");
    assert!((1..=3).contains(&cut_off), "{cut_off}");
}

#[test]
fn two_commands_at_once_share_the_queue() {
    let place = Place::new(30);
    let start = |query: &str| {
        let mut command = place.command(&["tag-images", "--json"]);
        command.arg(place.board()).arg(query);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let both = [start("id:1..15"), start("id:10..30")];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&report["left"], &report["set_aside"]),
            (&Value::from(0), &Value::from(0))
        );
    }
    check_tagged_once(&place, 30);
    assert_eq!(place.count("SELECT MAX(tries) FROM booru_jobs"), 1);
}

#[test]
fn two_boards_meet_at_one_worker_and_one_may_go() {
    let first = Place::new(3);
    let socket = first.socket();
    let second = Place::new(3).with("ML_WORKER_SOCKET", socket.to_str().unwrap());
    let (one, other) = (first.serve(), second.serve());
    for served in [&one, &other] {
        served.service.submit(Kind::Tag, &[1, 2, 3]).unwrap();
        served.finish(Kind::Tag);
    }
    let shared = worker_pid(&first).unwrap();
    assert_eq!(worker_pid(&second), Some(shared));
    let has = |served: &workers::Served| served.service.status().unwrap().has_worker;
    assert_eq!((has(&one), has(&other)), (true, false));
    // With who started it, it ends; the other starts its own.
    drop(one);
    wait_for("the worker's end", || {
        worker_pid(&first).is_none().then_some(())
    });
    other.service.submit(Kind::Embed, &[1, 2, 3]).unwrap();
    assert_eq!(other.finish(Kind::Embed).counts.done, 3);
    assert!(has(&other));
    check_tagged_once(&first, 3);
    check_tagged_once(&second, 3);
}

#[test]
fn a_worker_leaves_at_its_time_and_stays_where_it_is_to_stay() {
    let place = Place::new(2).with("ML_WORKER_IDLE_TIMEOUT", "1");
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1, 2]).unwrap();
    served.finish(Kind::Tag);
    let pid = worker_pid(&place).unwrap();
    let status = plimsoll_booru::ml::worker::status(&place.read_settings().worker).unwrap();
    assert!(status.rss_bytes.unwrap() > 4 << 20, "{status:?}");
    wait_for("the idle exit", || {
        (!served.service.status().unwrap().has_worker).then_some(())
    });
    // Its memory is the system's again: the process is gone, not only its socket.
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(served);
    let mut place = Place::new(1);
    place.set("ML_WORKER_ENABLED", "false");
    let board = place.open();
    let mut settings = place.read_settings();
    // As it is without this test's own settings.
    settings
        .worker
        .variables
        .retain(|(name, _)| name != "ML_WORKER_IDLE_TIMEOUT");
    settings
        .worker
        .variables
        .push(("ML_WORKER_IDLE_TIMEOUT".into(), "31536000".into()));
    let service = plimsoll_booru::ml::Service::start(settings, board).unwrap();
    // Nothing was asked, and it is there; it goes with the board.
    wait_for("the worker", || {
        service.status().unwrap().has_worker.then_some(())
    });
    drop(service);
    assert_eq!(worker_pid(&place), None);
}

#[test]
fn stopping_gives_back_what_is_under_way() {
    let place = Place::new(1);
    fs::copy(fixture("huge.png"), place.images().join("0.png")).unwrap();
    let served = place.serve();
    served.service.submit(Kind::Upscale, &[1]).unwrap();
    wait_for("a tile", || served.kind(Kind::Upscale).progress);
    served.service.stop();
    let job = served.job(Kind::Upscale, 1);
    assert_eq!((job.state, job.tries), (State::Queued, 0));
    assert_eq!(worker_pid(&place), None);
}

#[test]
fn the_original_s_requests_are_answered() {
    let place = Place::new(1);
    let served = place.serve();
    served.service.submit(Kind::Tag, &[1]).unwrap();
    served.finish(Kind::Tag);
    // As its client sends them: a UUID, all thresholds, no metadata_path; upscales with a name and a device.
    let image = place.images().join("0.png");
    let ask = |kind: &str, data: Value| {
        let mut stream = UnixStream::connect(place.socket()).unwrap();
        let id = "0b8f6c9e-50d5-4d6e-9f0e-0c2a5a1f6b11";
        let body = serde_json::json!({"type": kind, "id": id, "data": data}).to_string();
        stream
            .write_all(&u32::try_from(body.len()).unwrap().to_be_bytes())
            .unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut answer).unwrap();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["id"], id);
            if answer["status"] != "progress" {
                return answer;
            }
        }
    };
    let tags = ask(
        "tag_image",
        serde_json::json!({"image_path": image, "model_path": place.model("Tagger/model.onnx"),
            "threshold": 0.35, "character_threshold": 0.85, "storage_threshold": 0.5}),
    );
    assert_eq!(tags["status"], "success");
    for category in [
        "general",
        "character",
        "copyright",
        "artist",
        "meta",
        "species",
    ] {
        assert!(tags["data"]["tags"][category].is_array(), "{tags}");
    }
    let output = place.folder.path("large.png");
    let upscaled = ask(
        "upscale_image",
        serde_json::json!({"image_path": image, "model_name": place.model("Upscaler/x4.onnx"),
            "output_path": output, "device": "auto"}),
    );
    assert_eq!(upscaled["data"]["success"], true, "{upscaled}");
    assert_eq!(
        upscaled["data"]["upscaled_size"],
        serde_json::json!([244, 160])
    );
    let vector = ask(
        "compute_similarity",
        serde_json::json!({"image_path": image, "model_path": place.model("Similarity/model.onnx")}),
    );
    assert_eq!(vector["data"]["embedding"].as_array().unwrap().len(), 512);
    let health = ask("health_check", serde_json::json!({}));
    assert_eq!(health["data"]["status"], "ok");
    let wrong = ask(
        "tag_image",
        serde_json::json!({"image_path": "/none.png",
        "model_path": place.model("Tagger/model.onnx")}),
    );
    assert_eq!(
        (&wrong["status"], &wrong["cause"]),
        (&"error".into(), &"image".into())
    );
}

#[test]
fn commands_tell_what_they_did_as_json_too() {
    let place = Place::new(4);
    let run = |arguments: &[&str]| {
        let output = place.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let board = place.board();
    let board = board.to_str().unwrap();
    let (code, text, _) = run(&["jobs", board]);
    assert!(
        code == Some(0) && text.contains("tag      0 queued"),
        "{text}"
    );
    let (code, text, _) = run(&["tag-images", board, "", "--queue-only", "--json"]);
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["queued"], &report["left"]), (&4.into(), &4.into()));
    let (_, text, _) = run(&["jobs", board]);
    assert!(text.contains("tag      4 queued"), "{text}");
    let (_, text, _) = run(&["jobs", board, "--cancel", "--json"]);
    assert!(text.contains("\"taken_out\": 4"), "{text}");
    let (code, text, _) = run(&["tag-images", board, "id:1..3"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("3 done, 0 set aside"), "{text}");
    let (code, _, error) = run(&["review", board, "--accept"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("--all"), "{error}");
    let (_, text, _) = run(&["review", board, "--json", "--above", "0.2", "--by-tag"]);
    let tags: Value = serde_json::from_str(&text).unwrap();
    assert!(tags["tags"][0]["images"].as_u64().unwrap() >= 1);
    let (_, text, _) = run(&["review", board, "--accept", "--above", "0.4", "--json"]);
    let accepted: Value = serde_json::from_str(&text).unwrap();
    assert!(accepted["accepted"].as_u64().unwrap() >= 1, "{text}");
    let (_, text, _) = run(&["review", board, "--reject", "--all"]);
    assert!(text.ends_with("rejected\n"), "{text}");
    let (_, text, _) = run(&["review", board]);
    assert_eq!(text, "0 wait\n");
    let (code, text, _) = run(&["embed", board, "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let (_, text, _) = run(&["embed", board, "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["queued"], 0);
    let (code, _, _) = run(&["upscale", board, "1", "--json"]);
    assert_eq!(code, Some(0));
    let (_, text, _) = run(&["upscale", board, "1", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["queued"], 0);
    let (code, _, error) = run(&["upscale", board, "99"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("99"), "{error}");
    let (_, text, _) = run(&["worker", "status", board, "--json"]);
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["is_running"], false);
    let (_, text, _) = run(&["worker", "stop", board]);
    assert_eq!(text, "No worker runs\n");
}

#[test]
fn setup_is_the_worker_s_own_and_its_code_passes_through() {
    let place = Place::new(0);
    let config = place.folder.path("config");
    let setup = |arguments: &[&str]| {
        let mut command = place.command(&["setup"]);
        command.args(arguments).env("XDG_CONFIG_HOME", &config);
        command.output().unwrap()
    };
    let output = setup(&["--backend", "cpu", "--yes", "--runtime", "tract"]);
    assert!(output.status.success(), "{output:?}");
    let remembered = config.join("booru/ml_worker.env");
    let text = fs::read_to_string(&remembered).unwrap();
    assert_eq!(text, "ML_WORKER_BACKEND=cpu\nML_WORKER_RUNTIME=tract\n");
    let mode = fs::metadata(config.join("booru"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let output = setup(&["--backend", "abacus"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("abacus"));
    let other = place.folder.path("other.env");
    let output = setup(&[
        "--backend",
        "cpu",
        "--runtime",
        "tract",
        "--env-file",
        other.to_str().unwrap(),
    ]);
    assert!(output.status.success() && other.exists(), "{output:?}");
}
