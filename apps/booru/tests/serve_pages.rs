//! `booru serve`: the pages as forms and addresses reach them, without a browser.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use collection::{Era, Folder, SMALL, Size, make};
use rusqlite::Connection;
use server::{PASSWORD, Response, Server, set_password};

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
    assert_eq!(server.get("/upload/fate?name=a.png").status, 401);
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
        let path = format!("/upload/fate?name={name}");
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
    for page in pages.iter().chain(&["/upload/fate?name=a.png"]) {
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
