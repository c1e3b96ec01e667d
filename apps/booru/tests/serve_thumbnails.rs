//! Small pictures that are asked for and not there: made by a process beside the server, which holds little itself
//! and whose end costs nothing but a start.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use collection::{Era, Folder, SMALL, make};
use image::RgbImage;
use plimsoll::ErrorKind;
use plimsoll::worker::Worker;
use rusqlite::Connection;
use serde_json::{Value, json};
use server::Server;

const MIB: u64 = 1 << 20;
/// Of the picture that is made smaller: 36 MB of pixels.
const SIDES: (u32, u32) = (4000, 3000);
/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A board whose first images, so many, are photographs of 12 megapixels; their paths.
fn board(name: &str, count: usize) -> (Folder, Vec<String>) {
    let folder = Folder::new(name);
    let database = make(&folder, Era::Now, SMALL, 60);
    let sql = "SELECT filepath FROM images ORDER BY id LIMIT ?";
    let connection = Connection::open(&database).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let paths = statement.query_map([count], |row| row.get(0)).unwrap();
    let paths: Vec<String> = paths.map(Result::unwrap).collect();
    let source = folder.path("photograph.png");
    photograph(&source);
    for path in &paths {
        let to = folder.path("static/images").join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&source, to).unwrap();
    }
    (folder, paths)
}

fn photograph(path: &Path) {
    let image = RgbImage::from_fn(SIDES.0, SIDES.1, |x, y| {
        image::Rgb([(x / 16) as u8, (y / 12) as u8, (x + y) as u8])
    });
    image
        .save_with_format(path, image::ImageFormat::Png)
        .unwrap();
}

/// Where the small picture of a path is asked for.
fn address(path: &str) -> String {
    let stem = path.rsplit_once('.').unwrap().0;
    format!(
        "/thumbnails/{}.webp",
        server::escaped(stem).replace("%2F", "/")
    )
}

/// The process that makes small pictures for a server, if there is one.
fn thumbnailer(server: &Server) -> Option<PathBuf> {
    let parent = format!("PPid:\t{}\n", server.pid());
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(|process| {
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        // Not one that has ended and is not reaped yet.
        status.contains(&parent) && !status.contains("State:\tZ")
    });
    found.map(|process| process.path())
}

fn figure(process: &Path, name: &str) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_server_itself_holds_little_and_the_other_process_goes() {
    let (folder, paths) = board("beside", 4);
    let server = Server::start(folder.root(), &[]);
    assert_eq!(server.get("/api/images").status, 200);
    assert!(thumbnailer(&server).is_none(), "started for nothing");
    // What is touched once stays: code, and what a thread is started with.
    assert_eq!(server.get(&address(&paths[0])).status, 200);
    for path in &paths[1..] {
        fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
        let before = server.memory("VmRSS:");
        let small = server.get(&address(path));
        assert_eq!(
            (small.status, small.header("content-type")),
            (200, Some("image/webp"))
        );
        let added = server.memory("VmHWM:").saturating_sub(before);
        println!("{path}: the server {} KiB more", added >> 10);
        assert!(added <= 4 * MIB, "{path}: {added}");
    }
    let process = thumbnailer(&server).unwrap();
    let name = fs::read_to_string(process.join("comm")).unwrap();
    assert_eq!(name, "thumbnailer\n");
    let pixels = u64::from(SIDES.0) * u64::from(SIDES.1) * 3;
    let peak = figure(&process, "VmHWM:");
    println!("the thumbnailer at most {} MiB", peak / MIB);
    let held = server.json("/api/memory");
    let held = held["budget"]["holders"].as_array().unwrap().clone();
    let held = held.iter().find(|one| one["name"] == "thumbnails").unwrap();
    let reserved = held["held_peak_bytes"].as_u64().unwrap();
    assert!(pixels < peak && peak <= reserved, "{peak} of {reserved}");
    assert_eq!(held["held_bytes"], 0);
    until("idle, it does not end", || thumbnailer(&server).is_none());
    // Those that are there need none.
    assert_eq!(server.get(&address(&paths[0])).status, 200);
    assert!(thumbnailer(&server).is_none());
}

#[test]
fn a_killed_one_is_started_again_and_none_outlives_its_server() {
    let (folder, paths) = board("kills", 3);
    let server = Server::start(folder.root(), &[]);
    let kill = |process: &Path, signal| {
        let pid = process.file_name().unwrap().to_str().unwrap();
        // SAFETY: a signal to a child of a child of this test.
        unsafe { libc::kill(pid.parse().unwrap(), signal) };
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.get(&address(&paths[0])).status);
        until("none is started", || thumbnailer(&server).is_some());
        // Also while it works; the request goes to the next one.
        kill(&thumbnailer(&server).unwrap(), libc::SIGKILL);
        assert_eq!(asked.join().unwrap(), 200);
    });
    assert_eq!(server.get(&address(&paths[1])).status, 200);
    let process = thumbnailer(&server).unwrap();
    // What a terminal sends to all does not end it.
    kill(&process, libc::SIGINT);
    assert_eq!(server.get(&address(&paths[2])).status, 200);
    assert_eq!(thumbnailer(&server), Some(process.clone()));
    server.signal(libc::SIGKILL);
    until("it outlives its server", || {
        let status = fs::read_to_string(process.join("status"));
        status.is_err() || status.unwrap().contains("State:\tZ")
    });
}

/// Whatever the head of a picture said: past what was reserved there is an end, of that process.
#[test]
fn a_picture_that_takes_more_than_it_said_is_given_up() {
    let folder = Folder::new("more");
    fs::create_dir_all(folder.path("images")).unwrap();
    photograph(&folder.path("images/a.png"));
    let flag = |name: &str, value: &str| format!("--{name}={value}");
    let at = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let worker = Worker::builder(env!("CARGO_BIN_EXE_booru"))
        .args(["thumbnailer".to_owned(), flag("images", &at("images"))])
        .args([flag("thumbnails", &at("small")), flag("quality", "85")])
        .args([flag("side-max", "800"), flag("memory-max", "268435456")])
        .call_timeout(PATIENCE);
    let worker = worker.build().unwrap();
    let file = fs::metadata(folder.path("images/a.png")).unwrap();
    let ask = |step: Value| {
        use std::os::unix::fs::MetadataExt;
        let version = json!({"device": file.dev(), "inode": file.ino(), "bytes": file.len(),
            "changed": [file.ctime(), file.ctime_nsec()]});
        let request = json!({"stored": "a.png", "file": version, "step": step});
        let reply = worker.call(request.to_string().as_bytes());
        reply.map(|reply| serde_json::from_slice::<Value>(&reply).unwrap())
    };
    let takes = ask(json!("Measure")).unwrap()["Takes"]["memory_bytes"].clone();
    assert!(takes.as_u64().unwrap() > 36_000_000, "{takes}");
    let error = ask(json!({"Make": {"memory_bytes": 1_000_000}})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    assert!(!folder.path("small/a.webp").exists());
    let made = ask(json!({"Make": {"memory_bytes": takes}})).unwrap();
    assert_eq!(made, "Made");
    assert!(folder.path("small/a.webp").exists());
}
