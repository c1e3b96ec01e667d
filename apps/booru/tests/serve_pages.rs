//! `booru serve`: the pages as forms and addresses reach them, without a browser.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;
mod server;

use std::fs;
use std::time::{Duration, Instant};

use collection::{Era, Folder, SMALL, Size, make};
use gallery::picture;
use plimsoll_booru::store::Store;
use rusqlite::Connection;
use serde_json::{Value, json};
use server::{PASSWORD, Response, Server, booru, escaped, set_password};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn board(name: &str, fill: &str) -> (Folder, Connection) {
    board_of(name, SMALL, fill)
}

fn board_of(name: &str, size: Size, fill: &str) -> (Folder, Connection) {
    let folder = Folder::new(name);
    let path = make(&folder, Era::Now, size, 1);
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(fill).unwrap();
    (folder, connection)
}

/// What a press of a button sends.
fn press(server: &Server, path: &str, form: &str) -> Response {
    let form = format!("csrf_token={}&{form}", server.token(""));
    server.send("POST", path, FORM, form.as_bytes())
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Seventy-five suggestions, five an image, the last of each image the least certain.
const SUGGESTIONS: &str = "
    CREATE TABLE booru_jobs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL,
        image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, state TEXT NOT NULL,
        tries INTEGER NOT NULL, cut_off INTEGER NOT NULL, reason TEXT, queued_at TEXT NOT NULL, ended_at TEXT,
        UNIQUE (kind, image_id));
    CREATE TABLE booru_reviews (image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
        tag_name TEXT NOT NULL, category TEXT, confidence REAL NOT NULL, state TEXT NOT NULL,
        changed_at TEXT NOT NULL, PRIMARY KEY (image_id, tag_name));
    WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 4)
    INSERT INTO booru_reviews SELECT image.id, 'new_' || n, 'general', 0.9 - 0.1 * n, 'pending', '2026-01-01 00:00:00'
    FROM number, (SELECT id FROM images ORDER BY id LIMIT 15) AS image;";

