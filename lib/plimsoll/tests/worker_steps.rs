//! kill -9 of the worker, and of its supervisor, at every step of a call. This program runs itself as a
//! worker that speaks frames by hand, so that it can stop at a known step.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::ErrorKind;
use plimsoll::worker::frame::{self, Frame, Kind};
use plimsoll::worker::{SOCKET_VARIABLE, Worker};

/// For a busy machine; nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// In the order in which a worker comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Started,
    HalfARequestRead,
    RequestRead,
    HalfABeginTold,
    BeginTold,
    ProgressTold,
    HalfAReplyTold,
    ReplyTold,
}

const STEPS: [Step; 8] = [
    Step::Started,
    Step::HalfARequestRead,
    Step::RequestRead,
    Step::HalfABeginTold,
    Step::BeginTold,
    Step::ProgressTold,
    Step::HalfAReplyTold,
    Step::ReplyTold,
];

/// What a worker does when it comes to its step.
fn come_to(step: Step) {
    if std::env::var("STEP").unwrap() != format!("{step:?}") {
        return;
    }
    let marker = std::env::var("MARKER").unwrap();
    match std::env::var("THEN").unwrap().as_str() {
        "die" => die(),
        "die once" => {
            if File::create_new(marker).is_ok() {
                die();
            }
        }
        "wait" => {
            // Put in place whole: who waits for it reads all of it.
            let told = format!("{marker}.new");
            fs::write(&told, std::process::id().to_string()).unwrap();
            fs::rename(told, marker).unwrap();
            loop {
                thread::park();
            }
        }
        other => panic!("nothing is called {other}"),
    }
}

fn die() {
    // SAFETY: a signal to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

#[test]
#[ignore = "the worker of the other tests"]
fn stepping_process() {
    let number = std::env::var(SOCKET_VARIABLE).unwrap().parse().unwrap();
    // SAFETY: the supervisor left it to this process; nobody else takes it.
    let mut stream = unsafe { UnixStream::from_raw_fd(number) };
    come_to(Step::Started);
    let mut read = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        read.push(byte[0]);
        if read.len() == 6 {
            come_to(Step::HalfARequestRead);
        }
        let answered = match frame::decode(&read).unwrap() {
            Some((frame, _)) if frame.kind == Kind::Request => answer(&mut stream, &frame),
            // Asked to end.
            Some((frame, _)) if frame.kind == Kind::Shutdown => return,
            Some(_) => Ok(()),
            None => continue,
        };
        if answered.is_err() {
            return;
        }
        read.clear();
    }
}

fn answer(stream: &mut UnixStream, request: &Frame<'_>) -> std::io::Result<()> {
    let frame_of = |kind, body| {
        let id = request.id;
        frame::encode(&Frame { kind, id, body }).unwrap()
    };
    let (began, reply) = (
        frame_of(Kind::Started, &[]),
        frame_of(Kind::Reply, request.body),
    );
    come_to(Step::RequestRead);
    stream.write_all(&began[..5])?;
    come_to(Step::HalfABeginTold);
    stream.write_all(&began[5..])?;
    come_to(Step::BeginTold);
    stream.write_all(&frame_of(Kind::Progress, b"half way"))?;
    come_to(Step::ProgressTold);
    stream.write_all(&reply[..reply.len() / 2])?;
    come_to(Step::HalfAReplyTold);
    stream.write_all(&reply[reply.len() / 2..])?;
    come_to(Step::ReplyTold);
    Ok(())
}

/// A file that is not there.
fn marker(step: Step, then: &str) -> PathBuf {
    let file = format!("plimsoll-step-{step:?}-{then}-{}", std::process::id());
    let path = std::env::temp_dir().join(file);
    let _ = fs::remove_file(&path);
    path
}

fn worker(step: &str, then: &str, marker: &str) -> Worker {
    Worker::builder(std::env::current_exe().unwrap())
        .args(["--exact", "stepping_process", "--ignored", "--nocapture"])
        .env("STEP", step)
        .env("THEN", then)
        .env("MARKER", marker)
        .call_timeout(PATIENCE)
        .build()
        .unwrap()
}

fn worker_at(step: Step, then: &str) -> (Worker, PathBuf) {
    let marker = marker(step, then);
    let worker = worker(&format!("{step:?}"), then, marker.to_str().unwrap());
    (worker, marker)
}

#[test]
fn a_worker_that_is_killed_at_any_step_is_replaced_and_the_call_answered() {
    for step in STEPS {
        let (worker, marker) = worker_at(step, "die once");
        assert_eq!(worker.call(b"once").unwrap(), b"once", "{step:?}");
        // After a whole reply nobody waits for the end of that worker: the next call does.
        assert_eq!(worker.call(b"again").unwrap(), b"again", "{step:?}");
        let figures = worker.figures();
        assert_eq!(figures.started_total, 2, "{step:?} {figures:?}");
        assert_eq!(figures.crashed_total, 1, "{step:?} {figures:?}");
        assert_eq!(figures.poisoned_total, 0, "{step:?} {figures:?}");
        fs::remove_file(marker).unwrap();
    }
}

#[test]
fn a_worker_that_is_always_killed_is_told_and_a_request_that_does_it_refused() {
    for step in STEPS {
        let (worker, _) = worker_at(step, "die");
        let result = worker.call(b"x");
        let figures = worker.figures();
        if step == Step::ReplyTold {
            assert_eq!(result.unwrap(), b"x");
            continue;
        }
        // Only what had begun can be the request's fault.
        let kind = match step < Step::BeginTold {
            true => ErrorKind::Gone,
            false => ErrorKind::Poisoned,
        };
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{step:?}: {error}");
        assert_eq!(figures.started_total, 2, "{step:?} {figures:?}");
        assert_eq!(figures.crashed_total, 2, "{step:?} {figures:?}");
        assert_eq!(figures.pending, 0, "{step:?} {figures:?}");
    }
}

#[test]
#[ignore = "the supervisor that a test kills"]
fn supervisor_process() {
    let variable = |name| std::env::var(name).unwrap();
    let worker = worker(&variable("STEP"), "wait", &variable("MARKER"));
    let _ = worker.call(b"answered at the last step only");
    // The worker is not to be ended by anything but the kill.
    loop {
        thread::park();
    }
}

#[test]
fn a_worker_ends_at_any_step_when_its_supervisor_is_killed() {
    for step in STEPS {
        let marker = marker(step, "wait");
        let mut supervisor = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "supervisor_process", "--ignored", "--nocapture"])
            .env("STEP", format!("{step:?}"))
            .env("MARKER", &marker)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let pid = loop {
            if let Ok(pid) = fs::read_to_string(&marker) {
                break pid.parse().unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "{step:?}");
            thread::yield_now();
        };
        let pidfd = open_pidfd(pid);
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        assert!(ends(&pidfd), "{step:?}");
        fs::remove_file(marker).unwrap();
    }
}

/// A descriptor that tells of the end of any process.
fn open_pidfd(pid: i32) -> OwnedFd {
    // SAFETY: takes two integers and returns a new descriptor.
    unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0);
        assert!(number >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(number.try_into().unwrap())
    }
}

fn ends(pidfd: &OwnedFd) -> bool {
    let mut watched = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let patience = PATIENCE.as_millis().try_into().unwrap();
    // SAFETY: one entry that is there.
    unsafe { libc::poll(&raw mut watched, 1, patience) == 1 }
}
