//! `booru serve`: pools, marks, rules, tags to look through, images alike; images that come by uploads, get
//! their small pictures, and go.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;
mod server;

use std::fs;
use std::time::{Duration, Instant};

use collection::{Era, Folder, SMALL, make};
use gallery::picture;
use plimsoll_booru::store::Store;
use rusqlite::Connection;
use serde_json::{Value, json};
use server::{PASSWORD, Server, booru, escaped, set_password};

struct Board {
    _folder: Folder,
    server: Server,
}

impl Board {
    fn new(name: &str) -> Board {
        let folder = Folder::new(name);
        make(&folder, Era::Now, SMALL, 1);
        let server = Server::start(folder.root(), &[]);
        Board {
            _folder: folder,
            server,
        }
    }

    fn get(&self, path: &str) -> Value {
        self.server.json(path)
    }

    fn done(&self, path: &str, body: Value) -> Value {
        let response = self.server.post(path, "", &body);
        assert_eq!(response.status, 200, "{path} {body}: {}", response.text());
        assert_eq!(response.json()["success"], true);
        response.json()
    }

    fn refused(&self, path: &str, body: Value, status: u16) {
        let response = self.server.post(path, "", &body);
        assert_eq!(
            response.status,
            status,
            "{path} {body}: {}",
            response.text()
        );
        assert_eq!(response.json()["success"], false);
    }
}

