//! Boards with images and models, and the real worker's program. Models and images are those that
//! `booru-tagger` is tested with.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll_booru::board::Board;
use plimsoll_booru::ml::queue::{self, Job};
use plimsoll_booru::ml::service::KindStatus;
use plimsoll_booru::ml::settings::FileSettings;
use plimsoll_booru::ml::{Kind, Service, Settings};
use plimsoll_booru::store::{Access, Store, StoreOptions};
use rusqlite::Connection;

use crate::collection::Folder;

/// Machines that run many tests at once are slow to start things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A worker that this test has built, beside the board's own program.
pub(crate) fn tagger() -> PathBuf {
    static BUILT: Once = Once::new();
    let own = Path::new(env!("CARGO_BIN_EXE_booru"));
    let folder = own.parent().unwrap();
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "plimsoll-booru-tagger"]);
        if folder.file_name() == Some("release".as_ref()) {
            cargo.arg("--release");
        }
        let target = folder.parent().unwrap();
        let built = cargo.arg("--target-dir").arg(target).status().unwrap();
        assert!(built.success(), "build booru-tagger: {built}");
    });
    folder.join("booru-tagger")
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    apps.join("booru-tagger/tests/fixtures").join(name)
}

/// Waits until `holds`; how it is then.
pub(crate) fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(pid: u32, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: a signal to a process that this test has started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// A board with models in place, and what its worker is started with.
pub(crate) struct Place {
    pub(crate) folder: Folder,
    /// Before `booru.toml`.
    pub(crate) settings: Vec<(String, String)>,
}

impl Place {
    /// `images` copies of three pictures, 0 to `images` - 1 in their names; the ids begin with 1.
    pub(crate) fn new(images: usize) -> Place {
        let folder = Folder::new("ml");
        fs::set_permissions(folder.root(), PermissionsExt::from_mode(0o700)).unwrap();
        let board = folder.path("board");
        Store::create(&board.join("data/booru.db")).unwrap();
        let place = Place {
            settings: Vec::new(),
            folder,
        };
        fs::create_dir_all(place.images()).unwrap();
        let connection = place.connection();
        for number in 0..images {
            let from = ["wide.png", "clear.png", "photo.jpg"][number % 3];
            let name = format!("{number}.{}", from.rsplit('.').next().unwrap());
            fs::copy(fixture(from), place.images().join(&name)).unwrap();
            let sql = "INSERT INTO images (filepath, md5) VALUES (?1, ?2)";
            let values = (format!("abc/{name}"), format!("{number:032x}"));
            connection.execute(sql, values).unwrap();
        }
        for (from, to) in [
            ("camie.onnx", "Tagger/model.onnx"),
            ("camie-metadata.json", "Tagger/metadata.json"),
            ("siglip.onnx", "Similarity/model.onnx"),
            ("x4.onnx", "Upscaler/x4.onnx"),
        ] {
            let to = place.model(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(fixture(from), to).unwrap();
        }
        place
            .with("ML_WORKER_PROGRAM", tagger().to_str().unwrap())
            .with("ML_WORKER_RUNTIME", "tract")
            .with("LOCAL_TAGGER_STORAGE_THRESHOLD", "0.05")
            .with("SEMANTIC_EMBEDDING_DIM", "512")
            .with("UPSCALER_ENABLED", "true")
            .with("UPSCALER_MODEL", "x4")
            .with("UPSCALER_TILE_SIZE", "16")
            .with("UPSCALER_TILE_PAD", "2")
            .with("ML_WORKER_SILENCE_TIMEOUT", "60")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Place {
        self.set(name, value);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn board(&self) -> PathBuf {
        self.folder.path("board")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.board().join("static/images/abc")
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.board().join("models").join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        let set = self
            .settings
            .iter()
            .rev()
            .find(|(name, _)| name == "ML_WORKER_SOCKET");
        set.map_or_else(|| self.folder.path("ml.sock"), |(_, path)| path.into())
    }

    /// A program that does something and becomes the worker then.
    pub(crate) fn wrapped(self, before: &str) -> Place {
        let script = self.folder.path("worker.sh");
        let text = format!(
            "#!/bin/bash\n{before}\nexec {} \"$@\"\n",
            tagger().display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
        let script = script.to_str().unwrap().to_owned();
        self.with("ML_WORKER_PROGRAM", &script)
    }

    pub(crate) fn read_settings(&self) -> Settings {
        let socket = self.socket();
        let read = Settings::read(&self.board(), &FileSettings::default(), &|name| {
            let set = self.settings.iter().rev().find(|(known, _)| known == name);
            match (set, name) {
                (Some((_, value)), _) => Some(value.into()),
                (None, "ML_WORKER_SOCKET") => Some(socket.clone().into()),
                _ => None,
            }
        });
        let mut settings = read.unwrap();
        // What the worker reads itself; the environment of this process is that of all tests.
        for (name, value) in &self.settings {
            settings.worker.variables.push((name.into(), value.into()));
        }
        let idle = self
            .settings
            .iter()
            .rev()
            .find(|(name, _)| name == "ML_WORKER_IDLE_TIMEOUT");
        let idle = idle.map_or("300", |(_, seconds)| seconds);
        settings
            .worker
            .variables
            .push(("ML_WORKER_IDLE_TIMEOUT".into(), idle.into()));
        settings
    }

    pub(crate) fn open(&self) -> Arc<Mutex<Board>> {
        let options = StoreOptions {
            access: Access::InPlace,
            cache_bytes: 4 << 20,
            patience: Duration::from_secs(30),
        };
        Arc::new(Mutex::new(Board::open(&self.board(), options).unwrap()))
    }

    /// A service and its board.
    pub(crate) fn serve(&self) -> Served {
        let board = self.open();
        let service = Service::start(self.read_settings(), board.clone()).unwrap();
        Served { service, board }
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> Connection {
        let connection = Connection::open(self.board().join("data/booru.db")).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }

    /// `booru` with the settings of this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
        command
            .args(arguments)
            .env("ML_WORKER_SOCKET", self.socket());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }
}

pub(crate) struct Served {
    pub(crate) service: Service,
    pub(crate) board: Arc<Mutex<Board>>,
}

impl Served {
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap()
    }

    pub(crate) fn kind(&self, kind: Kind) -> KindStatus {
        let status = self.service.status().unwrap();
        status
            .kinds
            .into_iter()
            .find(|one| one.kind == kind)
            .unwrap()
    }

    /// Waits until nothing of the kind is left.
    pub(crate) fn finish(&self, kind: Kind) -> KindStatus {
        wait_for("the end of the work", || {
            let status = self.kind(kind);
            assert_eq!(status.waits_because, None);
            (status.counts.open() == 0).then_some(status)
        })
    }

    pub(crate) fn job(&self, kind: Kind, image: u32) -> Job {
        let board = self.board();
        queue::find(board.store(), kind, image).unwrap().unwrap()
    }

    /// Why the kind waits, once it does.
    pub(crate) fn reason(&self, kind: Kind) -> String {
        wait_for("the work to wait", || self.kind(kind).waits_because)
    }
}

/// The worker that listens at a socket.
pub(crate) fn worker_pid(place: &Place) -> Option<u32> {
    let settings = place.read_settings();
    let status = plimsoll_booru::ml::worker::status(&settings.worker).ok()?;
    status.pid.and_then(|pid| u32::try_from(pid).ok())
}
