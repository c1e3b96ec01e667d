//! What `booru serve` does when it is asked too much, too slowly, or to end; and what a request costs.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use collection::{Era, Folder, Random, SMALL, Size, make, tag_name};
use rusqlite::Connection;
use serde_json::json;
use server::{JSON, PASSWORD, Response, Server, escaped, set_password};

fn board(name: &str, size: Size) -> (Folder, PathBuf) {
    let folder = Folder::new(name);
    // Without triggers, which would read the whole full-text table for each image.
    let path = make(&folder, Era::Reordered, size, 1);
    (folder, path)
}

#[test]
fn heads_are_bounded_and_one_connection_takes_many_requests() {
    let (folder, _path) = board("heads", SMALL);
    let server = Server::start(folder.root(), &[]);
    let long = escaped(&"\u{e9}".repeat(4000));
    assert_eq!(server.get(&format!("/api/images?query={long}")).status, 200);
    let longer = escaped(&"\u{e9}".repeat(4200));
    assert_eq!(
        server.get(&format!("/api/images?query={longer}")).status,
        400
    );
    let huge = format!("X-Large: {}\r\n", "x".repeat(100_000));
    assert_eq!(server.send("GET", "/api/images", &huge, b"").status, 431);
    let many: String = (0..100)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    assert_eq!(server.send("GET", "/api/images", &many, b"").status, 431);
    let mut kept = server.connect();
    for _ in 0..3 {
        let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        kept.write_all(request.as_bytes()).unwrap();
        assert_eq!(Response::read(&mut kept, false).text(), "ok\n");
    }
    for hostile in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\u{0}\u{1}\u{2}",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = server.connect();
        stream.write_all(hostile.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_hundred_clients_are_answered_beside_slow_ones() {
    let (folder, _path) = board("crowd", SMALL);
    let server = Server::start(folder.root(), &[]);
    // They begin a request and say no more; some begin a body.
    let slow: Vec<TcpStream> = (0..60)
        .map(|number| {
            let mut stream = server.connect();
            let begin = match number % 2 {
                0 => "GET /api/images HTTP/1.1\r\nHost: x".to_owned(),
                _ => format!(
                    "POST /api/login HTTP/1.1\r\nHost: {}\r\n{JSON}Content-Length: 100\r\n\r\n{{",
                    server.address
                ),
            };
            stream.write_all(begin.as_bytes()).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let expected = server.total("solo");
    std::thread::scope(|scope| {
        for client in 0..100 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..5 {
                    match (client + number) % 3 {
                        0 => assert_eq!(server.total("solo"), expected),
                        1 => assert_eq!(server.get("/api/autocomplete?q=so").status, 200),
                        _ => assert_eq!(server.get("/images/@99999").status, 404),
                    }
                }
            });
        }
    });
    println!("500 requests of 100 clients took {:?}", begun.elapsed());
    // The slow ones are sent away: the head has 20 seconds.
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok(),
            "the server has not ended a slow connection: {ended:?}"
        );
        assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn more_connections_than_there_are_places_are_told_so() {
    let (folder, _path) = board("full", SMALL);
    let server = Server::start(folder.root(), &[]);
    assert_eq!(server.get("/health").status, 200);
    let held: Vec<TcpStream> = (0..256).map(|_| server.connect()).collect();
    let begun = Instant::now();
    let refused = loop {
        let response = server.get("/health");
        match response.status {
            // The last ones of those held are not taken yet.
            200 => assert!(begun.elapsed() < Duration::from_secs(60)),
            _ => break response,
        }
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    drop(held);
    while server.get("/health").status != 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no place is free again"
        );
    }
}

/// An edit that is being done when the server is told to end is done, and answered.
#[test]
fn a_request_that_is_being_done_is_done_before_the_end() {
    const LARGER: Size = Size {
        images: 2000,
        tags: 150,
        each: 9,
    };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (folder, path) = board("end", LARGER);
        let mut server = Server::start(folder.root(), &[]);
        let headers = format!("{JSON}X-CSRF-Token: {}\r\n", server.token(""));
        let body = json!({"query": "", "tags": ["everywhere"]}).to_string();
        let idle = server.connect();
        let mut edit = server.connect();
        let head = format!(
            "POST /api/images/bulk_add_tags HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            server.address,
            body.len()
        );
        edit.write_all(&[head.as_bytes(), body.as_bytes()].concat())
            .unwrap();
        // It has begun once the database is held by it.
        let connection = Connection::open(&path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        let begun = Instant::now();
        while connection
            .execute_batch("BEGIN IMMEDIATE; ROLLBACK")
            .is_ok()
        {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the edit does not begin"
            );
        }
        server.signal(signal);
        let response = Response::read(&mut edit, false);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["pairs_added"], 2000);
        assert!(server.wait().success());
        drop(idle);
        assert!(TcpStream::connect(server.address).is_err());
        let sql = "SELECT COUNT(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE name = 'everywhere'";
        let added: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(added, 2000);
    }
}

