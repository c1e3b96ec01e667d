//! Files that `booru serve` sends and takes: only those of images, from their folders alone, whole or not
//! at all.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use collection::{Folder, Random};
use plimsoll_booru::store::Store;
use rusqlite::Connection;
use server::{PASSWORD, Response, Server, escaped, set_password};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n0123456789abcdef";

/// A board with files; `secret` lies beside its folder of images.
fn board(name: &str) -> Folder {
    let folder = Folder::new(name);
    let path = folder.path("data/booru.db");
    Store::create(&path).unwrap();
    let images = folder.path("static/images");
    fs::create_dir_all(images.join("0ab")).unwrap();
    fs::create_dir_all(folder.path("static/thumbnails/0ab")).unwrap();
    fs::create_dir_all(folder.path("static/upscaled/images/0ab")).unwrap();
    fs::write(folder.path("secret.png"), "secret").unwrap();
    fs::write(images.join("0ab/unknown.png"), PNG).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut random = Random(1);
    let large: Vec<u8> = (0..300_000).map(|_| random.next() as u8).collect();
    let webm = [&b"\x1a\x45\xdf\xa3"[..], &large].concat();
    for (number, (path, bytes)) in [
        ("0ab/x.png", PNG),
        ("0ab/a b #?%41ü.JPG", b"\xff\xd8\xff\xe0............"),
        ("0ab/large.webm", &webm),
        ("0ab/script.png", b"<script>alert(1)</script>"),
        ("0ab/x.zip", b"PK\x03\x04............."),
        ("0ab/empty.gif", b""),
        ("../secret.png", b""),
        ("/etc/passwd", b""),
        ("0ab/out.png", b""),
        ("0ab/gone.png", b""),
        ("0ab", b""),
    ]
    .into_iter()
    .enumerate()
    {
        let sql = "INSERT INTO images (filepath, md5) VALUES (?1, ?2)";
        let md5 = format!("{number:032x}");
        connection.execute(sql, [path, md5.as_str()]).unwrap();
        if !bytes.is_empty() || path.ends_with(".gif") {
            fs::write(images.join(path), bytes).unwrap();
        }
    }
    symlink("../../../secret.png", images.join("0ab/out.png")).unwrap();
    fs::write(
        folder.path("static/thumbnails/0ab/x.webp"),
        b"RIFF\x08\0\0\0WEBPVP8 ",
    )
    .unwrap();
    fs::write(folder.path("static/upscaled/images/0ab/x.png"), PNG).unwrap();
    folder
}

#[test]
fn files_are_sent_as_what_they_are() {
    let folder = board("files");
    let server = Server::start(folder.root(), &[]);
    let images = folder.path("static/images");
    for (path, stored, kind, how) in [
        ("/images/0ab/x.png", "0ab/x.png", "image/png", "inline"),
        ("/images/@1", "0ab/x.png", "image/png", "inline"),
        (
            "/images/0ab/a%20b%20%23%3F%2541%C3%BC.JPG",
            "0ab/a b #?%41ü.JPG",
            "image/jpeg",
            "inline",
        ),
        (
            "/images/0ab/large.webm",
            "0ab/large.webm",
            "video/webm",
            "inline",
        ),
        (
            "/images/0ab/script.png",
            "0ab/script.png",
            "application/octet-stream",
            "attachment",
        ),
        (
            "/images/0ab/x.zip",
            "0ab/x.zip",
            "application/octet-stream",
            "attachment",
        ),
        (
            "/images/0ab/empty.gif",
            "0ab/empty.gif",
            "application/octet-stream",
            "attachment",
        ),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}");
        let bytes = fs::read(images.join(stored)).unwrap();
        assert_eq!(response.body, bytes, "{path}");
        assert_eq!(response.header("content-type"), Some(kind), "{path}");
        let disposition = response.header("content-disposition").unwrap();
        assert!(disposition.starts_with(how), "{path}: {disposition}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("sandbox"), "{policy}");
        let head = server.send("HEAD", path, "", b"");
        let length = bytes.len().to_string();
        assert_eq!(
            head.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
        assert!(head.body.is_empty());
    }
    for path in ["/thumbnails/0ab/x.webp", "/thumbnails/@1"] {
        let response = server.get(path);
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("image/webp"))
        );
    }
    for path in ["/upscaled/0ab/x.png", "/upscaled/@1"] {
        assert_eq!(server.get(path).body, PNG);
    }
}

