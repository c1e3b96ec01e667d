//! Models of a board in a real PostgreSQL: tags, vectors and larger images come in there, and of all who share
//! the board one works off the queue.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod cluster;
mod collection;
mod server;
mod workers;

use std::process::{Command, Output};

use cluster::{Cluster, name_of};
use serde_json::{Value, json};
use server::Server;
use workers::{Place, wait_for};

const IMAGES: usize = 4;

/// A board in PostgreSQL with the files and models of `place`.
fn move_to_server(cluster: &Cluster, place: &Place) -> String {
    let address = cluster.database();
    let board = place.board();
    let mut copy = place.command(&["copy", board.to_str().unwrap(), &address]);
    done(&copy.output().unwrap());
    address
}

fn shared(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env("BOORU_FOLDER", place.board());
    command
        .env("HOME", "/nonexistent")
        .env_remove("APP_PASSWORD");
    command
}

fn done(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn run(place: &Place, arguments: &[&str]) -> String {
    done(&shared(place, arguments).output().unwrap())
}

fn told(place: &Place, arguments: &[&str]) -> Value {
    let said = run(place, &[arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn commands_have_models_work_on_a_shared_board() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let place = Place::new(IMAGES);
    let address = move_to_server(cluster, &place);
    let count = |sql: &str| {
        cluster.sql(name_of(&address), sql)[0]
            .parse::<usize>()
            .unwrap()
    };
    run(&place, &["tag-images", &address, ""]);
    assert_eq!(
        count("SELECT count(DISTINCT image_id) FROM local_tagger_predictions"),
        IMAGES
    );
    assert!(count("SELECT count(*) FROM image_tags WHERE source = 'ai_inference'") > 0);
    run(&place, &["embed", &address]);
    assert_eq!(count("SELECT count(*) FROM booru_embeddings"), IMAGES);
    // All have one by now: nothing is queued again.
    let again = told(&place, &["embed", &address, "--queue-only"]);
    assert_eq!(again["queued"], 0, "{again}");
    let alike = told(&place, &["similar", &address, "1", "--by", "semantic"]);
    // Copies of three pictures: the fourth is the first once more.
    assert_eq!(alike["images"][0]["id"], 4);
    run(&place, &["upscale", &address, "1"]);
    assert_eq!(
        count("SELECT count(*) FROM images WHERE upscaled_width > 0"),
        1
    );
    let review = told(&place, &["review", &address, "--by-tag"]);
    assert!(!review.to_string().is_empty());
    assert_eq!(
        count("SELECT count(*) FROM booru_jobs WHERE state <> 'done'"),
        0
    );
}

#[test]
fn of_two_servers_one_works_and_the_other_goes_on_after_its_kill() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let place = Place::new(IMAGES);
    let go = place.folder.path("go");
    let place = place.wrapped(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done",
        go.display()
    ));
    let address = move_to_server(cluster, &place);
    let start = || {
        let arguments = ["serve", &address, "--port", "0", "--no-password"];
        Server::spawn(&mut shared(&place, &arguments))
    };
    let one = start();
    let queued = one.post("/api/retry_tagging", "", &json!({ "query": "" }));
    assert_eq!(queued.json()["queued"], IMAGES, "{}", queued.text());
    let count = |sql: &str| {
        cluster.sql(name_of(&address), sql)[0]
            .parse::<usize>()
            .unwrap()
    };
    let running = "SELECT count(*) FROM booru_jobs WHERE state = 'running'";
    wait_for("work under way", || (count(running) > 0).then_some(()));
    let other = start();
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database \
                 WHERE locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(count(locks), 1);
    one.signal(libc::SIGKILL);
    std::fs::write(&go, "").unwrap();
    let left = "SELECT count(*) FROM booru_jobs WHERE state <> 'done'";
    wait_for("the end of the work", || (count(left) == 0).then_some(()));
    assert_eq!(
        count("SELECT count(DISTINCT image_id) FROM local_tagger_predictions"),
        IMAGES
    );
    wait_for("the end of the claim", || (count(locks) == 0).then_some(()));
    assert_eq!(other.total("rating:general"), IMAGES as u64);
}
