//! A program of the project under the tool: what `mirror` says of its memory is shown from outside, by
//! name.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use plimsoll_end_to_end::{Plimsoll, Scratch, until};
use plimsoll_subjects::{build, profile_folder};
use serde_json::Value;

/// Ended with the test, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program of another package of the workspace; cargo builds it where it is missing or stale.
fn program(package: &str, name: &str) -> Command {
    static BUILT: Once = Once::new();
    let folder = profile_folder();
    BUILT.call_once(|| {
        for package in ["plimsoll-mirror", "plimsoll-s3-simulator"] {
            build(package, &folder).unwrap_or_else(|error| panic!("build {package}: {error}"));
        }
    });
    let path = folder.join(name);
    assert!(path.is_file(), "{package} has no {}", path.display());
    Command::new(path)
}

fn names(all: &Value) -> Vec<&str> {
    let all = all.as_array().unwrap();
    all.iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_live_mirror_shows_its_budget_and_tags_by_name() {
    let scratch = Scratch::new("mirror");
    let mut servers = Ended(
        program("plimsoll-s3-simulator", "s3-simulator")
            .args(["--count", "400", "--bytes", "1000", "1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let said = servers.0.stdout.take().unwrap();
    BufReader::new(said).read_line(&mut line).unwrap();
    let ports: Value = serde_json::from_str(&line).unwrap();
    // So slow that it lives as long as it is looked at.
    let mirror = Ended(
        program("plimsoll-mirror", "mirror")
            .args(["run", "--s3-bucket=bucket", "--s3-access-key=key"])
            .args(["--s3-secret-key=secret", "--ftp-username=user"])
            .args(["--ftp-host=127.0.0.1", "--bwlimit=22k"])
            .arg(format!("--s3-endpoint=http://127.0.0.1:{}", ports["s3"]))
            .arg(format!("--ftp-port={}", ports["ftp"]))
            .args(["--state", &scratch.file("state")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let pid = mirror.0.id().to_string();
    let mut json = Value::Null;
    until("the upload is told", || {
        json = Plimsoll::new(["inspect", &pid, "--format", "json"])
            .call()
            .json();
        let stages = json["published"][0]["stages"].as_array();
        stages.is_some_and(|stages| stages.iter().any(|stage| stage["path"] == "upload"))
    });
    let published = &json["published"][0];
    let budget = &published["budgets"][0];
    assert_eq!(budget["name"], "memory-budget");
    assert_eq!(budget["limit_bytes"], 32 << 20);
    let holders = names(&budget["consumers"]);
    for name in ["process", "state", "listing", "transfer"] {
        assert!(holders.contains(&name), "no {name} in {holders:?}");
    }
    let tags = names(&published["tags"]);
    for name in ["listing", "state", "transfer", "tls"] {
        assert!(tags.contains(&name), "no {name} in {tags:?}");
    }
    // What it holds is no more than it says that it may.
    let resident = json["totals"]["resident_bytes"].as_u64().unwrap();
    assert!(resident < 32 << 20, "{resident}");
    let text = Plimsoll::new(["inspect", &pid]).call().ok();
    for word in ["memory-budget", "transfer", "upload"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
}
