//! Killed at any instant, and run again: both sides are equal at last, and at no time is anything half or
//! wrongly deleted.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use servers::Servers;

const KILLS: u64 = 220;
const SEED: u64 = 0x5eed_2026;
const KEYS: u64 = 24;

/// xorshift64*, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    Scan,
    Publish,
    Upload,
    Delete,
    Compact,
    Ended,
}

/// What each version of a key is.
fn text(key: u64, version: u64) -> String {
    format!("{key}-{version}-").repeat(2000)
}

fn name(key: u64) -> String {
    format!("dir{}/{key:02}", key % 3)
}

#[test]
fn kills_lose_and_leave_nothing() {
    let Some(mut servers) = Servers::start("kill") else {
        return;
    };
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let mut source = Source::default();
    for key in 0..6 {
        source.put(&mut servers, key, &text(key, 0));
    }
    let begun = Instant::now();
    servers.run(&[]).expect(0, &["synced=6"]);
    let whole = begun.elapsed();
    let mut hits = BTreeMap::new();
    for round in 1..=KILLS {
        source.change(&mut servers, &mut random, round);
        let before = servers.whole_files();
        let phase = match round % 10 {
            0 => kill_compact(&servers, &mut random),
            other => kill_run(&servers, aim(other), whole, &mut random),
        };
        *hits.entry(phase).or_insert(0) += 1;
        look(&servers, &before, &source.bucket, round, phase);
        if round % 5 == 0 {
            let run = servers.run(&["--max-delete=100"]);
            run.expect(0, &["completed successfully"]);
            assert_eq!(servers.files(), source.bucket, "round {round}");
        }
    }
    println!("killed in: {hits:?}");
    for (phase, least) in [
        (Phase::Scan, 10),
        (Phase::Publish, 10),
        (Phase::Upload, 10),
        (Phase::Delete, 5),
        (Phase::Compact, 5),
    ] {
        let hit = hits.get(&phase).copied().unwrap_or(0);
        assert!(
            hit >= least,
            "{hit} kills hit {phase:?}: too few to say anything"
        );
    }
    servers.state(&["check"]).expect(0, &["the state is whole"]);
}

/// The source, and what was done to it last.
#[derive(Default)]
struct Source {
    bucket: BTreeMap<String, String>,
    /// Keys that the last round put, with what they were before.
    put: Vec<(u64, Option<String>)>,
}

impl Source {
    fn put(&mut self, servers: &mut Servers, key: u64, text: &str) {
        servers.put(&name(key), text);
        let before = self.bucket.insert(name(key), text.to_owned());
        self.put.push((key, before));
    }

    fn delete(&mut self, servers: &mut Servers, key: u64) {
        servers.delete(&name(key));
        self.bucket.remove(&name(key));
    }

    /// Some files are put or changed, and some deleted. Half of the time what the last round put is taken back:
    /// whoever forgets that an upload had begun takes the destination for what it was before.
    fn change(&mut self, servers: &mut Servers, random: &mut Random, round: u64) {
        let last = std::mem::take(&mut self.put);
        if random.below(2) == 0 {
            for (key, before) in last {
                match before {
                    Some(text) => self.put(servers, key, &text),
                    None => self.delete(servers, key),
                }
            }
            self.put.clear();
        }
        for n in 0..4 {
            let key = random.below(KEYS);
            if n == 3 || (n > 0 && random.below(3) == 0) {
                self.delete(servers, key);
            } else {
                self.put(servers, key, &text(key, round));
            }
        }
    }
}

/// Each file is a whole version of itself, and none is gone that the bucket still has.
fn look(
    servers: &Servers,
    before: &BTreeMap<String, String>,
    bucket: &BTreeMap<String, String>,
    round: u64,
    phase: Phase,
) {
    let after = servers.whole_files();
    for (name, found) in &after {
        let mut parts = found.split('-').map(|part| part.parse().unwrap());
        let (key, version) = (parts.next().unwrap(), parts.next().unwrap());
        let expected = text(key, version);
        assert!(
            *found == expected && *name == self::name(key),
            "{name} is half a file after round {round}, killed in {phase:?}"
        );
    }
    for name in before.keys().filter(|name| bucket.contains_key(*name)) {
        assert!(
            after.contains_key(name),
            "{name} was deleted in round {round}, killed in {phase:?}"
        );
    }
}

