//! What listing a bucket costs, the network and the merge with the state included: `cargo run --release
//! --example listing -- http://127.0.0.1:PORT BUCKET WORKERS [STRATEGY]`, best against
//! `testing/s3-simulator`. First without a state, all taken for uploaded; then with that state, none changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plimsoll_mirror::listing::{
    BucketListing, Hints, KeyRange, KnownHints, Lister, Options, Strategy,
};
use plimsoll_mirror::record::Record;
use plimsoll_mirror::s3::{Client, Credentials, Settings};
use plimsoll_mirror::scan::{Listing, scan};
use plimsoll_mirror::state::{Lock, Pair, State};

/// User and system time of this process, in seconds.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').context("a process has a name")?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("a field is missing")?.parse()?) };
    Ok((ticks()? + ticks()?) / 100.0)
}

fn rss_peak() -> Result<String> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.context("the kernel tells it")?.trim().to_owned())
}

fn client(endpoint: &str, bucket: &str, workers: usize) -> Result<Client> {
    Client::new(Settings {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        credentials: Credentials {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            region: "us-east-1".to_owned(),
        },
        idle: Duration::from_secs(30),
        tries: 3,
        requests_per_second: 0,
        connections: workers + 1,
        certificates: Vec::new(),
    })
}

fn main() -> Result<()> {
    // As the program does.
    // SAFETY: it only sets a number, before any thread is started.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, bucket, workers, strategy @ ..] = &arguments[..] else {
        bail!("give an endpoint, a bucket, a number of workers, and maybe a strategy");
    };
    let workers = workers.parse()?;
    let options = Options {
        prefix: String::new(),
        range: KeyRange::default(),
        strategy: match strategy.first().map(String::as_str) {
            None | Some("recursive") => Strategy::Recursive,
            Some("flat") => Strategy::Flat,
            Some(level) => Strategy::ByLevel(level.parse()?),
        },
        workers,
        keys_ahead: 0,
        is_from_start: false,
    };
    let folder = std::env::temp_dir().join(format!("mirror-listing-{}", std::process::id()));
    let lister: Arc<dyn Lister> = Arc::new(client(endpoint, bucket, workers)?);
    let result = measure(&folder, &lister, &options);
    let _ = fs::remove_dir_all(&folder);
    result
}

fn measure(folder: &Path, lister: &Arc<dyn Lister>, options: &Options) -> Result<()> {
    let pair = Pair {
        source: "s3".to_owned(),
        destination: "ftp".to_owned(),
    };
    let lock = Lock::take(folder)?;
    let mut state = State::open(folder, &pair, &lock)?;
    for name in ["no state", "none changed"] {
        let (begun, cpu) = (Instant::now(), cpu_seconds()?);
        let base = state.base();
        let known = KnownHints::new(base.frame_starts(), base.figures().entries);
        let is_known = base.figures().entries > 0;
        let known: Option<Box<dyn Hints>> = if is_known {
            Some(Box::new(known))
        } else {
            None
        };
        let mut listing = BucketListing::start(lister, options, known, Box::new(|_| ()))?;
        let mut next = state.next()?;
        if is_known {
            let counts = scan(state.known()?, &mut listing, &mut next)?;
            println!("{}", counts.after.line());
        } else {
            while listing.advance()? {
                let record = Record::Synced(listing.meta().clone());
                next.put(listing.key(), None, Some(&record))?;
            }
        }
        let figures = listing.figures();
        drop(listing);
        state = state.reopen(next.publish(1)?)?;
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        println!(
            "{name}: {} keys in {seconds:.2} s, {cpu:.2} CPU-s ({:.0} keys a CPU-s), {figures:?}; state \
             {:.1} bytes a key; peak RSS {}",
            figures.keys,
            figures.keys as f64 / cpu,
            state.base().figures().file_bytes as f64 / figures.keys as f64,
            rss_peak()?
        );
    }
    Ok(())
}
