//! What the state of many files costs: a listing of so many made-up objects, scanned three times (all
//! new, all known, one in a hundred changed): `cargo run --release --example scan -- 10000000`.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use plimsoll_mirror::record::{Etag, Meta, Outcome, Record};
use plimsoll_mirror::scan::{Listing, ScanCounts, scan};
use plimsoll_mirror::state::journal::Entry;
use plimsoll_mirror::state::{Lock, Pair, State};

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
            "tenant-{:03}/album-{folder:07}/{place:02}{:014x}{:016x}/original-picture-of-some-size.jpeg",
            folder / 1000,
            noise(n) >> 8,
            noise(n ^ 1 << 60)
        )?;
        let is_changed = self.changed.is_some_and(|every| n % every == 0);
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
    let lock = Lock::take(folder)?;
    let mut state = State::open(folder, &pair, &lock)?;
    for (name, changed) in [
        ("all new", None),
        ("all known", None),
        ("none changed", None),
        ("1 % changed", Some(100)),
    ] {
        let before = cpu_seconds()?;
        let mut next = state.next()?;
        let counts = scan(state.known()?, &mut Objects::new(count, changed), &mut next)?;
        state = state.reopen(next.publish(1)?)?;
        let seconds = cpu_seconds()? - before;
        let (base, delta) = (state.base().figures(), state.delta().figures());
        println!(
            "{name}: {seconds:.2} CPU-s, {} synced, {} new; base {} bytes, delta {} entries; peak RSS {}",
            counts.after.synced,
            counts.after.new,
            base.file_bytes,
            delta.entries,
            status("VmHWM:")?
        );
        if base.entries > 0 {
            let each = base.file_bytes as f64 / base.entries as f64;
            println!("  {each:.1} bytes an entry on disk");
        }
        finish(&state, &counts)?;
    }
    Ok(())
}

/// Tells the journal that all was uploaded, in order.
fn finish(state: &State, counts: &ScanCounts) -> Result<()> {
    let before = cpu_seconds()?;
    let mut journal = state.journal()?;
    let mut known = state.known()?;
    let mut ordinal = 0;
    while ordinal < state.delta().figures().entries && known.advance()? {
        // With nothing in the journal, the delta has what is pending and what differs from the base.
        if let Some(Record::New { .. }) = known.record() {
            journal.append(Entry::Result(ordinal, Outcome::Uploaded))?;
            ordinal += 1;
        }
    }
    journal.sync()?;
    if counts.after.new > 0 {
        println!(
            "  results of {ordinal} uploads: {:.2} CPU-s",
            cpu_seconds()? - before
        );
    }
    Ok(())
}
