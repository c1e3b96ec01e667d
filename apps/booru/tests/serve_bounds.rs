//! What a server does not do: take long bodies of anybody, hand on a board without a password, write while it
//! is to read only, try a damaged picture again and again.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use std::fs;
use std::process::Stdio;

use collection::{Era, Folder, SMALL, make};
use rusqlite::Connection;
use serde_json::json;
use server::{PASSWORD, Server, booru, escaped, set_password};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn forms_are_as_long_as_what_may_stand_in_them_and_a_login_is_short() {
    let folder = Folder::new("forms");
    make(&folder, Era::Now, SMALL, 50);
    let server = Server::start(folder.root(), &[]);
    let pool = server.post("/api/pools/create", "", &json!({ "name": "long" }));
    assert_eq!(pool.status, 200, "{}", pool.text());
    let pools = server.json("/api/pools");
    let mut pools = pools["pools"].as_array().unwrap().iter();
    let id = pools.find(|pool| pool["name"] == "long").unwrap()["id"].clone();
    // As long as a description may be, each byte of it escaped, and with a `#` that cuts nothing off.
    let description = format!("#{}", "絵".repeat(21_000));
    let token = server.token("");
    let body = |description: &str| {
        let (token, text) = (escaped(&token), escaped(description));
        format!(
            "csrf_token={token}&action=describe&name=long&before_name=long&before_description=&description={text}"
        )
    };
    let send = |path: &str, body: &str| server.send("POST", path, FORM, body.as_bytes());
    let saved = send(&format!("/pool/{id}"), &body(&description));
    assert!(
        [200, 302, 303].contains(&saved.status),
        "{}: {}",
        saved.status,
        saved.text()
    );
    let told = server.json(&format!("/api/pools/{id}"));
    assert_eq!(
        told["pool"]["description"].as_str(),
        Some(&*description),
        "{told}"
    );
    let long = send(&format!("/pool/{id}"), &body(&"絵".repeat(30_000)));
    assert_eq!(long.status, 413);
    let login = send("/login", &format!("password={}", "x".repeat(9000)));
    assert_eq!(login.status, 413);
}

#[test]
fn a_board_that_a_proxy_hands_on_needs_a_password() {
    let folder = Folder::new("handed-on");
    make(&folder, Era::Now, SMALL, 51);
    let board = folder.root().to_str().unwrap();
    for flags in [
        &["--behind-proxy"][..],
        &["--public-url", "https://a.example"],
    ] {
        let arguments = [&["serve", board, "--port", "0"], flags].concat();
        let output = booru(&arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains("booru passwd"),
            "{said}"
        );
    }
    set_password(folder.root(), PASSWORD);
    Server::start(folder.root(), &["--behind-proxy"]);
}

#[test]
fn a_login_ends_the_session_before_and_what_needs_one_is_asked_for_each_time() {
    let folder = Folder::new("again");
    let path = make(&folder, Era::Now, SMALL, 52);
    let image = picture(&path, &folder);
    set_password(folder.root(), PASSWORD);
    let server = Server::start(folder.root(), &[]);
    let before = server.log_in(PASSWORD);
    let file = server.send("GET", &image, &before, b"");
    assert_eq!(
        (file.status, file.header("cache-control")),
        (200, Some("private, no-cache"))
    );
    let again = server.try_log_in(PASSWORD, &before);
    assert_eq!(again.status, 200);
    assert_eq!(server.send("GET", &image, &before, b"").status, 401);
}

/// Puts a picture where the first image is; its address.
fn picture(database: &std::path::Path, folder: &Folder) -> String {
    let sql = "SELECT filepath FROM images ORDER BY id LIMIT 1";
    let path: String = Connection::open(database)
        .unwrap()
        .query_row(sql, [], |row| row.get(0))
        .unwrap();
    let file = folder.path("static/images").join(&path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // The head of a PNG of 64 by 64, and nothing behind it.
    let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40\x08\x02\0\0\0\x25\x0b\xe6\x89";
    fs::write(file, head).unwrap();
    format!("/images/{}", escaped(&path))
}

#[test]
fn methods_are_answered_by_their_own_rules() {
    let folder = Folder::new("methods");
    let path = make(&folder, Era::Now, SMALL, 53);
    let image = picture(&path, &folder);
    let server = Server::start(folder.root(), &[]);
    let refused = server.send("DELETE", "/", "", b"");
    let allowed = refused.header("allow").unwrap_or_default().to_owned();
    assert!(
        refused.status == 405 && allowed.contains("GET"),
        "{allowed:?}"
    );
    let range = "Range: bytes=0-1\r\n";
    assert_eq!(server.send("GET", &image, range, b"").status, 206);
    let head = server.send("HEAD", &image, range, b"");
    assert_eq!((head.status, head.header("content-range")), (200, None));
}

#[test]
fn a_damaged_picture_is_tried_once_and_a_reader_makes_none() {
    let folder = Folder::new("once");
    let path = make(&folder, Era::Now, SMALL, 54);
    let image = picture(&path, &folder);
    let small = image.replacen("/images/", "/thumbnails/", 1);
    let said = |arguments: &[&str]| {
        let log = folder.path("log");
        let base = ["serve", folder.root().to_str().unwrap(), "--port", "0"];
        let mut command = booru(&[&base[..], arguments].concat());
        command.env("MONITOR_ENABLED", "false");
        command.stderr(Stdio::from(fs::File::create(&log).unwrap()));
        let server = Server::spawn(&mut command);
        let path = small.rsplit_once('.').unwrap().0.to_owned() + ".webp";
        for _ in 0..3 {
            assert_eq!(server.get(&path).status, 404);
        }
        drop(server);
        fs::read_to_string(log)
            .unwrap()
            .matches("small picture")
            .count()
    };
    assert_eq!(said(&[]), 1);
    let leftover = folder.path("ingest/.upload-0123456789abcdef");
    fs::create_dir_all(leftover.parent().unwrap()).unwrap();
    let file = fs::File::create(&leftover).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1_000_000);
    file.set_modified(long_ago).unwrap();
    assert_eq!(said(&["--read-only"]), 0);
    assert!(leftover.exists(), "nothing is taken away either");
    said(&[]);
    assert!(!leftover.exists());
}