/// Where a kill is aimed at; where it hit is looked up afterwards.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// So long after this line of the log, in parts of a whole run.
    After(&'static str, u64),
    /// Once the next generation has a file.
    Publish,
    Anywhere,
}

fn aim(round: u64) -> Aim {
    match round {
        1 | 8 => Aim::After("START_SCAN", 8),
        2 | 3 => Aim::Publish,
        4 => Aim::After("AFTER_PUBLISH", 2),
        5 => Aim::After("AFTER_PUBLISH", 4),
        6 | 7 => Aim::After("AFTER_UPLOAD", 20),
        _ => Aim::Anywhere,
    }
}

fn kill_run(servers: &Servers, aim: Aim, whole: Duration, random: &mut Random) -> Phase {
    let state = servers.folder.path("state");
    let generation = generation(&state);
    let mut child = servers
        .command("run")
        .args(["--max-delete=100", "--log-level=debug"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines(&mut child);
    let mut seen = Vec::new();
    let part = |of: u64, random: &mut Random| {
        let most = whole.as_micros() as u64 / of;
        Duration::from_micros(random.below(most.max(1)))
    };
    match aim {
        Aim::Anywhere => thread::sleep(part(1, random)),
        Aim::After(mark, of) => {
            while let Ok(line) = lines.recv() {
                let is_there = line.contains(mark);
                seen.push(line);
                if is_there {
                    break;
                }
            }
            thread::sleep(part(of, random));
        }
        Aim::Publish => {
            let next = &next_files(generation)[random.below(2) as usize];
            let next = state.join(next);
            while !next.exists() && child.try_wait().unwrap().is_none() {
                std::hint::spin_loop();
            }
        }
    }
    let is_ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines.iter());
    if is_ended {
        return Phase::Ended;
    }
    // A file of the next generation has its own name, and the manifest does not name it yet.
    let has_next = next_files(generation)
        .iter()
        .any(|name| state.join(name).exists());
    let is_published = self::generation(&state) > generation;
    let has = |mark: &str| seen.iter().any(|line| line.contains(mark));
    match () {
        () if has("AFTER_UPLOAD") => Phase::Delete,
        () if is_published => Phase::Upload,
        () if has_next => Phase::Publish,
        () if has("START_SCAN") => Phase::Scan,
        () => Phase::Start,
    }
}

/// What the generation after this one is made of; only a new base is not always there.
fn next_files(generation: u64) -> [String; 3] {
    let next = generation + 1;
    [
        format!("delta-{next:06}.run"),
        format!("journal-{next:06}.log"),
        format!("base-{next:06}.run"),
    ]
}

fn kill_compact(servers: &Servers, random: &mut Random) -> Phase {
    let state = servers.folder.path("state");
    let next = generation(&state) + 1;
    let mut child = Command::new(env!("CARGO_BIN_EXE_mirror"))
        .arg("compact")
        .arg(format!("--state={}", state.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let kinds = ["base", "delta", "journal"];
    let kind = kinds[random.below(3) as usize];
    let has_begun = || {
        fs::read_dir(&state).unwrap().any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // Also under its temporary name.
            name.contains(&format!("{kind}-{next:06}"))
        })
    };
    while !has_begun() && child.try_wait().unwrap().is_none() {
        std::hint::spin_loop();
    }
    let is_ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    match is_ended {
        true => Phase::Ended,
        false => Phase::Compact,
    }
}

fn generation(state: &Path) -> u64 {
    let manifest = fs::read(state.join("MANIFEST")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["generation"].as_u64().unwrap()
}

fn lines(child: &mut Child) -> Receiver<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
