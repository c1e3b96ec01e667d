//! Listings of real size by the whole program, over HTTP: what goes wrong with a page, how many requests
//! there are, and what more workers take.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::process::Command;

use folder::Folder;
use plimsoll_mirror::record::{Etag, Meta, Record};
use plimsoll_mirror::state::{Lock, Pair, State};
use plimsoll_s3_simulator::faults::Script;
use plimsoll_s3_simulator::{Bucket, Contents, Layout, Server, Sink};
use serde_json::json;
use servers::{Servers, files};

/// A bucket, and a folder for the state of a plan: nothing is uploaded.
struct Source {
    server: Server,
    sink: Sink,
    folder: Folder,
}

struct Planned {
    code: Option<i32>,
    text: String,
}

impl Source {
    fn start(name: &str, bucket: Bucket) -> Source {
        Source {
            server: Server::start("bucket", bucket, 0).unwrap(),
            sink: Sink::start(0).unwrap(),
            folder: Folder::new(name),
        }
    }

    fn bucket(layout: Layout, count: u64) -> Bucket {
        let mut bucket = Bucket::new(5, count);
        (bucket.layout, bucket.contents) = (layout, Contents::Photos);
        bucket
    }

    fn faults(&self, script: &str) {
        self.server
            .set_faults(Script::parse(script.as_bytes()).unwrap());
        self.server.reset_counts();
    }

    fn plan(&self, more: &[&str]) -> Planned {
        let output = Command::new(env!("CARGO_BIN_EXE_mirror"))
            .args([
                "plan",
                "--s3-bucket=bucket",
                "--s3-access-key=k",
                "--s3-secret-key=s",
            ])
            .args([
                "--ftp-host=127.0.0.1",
                "--ftp-username=u",
                "--log-level=debug",
            ])
            .arg(format!("--ftp-port={}", self.sink.port()))
            .arg(format!("--s3-endpoint={}", self.server.endpoint()))
            .arg(format!("--state={}", self.folder.path("state").display()))
            .args(more)
            .output()
            .unwrap();
        Planned {
            code: output.status.code(),
            text: String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        }
    }

    /// A plan that lists all objects, each once.
    #[track_caller]
    fn plan_whole(&self, more: &[&str]) -> Planned {
        let planned = self.plan(more);
        let (count, bytes) = self.whole();
        planned.expect(2, &format!("would upload {count} files of {bytes} bytes"));
        planned
    }