#[test]
fn of_an_image_those_suggestions_are_decided_that_were_shown() {
    let (folder, connection) = board("shown", SUGGESTIONS);
    let server = Server::start(folder.root(), &[]);
    let page = server.get("/review").text();
    let panel = page
        .split("<section class=\"panel reviewed\"")
        .nth(1)
        .unwrap();
    let id = panel
        .split("data-image=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let form = panel.split("<form").last().unwrap();
    assert!(form.contains("Accept all that are shown"), "{form}");
    let named: Vec<&str> = form.split("name=\"tag\" value=\"").skip(1).collect();
    let named: Vec<&str> = named
        .iter()
        .map(|one| one.split('"').next().unwrap())
        .collect();
    assert_eq!(
        named,
        ["new_0", "new_1", "new_2", "new_3"],
        "the fifth is not among the first 60"
    );
    let tags: String = named.iter().map(|one| format!("&tag={one}")).collect();
    // Somebody else has refused one of them meanwhile.
    let refuse = format!("action=reject&image={id}&tag=new_1");
    assert_eq!(press(&server, "/review", &refuse).status, 303);
    let accept = format!("action=accept&image={id}{tags}");
    assert_eq!(press(&server, "/review", &accept).status, 303);
    let states = format!(
        "SELECT tag_name || ' ' || state FROM booru_reviews WHERE image_id = {id} ORDER BY 1"
    );
    assert_eq!(
        texts(&connection, &states),
        ["new_1 rejected", "new_4 pending"]
    );
    assert_eq!(server.total("new_0 new_2 new_3"), 1);
    assert_eq!(server.total("new_1") + server.total("new_4"), 0);
    // A form that names none decides nothing.
    let none = press(&server, "/review", &format!("action=accept&image={id}"));
    assert_eq!(none.status, 400, "{}", none.text());
    let refuse = format!("action=reject&image={id}&tag=new_4");
    assert_eq!(press(&server, "/review", &refuse).status, 303);
    assert_eq!(
        texts(&connection, &states),
        ["new_1 rejected", "new_4 rejected"]
    );
    for wrong in [
        "action=accept&image=x&tag=new_0",
        "action=x&image=3&tag=new_0",
    ] {
        assert_eq!(press(&server, "/review", wrong).status, 400, "{wrong}");
    }
}

#[test]
fn pages_for_editors_are_for_nobody_else() {
    let (folder, _) = board("editors", "");
    set_password(folder.root(), PASSWORD);
    let pages = ["/upload", "/review", "/duplicates?distance=3"];
    let mut server = Server::start(folder.root(), &["--public-read"]);
    for page in pages {
        let led = server.get(page);
        let to = led.header("location").unwrap_or_default();
        let next = page
            .replace('/', "%2F")
            .replace('?', "%3F")
            .replace('=', "%3D");
        assert_eq!(
            (led.status, to),
            (303, format!("/login?next={next}").as_str()),
            "{page}"
        );
    }
    assert_eq!(server.get("/tags").status, 200);
    assert_eq!(server.get("/upload/fates?name=a.png").status, 401);
    let cookie = server.log_in(PASSWORD);
    for page in pages {
        assert_eq!(server.send("GET", page, &cookie, b"").status, 200, "{page}");
    }
    for (name, status) in [
        ("a.png", 200),
        ("..a", 200),
        (".", 400),
        ("..", 400),
        ("a%2Fb", 400),
        ("", 400),
    ] {
        let path = format!("/upload/fates?name={name}");
        assert_eq!(
            server.send("GET", &path, &cookie, b"").status,
            status,
            "{name}"
        );
    }
    server.signal(libc::SIGTERM);
    server.wait();
    // Where nobody can edit, a login would not help.
    let server = Server::start(folder.root(), &["--public-read", "--read-only"]);
    let cookie = server.log_in(PASSWORD);
    for page in pages.iter().chain(&["/upload/fates?name=a.png"]) {
        let refused = server.send("GET", page, &cookie, b"");
        assert_eq!(refused.status, 403, "{page}");
        assert!(refused.text().contains("--read-only"), "{}", refused.text());
    }
}

#[test]
fn two_who_change_a_pool_lose_nothing() {
    let (folder, connection) = board(
        "two",
        "DELETE FROM pools; INSERT INTO pools (id, name, description) VALUES (1, 'Old', 'one\r\ntwo'), (2, 'Taken', '')",
    );
    let server = Server::start(folder.root(), &[]);
    let page = server.get("/pool/1").text();
    for field in [
        "name=\"before_name\" value=\"Old\"",
        "name=\"before_description\" value=\"one\r\ntwo\"",
    ] {
        assert!(page.contains(field), "{page}");
    }
    let before = "action=describe&before_name=Old&before_description=one%0D%0Atwo";
    let told = || {
        texts(
            &connection,
            "SELECT name || ': ' || description FROM pools WHERE id = 1",
        )
    };
    let change = |fields: &str| press(&server, "/pool/1", &format!("{before}&{fields}")).status;
    assert_eq!(change("name=New&description=one%0D%0Atwo"), 303);
    assert_eq!(
        told(),
        ["New: one\r\ntwo"],
        "what was not changed stays as it is"
    );
    // Of another page, opened before.
    assert_eq!(change("name=Old&description=three"), 303);
    assert_eq!(told(), ["New: three"]);
    // All or nothing.
    assert_eq!(change("name=Taken&description=four"), 400);
    assert_eq!(told(), ["New: three"]);
    let both = serde_json::json!({"name": "Taken", "description": "five"});
    assert_eq!(server.post("/api/pools/1/update", "", &both).status, 400);
    assert_eq!(told(), ["New: three"]);
    let long = serde_json::json!({"name": "Newer", "description": "x".repeat(65 << 10)});
    assert_eq!(server.post("/api/pools/1/update", "", &long).status, 400);
    assert_eq!(told(), ["New: three"]);
    let both = serde_json::json!({"name": "Newer", "description": "five"});
    assert_eq!(server.post("/api/pools/1/update", "", &both).status, 200);
    assert_eq!(told(), ["Newer: five"]);
    assert_eq!(
        press(
            &server,
            "/pool/99",
            &format!("{before}&name=Old&description=one%0Atwo")
        )
        .status,
        404
    );
}

const MANY_POOLS: &str = "DELETE FROM pools; DELETE FROM pool_images;
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 501)
    INSERT INTO pools (id, name) SELECT n, printf('Pool %04d', n) FROM number;
    INSERT INTO pool_images (pool_id, image_id, sort_order) SELECT 1, id, id FROM images";

#[test]
fn pools_beyond_a_page_are_reached_and_no_page_is_beyond_them() {
    let size = Size {
        images: 600,
        ..SMALL
    };
    let (folder, _) = board_of("many", size, MANY_POOLS);
    let server = Server::start(folder.root(), &[]);
    let names = |offset: usize| {
        let part = server.json(&format!("/pools/choices?offset={offset}"));
        let names = part.as_array().unwrap().iter();
        names
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (names(0).len(), names(500)),
        (500, vec!["Pool 0501".to_owned()])
    );
    assert!(names(501).is_empty());
    assert_eq!(server.json("/pools/choices").as_array().unwrap().len(), 500);
    for page in ["0", "1", "9", "18446744073709551615"] {
        let is_last = page.len() > 1 || page == "9";
        let pools = server.get(&format!("/pools?page={page}")).text();
        assert!(
            pools.contains(if is_last {
                "Page 9 of 9"
            } else {
                "Page 1 of 9"
            }),
            "{page}"
        );
        assert_eq!(pools.contains("Pool 0501"), is_last, "{page}");
    }
    for (page, range) in [
        ("1", "1 to 500, page 1 of 2"),
        ("2", "501 to 600, page 2 of 2"),
        ("3", "501 to 600, page 2 of 2"),
        ("18446744073709551615", "501 to 600, page 2 of 2"),
    ] {
        let pool = server.get(&format!("/pool/1?page={page}")).text();
        assert!(pool.contains(range), "{page}: {range}");
    }
    assert_eq!(
        server.get("/pool/2?page=7").status,
        200,
        "one without images"
    );
}