#[test]
fn pools_are_made_filled_ordered_and_deleted() {
    let board = Board::new("pools");
    let pool = &board.done(
        "/api/pools/create",
        json!({"name": "Mine", "description": "d"}),
    )["pool_id"];
    board.refused("/api/pools/create", json!({"name": "Mine"}), 400);
    board.refused("/api/pools/create", json!({"name": ""}), 400);
    let of = |act: &str| format!("/api/pools/{pool}/{act}");
    let added = board.done(&of("add_images"), json!({"image_ids": [7, 3, 5]}));
    assert_eq!(added["images_changed"], 3);
    assert_eq!(
        board.done(&of("remove_images"), json!({"ids": [5]}))["images_changed"],
        1
    );
    board.done(&of("reorder"), json!({"ids": [7, 3]}));
    board.done(&of("update"), json!({"name": "Ours"}));
    let told = board.get(&format!("/api/pools/{pool}"));
    let ids: Vec<_> = told["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].clone())
        .collect();
    assert_eq!(
        (ids, &told["pool"]["name"], &told["total"]),
        (vec![json!(7), json!(3)], &json!("Ours"), &json!(2))
    );
    assert_eq!(board.server.total("pool:ours"), 2);
    let listed = board.get("/api/pools?limit=1");
    assert_eq!(
        (
            listed["total"].clone(),
            listed["pools"].as_array().unwrap().len()
        ),
        (json!(4), 1)
    );
    board.refused(&of("add_images"), json!({"ids": [4]}), 404);
    board.refused(&of("add_images"), json!({}), 400);
    board.done(&of("delete"), Value::Null);
    board.refused(&of("delete"), Value::Null, 404);
    assert_eq!(board.server.get(&format!("/api/pools/{pool}")).status, 404);
    assert_eq!(board.server.get("/api/pools/x").status, 400);
}

#[test]
fn images_are_marked_rated_related_and_edits_by_hand_taken_back() {
    let board = Board::new("marks");
    let count = board.get("/api/favourites/count")["count"]
        .as_u64()
        .unwrap();
    let before = board.get("/api/favourites/status?id=3")["is_favourite"] == true;
    let now = board.done("/api/favourites/toggle", json!({"id": 3}));
    assert_eq!(now["is_favourite"], !before);
    let after = board.get("/api/favourites/count")["count"]
        .as_u64()
        .unwrap();
    assert_eq!(after + u64::from(before), count + u64::from(!before));
    board.refused("/api/favourites/toggle", json!({"id": 4}), 404);
    board.refused("/api/favourites/toggle", json!({}), 400);
    assert_eq!(board.server.get("/api/favourites/status?id=4").status, 404);
    board.done("/api/rate", json!({"ids": [3, 5], "rating": "explicit"}));
    assert_eq!(board.server.total("rating:explicit id:3,5"), 2);
    board.refused("/api/rate", json!({"ids": [3], "rating": "x"}), 400);
    let relation = json!({"relation_type": "parent_child", "image_id_a": 3, "image_id_b": 5});
    assert_eq!(
        board.done("/api/relations/create", relation.clone())["is_new"],
        true
    );
    assert_eq!(
        board.get("/api/relations?id=5")["relations"][0]["role"],
        "parent"
    );
    assert_eq!(board.get("/api/image/5")["parents"][0]["id"], 3);
    assert!(
        board.get("/api/family?id=3")["relatives"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["image"] == 5)
    );
    board.done("/api/relations/delete", relation.clone());
    board.refused("/api/relations/delete", relation, 404);
    board.done(
        "/api/images/bulk_add_tags",
        json!({"ids": [7], "tags": ["by_hand"]}),
    );
    assert_eq!(board.get("/api/deltas?id=7")["deltas"][0]["tag"], "by_hand");
    assert_eq!(
        board.done("/api/deltas/undo", json!({"id": 7}))["undone"]["operation"],
        "add"
    );
    assert_eq!(board.server.total("by_hand"), 0);
}

#[test]
fn rules_are_made_looked_at_applied_and_taken_away() {
    let board = Board::new("rules");
    let hat = board.server.total("hat");
    let rule = json!({"tag": "hat", "implied": "worn"});
    board.refused("/api/implications/create", rule.clone(), 404);
    board.done("/api/tags/create", json!({"name": "worn"}));
    board.done("/api/implications/create", rule.clone());
    let preview = board.get("/api/implications/preview?tag=hat&implied=worn");
    assert_eq!(
        (&preview["gaining"], &preview["status"]),
        (&json!(hat), &json!("active"))
    );
    assert_eq!(
        board.get("/api/implications/for-tag?tag=worn")["rules"][0]["tag"],
        board.get("/api/implications/all")["rules"][0]["tag"]
    );
    assert_eq!(
        board.done("/api/implications/apply", rule.clone())["pairs_added"],
        hat
    );
    assert_eq!(
        board.done("/api/implications/apply_all", Value::Null)["pairs_added"],
        0
    );
    assert_eq!(board.server.total("worn"), hat);
    board.done("/api/implications/clear_and_reapply", Value::Null);
    assert_eq!(board.server.total("worn"), hat);
    board.done("/api/implications/delete", rule.clone());
    board.refused("/api/implications/delete", rule.clone(), 404);
    board.done("/api/implications/reject", rule);
    assert!(board.get("/api/implications/suggestions")["total"].is_u64());
    assert!(board.done("/api/implications/approve_all", Value::Null)["rules"].is_u64());
    assert_eq!(
        board
            .server
            .get("/api/implications/preview?tag=hat&implied=hat")
            .status,
        400
    );
    assert_eq!(
        board.server.get("/api/implications/preview?tag=hat").status,
        400
    );
}

#[test]
fn tags_are_looked_through_and_images_alike_are_found() {
    let board = Board::new("browse");
    let page = board.get("/api/tags/browse?sort=count_desc&limit=5");
    let counts: Vec<u64> = page["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["count"].as_u64().unwrap())
        .collect();
    assert!(
        counts.len() == 5 && counts.is_sorted_by(|one, other| one >= other),
        "{counts:?}"
    );
    assert_eq!(page["total"], SMALL.tags + 4);
    assert_eq!(board.server.get("/api/tags/browse?sort=x").status, 400);
    let detail = board.get("/api/tags/detail?name=hat");
    assert_eq!(detail["count"], board.server.total("hat"));
    assert_eq!(board.server.get("/api/tags/detail?name=nobody").status, 404);
    assert_eq!(board.get("/api/tags/stats")["tags"], SMALL.tags + 4);
    let common = board.get("/api/images/common_tags?query=hat");
    let all: Vec<_> = common["in_all"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].clone())
        .collect();
    assert!(
        all.contains(&json!("Hat")) || all.contains(&json!("hat")),
        "{all:?}"
    );
    let by_id = board.done("/api/images/common_tags", json!({"image_ids": [3, 5, 7]}));
    assert_eq!(by_id["images"], 3);
    let alike = board.get("/api/similar-tags/3?limit=3");
    assert_eq!(alike["images"].as_array().unwrap().len(), 3);
    assert!(
        alike["images"][0]["thumb"]
            .as_str()
            .unwrap()
            .starts_with("thumbnails/")
    );
    assert!(board.get("/api/similar/3")["images"].is_array());
    for missing in [
        "/api/similar/4",
        "/api/similar-semantic/3",
        "/api/similar-tags/x.png",
    ] {
        let response = board.server.get(missing);
        assert_eq!(response.status, 404, "{missing}: {}", response.text());
    }
}

/// Each of these needs the password, whatever it is.
#[test]
fn every_path_of_the_api_asks_who_it_is() {
    let folder = Folder::new("closed");
    make(&folder, Era::Now, SMALL, 1);
    set_password(folder.root(), PASSWORD);
    let server = Server::start(folder.root(), &[]);
    let sources = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/api")).unwrap();
    let (mut read, mut written) = (0, 0);
    for source in sources {
        let text = fs::read_to_string(source.unwrap().path()).unwrap();
        for route in text.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            let open = [
                "/health",
                "/api/ready",
                "/api/session",
                "/api/login",
                "/api/logout",
            ];
            if open.contains(&path) {
                continue;
            }
            let path = path.replace("{*image}", "3").replace("{pool}", "1");
            let call = &route[..route.find(".route(").unwrap_or(route.len()).min(200)];
            if call.contains("post(") {
                let response = server.send("POST", &path, server::JSON, b"{}");
                assert_eq!(response.status, 401, "POST {path}");
                written += 1;
            }
            if !call.contains(" post(") {
                assert_eq!(server.get(&path).status, 401, "GET {path}");
                read += 1;
            }
        }
    }
    assert!(read > 20 && written > 30, "{read} and {written}");
}