#[test]
fn no_other_file_is_sent_whatever_the_path_says() {
    let folder = board("paths");
    let server = Server::start(folder.root(), &[]);
    for path in [
        "/images/../secret.png",
        "/images/%2e%2e/secret.png",
        "/images/%2e%2e%2fsecret.png",
        "/images/..%2fsecret.png",
        "/images/0ab/..%2f..%2f..%2fsecret.png",
        "/images/..%5csecret.png",
        "/images/%252e%252e/secret.png",
        "/images/@7",
        "/images//etc/passwd",
        "/images/%2fetc%2fpasswd",
        "/images/@8",
        "/images/0ab/out.png",
        "/images/@9",
        "/images/0ab/gone.png",
        "/images/0ab",
        "/images/@11",
        "/images/0ab/unknown.png",
        "/images/0ab/x.png%00",
        "/images/0ab/x.png%00.jpg",
        "/images/0ab//x.png",
        "/images/./0ab/x.png",
        "/images/0AB/x.png",
        "/images/0ab/x.png/",
        "/images/@0",
        "/images/@99",
        "/images/@1x",
        "/images/",
        "/images",
        "/thumbnails/0ab/nothing.webp",
        "/thumbnails/0ab/large.webp",
        "/thumbnails/0ab/x.png",
        "/thumbnails/%2e%2e/secret.webp",
        "/upscaled/0ab/large.webm",
        "/upscaled/%2e%2e/secret.png",
        "/data/booru.db",
        "/static/images/0ab/x.png",
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.text().contains("secret"), "{path}");
    }
    let response = server.get("/images/%ff");
    assert_eq!(response.status, 400);
}

#[test]
fn parts_are_sent_and_what_is_known_is_not() {
    let folder = board("parts");
    let server = Server::start(folder.root(), &[]);
    let path = "/images/0ab/large.webm";
    let whole = fs::read(folder.path("static/images/0ab/large.webm")).unwrap();
    let get = |headers: &str| server.send("GET", path, headers, b"");
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199999", 100, 199_999),
        ("bytes=300000-", 300_000, 300_003),
        ("bytes=-70000", 230_004, 300_003),
    ] {
        let response = get(&format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        let said = format!("bytes {from}-{to}/300004");
        assert_eq!(response.header("content-range"), Some(said.as_str()));
        assert_eq!(response.body, whole[from..=to], "{range}");
    }
    let beyond = get("Range: bytes=300004-\r\n");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */300004"))
    );
    assert_eq!(get("Range: bytes=0-1,5-6\r\n").body, whole);
    let first = get("");
    let tag = first.header("etag").unwrap();
    let date = first.header("last-modified").unwrap();
    let known = get(&format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (known.status, known.body.len(), known.header("etag")),
        (304, 0, Some(tag))
    );
    assert_eq!(get(&format!("If-Modified-Since: {date}\r\n")).status, 304);
    let part = "Range: bytes=0-9\r\n";
    assert_eq!(get(&format!("{part}If-Range: {tag}\r\n")).status, 206);
    assert_eq!(get(&format!("{part}If-Range: \"other\"\r\n")).status, 200);
    fs::write(folder.path("static/images/0ab/large.webm"), PNG).unwrap();
    let changed = get(&format!("If-None-Match: {tag}\r\n"));
    assert_eq!((changed.status, changed.body.as_slice()), (200, PNG));
}

const BOUNDARY: &str = "Content-Type: multipart/form-data; boundary=BORDER\r\n";

fn part(name: &str, file: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--BORDER\r\nContent-Disposition: form-data; name=\"{name}\"{}\r\n\r\n",
        match file {
            "" => String::new(),
            file => format!("; filename=\"{file}\""),
        }
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), b"--BORDER--\r\n".to_vec()].concat()
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}

