//! A board in a real PostgreSQL that is served, takes in images, and has its embeddings there.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod cluster;
mod collection;
mod gallery;
mod server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cluster::{Cluster, name_of};
use collection::{Era, Folder, SMALL, make, open};
use plimsoll::budget::{Budget, Policy};
use plimsoll_booru::similarity::{Kind, Semantic, SemanticOptions};
use plimsoll_booru::store::Access;
use serde_json::{Value, json};
use server::{Server, booru};

/// A command of a board at a server, with its folder.
fn shared(arguments: &[&str], folder: &Path) -> Command {
    let mut command = booru(arguments);
    command
        .env("BOORU_FOLDER", folder)
        .env("HOME", "/nonexistent");
    command
}

fn run(arguments: &[&str], folder: &Path) -> String {
    let output = shared(arguments, folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn told(arguments: &[&str], folder: &Path) -> Value {
    serde_json::from_str(&run(&[arguments, &["--json"]].concat(), folder)).unwrap()
}

fn serve(address: &str, folder: &Path) -> Server {
    let arguments = ["serve", address, "--port", "0", "--no-password"];
    Server::spawn(&mut shared(&arguments, folder))
}

#[test]
fn a_board_at_a_server_takes_in_images_and_is_served_by_two() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let address = cluster.database();
    let folder = Folder::new("shared-serve");
    let root = folder.root();
    run(&["create", &address], root);
    let from = folder.path("new");
    let first = gallery::put(&from, 1);
    std::fs::write(gallery::beside(&first, ".txt"), "solo character:miku").unwrap();
    gallery::put(&from, 2);
    gallery::put(&from, 3);
    let from = from.to_str().unwrap();
    let output = shared(&["import", &address, from], root).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    // Again: all are there.
    let output = shared(&["import", &address, from], root).output().unwrap();
    assert_eq!(output.status.code(), Some(0));

    let (one, other) = (serve(&address, root), serve(&address, root));
    assert_eq!((one.total(""), other.total("solo")), (3, 1));
    let found = one.json("/api/images?query=solo");
    let path = found["images"][0]["path"].as_str().unwrap().to_owned();
    assert_eq!(one.get("/").status, 200);
    let id = cluster.sql(name_of(&address), "SELECT min(id) FROM images")[0].clone();
    for path in [format!("/images/@{id}"), format!("/thumbnails/@{id}")] {
        let picture = one.get(&path);
        assert_eq!(picture.status, 200, "{path}: {}", picture.text());
        assert!(
            picture
                .header("content-type")
                .unwrap()
                .starts_with("image/")
        );
    }
    assert_eq!(
        one.get(&format!("/view/{}", server::escaped(&path))).status,
        200
    );

    // What one server changes the other tells of, and goes on from there.
    let add = |server: &Server, tag: &str| {
        let images = json!({ "filepaths": [path], "tags": [tag] });
        let added = server.post("/api/images/bulk_add_tags", "", &images);
        assert_eq!(added.status, 200, "{}", added.text());
    };
    add(&one, "by_one");
    wait_for(&other, "by_one", 1);
    add(&other, "by_other");
    wait_for(&one, "by_one by_other", 1);

    // The folder that both watch: one of them takes the image in, once.
    gallery::put(&folder.path("ingest"), 4);
    wait_for(&one, "", 4);
    wait_for(&other, "", 4);
    run(&["doctor", &address], root);
    let count = cluster.sql(name_of(&address), "SELECT count(*) FROM images");
    assert_eq!(count, ["4"]);
}

fn wait_for(server: &Server, query: &str, images: u64) {
    let start = Instant::now();
    while server.total(query) != images {
        assert!(start.elapsed() < Duration::from_secs(60), "{query:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Vectors near each other by number, beside a database.
fn embed(folder: &Path, ids: &[u32]) {
    let options = SemanticOptions {
        access: Access::InPlace,
        kind: Kind::Int8,
        held_bytes_max: 1 << 20,
        idle_timeout: Duration::from_secs(300),
        threads: 1,
        patience: Duration::from_secs(5),
    };
    let semantic = Semantic::new(folder, options, &Budget::new(1 << 30, Policy::Greedy));
    for (number, id) in ids.iter().enumerate() {
        let angle = number as f32 / 50.0;
        let vector = [angle.cos(), angle.sin(), 0.25];
        semantic.add(*id, &vector).unwrap();
    }
}

#[test]
fn embeddings_of_a_board_at_a_server_answer_as_those_of_a_file() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-embeddings");
    let path = make(&folder, Era::Now, SMALL, 44);
    let ids = open(&path)
        .all_matches(&"order:id".parse().unwrap())
        .unwrap();
    let root = folder.root();
    let here = root.to_str().unwrap();
    embed(root, &ids[..80]);
    // Of an image that there is not.
    embed_more(root, 1_000_000);
    let address = cluster.database();
    run(&["copy", here, &address], root);
    let none = told(&["embeddings", &address, "status"], root);
    assert_eq!(none["vectors"], 0);
    let output = shared(&["similar", &address, "5", "--by", "semantic"], root).output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(error.contains("no embedding"), "{error}");

    let copied = told(&["embeddings", &address, "copy", "--from", here], root);
    assert_eq!(copied, json!({ "vectors": 80, "without_image": 1 }));
    let status = told(&["embeddings", &address, "status"], root);
    assert_eq!(
        (&status["vectors"], &status["dimensions"]),
        (&json!(80), &json!(3))
    );
    assert_eq!(status["images_without"], ids.len() - 80);
    for by in ["semantic", "blend", "tags"] {
        for id in [ids[0], ids[40], ids[79]] {
            let ask = |board: &str| {
                let id = id.to_string();
                told(&["similar", board, &id, "--by", by, "--limit", "30"], root)
            };
            let (file, server) = (ask(here), ask(&address));
            let (file, server) = (scores(&file), scores(&server));
            assert_eq!(file.len(), server.len());
            for (one, other) in file.iter().zip(&server) {
                assert_eq!(one.0, other.0, "{by} of {id}");
                assert!((one.1 - other.1).abs() < 1e-9, "{by} of {id}");
            }
        }
    }
    let server = serve(&address, root);
    let found = server.json(&format!("/api/similar-semantic/{}?limit=3", ids[0]));
    assert_eq!(found["images"][0]["id"], ids[1]);
    let gone = cluster.sql(
        name_of(&address),
        &format!(
            "DELETE FROM images WHERE id = {}; SELECT count(*) FROM booru_embeddings",
            ids[1]
        ),
    );
    assert_eq!(gone.last().unwrap(), "79");

    // And back.
    let back = folder.path("back");
    let back = back.to_str().unwrap();
    run(&["copy", &address, back], root);
    let copied = told(&["embeddings", back, "copy", "--from", &address], root);
    assert_eq!(copied, json!({ "vectors": 79, "without_image": 0 }));
    assert_eq!(told(&["embeddings", back, "status"], root)["vectors"], 79);
    for wrong in [
        &["embeddings", back, "copy"][..],
        &["embeddings", back, "status", "--from", here],
    ] {
        let output = shared(wrong, root).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains("--from"),
            "{said}"
        );
    }
}

fn embed_more(folder: &Path, id: u32) {
    embed(folder, &[id]);
}

fn scores(told: &Value) -> Vec<(u64, f64)> {
    let images = told["images"].as_array().unwrap().iter();
    let scores = images.map(|one| (one["id"].as_u64().unwrap(), one["score"].as_f64().unwrap()));
    scores.collect()
}