    /// A state by which all of a bucket is at the destination already.
    fn seed(&self, bucket: &Bucket) {
        let path = self.folder.path("state");
        let pair = Pair {
            source: format!("{}/bucket/", self.server.endpoint()),
            destination: format!("ftp://127.0.0.1:{}/", self.sink.port()),
        };
        let lock = Lock::take(&path).unwrap();
        let mut next = State::open(&path, &pair, &lock).unwrap().next().unwrap();
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

    fn whole(&self) -> (u64, u64) {
        let mut whole = (0, 0);
        self.server.bucket().for_each(|_, object| {
            whole = (whole.0 + 1, whole.1 + object.size_bytes);
        });
        whole
    }
}

impl Planned {
    #[track_caller]
    fn expect(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        assert!(self.text.contains(part), "no {part:?} in:\n{}", self.text);
    }
}

/// Every strategy lists every layout whole, with few requests in vain. B4 and B11: shallow objects are
/// listed by level too, and any number of folders.
#[test]
fn every_strategy_lists_all() {
    for layout in [
        Layout::Albums,
        Layout::Flat,
        Layout::Deep,
        Layout::Tiny,
        Layout::Unicode,
    ] {
        let source = Source::start("strategies", Source::bucket(layout, 30_000));
        // A quarter of the pages in vain, and those of the window.
        for (strategy, most) in [
            (&["--listing-strategy=recursive"][..], 38 + 2 * 10),
            (
                &["--listing-strategy=by_level", "--listing-level=1"],
                38 + 2 * 10,
            ),
            (
                &["--listing-strategy=by-level", "--listing-level=2"],
                38 + 2 * 10,
            ),
            (&["--listing-strategy=flat"], 30),
        ] {
            source.server.reset_counts();
            source.plan_whole(strategy);
            let counts = source.server.counts();
            println!(
                "{layout:?} {strategy:?}: {} requests for 30 pages",
                counts.lists
            );
            assert!(counts.lists <= most, "{layout:?} {strategy:?}: {counts:?}");
        }
    }
}

/// A bucket of which the state knows is listed by about a request for each 1000 keys, whether it is as it
/// was or one in a hundred is new and one gone; what changed is seen, and nothing else.
#[test]
fn a_known_bucket_takes_about_a_request_for_each_page() {
    const COUNT: u64 = 50_000;
    let mut bucket = Source::bucket(Layout::Albums, COUNT);
    let source = Source::start("known", bucket);
    source.seed(&bucket);
    for (generation, changed, most) in [
        (0, "TEMP_DELETED→DELETED_ON_S3=0", 57),
        (1, "TEMP_DELETED→DELETED_ON_S3=500", 63),
    ] {
        bucket.generation = generation;
        source.server.set_bucket(bucket);
        for workers in [1, 5, 20] {
            source.server.reset_counts();
            let planned = source.plan(&[&format!("--source-workers={workers}")]);
            assert!(
                planned
                    .text
                    .contains(&format!("total={}", source.whole().0)),
                "{}",
                planned.text
            );
            assert!(planned.text.contains(changed), "{}", planned.text);
            assert!(
                !planned.text.contains("may be there all the same"),
                "{}",
                planned.text
            );
            let lists = source.server.counts().lists;
            println!("generation {generation}, {workers} workers: {lists} requests for 50 pages");
            assert!(lists <= most + workers, "{lists}");
        }
    }
}

/// What passes is asked for again, in any of the workers' requests: 503, XML that ends in the middle, a
/// connection that breaks off, a token that leads nowhere. What does not pass ends the run (B3).
#[test]
fn faults_of_pages_are_tried_again_or_end_the_run() {
    let source = Source::start("page-faults", Source::bucket(Layout::Albums, 20_000));
    for fault in [
        r#""status": 503"#,
        r#""status": 429"#,
        r#""cut": true"#,
        r#""drop": true"#,
    ] {
        source.faults(&format!(
            r#"[{{"on": "list", "times": 0, "probability": 0.2, "seed": 3, {fault}}}]"#
        ));
        source.plan_whole(&["--source-max-retries=8"]);
        assert!(source.server.counts().faults > 0, "{fault}");
    }
    for (fault, text) in [
        (r#""status": 503"#, "status 503"),
        (r#""status": 403"#, "status 403"),
        (r#""cut": true"#, "list s3://bucket/"),
        (r#""same_token": true"#, ""),
        (r#""wrong_count": true"#, "the listing can't be trusted"),
    ] {
        for from in [1, 4, 13] {
            source.faults(&format!(
                r#"[{{"on": "list", "from": {from}, "times": 0, {fault}}}]"#
            ));
            let planned = source.plan(&["--source-max-retries=1"]);
            planned.expect(1, text);
            assert!(!planned.text.contains("would upload"), "{}", planned.text);
        }
    }
}

/// A source that ignores `start-after`, and one that does not list in order.
#[test]
fn sources_that_list_otherwise_are_listed_otherwise() {
    let source = Source::start("otherwise", Source::bucket(Layout::Flat, 20_000));
    source.faults(r#"[{"on": "list", "times": 0, "ignore_start_after": true}]"#);
    let planned = source.plan_whole(&[]);
    planned.expect(2, "listed again, one page after the other");
    source.faults(r#"[{"on": "list", "times": 0, "unordered": true}]"#);
    let planned = source.plan_whole(&[]);
    planned.expect(2, "keys do not rise");
    source.faults(r#"[{"on": "list", "from": 5, "times": 0, "duplicate": true}]"#);
    source.plan(&[]).expect(1, "more than once");
}

/// Twenty workers hold a few MiB more than one, whatever the bucket.
#[test]
fn workers_take_a_bounded_memory() {
    let source = Source::start("workers", Source::bucket(Layout::Albums, 100_000));
    // A slow source: all workers have a page on its way at once.
    source.faults(r#"[{"on": "list", "times": 0, "delay_milliseconds": 5}]"#);
    let peak = |workers: u32| {
        let planned = source.plan_whole(&[&format!("--source-workers={workers}")]);
        let peaks = planned.text.split("RssPeak=").skip(1);
        let peaks = peaks.map(|rest| rest.split_once("KiB").unwrap().0.parse::<u64>().unwrap());
        peaks.max().unwrap()
    };
    let peaks = [1, 5, 20].map(peak);
    println!("peak RSS of 1, 5 and 20 workers: {peaks:?} KiB");
    assert!(peaks[2] <= peaks[0] + (8 << 10), "{peaks:?} KiB");
}

/// The rate is one for all workers, and told each second.
#[test]
fn requests_of_all_workers_keep_to_one_rate() {
    let source = Source::start("rate", Source::bucket(Layout::Flat, 25_000));
    let begun = std::time::Instant::now();
    let planned = source.plan_whole(&["--source-max-rps=10", "--source-workers=8"]);
    let requests = source.server.counts().lists;
    // Ten at once, then ten a second: waited for, however fast the machine is.
    let least = (requests - 10) as f64 / 10.0;
    assert!(
        begun.elapsed().as_secs_f64() >= least,
        "{requests} requests"
    );
    planned.expect(2, "S3 listing: current RPS = ");
}

/// B4 between real servers: by level, objects above the level are mirrored, and stay.
#[test]
fn b4_shallow_files_are_mirrored_and_kept() {
    let Some(mut servers) = Servers::start("b4") else {
        return;
    };
    let all = [
        ("root.txt", "1"),
        ("a/one.txt", "2"),
        ("a/b/two.txt", "3"),
        ("a/b/c/three.txt", "4"),
        ("z/9/x", "5"),
    ];
    for (key, text) in all {
        servers.put(key, text);
    }
    let flags = [
        "--listing-strategy=by_level",
        "--listing-level=2",
        "--allow-mass-delete",
    ];
    servers.run(&flags).expect(0, &["synced=5"]);
    assert_eq!(servers.files(), files(&all));
    servers.run(&flags).expect(
        0,
        &["TEMP_DELETED→SYNCED=5", "TEMP_DELETED→DELETED_ON_S3=0"],
    );
    assert_eq!(servers.files(), files(&all));
    servers
        .run(&["--listing-strategy=by_level"])
        .expect(1, &["needs --listing-level"]);
}

/// Against a real S3 with many folders, in pages of a few keys, after a first run divided by its state.
#[test]
fn a_real_source_is_listed_by_many_workers() {
    let Some(mut servers) = Servers::start("workers") else {
        return;
    };
    let mut all = Vec::new();
    for n in 0..150 {
        let key = format!("tenant-{}/{:03} ä+%/{n:04}.txt", n / 40, n / 7);
        servers.put(&key, "x");
        all.push(key);
    }
    let expected: Vec<(&str, &str)> = all.iter().map(|key| (&**key, "x")).collect();
    for (strategy, level) in [
        ("recursive", 0),
        ("by_level", 1),
        ("by_level", 2),
        ("flat", 0),
    ] {
        servers.faults(json!({"page": 7}));
        let flags = [
            &format!("--listing-strategy={strategy}"),
            &format!("--listing-level={level}"),
        ];
        let flags = flags.map(|flag| &**flag);
        let run = servers.run(&[&flags[..], &["--source-workers=4"]].concat());
        run.expect(0, &["total=150"]);
        assert_eq!(servers.files(), files(&expected), "{strategy}");
    }
    // Now at folders of what is there, with one gone.
    servers.delete(&all[77]);
    servers
        .run(&["--listing-strategy=by_level", "--listing-level=2"])
        .expect(0, &["deleted=1, failed=0"]);
}
