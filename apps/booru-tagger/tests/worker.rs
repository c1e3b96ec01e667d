//! The worker as a real process: its starts and ends, its protocol, and what goes wrong with it.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_booru_worker_protocol::message::{
    ComputeSimilarity, TagImage, TagImages, Tagging, Task, UpscaleImage,
};
use plimsoll_booru_worker_protocol::{Client, ClientError, ClientOptions, frame};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_booru-tagger");
/// Machines that run many tests at once are slow to start things.
const PATIENCE: Duration = Duration::from_secs(120);

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(name).into_os_string().into_string().unwrap()
}

/// A folder for one test; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("booru-tagger-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("ml.sock")
    }

    fn client(&self, idle: &str) -> Client {
        let mut options = ClientOptions::new(PROGRAM, self.socket());
        options.ready_timeout = PATIENCE;
        options.silence_timeout = PATIENCE;
        options.retry_pause = Duration::from_millis(20);
        options
            .env
            .push(("ML_WORKER_IDLE_TIMEOUT".into(), idle.into()));
        Client::new(options)
    }

    /// A worker that this test starts itself, once it answers.
    fn worker(&self, args: &[&str]) -> Child {
        let child = self.start(args);
        wait_for("the socket", || UnixStream::connect(self.socket()).is_ok());
        child
    }

    fn start(&self, args: &[&str]) -> Child {
        Command::new(PROGRAM)
            .arg("serve")
            .args(args)
            .env("ML_WORKER_SOCKET", self.socket())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn tag(image: &str) -> Task {
    Task::TagImage(TagImage {
        image_path: fixture(image),
        tagging: Tagging::new(fixture("camie.onnx")),
    })
}

fn pid(client: &Client) -> libc::pid_t {
    let health = client.call(&Task::HealthCheck).unwrap();
    libc::pid_t::try_from(health["pid"].as_i64().unwrap()).unwrap()
}

fn signal(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: a signal to a process that this test had started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn every_request_is_answered() {
    let folder = Folder::new();
    let client = folder.client("300");
    assert!(!client.has_worker());
    let mut session = client.session();
    let tags = session.call(&tag("wide.png")).unwrap();
    assert_eq!(tags["tagger_name"], "camie-test");
    assert_eq!(tags["tags"].as_object().unwrap().len(), 6);
    assert!(client.has_worker());
    let batch = Task::TagImages(TagImages {
        image_paths: vec![fixture("wide.png"), fixture("none.png"), fixture("cut.png")],
        tagging: Tagging::new(fixture("camie.onnx")),
    });
    let mut told = Vec::new();
    let results = session
        .call_with(&batch, |progress| told.push(progress.current))
        .unwrap();
    assert_eq!(told, [1, 2, 3]);
    assert_eq!(
        results["results"][0]["data"]["all_predictions"],
        tags["all_predictions"]
    );
    assert!(
        results["results"][1]["error"]
            .as_str()
            .unwrap()
            .contains("none.png")
    );
    assert_eq!(results["results"][2]["data"]["warning"], "image_truncated");
    let similar = session
        .call(&Task::ComputeSimilarity(ComputeSimilarity {
            image_path: fixture("wide.png"),
            model_path: fixture("siglip.onnx"),
            model_type: "siglip".into(),
            image_size: None,
            embedding_dim: Some(512),
        }))
        .unwrap();
    assert_eq!(similar["embedding"].as_array().unwrap().len(), 512);
    let output = folder.0.join("large.png");
    let upscale: UpscaleImage = serde_json::from_value(json!({
        "image_path": fixture("clear.png"), "model_name": fixture("x4.onnx"),
        "output_path": output, "tile_size": 16, "tile_pad": 2,
    }))
    .unwrap();
    let upscaled = session.call(&Task::UpscaleImage(upscale.clone())).unwrap();
    assert_eq!(upscaled["upscaled_size"], json!([132, 188]));
    assert_eq!(upscaled["warning"], "alpha_dropped");
    assert!(output.exists());
    let refuse = |task: Task, part: &str| match client.call(&task) {
        Err(ClientError::Refused { message, .. }) => assert!(message.contains(part), "{message}"),
        other => panic!("{other:?}"),
    };
    refuse(tag("none.png"), "none.png");
    let mut moving = upscale.clone();
    moving.image_path = fixture("moving.gif");
    refuse(Task::UpscaleImage(moving), "can't be upscaled");
    let mut unknown = upscale.clone();
    unknown.model_name = "RealESRGAN_x4plus".into();
    refuse(Task::UpscaleImage(unknown), "ML_MODELS_DIR");
    let mut elsewhere = upscale;
    elsewhere.output_path = folder.0.join("no/such/large.png").to_str().unwrap().into();
    refuse(Task::UpscaleImage(elsewhere), "no/such");
    let health = session.call(&Task::HealthCheck).unwrap();
    assert_eq!(
        (&health["status"], &health["active_jobs"]),
        (&json!("ok"), &json!(0))
    );
}

#[test]
fn ten_connections_at_once_have_one_worker() {
    let folder = Folder::new();
    let client = folder.client("300");
    let pids: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..10)
            .map(|_| {
                scope.spawn(|| {
                    let tags = client.call(&tag("wide.png")).unwrap();
                    assert_eq!(tags["tagger_name"], "camie-test");
                    pid(&client)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
}

#[test]
fn it_ends_when_idle_and_another_is_started() {
    let folder = Folder::new();
    let client = folder.client("0.3");
    let mut session = client.session();
    for _ in 0..3 {
        // The kept connection does not keep the worker: its end is noticed, and there is another.
        session.call(&tag("wide.png")).unwrap();
        wait_for("the idle exit", || !client.has_worker());
        assert!(!folder.socket().exists());
    }
}

#[test]
fn no_request_is_lost_to_idle_exits() {
    let folder = Folder::new();
    let client = folder.client("0.02");
    for round in 0..30_u64 {
        // Requests come around the moment of the exit.
        thread::sleep(Duration::from_millis(10 + round % 15));
        client.call(&Task::HealthCheck).unwrap();
    }
}

#[test]
fn one_that_ends_well_before_it_is_reached_is_started_again() {
    let folder = Folder::new();
    let script = |name: &str, text: &str| {
        let file = folder.0.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
        file
    };
    let once = folder.0.join("once");
    let text = format!(
        "[ -e {0} ] || {{ : >{0}; exit 0; }}\nexec {PROGRAM} \"$@\"",
        once.display()
    );
    let mut options = ClientOptions::new(script("late", &text), folder.socket());
    options.ready_timeout = PATIENCE;
    Client::new(options).call(&Task::HealthCheck).unwrap();
    assert!(once.exists());
    // Not without end.
    let count = folder.0.join("count");
    let text = format!("echo >>{}", count.display());
    let mut options = ClientOptions::new(script("never", &text), folder.0.join("other.sock"));
    options.ready_timeout = PATIENCE;
    let error = Client::new(options).call(&Task::HealthCheck).unwrap_err();
    assert!(error.to_string().contains("exit status: 0"), "{error}");
    let starts = std::fs::read_to_string(&count).unwrap().lines().count();
    assert!((2..=20).contains(&starts), "{starts}");
}

#[test]
fn a_killed_or_hung_worker_is_replaced() {
    let folder = Folder::new();
    let client = folder.client("300");
    let mut session = client.session();
    let first = pid(&client);
    session.call(&tag("wide.png")).unwrap();
    signal(first, libc::SIGKILL);
    session.call(&tag("wide.png")).unwrap();
    let second = pid(&client);
    assert_ne!(first, second);
    drop(session);
    // Stopped, it neither answers nor ends: as one whose model hangs.
    let mut options = ClientOptions::new(PROGRAM, folder.socket());
    options.ready_timeout = PATIENCE;
    options.silence_timeout = Duration::from_secs(3);
    let impatient = Client::new(options);
    signal(second, libc::SIGSTOP);
    let health = impatient.call(&Task::HealthCheck).unwrap();
    assert_ne!(health["pid"], json!(second));
    wait_for("its end", || !client.has_worker());
}

#[test]
fn a_worker_that_always_dies_is_an_error() {
    let folder = Folder::new();
    let mut options = ClientOptions::new("/bin/false", folder.socket());
    options.retry_pause = Duration::ZERO;
    let error = Client::new(options.clone())
        .call(&Task::HealthCheck)
        .unwrap_err();
    assert!(matches!(error, ClientError::Start { .. }), "{error}");
    options.program = "/no/such/program".into();
    let error = Client::new(options).call(&Task::HealthCheck).unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

fn exchange(stream: &UnixStream, body: &[u8]) -> Value {
    frame::write(stream, body).unwrap();
    let answer = frame::read(stream).unwrap().unwrap();
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn malformed_requests_are_answered() {
    let folder = Folder::new();
    let mut worker = folder.worker(&[]);
    let stream = UnixStream::connect(folder.socket()).unwrap();
    for (body, id) in [
        (&b"not json"[..], "unknown"),
        (b"", "unknown"),
        (b"\xff\xfe", "unknown"),
        (br#"{"type":"dance","id":"a","data":{}}"#, "unknown"),
        (br#"{"type":"tag_image","id":"b","data":{}}"#, "b"),
    ] {
        let answer = exchange(&stream, body);
        assert_eq!(
            (&answer["id"], &answer["status"]),
            (&json!(id), &json!("error"))
        );
        assert_eq!(answer["traceback"], Value::Null);
    }
    // The connection goes on after all of them.
    let answer = exchange(&stream, br#"{"type":"health_check","id":"c"}"#);
    assert_eq!(
        (&answer["id"], &answer["status"]),
        (&json!("c"), &json!("success"))
    );
    // A length above the maximum ends it, with a word.
    (&stream).write_all(&[255; 8]).unwrap();
    let answer = frame::read(&stream).unwrap().unwrap();
    assert!(
        String::from_utf8(answer)
            .unwrap()
            .contains("maximum is 67108864")
    );
    let mut rest = Vec::new();
    let _ = (&stream).read_to_end(&mut rest);
    assert!(rest.is_empty());
    // Clients that go in the middle of a frame, or of their request, harm nobody.
    let half = UnixStream::connect(folder.socket()).unwrap();
    (&half).write_all(&[0, 0, 1]).unwrap();
    drop(half);
    let gone = UnixStream::connect(folder.socket()).unwrap();
    let request = plimsoll_booru_worker_protocol::message::Request {
        id: "gone".into(),
        task: tag("wide.png"),
    };
    frame::write(&gone, &request.to_body().unwrap()).unwrap();
    drop(gone);
    let stream = UnixStream::connect(folder.socket()).unwrap();
    let answer = exchange(&stream, br#"{"type":"shutdown","id":"d"}"#);
    assert_eq!(answer["status"], "success");
    assert!(worker.wait().unwrap().success());
    assert!(!folder.socket().exists());
}

#[test]
fn it_ends_with_its_parent_by_sigterm_and_where_it_is_one_too_many() {
    let folder = Folder::new();
    let mut first = folder.worker(&[]);
    let mode = std::fs::metadata(folder.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut second = folder.start(&[]);
    assert!(second.wait().unwrap().success());
    signal(libc::pid_t::try_from(first.id()).unwrap(), libc::SIGTERM);
    assert!(first.wait().unwrap().success());
    assert!(!folder.socket().exists());
    let mut child = folder.worker(&["--end-with-stdin"]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    // A file that is no socket is nobody's to remove.
    std::fs::write(folder.socket(), "mine").unwrap();
    assert!(!folder.start(&[]).wait().unwrap().success());
    assert_eq!(std::fs::read(folder.socket()).unwrap(), b"mine");
    // One whose board has gone already does not even look at it.
    let late = Command::new(PROGRAM)
        .args(["serve", "--end-with-stdin"])
        .env("ML_WORKER_SOCKET", folder.socket())
        .stdin(Stdio::null())
        .status();
    assert!(late.unwrap().success());
    std::fs::remove_file(folder.socket()).unwrap();
    // A folder in which others may replace it.
    std::fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(!folder.start(&[]).wait().unwrap().success());
}

#[test]
fn setup_remembers_what_ran_and_nothing_else() {
    let folder = Folder::new();
    let file = folder.0.join(".env");
    std::fs::write(&file, "# mine\nAPP_NAME=x\nML_WORKER_BACKEND=xpu\nLAST=1").unwrap();
    let setup = |backend: &str| {
        Command::new(PROGRAM)
            .args(["setup", "--yes", "--backend", backend, "--env-file"])
            .arg(&file)
            .env("ORT_DYLIB_PATH", "/no/such/libonnxruntime.so")
            .output()
            .unwrap()
    };
    // There is no runtime for it here, so it must not be claimed.
    let output = setup("cuda");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cuda does not run here"), "{text}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("ML_WORKER_BACKEND=xpu\n")
    );
    if cfg!(feature = "tract") {
        for said in ["Remembered", "says so already"] {
            let output = setup("cpu");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && text.contains(said), "{output:?}");
            assert_eq!(
                std::fs::read_to_string(&file).unwrap(),
                "# mine\nAPP_NAME=x\nML_WORKER_BACKEND=cpu\nLAST=1\nML_WORKER_RUNTIME=tract\n"
            );
        }
    }
    assert!(!setup("abacus").status.success());
}