#[test]
fn uploads_become_images_with_small_pictures_and_go_to_the_trash() {
    let folder = Folder::new("whole");
    let database = folder.path("data/booru.db");
    Store::create(&database).unwrap();
    let name = folder.root().to_str().unwrap();
    let mut server = Server::spawn(&mut booru(&["serve", name, "--port", "0"]));
    let bytes = picture(1, 300, 200);
    let form = [
        &b"--BORDER\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a b.png\"\r\n\r\n"[..],
        &bytes,
        b"\r\n--BORDER--\r\n",
    ]
    .concat();
    let headers = format!(
        "Content-Type: multipart/form-data; boundary=BORDER\r\nX-CSRF-Token: {}\r\n",
        server.token("")
    );
    let response = server.send("POST", "/api/upload", &headers, &form);
    assert_eq!(response.status, 200, "{}", response.text());
    let begun = Instant::now();
    while server.total("") == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it is not taken in"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let image = server.json("/api/images")["images"][0].clone();
    let path = format!("/{}", escaped(image["path"].as_str().unwrap()));
    assert_eq!(server.get(&path).body, bytes);
    let told = server.json(&format!("/api/image/{}", image["id"]));
    assert_eq!(
        (&told["width"], &told["height"]),
        (&json!(300), &json!(200))
    );
    let small = format!("/{}", escaped(image["thumb"].as_str().unwrap()));
    let made = server.get(&small);
    assert_eq!(
        (made.status, made.header("content-type")),
        (200, Some("image/webp"))
    );
    let file = folder.path("static").join(image["thumb"].as_str().unwrap());
    fs::remove_file(&file).unwrap();
    let again = server.get(&small);
    assert_eq!(again.body, made.body, "it is made anew, the same");
    assert_eq!(fs::read(&file).unwrap(), made.body);
    // One that can't be read has none, and says so each time.
    let stored = folder.path("static").join(image["path"].as_str().unwrap());
    fs::write(&stored, b"\x89PNG\r\n\x1a\ndamaged").unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(server.get(&small).status, 404);
    fs::write(&stored, &bytes).unwrap();
    let deleted = server.post(
        "/api/delete_image",
        "",
        &json!({"image_id": image["id"], "filepath": image["path"]}),
    );
    assert_eq!(deleted.json()["files"], 1, "{}", deleted.text());
    assert_eq!((server.total(""), stored.exists()), (0, false));
    assert_eq!(server.get(&path).status, 404);
    assert_eq!(
        server
            .post("/api/delete_images_bulk", "", &json!({"image_ids": [99]}))
            .status,
        404
    );
    let connection = Connection::open(&database).unwrap();
    let rows: i64 = connection
        .query_row("SELECT COUNT(*) FROM images", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
}
