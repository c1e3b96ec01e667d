//! What the state of many files costs: a listing of so many made-up objects, scanned as all
//! new, then, all of it uploaded, with none changed and with one in a hundred changed: `cargo run --release --example scan -- 10000000`.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use plimsoll_mirror::record::{Etag, Meta, Record};
use plimsoll_mirror::scan::{Listing, scan};
use plimsoll_mirror::state::{Generation, Lock, Pair, State};

/// Objects as of a bucket: keys of 100 bytes, of which 32 are noise, an MD5, a size and a time.
struct Objects {
    count: u64,
    next: u64,
    /// Every so many have another hash.
    changed: Option<u64>,
    key: Vec<u8>,
    meta: Meta,
}

fn noise(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 27
}

impl Objects {
    fn new(count: u64, changed: Option<u64>) -> Objects {
        Objects {
            count,
            next: 0,
            changed,
            key: Vec::new(),
            meta: Meta {
                size_bytes: 0,
                modified: 0,
                etag: Etag::None,
            },
        }
    }
}

impl Listing for Objects {
    fn advance(&mut self) -> Result<bool> {
        let n = self.next;
        if n == self.count {
            return Ok(false);
        }
        self.next += 1;
        self.key.clear();
        let (folder, place) = (n / 100, n % 100);
        write!(
            self.key,
            "tenant-{:03}/album-{folder:07}/{place:02}{:014x}{:016x}/original-picture-of-some-size-of-many.jpeg",
            folder / 1000,
            noise(n) >> 8,
            noise(n ^ 1 << 60)
        )?;
        let is_changed = self.changed.is_some_and(|every| n.is_multiple_of(every));
        let version = u64::from(is_changed);
        self.meta = Meta {
            size_bytes: noise(n) % 5_000_000,
            modified: 1_700_000_000 + (noise(n) % 10_000_000) as i64,
            etag: Etag::Md5(
                (u128::from(noise(n ^ 1 << 61)) << 64 | u128::from(noise(n) + version))
                    .to_be_bytes(),
            ),
        };
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').context("a process has a name")?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("a field is missing")?.parse()?) };
    Ok((ticks()? + ticks()?) / 100.0)
}

fn status(name: &str) -> Result<String> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("the kernel tells it")?.trim().to_owned())
}

fn main() -> Result<()> {
    let count = std::env::args()
        .nth(1)
        .context("give a number of objects")?
        .parse()?;
    let folder = std::env::temp_dir().join(format!("mirror-scan-{}", std::process::id()));
    let result = measure(&folder, count);
    let _ = fs::remove_dir_all(&folder);
    result
}

fn measure(folder: &Path, count: u64) -> Result<()> {
    let pair = Pair {
        source: "s3".to_owned(),
        destination: "ftp".to_owned(),
    };
    let before = cpu_seconds()?;
    let mut objects = Objects::new(count, None);
    while objects.advance()? {}
    println!(
        "the objects alone: {:.2} CPU-s, which is in each of the figures below",
        cpu_seconds()? - before
    );
    let lock = Lock::take(folder)?;
    let mut state = State::open(folder, &pair, &lock)?;
    state = step("all new", state, count, |state, next| {
        scan(state.known()?, &mut Objects::new(count, None), next).map(drop)
    })?;
    // As after all were uploaded.
    state = step("all synced", state, count, |_, next| {
        let mut objects = Objects::new(count, None);
        while objects.advance()? {
            let record = Record::Synced(objects.meta.clone());
            next.put(objects.key(), None, Some(&record))?;
        }
        Ok(())
    })?;
    for (name, changed) in [("none changed", None), ("1 % changed", Some(100))] {
        state = step(name, state, count, |state, next| {
            scan(state.known()?, &mut Objects::new(count, changed), next).map(drop)
        })?;
    }
    Ok(())
}

/// Makes a generation, and tells what that took.
fn step(
    name: &str,
    state: State,
    count: u64,
    make: impl FnOnce(&State, &mut Generation) -> Result<()>,
) -> Result<State> {
    let before = cpu_seconds()?;
    let mut next = state.next()?;
    make(&state, &mut next)?;
    let state = state.reopen(next.publish(1)?)?;
    let seconds = cpu_seconds()? - before;
    let (base, delta) = (state.base().figures(), state.delta().figures());
    println!(
        "{name}: {seconds:.2} CPU-s; base {} entries, {:.1} bytes for each of {count} files; delta {} \
         entries; peak RSS {}",
        base.entries,
        (base.file_bytes + delta.file_bytes) as f64 / count as f64,
        delta.entries,
        status("VmHWM:")?
    );
    Ok(state)
}
