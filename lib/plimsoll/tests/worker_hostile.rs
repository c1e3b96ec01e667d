//! Workers that send nonsense: each is killed, and its caller told why. This program runs itself as
//! such a worker.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use plimsoll::ErrorKind;
use plimsoll::worker::frame::{self, Frame, Kind};
use plimsoll::worker::{SOCKET_VARIABLE, Worker};

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

fn frame_of(kind: Kind, id: u64, body: &[u8]) -> Vec<u8> {
    frame::encode(&Frame { kind, id, body }).unwrap()
}

/// What a hostile worker answers to the first request, call `id`.
fn nonsense(case: &str, id: u64) -> Vec<u8> {
    let huge = u64::MAX.to_le_bytes();
    match case {
        "long" => vec![0xff; 4],
        "empty" => vec![0; 4],
        "kind" => vec![9, 0, 0, 0, 99],
        "half" => frame_of(Kind::Started, id, &[])[..6].to_vec(),
        "stranger" => frame_of(Kind::Reply, id + 100, b"x"),
        "eager" => frame_of(Kind::Reply, id, b"x"),
        "pong" => frame_of(Kind::Pong, id, &[]),
        "request" => frame_of(Kind::Request, id, b"do this"),
        "twice" => frame_of(Kind::Started, id, &[]).repeat(2),
        "no memfd" => [
            frame_of(Kind::Started, id, &[]),
            frame_of(Kind::ReplyShared, id, &huge),
        ]
        .concat(),
        _ => panic!("no case {case}"),
    }
}

#[test]
#[ignore = "the worker that sends nonsense"]
fn hostile_process() {
    let number = std::env::var(SOCKET_VARIABLE).unwrap().parse().unwrap();
    // SAFETY: the supervisor left it to this process; nobody else takes it.
    let mut stream = unsafe { UnixStream::from_raw_fd(number) };
    let mut bytes = Vec::new();
    let id = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        if let Some((frame, _)) = frame::decode(&bytes).unwrap() {
            break frame.id;
        }
    };
    let case = std::env::var("CASE").unwrap();
    stream.write_all(&nonsense(&case, id)).unwrap();
    if case != "half" {
        // Until it is killed for it.
        let _ = stream.read_to_end(&mut bytes);
        loop {
            thread::park();
        }
    }
}

#[test]
fn hostile_workers_are_killed() {
    let check = |case: &str, kind: ErrorKind, expected: &str| {
        let worker = Worker::builder(std::env::current_exe().unwrap())
            .args(["--exact", "hostile_process", "--ignored", "--nocapture"])
            .env("CASE", case)
            .call_timeout(PATIENCE)
            .build()
            .unwrap();
        let error = worker.call(b"x").unwrap_err();
        assert_eq!(error.kind(), kind, "{case}: {error}");
        assert!(error.to_string().contains(expected), "{case}: {error}");
        let figures = worker.figures();
        assert_eq!((figures.started_total, figures.crashed_total), (2, 2));
        assert_eq!(figures.pid, None);
    };
    check("long", ErrorKind::Gone, "said to be 4294967295");
    check("empty", ErrorKind::Gone, "said to be 0");
    check("kind", ErrorKind::Gone, "99 is the code of no kind");
    check("half", ErrorKind::Gone, "exit status: 0");
    check("stranger", ErrorKind::Gone, "no such call is in flight");
    check("eager", ErrorKind::Gone, "does not fit the state");
    check("pong", ErrorKind::Gone, "does not fit the state");
    check("request", ErrorKind::Gone, "does not fit the state");
    check("twice", ErrorKind::Poisoned, "does not fit the state");
    check("no memfd", ErrorKind::Poisoned, "none came along");
}