/// As many images and tags as the seed's collection.
const SEED: Size = Size {
    images: 13_028,
    tags: 21_000,
    each: 48,
};

#[test]
fn a_board_at_rest_is_small_and_a_thousand_requests_of_all_kinds_add_little() {
    const MIB: u64 = 1 << 20;
    let (folder, path) = board("cost", SEED);
    set_password(folder.root(), PASSWORD);
    let file: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT filepath FROM images WHERE id = 3", [], |row| {
            row.get(0)
        })
        .unwrap();
    let file = folder.path("static/images").join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(
        &file,
        [&b"\x89PNG\r\n\x1a\n"[..], &vec![7; 3 << 20]].concat(),
    )
    .unwrap();
    let server = Server::start(folder.root(), &[]);
    let cookie = server.log_in(PASSWORD);
    let token = format!("{cookie}X-CSRF-Token: {}\r\n", server.token(&cookie));
    let get = |path: &str| server.send("GET", path, &cookie, b"");
    let mut random = Random(1);
    let mut request = |number: usize| {
        let tag = |random: &mut Random| escaped(&tag_name(random.below(100)));
        let (a, b) = (tag(&mut random), tag(&mut random));
        let id = 3 + 2 * random.below(6000);
        let response = match number % 20 {
            0 => get("/api/images?per_page=500"),
            1 => get("/api/images?per_page=500&tags=1"),
            2 => get(&format!("/api/images?query={a}%20{b}&page=2")),
            3 => get(&format!(
                "/api/images?query=-{a}%20order:width&per_page=500"
            )),
            4 => get("/api/images?query=*a*%20order:random"),
            5 => get("/api/images?query=filename:1*p"),
            6 => get("/api/autocomplete?q=lo"),
            7 => get("/api/autocomplete?q=hair"),
            8 => get(&format!("/api/image/{id}")),
            9 => get("/api/tags/fetch?limit=1000&hide_orphaned=false"),
            10 => get("/api/stats"),
            11 => get("/api/memory"),
            12 => get("/images/@3"),
            13 => get("/thumbnails/@3"),
            14 => server.try_log_in(["wrong", PASSWORD][usize::from(number % 40 > 20)], ""),
            15 => {
                let list: Vec<String> = (0..20_000).map(|_| "a".to_owned()).collect();
                let body = json!({ "tag_names": list }).to_string();
                let headers = format!("{JSON}{token}");
                server.send("POST", "/api/tags/delete", &headers, body.as_bytes())
            }
            16 => {
                let body =
                    json!({"ids": [id], "tags": [format!("new_{}", number % 60)]}).to_string();
                let headers = format!("{JSON}{token}");
                server.send(
                    "POST",
                    "/api/images/bulk_add_tags",
                    &headers,
                    body.as_bytes(),
                )
            }
            17 => {
                let body = json!({"query": "id:<100", "tags": ["some"]}).to_string();
                let what = ["add", "remove"][number / 20 % 2];
                let path = format!("/api/images/bulk_{what}_tags");
                server.send("POST", &path, &format!("{JSON}{token}"), body.as_bytes())
            }
            18 => get("/nothing"),
            _ => get("/api/images?query=("),
        };
        assert!(
            (200..500).contains(&response.status),
            "{number}: {}",
            response.text()
        );
    };
    let at_rest = server.memory("VmRSS:");
    // What is touched once stays: code, statements, page caches, which are bounded.
    (0..100).for_each(&mut request);
    let warm = server.memory("VmRSS:");
    let mut most = (0, 0);
    for number in 100..1100 {
        fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
        let before = server.memory("VmRSS:");
        request(number);
        let added = server.memory("VmHWM:").saturating_sub(before);
        most = most.max((added, number % 20));
    }
    let after = server.memory("VmRSS:");
    println!(
        "at rest {at_rest}, after 100 requests {warm}, after 1,000 more {after}; the largest added {} (kind {})",
        most.0, most.1
    );
    assert!(at_rest <= 24 * MIB, "{at_rest}");
    assert!(most.0 <= 4 * MIB, "{most:?}");
    assert!(after <= 40 * MIB, "{after}");
    // Of the page caches, which are 6 MiB, most is filled later; code is touched later too.
    assert!(after <= warm + 8 * MIB, "{warm} to {after}");
}
