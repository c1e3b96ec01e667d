//! The program over a simulated bucket: memory that does not grow with the number of files, a hard cap on it
//! with the page cache counted, and an end state that is the bucket.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod cgroup;
mod folder;

use std::process::{Command, Output};

use cgroup::Cgroup;
use clap::Parser;
use folder::Folder;
use plimsoll_mirror::config::{Arguments, Command as Verb};
use plimsoll_mirror::record::{Etag, Meta, Record};
use plimsoll_mirror::state::{Lock, State};
use plimsoll_s3_simulator::sink::Summary;
use plimsoll_s3_simulator::{Bucket, Server, Sink};

const MIB: u64 = 1 << 20;

struct Sides {
    source: Server,
    destination: Sink,
    folder: Folder,
}

impl Sides {
    fn start(name: &str, bucket: Bucket) -> Sides {
        Sides {
            source: Server::start("bucket", bucket, 0).unwrap(),
            destination: Sink::start(0).unwrap(),
            folder: Folder::new(name),
        }
    }

    fn arguments(&self, bucket: &str) -> Vec<String> {
        let state = self.folder.path(bucket);
        [
            "run".to_owned(),
            format!("--state={}", state.display()),
            format!("--s3-endpoint={}", self.source.endpoint()),
            format!("--s3-bucket={bucket}"),
            "--s3-access-key=key".to_owned(),
            "--s3-secret-key=secret".to_owned(),
            "--ftp-host=127.0.0.1".to_owned(),
            format!("--ftp-port={}", self.destination.port()),
            "--ftp-username=user".to_owned(),
            "--ftp-base-path=/base".to_owned(),
            "--log-level=debug".to_owned(),
        ]
        .into()
    }

    fn run(&self, bucket: &str, cgroup: Option<&Cgroup>) -> Run {
        let program = env!("CARGO_BIN_EXE_mirror");
        let mut command = match cgroup {
            Some(cgroup) => cgroup.command(program),
            None => Command::new(program),
        };
        Run::of(command.args(self.arguments(bucket)).output().unwrap())
    }

    /// A state by which all of the bucket is at the destination already.
    fn seed(&self, name: &str, bucket: &Bucket) {
        let words = ["mirror".to_owned()]
            .into_iter()
            .chain(self.arguments(name));
        let Verb::Run(arguments) = Arguments::parse_from(words).command else {
            panic!("it is a run");
        };
        let path = self.folder.path(name);
        let lock = Lock::take(&path).unwrap();
        let state = State::open(&path, &arguments.pair(), &lock).unwrap();
        let mut next = state.next().unwrap();
        bucket.for_each(|key, object| {
            let meta = Meta {
                size_bytes: object.size_bytes,
                modified: object.modified as i64,
                etag: Etag::Md5(object.etag),
            };
            next.put(key, None, Some(&Record::Synced(meta))).unwrap();
        });
        next.publish(1).unwrap();
    }
}

struct Run {
    code: Option<i32>,
    text: String,
}

impl Run {
    fn of(output: Output) -> Run {
        Run {
            code: output.status.code(),
            text: String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        }
    }

    #[track_caller]
    fn expect(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
        }
    }

    /// The highest RSS that the process told of itself, file pages included.
    fn rss_peak_bytes(&self) -> u64 {
        let peaks = self.text.split("RssPeak=").skip(1);
        let peaks = peaks.map(|rest| rest.split_once("KiB").unwrap().0.parse::<u64>().unwrap());
        peaks.max().unwrap() << 10
    }
}

#[test]
fn ten_times_the_files_take_no_more_memory() {
    let bucket = Bucket::new(1, 0);
    let sides = Sides::start("flat", bucket);
    let peaks = [20_000, 200_000].map(|count| {
        let name = format!("bucket-{count}");
        sides.seed(&name, &Bucket { count, ..bucket });
        let run = sides.run(&name, None);
        run.expect(&[
            &format!("total={count}, new=0, TEMP_DELETED→SYNCED={count}, TEMP_DELETED→NEW=0"),
            "Synchronization run completed successfully",
        ]);
        run.rss_peak_bytes()
    });
    println!("peak RSS of 20,000 and 200,000 files: {peaks:?} bytes");
    assert!(peaks[1] <= peaks[0] + MIB, "{peaks:?}");
    assert!(peaks[1] <= 32 * MIB, "{peaks:?}");
    assert_eq!(sides.destination.counts().stored, 0);
}

/// First all of it, then what one generation of the bucket changes: the destination is the bucket each
/// time. The second run is in a group that may have 32 MiB, page cache included.
#[test]
fn the_destination_becomes_the_bucket_within_32_mib() {
    const FILES: u64 = 2000;
    let bucket = Bucket::new(2, FILES);
    let sides = Sides::start("equal", bucket);
    let is = |run: &Run, generation: u32, parts: &[&str]| {
        run.expect(parts);
        let expected = Summary::of(&bucket.in_generation(generation), "/base");
        assert_eq!(sides.destination.summary(), expected);
        assert!(run.rss_peak_bytes() <= 32 * MIB, "{}", run.rss_peak_bytes());
    };
    is(&sides.run("bucket", None), 0, &["synced=2000, failed=0"]);
    sides.source.set_bucket(bucket.in_generation(1));
    let cgroup = Cgroup::new("the_destination_becomes_the_bucket_within_32_mib", 32 * MIB);
    let run = sides.run("bucket", cgroup.as_ref());
    is(&run, 1, &["failed=0", "TEMP_DELETED→DELETED_ON_S3="]);
    let counts = sides.destination.counts();
    assert_eq!(counts.stored, counts.renamed);
    let (changed, deleted) = (counts.stored - FILES, counts.deleted);
    assert!(
        (10..100).contains(&changed) && (5..80).contains(&deleted),
        "{counts:?}"
    );
    if let Some(cgroup) = cgroup {
        let peak = cgroup.peak_bytes();
        println!("the kernel charged at most {peak} bytes");
        assert!(peak > MIB && peak <= 32 * MIB, "{peak} bytes");
    }
}
