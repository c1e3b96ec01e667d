//! Several mirrors of one bucket, each of a range of its keys, between a real S3 and a real FTP server.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Result;
use folder::Folder;
use plimsoll_mirror::record::{Etag, Meta};
use plimsoll_mirror::scan::{Listing, scan};
use plimsoll_mirror::state::{Lock, Pair, State};

use servers::{Servers, files};

fn mirror(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
    command.args(arguments).output().unwrap()
}

fn text(output: &Output, code: i32) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(output.status.code(), Some(code), "{all}");
    all
}

/// The same command on another state.
fn with_state(command: &Command, state: &Path) -> Command {
    let mut other = Command::new(command.get_program());
    let kept = command
        .get_args()
        .filter(|argument| !argument.to_str().unwrap().starts_with("--state="));
    other.args(kept).arg(format!("--state={}", state.display()));
    for (name, value) in command.get_envs() {
        other.env(name, value.unwrap());
    }
    other
}

struct Numbers(u32, Vec<u8>, Meta);

impl Listing for Numbers {
    fn advance(&mut self) -> Result<bool> {
        self.1 = format!("folder/{:06}", self.0).into_bytes();
        self.2.etag = Etag::Md5((u128::from(self.0) << 64 | 0x9e37_79b9).to_be_bytes());
        self.0 += 1;
        Ok(self.0 <= 9000)
    }

    fn key(&self) -> &[u8] {
        &self.1
    }

    fn meta(&self) -> &Meta {
        &self.2
    }
}

#[test]
fn a_state_is_cut_into_even_parts_and_joined_again() {
    let folder = Folder::new("split");
    let whole = folder.path("whole");
    let pair = Pair {
        source: "s3://b".to_owned(),
        destination: "ftp://there/".to_owned(),
    };
    let lock = Lock::take(&whole).unwrap();
    let state = State::open(&whole, &pair, &lock).unwrap();
    let mut next = state.next().unwrap();
    let none = Meta {
        size_bytes: 1,
        modified: 1,
        etag: Etag::None,
    };
    let mut list = Numbers(0, Vec::new(), none);
    scan(state.known().unwrap(), &mut list, &mut next).unwrap();
    next.publish(7).unwrap();
    drop((state, lock));

    let whole = whole.to_str().unwrap();
    let ranges = text(&mirror(&["ranges", "3", "--state", whole]), 0);
    assert_eq!(ranges, text(&mirror(&["ranges", "3", "--state", whole]), 0));
    assert_eq!(ranges.lines().count(), 3, "{ranges}");
    let into = folder.path("parts");
    let told = text(
        &mirror(&[
            "split",
            "3",
            "--state",
            whole,
            "--into",
            into.to_str().unwrap(),
        ]),
        0,
    );
    let export = |path: &str| text(&mirror(&["export", "--state", path]), 0);
    let (mut all, mut parts) = (String::new(), Vec::new());
    for (number, range) in (1..).zip(ranges.lines()) {
        assert!(
            told.contains(&format!("/{number}: --range '{range}'")),
            "{told}"
        );
        let part = into.join(number.to_string()).to_str().unwrap().to_owned();
        let lines = export(&part);
        // To within a frame, of some 500 such keys.
        let count = lines.lines().count();
        assert!((2400..3600).contains(&count), "{count} in {range}");
        let status = text(&mirror(&["status", "--state", &part]), 2);
        assert!(status.contains(&format!("range: {range}")), "{status}");
        text(&mirror(&["compact", "--state", &part]), 0);
        all += &lines;
        parts.push(part);
    }
    assert_eq!(all, export(whole));
    let joined = folder.path("joined");
    let joined = joined.to_str().unwrap();
    let (one, two, three) = (&*parts[0], &*parts[1], &*parts[2]);
    let gap = text(&mirror(&["join", one, three, "--into", joined]), 1);
    assert!(gap.contains("does not begin where the first ends"), "{gap}");
    text(&mirror(&["join", three, one, two, "--into", joined]), 0);
    assert_eq!(export(joined), all);
    text(&mirror(&["check", "--state", joined]), 0);
}

#[test]
fn two_mirrors_of_two_halves_are_one_bucket() {
    let Some(mut servers) = Servers::start("range") else {
        return;
    };
    let names = ["a/1", "a/2", "l", "m", "m.", "m..x", "n/1", "z"];
    for name in names {
        servers.put(name, name);
    }
    let (low, high) = (servers.folder.path("low"), servers.folder.path("high"));
    let both = |servers: &Servers| {
        let start = |state: &Path, range: &str| {
            let mut command = with_state(&servers.command("run"), state);
            command
                .arg(format!("--range={range}"))
                .stdout(Stdio::piped());
            command.spawn().unwrap()
        };
        let one = start(&low, "..m");
        let two = start(&high, "m..");
        [one, two].map(|child| text(&child.wait_with_output().unwrap(), 0))
    };
    let [one, two] = both(&servers);
    assert!(one.contains("total=3, new=3"), "{one}");
    assert!(two.contains("total=5, new=5"), "{two}");
    let all: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    assert_eq!(servers.files(), files(&all));

    // A change and a deletion in each half.
    servers.put("a/1", "changed");
    servers.put("z", "changed");
    servers.delete("l");
    servers.delete("m");
    for text in both(&servers) {
        assert!(text.contains("synced=1, failed=0"), "{text}");
        assert!(text.contains("deleted=1, failed=0"), "{text}");
    }
    let expected = files(&[
        ("a/1", "changed"),
        ("a/2", "a/2"),
        ("m.", "m."),
        ("m..x", "m..x"),
        ("n/1", "n/1"),
        ("z", "changed"),
    ]);
    assert_eq!(servers.files(), expected);

    // A state of another range is refused, and deletes nothing.
    for range in ["..n", "..", "a..m"] {
        let mut command = with_state(&servers.command("run"), &low);
        let output = command.arg(format!("--range={range}")).output();
        let text = text(&output.unwrap(), 1);
        assert!(text.contains("is of the keys ..m, not of "), "{text}");
    }

    // Joined, they go on as one; split again, as two.
    let (low, high) = (low.to_str().unwrap(), high.to_str().unwrap());
    let joined = servers.folder.path("state");
    let joined = joined.to_str().unwrap();
    let told = text(&mirror(&["join", high, low, "--into", joined]), 0);
    assert!(told.contains("--range '..', 6 keys"), "{told}");
    servers.run(&[]).expect(0, &["TEMP_DELETED→SYNCED=6"]);
    let told = text(&mirror(&["join", low, low, "--into", "/nonexistent"]), 1);
    assert!(told.contains("process"), "{told}");
    let into = servers.folder.path("parts");
    let into = into.to_str().unwrap();
    let told = text(
        &mirror(&["split", "2", "--state", joined, "--into", into]),
        0,
    );
    // Six keys are one frame, which is not cut.
    assert!(told.contains("/1: --range '..', 6 keys"), "{told}");
    let told = text(
        &mirror(&["split", "2", "--state", joined, "--into", into]),
        1,
    );
    assert!(told.contains("has a state already"), "{told}");
    assert_eq!(servers.files(), expected);
}
