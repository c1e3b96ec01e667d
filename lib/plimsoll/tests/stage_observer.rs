//! Stages told to who watches from outside. The test starts itself again, as the program that is
//! watched, and answers at the socket as the observer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::thread;

use plimsoll::ErrorKind;
use plimsoll::stage::{MARKS_VARIABLE, RssPeak, Stage};

struct Socket(PathBuf);

impl Socket {
    fn new(name: &str) -> Socket {
        let pid = std::process::id();
        Socket(std::env::temp_dir().join(format!("plimsoll-stage-{pid}-{name}")))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It need not be there.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn watched(test: &str, socket: &Socket) -> ExitStatus {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(MARKS_VARIABLE, &socket.0)
        .status()
        .expect("starts")
}

#[test]
fn outermost_stages_are_told_in_their_order() {
    let socket = Socket::new("told");
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    let observer = thread::spawn(move || {
        let mut labels = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut label = String::new();
            stream.read_line(&mut label).expect("a label");
            labels.push(label);
            stream.get_mut().write_all(b"ok\n").expect("it waits");
        }
        labels
    });
    assert!(watched("program_that_tells", &socket).success());
    assert_eq!(observer.join().expect("no panic"), ["import\n", "search\n"]);
}

#[test]
#[ignore = "started by the test above, with an observer"]
fn program_that_tells() {
    if std::env::var_os(MARKS_VARIABLE).is_none() {
        return eprintln!("skipped: started by hand, without an observer");
    }
    let import = Stage::begin("import");
    assert!(import.tell_observer().expect("an observer"));
    let inner = import.nest("batch");
    assert_eq!(
        inner.tell_observer().expect_err("nested").kind(),
        ErrorKind::Invalid
    );
    drop(inner);
    let import = import.end();
    // Without a ledger there are no live figures; the mark is left to the observer.
    assert_eq!(import.live, None);
    assert_ne!(import.rss_peak, RssPeak::Unknown);
    assert!(Stage::begin("search").tell_observer().expect("an observer"));
}

#[test]
fn an_observer_that_fails_is_an_error_and_not_a_hang() {
    let absent = Socket::new("absent");
    assert!(watched("program_without_observer", &absent).success());
    let socket = Socket::new("hangs up");
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    let observer = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        BufReader::new(stream)
            .read_line(&mut String::new())
            .expect("a label");
        let (stream, _) = listener.accept().expect("a connection");
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut String::new()).expect("a label");
        stream.get_mut().write_all(b"what?\n").expect("it waits");
    });
    assert!(watched("program_with_bad_observer", &socket).success());
    observer.join().expect("no panic");
}

#[test]
#[ignore = "started by the test above, with a socket that is not there"]
fn program_without_observer() {
    if std::env::var_os(MARKS_VARIABLE).is_none() {
        return eprintln!("skipped: started by hand, without an observer");
    }
    let error = Stage::begin("import")
        .tell_observer()
        .expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("of stage import"), "{error}");
}

#[test]
#[ignore = "started by the test above, with an observer that hangs up"]
fn program_with_bad_observer() {
    if std::env::var_os(MARKS_VARIABLE).is_none() {
        return eprintln!("skipped: started by hand, without an observer");
    }
    let stage = Stage::begin("import");
    assert_eq!(
        stage.tell_observer().expect_err("hangs up").kind(),
        ErrorKind::Gone
    );
    assert_eq!(
        stage.tell_observer().expect_err("no ok").kind(),
        ErrorKind::Malformed
    );
}