#[test]
fn uploads_are_put_into_the_folder_for_new_images() {
    let folder = board("upload");
    let server = Server::start(folder.root(), &[]);
    let ingest = folder.path("ingest");
    let token = server.token("");
    let send = |headers: &str, body: &[u8]| -> Response {
        let headers = format!("{BOUNDARY}{headers}");
        server.send("POST", "/api/upload", &headers, body)
    };
    let own = format!("X-CSRF-Token: {token}\r\n");
    let two = form(&[
        part("files", "../../x.png", PNG),
        part("note", "", b"not a file"),
        part("files", "page.html", b"<script>alert(1)</script>"),
        part("files", "wrong.png", b"<script>alert(1)</script>"),
        part("files", "short.png", b"\x89PNG"),
        part("files", "x.png", &[PNG, &[7; 200_000]].concat()),
    ]);
    let response = send(&own, &two);
    assert_eq!(response.status, 200, "{}", response.text());
    let told = response.json();
    assert_eq!(told["files"][0]["stored_as"], "x.png");
    assert_eq!(told["files"][1]["stored_as"], "x (2).png");
    assert_eq!(told["files"][1]["bytes"], PNG.len() + 200_000);
    let refused = told["refused"].as_array().unwrap();
    let names: Vec<_> = refused
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["page.html", "wrong.png", "short.png"]);
    assert_eq!(files_in(&ingest), ["x (2).png", "x.png"]);
    assert_eq!(fs::read(ingest.join("x.png")).unwrap(), PNG);
    assert_eq!(
        fs::metadata(ingest.join("x (2).png")).unwrap().len(),
        told["files"][1]["bytes"]
    );

    let by_field = [
        part("csrf_token", "", token.as_bytes()),
        part("file", "y.png", PNG),
    ];
    assert_eq!(send("", &form(&by_field)).status, 200);
    let wrong = [part("csrf_token", "", b"0"), part("file", "z.png", PNG)];
    for (headers, body, status) in [
        ("", form(&[part("file", "z.png", PNG)]), 403),
        ("", form(&wrong), 403),
        ("", form(&[part("csrf_token", "", &[b'0'; 4000])]), 400),
        (
            &format!("{own}Origin: http://evil.example\r\n"),
            form(&[part("file", "z.png", PNG)]),
            403,
        ),
        (&own, form(&[part("file", "z.svg", b"<svg/>")]), 400),
        (&own, form(&[]), 400),
        (&own, b"no form".to_vec(), 400),
        (&own, part("file", "z.png", PNG), 400),
    ] {
        let response = send(headers, &body);
        assert_eq!(response.status, status, "{}", response.text());
    }
    let no_form = server.send(
        "POST",
        "/api/upload",
        &format!("{own}Content-Type: text/plain\r\n"),
        PNG,
    );
    assert_eq!(no_form.status, 400);
    assert_eq!(files_in(&ingest), ["x (2).png", "x.png", "y.png"]);
}

#[test]
fn an_upload_that_is_cut_off_leaves_nothing_and_one_without_end_takes_no_memory() {
    let folder = board("cut");
    let server = Server::start(folder.root(), &[]);
    let ingest = folder.path("ingest");
    let token = server.token("");
    let begin = |length: usize| {
        let mut stream = server.connect();
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nHost: {}\r\n{BOUNDARY}X-CSRF-Token: {token}\r\n\
             Content-Length: {length}\r\n\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut cut = begin(1 << 20);
    cut.write_all(&part("file", "x.png", &[PNG, &[7; 100_000]].concat())[..80_000])
        .unwrap();
    let begun = Instant::now();
    while files_in(&ingest).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing is written"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(cut);
    while !files_in(&ingest).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{:?}",
            files_in(&ingest)
        );
        std::thread::sleep(Duration::from_millis(10));
    }

    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    let before = server.memory("VmRSS:");
    let mut endless = begin(200 << 20);
    endless
        .write_all(b"--BORDER\r\nContent-Disposition: form-data; name=\"")
        .unwrap();
    // The server ends it: writing fails, or the answer is there.
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        if endless.write_all(&piece).is_err() {
            break;
        }
    }
    let response = Response::read(&mut endless, false);
    assert!(matches!(response.status, 0 | 400), "{}", response.text());
    let mut long = begin(100 << 20);
    long.write_all(
        b"--BORDER\r\nContent-Disposition: form-data; name=\"f\"; filename=\"l.png\"\r\n\r\n",
    )
    .unwrap();
    long.write_all(PNG).unwrap();
    let end = b"\r\n--BORDER--\r\n";
    let head = "--BORDER\r\nContent-Disposition: form-data; name=\"f\"; filename=\"l.png\"\r\n\r\n";
    let mut left = (100 << 20) - head.len() - PNG.len() - end.len();
    while left > 0 {
        let len = left.min(piece.len());
        long.write_all(&piece[..len]).unwrap();
        left -= len;
    }
    long.write_all(end).unwrap();
    let response = Response::read(&mut long, false);
    assert_eq!(response.status, 200, "{}", response.text());
    let stored = ingest.join(response.json()["files"][0]["stored_as"].as_str().unwrap());
    let len = fs::metadata(stored).unwrap().len();
    assert_eq!(len, (100 << 20) - (head.len() + end.len()) as u64);
    let peak = server.memory("VmHWM:");
    println!(
        "an upload of 100 MiB adds {} bytes at its peak",
        peak - before
    );
    assert!(peak - before <= 4 << 20, "{before} to {peak}");
}

#[test]
fn files_of_a_board_with_a_password_are_for_who_is_logged_in() {
    let folder = board("private");
    set_password(folder.root(), PASSWORD);
    let server = Server::start(folder.root(), &[]);
    assert_eq!(server.get("/images/0ab/x.png").status, 401);
    let cookie = server.log_in(PASSWORD);
    let response = server.send("GET", "/images/0ab/x.png", &cookie, b"");
    assert_eq!(response.body, PNG);
    assert!(
        response
            .header("cache-control")
            .unwrap()
            .contains("private")
    );
    let escaped = escaped("0ab/a b #?%41ü.JPG");
    assert_eq!(
        server
            .send("GET", &format!("/images/{escaped}"), &cookie, b"")
            .status,
        200
    );
}
