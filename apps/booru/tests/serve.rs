//! `booru serve`: what the API answers, who may ask, and from where.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use collection::{Era, Folder, SMALL, make};
use rusqlite::Connection;
use serde_json::{Value, json};
use server::{JSON, PASSWORD, Server, booru, escaped, set_password};

/// A board in a folder of its own.
fn board(name: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(name);
    let path = make(&folder, Era::Now, SMALL, 1);
    (folder, path)
}

fn output(arguments: &[&str]) -> Value {
    let output = booru(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_api_answers_what_the_commands_print() {
    let (folder, path) = board("api");
    let server = Server::start(folder.root(), &[]);
    let name = path.to_str().unwrap();
    for (query, page, images) in [
        ("", 1, 150),
        ("", 3, 150),
        ("solo -hat", 1, 10),
        ("(1girl or hair) order:score", 2, 7),
        ("score:>10 order:width", 1, 500),
        ("\"a b\"", 1, 150),
        ("source:danbooru,e621", 40, 150),
    ] {
        let address = format!(
            "/api/images?query={}&page={page}&per_page={images}",
            escaped(query)
        );
        let answered = server.json(&address);
        let (page, images) = (page.to_string(), images.to_string());
        let printed = output(&[
            "search",
            name,
            query,
            "--json",
            "--page",
            &page,
            "--images-per-page",
            &images,
        ]);
        for key in ["page", "total_pages", "total_results", "has_more", "query"] {
            assert_eq!(answered[key], printed[key], "{query}: {key}");
        }
        let ids = |of: &Value| -> Vec<u64> {
            let images = of["images"].as_array().unwrap().iter();
            images.map(|image| image["id"].as_u64().unwrap()).collect()
        };
        assert_eq!(ids(&answered), ids(&printed), "{query}");
        for (image, printed) in answered["images"]
            .as_array()
            .unwrap()
            .iter()
            .zip(printed["images"].as_array().unwrap())
        {
            let path = printed["path"].as_str().unwrap();
            assert_eq!(image["path"], format!("images/{path}"));
            let stem = path.rsplit_once('.').unwrap().0;
            assert_eq!(image["thumb"], format!("thumbnails/{stem}.webp"));
            assert_eq!(image.get("tags"), None);
        }
        assert_eq!(answered["success"], true);
    }
    let random = server.json("/api/images?query=order:random");
    let again = random["query"].as_str().unwrap();
    let again = server.json(&format!("/api/images?query={}", escaped(again)));
    assert_eq!(random["images"], again["images"]);
    let suggested = server.json("/api/autocomplete?q=solo%20-ha");
    let printed = output(&["suggest", name, "solo -ha", "--json"]);
    assert_eq!(suggested["groups"], printed["groups"]);
    let stats = server.json("/api/stats");
    let printed = output(&["stats", name, "--json"]);
    assert_eq!(stats["categories"], printed["categories"]);
    assert_eq!(server.json("/api/ready")["ready"], true);
    assert!(server.json("/api/memory")["rss_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(server.get("/health").text(), "ok\n");
    let head = server.send("HEAD", "/api/images", "", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("content-length").is_some());
}

#[test]
fn an_image_is_told_with_all_that_the_database_says_of_it() {
    let (folder, path) = board("image");
    let server = Server::start(folder.root(), &[]);
    let connection = Connection::open(path).unwrap();
    let all = server.json("/api/images?per_page=500&tags=1");
    assert_eq!(all["images"].as_array().unwrap().len(), 400);
    for image in all["images"].as_array().unwrap() {
        let id = image["id"].as_u64().unwrap() as i64;
        let sql = "SELECT COALESCE(group_concat(name, ' '), '') FROM (SELECT name FROM image_tags \
                   JOIN tags ON tags.id = tag_id WHERE image_id = ?1 ORDER BY name)";
        let tags: String = connection.query_row(sql, [id], |row| row.get(0)).unwrap();
        assert_eq!(image["tags"], tags);
    }
    for id in [3, 5, 77] {
        let told = server.json(&format!("/api/image/{id}"));
        let text = |column: &str| -> Value {
            let sql = format!("SELECT json_object('it', {column}) FROM images WHERE id = ?1");
            let text: String = connection.query_row(&sql, [id], |row| row.get(0)).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()["it"].clone()
        };
        for (key, column) in [
            ("filepath", "filepath"),
            ("md5", "md5"),
            ("width", "image_width"),
            ("height", "image_height"),
            ("score", "score"),
            ("fav_count", "fav_count"),
            ("ingested_at", "ingested_at"),
        ] {
            assert_eq!(told[key], text(column), "{key} of {id}");
        }
        let list = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([id], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let sources = list(
            "SELECT name FROM sources JOIN image_sources ON source_id = sources.id \
             WHERE image_id = ?1 ORDER BY name",
        );
        assert_eq!(told["sources"], json!(sources));
        let general = list(
            "SELECT name FROM tags JOIN image_tags ON tag_id = tags.id WHERE image_id = ?1 \
             AND COALESCE(category, 'general') = 'general' ORDER BY name",
        );
        let of_category = told["tags"]
            .get("general")
            .and_then(Value::as_array)
            .cloned();
        let names: Vec<Value> = of_category
            .unwrap_or_default()
            .iter()
            .map(|tag| tag["name"].clone())
            .collect();
        assert_eq!(Value::from(names), json!(general));
        let by_path = format!("/api/image/{}", escaped(told["path"].as_str().unwrap()));
        assert_eq!(server.json(&by_path), told);
    }
    for missing in [
        "4",
        "999999",
        "images/nothing.png",
        "%00",
        "..%2f..%2fbooru.db",
    ] {
        let response = server.get(&format!("/api/image/{missing}"));
        assert_eq!(response.status, 404, "{missing}: {}", response.text());
        assert_eq!(response.json()["success"], false);
    }
}

#[test]
fn tags_are_listed_by_name_a_page_at_a_time() {
    let (folder, path) = board("list");
    let server = Server::start(folder.root(), &[]);
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name FROM tags WHERE name LIKE '%hair%' AND EXISTS \
               (SELECT 1 FROM image_tags WHERE tag_id = tags.id) ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
    let mut listed = Vec::new();
    loop {
        let address = format!(
            "/api/tags/fetch?search=HAIR&limit=7&offset={}",
            listed.len()
        );
        let page = server.json(&address);
        assert_eq!(page["total"], names.len());
        let tags = page["tags"].as_array().unwrap();
        listed.extend(
            tags.iter()
                .map(|tag| tag["name"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(listed, names);
    let all = server.json("/api/tags/fetch?hide_orphaned=false&limit=1000");
    assert_eq!(all["total"], SMALL.tags + 4);
    let ratings = server.json("/api/tags/fetch?category=rating&hide_orphaned=false");
    assert_eq!(ratings["total"], 4);
    for wrong in [
        "limit=0",
        "limit=1001",
        "category=x",
        "offset=-1",
        "hide_orphaned=2",
    ] {
        let response = server.get(&format!("/api/tags/fetch?{wrong}"));
        assert_eq!(response.status, 400, "{wrong}");
    }
}

#[test]
fn edits_are_seen_by_the_next_search() {
    let (folder, path) = board("edits");
    let server = Server::start(folder.root(), &[]);
    let done = |path: &str, body: Value| -> Value {
        let response = server.post(path, "", &body);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()
    };
    let refused = |path: &str, body: Value, status: u16, part: &str| {
        let response = server.post(path, "", &body);
        let text = response.text();
        assert_eq!(response.status, status, "{path} {body}: {text}");
        assert_eq!(response.json()["success"], false);
        assert!(text.contains(part), "{text}");
    };
    let (hat, hair) = (server.total("hat"), server.total("hair"));
    done(
        "/api/tags/create",
        json!({"name": "New", "category": "artist"}),
    );
    refused("/api/tags/create", json!({"name": "new"}), 400, "already");
    refused("/api/tags/create", json!({"name": "a b"}), 400, "blanks");
    refused(
        "/api/tags/create",
        json!({"name": "x", "category": "y"}),
        400,
        "category",
    );
    let changed = done(
        "/api/images/bulk_add_tags",
        json!({"query": "hat", "tags": ["new"]}),
    );
    assert_eq!(changed["pairs_added"], hat);
    assert_eq!(server.total("artist:new"), hat);
    done(
        "/api/tags/rename",
        json!({"old_name": "new", "new_name": "newer", "create_alias": true}),
    );
    assert_eq!((server.total("newer"), server.total("new")), (hat, hat));
    refused(
        "/api/tags/rename",
        json!({"old_name": "nobody", "new_name": "x"}),
        404,
        "nobody",
    );
    refused(
        "/api/tags/rename",
        json!({"old_name": "newer", "new_name": "hair"}),
        400,
        "merge",
    );
    done(
        "/api/tags/bulk_categorize",
        json!({"tag_names": ["newer"], "category": "meta"}),
    );
    assert_eq!(server.total("meta:newer"), hat);
    done(
        "/api/tags/alias",
        json!({"alias": "newest", "tag": "newer"}),
    );
    assert_eq!(server.total("newest"), hat);
    done("/api/tags/unalias", json!({"alias": "newest"}));
    refused(
        "/api/tags/unalias",
        json!({"alias": "newest"}),
        404,
        "newest",
    );
    done("/api/tags/imply", json!({"tag": "hat", "implied": "newer"}));
    done(
        "/api/tags/unimply",
        json!({"tag": "hat", "implied": "newer"}),
    );
    refused(
        "/api/tags/unimply",
        json!({"tag": "hat", "implied": "newer"}),
        404,
        "no rule",
    );
    let both = server.total("hair or newer");
    done(
        "/api/tags/merge",
        json!({"source_tags": ["newer"], "target_tag": "hair"}),
    );
    assert_eq!(server.total("hair"), both);
    assert!(both >= hair);
    done(
        "/api/images/bulk_remove_tags",
        json!({"ids": [3, 5], "tags": ["hair"]}),
    );
    assert_eq!(server.total("hair id:3,5"), 0);
    done("/api/tags/delete", json!({"tag_names": ["hair", "nobody"]}));
    let has_hair: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT COUNT(*) FROM tags WHERE name = 'hair'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(has_hair, 0);
    let filepath = server.json("/api/image/7")["path"].clone();
    let tags = json!({"tags_general": "solo  own", "artist": "somebody"});
    done(
        "/api/edit_tags",
        json!({"filepath": filepath, "categorized_tags": tags}),
    );
    let told = server.json("/api/image/7");
    assert_eq!(told["tags"]["artist"][0]["name"], "somebody");
    assert_eq!(server.total("somebody own solo"), 1);
    refused(
        "/api/edit_tags",
        json!({"id": 4, "categorized_tags": {}}),
        404,
        "no image 4",
    );
    refused(
        "/api/edit_tags",
        json!({"categorized_tags": {}}),
        400,
        "id or its filepath",
    );
    refused(
        "/api/images/bulk_add_tags",
        json!({"tags": ["x"]}),
        400,
        "no images",
    );
    refused(
        "/api/images/bulk_add_tags",
        json!({"query": "(", "tags": ["x"]}),
        400,
        "character 1",
    );
    refused(
        "/api/tags/delete",
        json!({"tag_names": ["solo"], "remove_from_images": false}),
        400,
        "off all",
    );
    let diagnosis = output(&["doctor", path.to_str().unwrap(), "--deep", "--json"]);
    assert_eq!(diagnosis["deep"]["images_lacking_words"], 0, "{diagnosis}");
}

#[test]
fn what_is_no_request_is_refused_with_its_reason() {
    let (folder, _path) = board("hostile");
    let mut server = Server::start(folder.root(), &[]);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("[\"{}\"]", "x".repeat(200_000));
    let token = server.token("");
    let own = format!("X-CSRF-Token: {token}\r\n");
    for (kind, body, status) in [
        (JSON, "", 400),
        (JSON, "{", 400),
        (JSON, "[]", 400),
        (JSON, "null", 400),
        (JSON, "{\"tag_names\":[1]}", 400),
        (JSON, "{\"tag_names\":null}", 400),
        (JSON, "{\"tag_names\":[],\"tag_names\":[]}", 400),
        (JSON, "{\"tag_names\":[\"\\ud800\"]}", 400),
        (JSON, "\u{0}", 400),
        (JSON, &deep[..100_000], 400),
        (JSON, &long, 413),
        ("Content-Type: text/plain\r\n", "{\"tag_names\":[]}", 415),
        (
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "tag_names=x",
            415,
        ),
        ("", "{\"tag_names\":[]}", 415),
    ] {
        let headers = format!("{kind}{own}");
        let response = server.send("POST", "/api/tags/delete", &headers, body.as_bytes());
        assert_eq!(response.status, status, "{body:.40}: {}", response.text());
        assert_eq!(response.json()["success"], false);
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    for (path, part) in [
        ("/api/images?query=(", "query, character 1"),
        ("/api/images?query=score%3A%3Ex", "query, character"),
        ("/api/images?page=0", "counted from 1"),
        ("/api/images?page=x", "page"),
        ("/api/images?per_page=501", "1 to 500"),
        ("/api/images?per_page=99999999999999999999", "per_page"),
    ] {
        let response = server.get(path);
        let text = response.text();
        assert_eq!(response.status, 400, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
    }
    let scans = (0..20).map(|number| format!("*x{number}*"));
    let scans = escaped(&scans.collect::<Vec<_>>().join(" "));
    let response = server.get(&format!("/api/images?query={scans}"));
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(server.get("/api/nothing").json()["success"], false);
    assert_eq!(server.get("/api/nothing").status, 404);
    assert_eq!(server.send("PUT", "/api/images", "", b"").status, 405);
    assert_eq!(
        server.send("PUT", "/api/images", "", b"").json()["success"],
        false
    );
    let page = server.get("/%3Cscript%3Enothing");
    assert_eq!(page.status, 404);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(!page.text().contains("<script>"));
    assert!(server.is_running());
}

#[test]
fn a_board_with_a_password_is_for_those_who_know_it() {
    let (folder, _path) = board("login");
    set_password(folder.root(), PASSWORD);
    let file = folder.path("booru.passwd");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let hash = std::fs::read_to_string(&file).unwrap();
    assert!(hash.starts_with("$argon2id$") && !hash.contains(PASSWORD));
    let server = Server::start(folder.root(), &[]);
    let body = json!({"name": "x"}).to_string();
    let create = |headers: &str| {
        let headers = format!("{JSON}{headers}");
        server.send("POST", "/api/tags/create", &headers, body.as_bytes())
    };
    for path in [
        "/api/images",
        "/api/image/3",
        "/api/autocomplete?q=so",
        "/api/tags/fetch",
        "/api/stats",
        "/api/memory",
        "/images/@3",
        "/thumbnails/@3",
        "/upscaled/@3",
    ] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(create("").status, 401);
    assert_eq!(
        create(&format!("X-CSRF-Token: {}\r\n", server.token(""))).status,
        401
    );
    let wrong = server.try_log_in("wrong", "");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert_eq!(
        server
            .try_log_in(PASSWORD, "Origin: http://evil.example\r\n")
            .status,
        403
    );
    assert_eq!(
        server
            .try_log_in(PASSWORD, "Sec-Fetch-Site: cross-site\r\n")
            .status,
        403
    );
    let right = server.try_log_in(PASSWORD, "");
    let set = right.header("set-cookie").unwrap().to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains("Secure"),
        "{set}"
    );
    let cookie = server.log_in(PASSWORD);
    assert_eq!(server.send("GET", "/api/images", &cookie, b"").status, 200);
    assert_eq!(create(&cookie).status, 403, "no token");
    let token = format!("{cookie}X-CSRF-Token: {}\r\n", server.token(&cookie));
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        assert_eq!(
            create(&format!("{token}{foreign}")).status,
            403,
            "{foreign}"
        );
    }
    let others = format!("{cookie}X-CSRF-Token: {}\r\n", server.token(""));
    assert_eq!(create(&others).status, 403, "the token of another session");
    let own = format!(
        "{token}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n",
        server.address
    );
    assert_eq!(create(&own).status, 200);
    let out = server.send("POST", "/api/logout", &token, b"");
    assert_eq!(out.status, 200);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(server.send("GET", "/api/images", &cookie, b"").status, 401);
    assert_eq!(
        server
            .send("GET", "/api/images", "Cookie: booru_session=\r\n", b"")
            .status,
        401
    );
}

#[test]
fn passwords_are_tried_so_often_and_no_more() {
    let (folder, _path) = board("attempts");
    let mut command = booru(&[
        "serve",
        folder.root().to_str().unwrap(),
        "--port",
        "0",
        "--behind-proxy",
    ]);
    let server = Server::spawn(command.env("APP_PASSWORD", PASSWORD));
    let from = |address: &str| format!("X-Forwarded-For: 6.6.6.6, {address}\r\n");
    for _ in 0..10 {
        assert_eq!(server.try_log_in("wrong", &from("10.0.0.1")).status, 401);
    }
    let refused = server.try_log_in(PASSWORD, &from("10.0.0.1"));
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    assert_eq!(server.try_log_in(PASSWORD, &from("10.0.0.2")).status, 200);
}

#[test]
fn who_may_only_read_changes_nothing() {
    let (folder, _path) = board("read");
    set_password(folder.root(), PASSWORD);
    let server = Server::start(folder.root(), &["--public-read"]);
    assert_eq!(server.get("/api/images").status, 200);
    assert_eq!(
        server
            .post("/api/tags/create", "", &json!({"name": "x"}))
            .status,
        401
    );
    let cookie = server.log_in(PASSWORD);
    assert_eq!(
        server
            .post("/api/tags/create", &cookie, &json!({"name": "x"}))
            .status,
        200
    );
    let server = Server::start(folder.root(), &["--read-only"]);
    let cookie = server.log_in(PASSWORD);
    let refused = server.post("/api/tags/create", &cookie, &json!({"name": "y"}));
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("--read-only"));
}

#[test]
fn only_hosts_of_its_own_are_answered_without_a_password() {
    let (folder, _path) = board("host");
    let url = ["--public-url", "http://booru.example.org", "--no-password"];
    let server = Server::start(folder.root(), &url);
    let port = server.address.port();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        ("booru.example.org".to_owned(), 200),
        (format!("evil.example:{port}"), 421),
        ("127.0.0.1.evil.example".to_owned(), 421),
        (String::new(), 400),
    ] {
        let response = server.send("GET", "/api/images", &format!("Host: {host}\r\n"), b"");
        assert_eq!(response.status, status, "{host}");
    }
    let twice = format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n");
    assert_eq!(server.send("GET", "/api/images", &twice, b"").status, 400);
    let absolute = server.send("GET", "http://evil.example/api/images", "", b"");
    assert_eq!(absolute.status, 400);
    for path in ["/api/images", "/nothing", "/health"] {
        let response = server.get(path);
        for (header, part) in [
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            let value = response.header(header).unwrap_or("");
            assert!(value.contains(part), "{path}: {header}: {value}");
        }
        let policy = response.header("content-security-policy").unwrap();
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn cookies_are_for_tls_alone_where_a_proxy_has_it() {
    let (folder, _path) = board("tls");
    set_password(folder.root(), PASSWORD);
    let server = Server::start(
        folder.root(),
        &["--public-url", "https://booru.example.org"],
    );
    let set = server.try_log_in(PASSWORD, "Origin: https://booru.example.org\r\n");
    let set = set.header("set-cookie").unwrap();
    assert!(
        set.starts_with("__Host-booru_session=") && set.contains("; Secure"),
        "{set}"
    );
}

#[test]
fn nothing_but_this_machine_reaches_it_without_a_password() {
    let (folder, _path) = board("listen");
    let name = folder.root().to_str().unwrap();
    let refused = booru(&["serve", name, "--port", "0", "--host", "0.0.0.0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for part in ["booru passwd", "APP_PASSWORD", "--no-password"] {
        assert!(said.contains(part), "{said}");
    }
    let mut wanted = Server::start(folder.root(), &["--host", "0.0.0.0", "--no-password"]);
    assert!(wanted.address.ip().is_unspecified() && wanted.is_running());
    set_password(folder.root(), PASSWORD);
    let mut safe = Server::start(folder.root(), &["--host", "0.0.0.0"]);
    assert!(safe.is_running());
    let taken = booru(&[
        "serve",
        name,
        "--port",
        &safe.address.port().to_string(),
        "--host",
        "0.0.0.0",
    ])
    .stdout(Stdio::null())
    .output()
    .unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("listen on"));
}

/// The database is edited by a command while the server has it open.
#[test]
fn what_another_program_changes_is_found() {
    let (folder, path) = board("others");
    let server = Server::start(folder.root(), &[]);
    let before = server.total("hat");
    let name = path.to_str().unwrap();
    let done = booru(&["tag", name, "add", "from_elsewhere", "hat"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    // An edit by the server itself takes it into account at once.
    let image = server.json("/api/images?query=hat&per_page=1")["images"][0]["id"].clone();
    let body = json!({"ids": [image], "tags": ["from_elsewhere"]});
    let changed = server.post("/api/images/bulk_add_tags", "", &body);
    assert_eq!(changed.json()["pairs_added"], 0, "it has it already");
    assert_eq!(server.total("from_elsewhere"), before);
    let done = booru(&["tag", name, "remove", "from_elsewhere", "hat"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let begin = Instant::now();
    while server.total("from_elsewhere") > 0 {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it is not followed"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Each edit of each client has happened when it is answered, and none is lost.
#[test]
fn two_clients_and_a_command_edit_at_once() {
    const EDITS: usize = 12;
    let (folder, path) = board("clients");
    let server = Server::start(folder.root(), &[]);
    std::thread::scope(|scope| {
        for client in 0..2 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..EDITS {
                    let tag = format!("by_{client}_{number}");
                    let body = json!({"query": "solo", "tags": [tag]});
                    let done = server.post("/api/images/bulk_add_tags", "", &body);
                    assert_eq!(done.status, 200, "{}", done.text());
                    assert_eq!(server.total(&tag), server.total("solo"));
                }
            });
        }
        scope.spawn(|| {
            for number in 0..4 {
                let tag = format!("by_command_{number}");
                let name = path.to_str().unwrap();
                let done = booru(&["tag", name, "add", &tag, "solo"]).output().unwrap();
                assert!(done.status.success(), "{done:?}");
            }
        });
    });
    let connection = Connection::open(&path).unwrap();
    let count = |tag: &str| -> i64 {
        let sql = "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE name = ?1";
        connection.query_row(sql, [tag], |row| row.get(0)).unwrap()
    };
    let solo = count("solo");
    for client in 0..2 {
        for number in 0..EDITS {
            assert_eq!(count(&format!("by_{client}_{number}")), solo);
        }
    }
    for number in 0..4 {
        assert_eq!(count(&format!("by_command_{number}")), solo);
    }
}