/// A form with files, as a browser sends it.
fn send_files(server: &Server, path: &str, files: &[(&str, &[u8])]) -> Response {
    let mut form = format!(
        "--BORDER\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{}\r\n",
        server.token("")
    )
    .into_bytes();
    for (name, bytes) in files {
        let head = format!(
            "--BORDER\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n"
        );
        form.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    form.extend(b"--BORDER--\r\n");
    let kind = "Content-Type: multipart/form-data; boundary=BORDER\r\n";
    server.send("POST", path, kind, &form)
}

fn fates(server: &Server, names: &[&str]) -> Vec<Value> {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("name={}", escaped(name)))
        .collect();
    let fates = server.json(&format!("/upload/fates?{}", names.join("&")));
    fates.as_array().unwrap().clone()
}

/// What becomes of a file in the end; `look` sees what is said until then.
fn end_of(server: &Server, name: &str, look: impl Fn(&Value)) -> Value {
    let begun = Instant::now();
    loop {
        let fate = fates(server, &[name]).remove(0);
        look(&fate);
        // It is gone for a moment before it is known to be an image.
        if fate["state"] != "waiting" && fate["state"] != "gone" {
            return fate;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {fate}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

const DAMAGED: &[u8] = b"\x89PNG\r\n\x1a\nnothing of a picture";

#[test]
fn what_became_of_a_file_is_told_as_it_is() {
    let folder = Folder::new("fates");
    Store::create(&folder.path("real/data/booru.db")).unwrap();
    std::os::unix::fs::symlink("real", folder.path("link")).unwrap();
    // Paths that are relative, and lead over a link.
    let mut command = booru(&["serve", "link", "--port", "0"]);
    let server = Server::spawn(command.current_dir(folder.root()));
    let send = |name: &str, bytes: &[u8]| {
        let sent = send_files(&server, "/api/upload", &[(name, bytes)]);
        assert_eq!(sent.status, 200, "{}", sent.text());
        assert_eq!(sent.json()["files"][0]["stored_as"], name);
    };
    send("a.png", &picture(1, 300, 200));
    send("bad.png", DAMAGED);
    let first = end_of(&server, "a.png", |_| {});
    assert_eq!(
        (&first["state"], &first["is_new"]),
        (&json!("on_board"), &json!(true))
    );
    let id = server.json("/api/images")["images"][0]["id"].clone();
    assert_eq!(first["href"], format!("/view/{id}"));
    let bad = end_of(&server, "bad.png", |_| {});
    assert_eq!(bad["state"], "set_aside", "{bad}");
    assert!(!bad["reason"].as_str().unwrap().is_empty());
    let both = fates(&server, &["bad.png", "never.png", "a.png"]);
    assert_eq!(both, [bad, json!({"state": "gone"}), first.clone()]);
    // The same picture once more, and another one of the same name.
    send("b.png", &picture(1, 300, 200));
    let again = end_of(&server, "b.png", |_| {});
    let known = json!({"state": "on_board", "href": first["href"], "is_new": false});
    assert_eq!(again, known);
    send("a.png", &picture(2, 300, 200));
    let other = end_of(&server, "a.png", |fate| {
        assert_ne!(fate["href"], first["href"])
    });
    assert_eq!(
        (&other["state"], &other["is_new"]),
        (&json!("on_board"), &json!(true))
    );
    // What was set aside under a name is no reason of what comes after it.
    fs::remove_file(folder.path("real/ingest/bad.png")).unwrap();
    assert_eq!(fates(&server, &["bad.png"]), [json!({"state": "gone"})]);
    send("bad.png", &picture(3, 300, 200));
    let good = end_of(&server, "bad.png", |fate| {
        assert_ne!(fate["state"], "set_aside")
    });
    assert_eq!(good["state"], "on_board");
    // An image that is deleted is on the board no more.
    let deleted = server.post("/api/delete_image", "", &json!({"id": id}));
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert_eq!(fates(&server, &["b.png"]), [json!({"state": "gone"})]);
    let many = format!("/upload/fates?{}", "name=a.png&".repeat(33));
    assert_eq!(server.get(&many).status, 400);
}

#[test]
fn files_are_sent_without_scripts_too() {
    let (folder, _) = board("plain", "");
    let server = Server::start(folder.root(), &[]);
    let large = [&picture(1, 30, 20)[..], &[0; 3 << 20]].concat();
    let sent = send_files(
        &server,
        "/upload",
        &[("a.png", &large), ("b.png", &picture(2, 30, 20))],
    );
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, Some("/upload?sent=2")),
        "{}",
        sent.text()
    );
    let page = server.get("/upload?sent=2").text();
    assert!(
        page.contains("2 files were sent; this server takes no new files in"),
        "{page}"
    );
    assert!(page.contains("action=\"/upload\""));
    assert_eq!(fates(&server, &["a.png"]), [json!({"state": "left"})]);
    let some = send_files(
        &server,
        "/upload",
        &[("c.svg", b"<svg/>"), ("d.png", &picture(3, 30, 20))],
    );
    assert_eq!(
        (some.status, some.header("content-type")),
        (400, Some("text/html; charset=utf-8"))
    );
    let text = some.text();
    assert!(
        text.contains("c.svg") && text.contains("The others were sent: 1"),
        "{text}"
    );
    assert!(folder.path("ingest/d.png").exists());
    let none = send_files(&server, "/upload", &[("c.svg", b"<svg/>")]);
    assert!(
        none.status == 400 && none.text().contains("c.svg"),
        "{}",
        none.text()
    );
    let unproven = "Content-Type: multipart/form-data; boundary=BORDER\r\n";
    let form = b"--BORDER\r\nContent-Disposition: form-data; name=\"f\"; filename=\"e.png\"\r\n\r\nx\r\n--BORDER--\r\n";
    assert_eq!(server.send("POST", "/upload", unproven, form).status, 403);
    assert!(!folder.path("ingest/e.png").exists());
}

#[test]
fn who_has_to_log_in_is_led_there_and_back() {
    let (folder, _) = board("led", "");
    set_password(folder.root(), PASSWORD);
    let server = Server::start(folder.root(), &["--app-name", "Mine & theirs"]);
    let host = server.address;
    let from = |headers: &str| {
        let headers = format!("{FORM}{headers}");
        let refused = server.send("POST", "/edit/3/favourite", &headers, b"is_favourite=true");
        assert_eq!(refused.status, 401);
        refused.text()
    };
    let page = from(&format!("Referer: http://{host}/view/3?query=a%20b\r\n"));
    assert!(
        page.contains("href=\"/login?next=%2Fview%2F3%3Fquery%3Da%2520b\""),
        "{page}"
    );
    assert!(page.contains("Mine &#38; theirs</title>"), "{page}");
    for headers in ["", "Referer: \"<script>\r\n"] {
        assert!(
            from(headers).contains("href=\"/login?next=%2F\""),
            "{headers}"
        );
    }
    let part = server.get("/tiles?page=2");
    assert!(part.status == 401 && part.text().contains("/login?next=%2Ftiles%3Fpage%3D2"));
    let for_script = server.send("GET", "/tiles", "Accept: application/json\r\n", b"");
    assert_eq!(for_script.json()["error"], "log in first");
    // A login is no help where something else is wrong.
    let cookie = server.log_in(PASSWORD);
    let missing = server.send("GET", "/nowhere", &cookie, b"");
    assert!(missing.status == 404 && missing.text().contains("Mine &#38; theirs"));
    assert!(!missing.text().contains("/login?next"));
}

#[test]
fn an_image_is_deleted_after_a_question_without_scripts() {
    let (folder, _) = board("delete", "");
    let server = Server::start(folder.root(), &[]);
    let path = "/edit/3/delete?query=order%3Aold";
    assert!(
        server
            .get("/view/3?query=order:old")
            .text()
            .contains(&format!("action=\"{path}\""))
    );
    let question = press(&server, path, "");
    let text = question.text();
    assert!(
        question.status == 200 && text.contains("Delete this image?"),
        "{text}"
    );
    assert!(
        text.contains(&format!("action=\"{path}\""))
            && text.contains("href=\"/view/3?query=order%3Aold\""),
        "{text}"
    );
    assert_eq!(server.get("/view/3").status, 200, "it is only asked");
    assert_eq!(
        server.send("POST", path, FORM, b"confirmed=yes").status,
        403,
        "without the token"
    );
    let done = press(&server, path, "confirmed=yes");
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/?query=order%3Aold")),
        "{}",
        done.text()
    );
    assert_eq!(server.get("/view/3").status, 404);
    assert_eq!(press(&server, path, "").status, 404);
    assert_eq!(press(&server, path, "confirmed=yes").status, 404);
}
