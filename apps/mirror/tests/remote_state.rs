//! A state on S3, between moto and pyftpdlib: any machine goes on with it, and only one at a time changes
//! it. A machine is a folder of its own here.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use plimsoll_mirror::remote::lease::Lease;
use plimsoll_mirror::s3::objects::{Condition, Swap};
use plimsoll_mirror::s3::{Client, Credentials, Settings};
use serde_json::json;
use servers::{Run, Servers};

const FILES: usize = 60;
/// As short as it may be: a second between renewals.
const LEASE: &str = "--state-lease=3";

/// Servers with a bucket for the state, and files in the source.
fn filled(name: &str) -> Option<Servers> {
    let mut servers = Servers::start(name)?;
    request(&servers, "PUT", &format!("/state-{name}"));
    for number in 0..FILES {
        servers.put(&format!("{number:02}"), &"x".repeat(10_000));
    }
    Some(servers)
}

/// A request with a signature of nothing, which moto takes.
fn request(servers: &Servers, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", servers.s3 as u16)).unwrap();
    let who = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, \
               SignedHeaders=host, Signature=0";
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {who}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn command(servers: &Servers, name: &str, verb: &str, machine: &str) -> Command {
    let mut command = servers.command(verb);
    command
        .arg(format!("--state=s3://state-{name}/of/mirror"))
        .arg(format!(
            "--state-cache={}",
            servers.folder.path(machine).display()
        ))
        .arg(LEASE);
    command
}

fn run(servers: &Servers, name: &str, machine: &str) -> Run {
    Run::of(command(servers, name, "run", machine).output().unwrap())
}

/// A slow run, once it has uploaded so many files.
fn begun(
    servers: &Servers,
    name: &str,
    machine: &str,
    files: usize,
) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(servers, name, "run", machine)
        .args(["--bwlimit=100k", "--log-level=verbose", "--dest-workers=2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    let mut line = String::new();
    while seen < files {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended early");
        seen += usize::from(line.contains("[verbose] Uploaded"));
    }
    (child, lines)
}

#[test]
fn another_machine_goes_on_where_one_was_killed() {
    let name = "killed";
    let Some(mut servers) = filled(name) else {
        return;
    };
    // At 10 files a second, most were told durably a second ago.
    let (mut first, _lines) = begun(&servers, name, "one", 30);
    first.kill().unwrap();
    first.wait().unwrap();
    let second = run(&servers, name, "two");
    second.expect(
        0,
        &[
            "its lease is taken over",
            "failed=0",
            "the state is pulled into ",
        ],
    );
    let expected = servers.files();
    assert_eq!(expected.len(), FILES);
    let synced = second.text.split("synced=").nth(1).unwrap();
    let synced: usize = synced[..synced.find(',').unwrap()].parse().unwrap();
    assert!(
        synced <= FILES - 15,
        "{synced} were uploaded again: {}",
        second.text
    );
    // And back on the first one, with changes; its own folder is behind.
    servers.put("00", "new");
    servers.delete("59");
    run(&servers, name, "one").expect(0, &["synced=1,", "deleted=1"]);
    assert_eq!(servers.files()["00"], "new");
    // The verbs that read it take no lease.
    let look = |verb: &str, more: &[&str]| {
        let mut look = Command::new(env!("CARGO_BIN_EXE_mirror"));
        look.arg(verb)
            .args(more)
            .arg(format!("--state=s3://state-{name}/of/mirror"))
            .arg(format!(
                "--state-cache={}",
                servers.folder.path("three").display()
            ))
            .arg(format!(
                "--state-s3-endpoint=http://127.0.0.1:{}",
                servers.s3
            ))
            .env("S3_ACCESS_KEY_ID", "key")
            .env("S3_SECRET_ACCESS_KEY", "unseen-secret");
        Run::of(look.output().unwrap())
    };
    look("status", &[]).expect(0, &["SYNCED=59, NEW=0"]);
    look("explain", &["00"]).expect(0, &["SYNCED", "3 bytes"]);
    look("check", &[]).expect(0, &["the state is whole: 59 keys"]);
    look("compact", &[]).expect(0, &["59 entries"]);
    look("export", &[]).expect(0, &["\"key\":\"01\""]);
    run(&servers, name, "two").expect(0, &["completed successfully"]);
    // What no manifest names is gone: three files of one holder, the lease and the manifest.
    let left = request(&servers, "GET", &format!("/state-{name}?list-type=2"));
    assert_eq!(left.matches("<Contents>").count(), 5, "{left}");
}

#[test]
fn who_slept_through_its_lease_does_no_harm() {
    let name = "slept";
    let Some(mut servers) = filled(name) else {
        return;
    };
    let (first, mut lines) = begun(&servers, name, "one", 5);
    let signal = |signal: &str| {
        let pid = first.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    run(&servers, name, "two").expect(0, &["its lease is taken over"]);
    for number in 0..FILES {
        servers.put(&format!("{number:02}"), "second");
    }
    run(&servers, name, "two").expect(0, &["synced=60,"]);
    signal("-CONT");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let ended = first.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("the lease on the state was lost"), "{said}");
    // What each of its two workers had ended, or sent its last command of, before it slept.
    assert!(rest.matches("[verbose] Uploaded").count() <= 2, "{rest}");
    let files = servers.files();
    assert!(files.values().all(|text| text == "second"), "{files:?}");
    let third = run(&servers, name, "two");
    third.expect(0, &["TEMP_DELETED→SYNCED=60", "completed successfully"]);
}

#[test]
fn one_of_two_that_look_alike_takes_a_lease() {
    let Some(mut servers) = Servers::start("alike") else {
        return;
    };
    servers.put(
        "LEASE",
        r#"{"holder":"gone","epoch":4,"term_seconds":1,"beat":9}"#,
    );
    let client = Arc::new(
        Client::new(Settings {
            endpoint: format!("http://127.0.0.1:{}", servers.s3),
            bucket: "bucket".to_owned(),
            credentials: Credentials {
                access_key_id: "key".to_owned(),
                secret_access_key: "secret".to_owned(),
                region: "us-east-1".to_owned(),
            },
            idle: Duration::from_secs(10),
            tries: 2,
            requests_per_second: 0,
            connections: 2,
            certificates: Vec::new(),
        })
        .unwrap(),
    );
    // One process, so the same machine and number; both have seen the same lease when they swap it.
    let both = Barrier::new(2);
    let take = || {
        Lease::take(&client, "LEASE", Duration::from_secs(3), &|text| {
            if text.contains("was not heard of: its lease") {
                both.wait();
            }
        })
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(take);
        (take(), other.join().unwrap())
    });
    let error = match (&one, &other) {
        (Ok(lease), Err(error)) | (Err(error), Ok(lease)) => {
            assert_eq!(lease.epoch, 5);
            error
        }
        _ => panic!("{one:?}, {other:?}"),
    };
    assert!(
        format!("{error:#}").contains("another run was faster"),
        "{error:#}"
    );
}

#[test]
fn what_others_have_beside_a_state_stays() {
    let name = "beside";
    let Some(mut servers) = Servers::start(name) else {
        return;
    };
    servers.put("photos/a", "a");
    for key in ["e.jpg", "e-books/a", "e0000/a"] {
        servers.put(key, "of somebody else");
    }
    // The second removes what the first put.
    for _ in 0..2 {
        let mut run = servers.command("run");
        run.arg("--state=s3://bucket").arg("--s3-prefix=photos/");
        run.arg(format!(
            "--state-cache={}",
            servers.folder.path("one").display()
        ));
        Run::of(run.output().unwrap()).expect(0, &["completed successfully"]);
    }
    let page = servers.page();
    // Theirs, the photo, the lease, the manifest, and three files of one holder.
    assert_eq!(page, 3 + 1 + 5);
}

#[test]
fn one_run_at_a_time() {
    let name = "both";
    let Some(servers) = filled(name) else {
        return;
    };
    let (mut first, mut lines) = begun(&servers, name, "one", 2);
    run(&servers, name, "two").expect(
        1,
        &["process ", " is running on this state; wait until it ends"],
    );
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(first.wait().unwrap().success(), "{rest}");
    // It was given back: nobody waits.
    let second = run(&servers, name, "two");
    second.expect(0, &["completed successfully"]);
    assert!(!second.text.contains("taken over"), "{}", second.text);
}

#[test]
fn what_can_not_have_a_state_is_told() {
    let name = "wrong";
    let Some(mut servers) = filled(name) else {
        return;
    };
    let files = servers.files();
    servers.faults(json!({"ignore_conditions": true}));
    run(&servers, name, "one").expect(1, &["without regard to If-Match and If-None-Match"]);
    servers.faults(json!({}));
    let mut missing = servers.command("run");
    missing.arg("--state=s3://no-such-bucket-here/p").arg(LEASE);
    let cache = servers.folder.path("two");
    missing.arg(format!("--state-cache={}", cache.display()));
    Run::of(missing.output().unwrap()).expect(1, &["take the lease p/LEASE", "NoSuchBucket"]);
    let mut nowhere = servers.command("run");
    nowhere.arg("--state=s3://");
    Run::of(nowhere.output().unwrap()).expect(1, &["a state on S3 is s3://BUCKET/PREFIX"]);
    let mut among = servers.command("run");
    among.arg("--state=s3://bucket/state");
    Run::of(among.output().unwrap()).expect(1, &["is among the keys that are mirrored"]);
    let mut unknown = Command::new(env!("CARGO_BIN_EXE_mirror"));
    unknown.args(["status", "--state=s3://b/p"]).env_clear();
    Run::of(unknown.output().unwrap()).expect(1, &["give --state-s3-endpoint, or set S3_ENDPOINT"]);
    assert_eq!(servers.files(), files);
    // A segment of the journal that is gone is told, and nothing is done by half of one.
    run(&servers, name, "one").expect(0, &["synced=60"]);
    let listed = request(&servers, "GET", &format!("/state-{name}?list-type=2"));
    let journal = listed
        .split("<Key>")
        .find(|key| key.contains(".log/0000000000000000"));
    let first = journal.unwrap().split('<').next().unwrap();
    let gone = request(&servers, "DELETE", &format!("/state-{name}/{first}"));
    assert!(gone.contains("204"), "{first}: {gone}");
    run(&servers, name, "two").expect(1, &["a segment of the journal", "is missing at byte 0"]);
}

#[test]
fn long_files_are_put_in_parts() {
    let name = "parts";
    let Some(servers) = filled(name) else {
        return;
    };
    let client = Client::new(Settings {
        endpoint: format!("http://127.0.0.1:{}", servers.s3),
        bucket: format!("state-{name}"),
        credentials: Credentials {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            region: "us-east-1".to_owned(),
        },
        idle: Duration::from_secs(30),
        tries: 3,
        requests_per_second: 0,
        connections: 1,
        certificates: Vec::new(),
    });
    let client = client.unwrap();
    let bytes: Vec<u8> = (0..12_000_000_u32).map(|n| (n / 1000) as u8).collect();
    let path = servers.folder.path("long");
    fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    // 5 MiB is the least that a part may have.
    client.put_file("a/long", &file, 5 << 20).unwrap();
    let mut back = Vec::new();
    let mut object = client.open_object("a/long").unwrap();
    object.read_to_end(&mut back).unwrap();
    assert!(back == bytes, "{} bytes came back", back.len());
    let listed = request(&servers, "GET", &format!("/state-{name}?uploads"));
    assert!(!listed.contains("<UploadId>"), "{listed}");
    let swap = |bytes: &[u8], condition| client.swap_object("a/one", bytes, condition).unwrap();
    let Swap::Done(etag) = swap(b"1", Condition::Absent) else {
        panic!("nothing was there");
    };
    // The same once more is what a try whose answer was lost looks like.
    assert_eq!(swap(b"1", Condition::Absent), Swap::Done(etag.clone()));
    assert_eq!(swap(b"2", Condition::Absent), Swap::Conflict);
    assert!(matches!(swap(b"2", Condition::Is(&etag)), Swap::Done(_)));
    assert_eq!(swap(b"3", Condition::Is(&etag)), Swap::Conflict);
    client.delete_object("a/one").unwrap();
    client.delete_object("a/one").unwrap();
    assert!(client.read_object("a/one").unwrap().is_none());
    assert_eq!(swap(b"3", Condition::Is(&etag)), Swap::Conflict);
}
