//! What a scan holds, in a process of its own: ten times the files take no more memory.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::fs;
use std::io::Write;

use anyhow::Result;
use folder::Folder;
use plimsoll_mirror::record::{Etag, Meta};
use plimsoll_mirror::scan::{Listing, scan};
use plimsoll_mirror::state::{Lock, Pair, State};

/// Keys of 100 bytes in rising order, each with another hash.
struct Objects {
    next: u64,
    end: u64,
    key: Vec<u8>,
    meta: Meta,
}

impl Objects {
    fn new(end: u64) -> Objects {
        let meta = Meta {
            size_bytes: 1000,
            modified: 1_700_000_000,
            etag: Etag::None,
        };
        Objects {
            next: 0,
            end,
            key: Vec::new(),
            meta,
        }
    }
}

impl Listing for Objects {
    fn advance(&mut self) -> Result<bool> {
        let n = self.next;
        self.next += 1;
        let noise = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.key.clear();
        write!(
            self.key,
            "tenant/album-{:08}/{:02}-{noise:032x}/",
            n / 100,
            n % 100
        )?;
        self.key.resize(100, b'x');
        self.meta.etag = Etag::Md5(noise.rotate_left(11).to_be_bytes());
        Ok(n < self.end)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

fn rss_peak_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn ten_times_the_files_take_no_more_memory() {
    const MIB: u64 = 1 << 20;
    let pair = Pair {
        source: "s3".to_owned(),
        destination: "ftp".to_owned(),
    };
    let start = rss_peak_bytes();
    let mut peaks = Vec::new();
    for count in [50_000, 500_000] {
        let folder = Folder::new("state-memory");
        let path = folder.path("state");
        let lock = Lock::take(&path).unwrap();
        let mut state = State::open(&path, &pair, &lock).unwrap();
        // All is new; then the whole delta becomes the base; then nothing changes.
        for _ in 0..3 {
            let mut next = state.next().unwrap();
            let counts = scan(state.known().unwrap(), &mut Objects::new(count), &mut next).unwrap();
            assert_eq!(counts.after.new, count);
            let manifest = next.publish(1).unwrap();
            state = state.reopen(manifest).unwrap();
        }
        let base = state.base().figures();
        let each = base.file_bytes as f64 / base.entries as f64;
        peaks.push(rss_peak_bytes());
        println!(
            "{count} files: {each:.1} bytes each, peak RSS {} bytes",
            peaks[peaks.len() - 1]
        );
        assert!(each <= 70.0, "{each} bytes a file");
    }
    assert!(
        peaks[0] - start <= 4 * MIB,
        "{} bytes above {start}",
        peaks[0] - start
    );
    assert!(peaks[1] - peaks[0] <= MIB, "{peaks:?}");
}
