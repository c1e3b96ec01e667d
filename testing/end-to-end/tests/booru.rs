//! An image board under the tool: fifteen thousand requests of all kinds do not make it grow, and what it says
//! of its memory is shown from outside.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use plimsoll_end_to_end::{Plimsoll, Scratch, experiment, program, skip, text};
use plimsoll_subjects::{build, profile_folder};
use serde_json::Value;

const IMAGES: u32 = 120;

/// Requests of one unit of work, and how often it is done: 15,000 in all, and as many that fill page caches
/// first as there are different ones.
const REQUESTS: u32 = 50;
const UNITS: u32 = 300;
const UNITS_OF_WARMING: u32 = 40;

/// Ended with the test, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn booru() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(|| {
        let folder = profile_folder();
        build("plimsoll-booru", &folder).unwrap_or_else(|error| panic!("build booru: {error}"));
        folder.join("booru")
    });
    let mut command = Command::new(path);
    // None of the settings of whoever runs the tests.
    command.env_clear();
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A picture without compression, of stripes that differ from those of all others.
fn bitmap(number: u32) -> Vec<u8> {
    const SIDE: u32 = 64;
    let pixels = SIDE * SIDE * 3;
    let mut file = b"BM".to_vec();
    for word in [54 + pixels, 0, 54, 40, SIDE, SIDE] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    for word in [0, pixels, 2835, 2835, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    let shade = |at: u32| (at / (number % 29 + 3) * 37 + number * 11) as u8;
    file.extend((0..pixels).map(shade));
    file
}

/// A board with images that have tags.
fn board(scratch: &Scratch) -> String {
    let (board, incoming) = (scratch.file("board"), scratch.file("incoming"));
    fs::create_dir(&incoming).unwrap();
    for number in 0..IMAGES {
        let path = format!("{incoming}/image-{number:03}.bmp");
        fs::write(&path, bitmap(number)).unwrap();
        let tags = format!("soak group_{} number_{number}\n", number % 7);
        fs::write(format!("{path}.txt"), tags).unwrap();
    }
    succeeds(booru().args(["create", &board]));
    succeeds(booru().args(["import", &board, &incoming]));
    board
}

fn serve(board: &str) -> (Ended, String) {
    let mut command = booru();
    command.args(["serve", board, "--port", "0"]);
    let mut server = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let said = server.0.stdout.take().unwrap();
    BufReader::new(said).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("http://");
    (server, address.trim_end_matches('/').to_owned())
}

/// Requests of all kinds that read, over one connection; each has to be answered.
const CLIENT: &str = r#"
import http.client, sys
address, unit, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connection = http.client.HTTPConnection(address, timeout=60)
for number in range(unit * requests, (unit + 1) * requests):
    image = number % 120 + 1
    path = [
        "/", f"/?query=group_{number % 7}", f"/api/images?query=soak+-number_{number % 120}&page=1",
        f"/api/images?query=group_*+order:id&page={number % 3 + 1}&per_page=10", f"/api/autocomplete?q=nu{number % 2}",
        f"/view/{image}", f"/api/image/{image}", "/tags", "/api/stats", "/api/images?query=%22stripes%22",
    ][number % 10]
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {body[:200]}")
"#;

#[test]
fn fifteen_thousand_requests_do_not_make_it_grow() {
    let Some(python) = program(&["python3"]) else {
        skip("fifteen thousand requests", "python3 is not installed");
        return;
    };
    let scratch = Scratch::new("booru");
    let board = board(&scratch);
    let (server, address) = serve(&board);
    fs::write(scratch.file("client.py"), CLIENT).unwrap();
    let each = format!(
        "{} {} {address} {{i}} {REQUESTS}",
        python.display(),
        scratch.file("client.py")
    );
    for unit in 0..UNITS_OF_WARMING {
        let line = each.replace("{i}", &unit.to_string());
        succeeds(Command::new("sh").args(["-c", &line]));
    }
    let pid = server.0.id().to_string();
    let units = UNITS.to_string();
    let flags = ["-p", &pid, "--each", &each, "--settle", "1ms"];
    // A unit is 50 requests: less than 10 bytes each can't be told from a page now and then.
    let more = ["--iterations", &units, "--ignore-below", "500"];
    let call = experiment("leak", &[&flags[..], &more].concat(), &[""; 0]);
    let call = call.in_folder(scratch.path()).call();
    // That caches still fill may be told of so short a time, but not that it grows.
    assert!(matches!(call.code, Some(0 | 3)), "{}", call.stderr);
    let json: Value = serde_json::from_str(&call.stdout).unwrap();
    assert_ne!(text(&json, "/own/class"), "growing", "{}", json["verdict"]);
    let own: Vec<u64> = json["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["own_bytes"].as_u64().unwrap())
        .collect();
    assert!(own.len() > UNITS as usize / 2, "{}", own.len());
    // The second half of 15,000 requests: less than 70 bytes each, and less than one of them takes while it is done.
    let (middle, end) = (own[own.len() / 2], own[own.len() - 1]);
    assert!(end < middle + (512 << 10), "{middle} to {end}");
}

#[test]
fn a_live_board_shows_its_parts_by_name() {
    let scratch = Scratch::new("booru-inspect");
    let board = board(&scratch);
    let (server, _) = serve(&board);
    let pid = server.0.id().to_string();
    let json = Plimsoll::new(["inspect", &pid, "--format", "json"])
        .call()
        .json();
    let tags = json["published"][0]["tags"].as_array().unwrap();
    let names: Vec<&str> = tags
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for name in ["catalog: tags", "catalog: images"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
