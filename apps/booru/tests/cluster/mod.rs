//! A PostgreSQL server of the tests' own: its files in a temporary folder, a Unix socket, gone with the process
//! that started it, however that ends.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    /// Whether its files outlive the server.
    is_kept: bool,
    server: Mutex<Option<Server>>,
}

struct Server {
    child: Child,
    /// The server ends when this is closed.
    _until: ChildStdin,
}

/// Who runs the server: it refuses root.
const KEEPER: &str = "postgres";

fn is_root() -> bool {
    // SAFETY: it takes nothing and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

fn as_keeper(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", KEEPER, "--regid", KEEPER, "--clear-groups"])
        .arg(program);
    command
}

/// One that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Where Debian and others keep them.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    folders.sort();
    folders.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    folders.into_iter().find(has_all)
}

impl Cluster {
    /// The one that tests share, or `None`, which is said, where there is no PostgreSQL.
    pub(crate) fn shared() -> Option<&'static Cluster> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Cluster::start("shared", false));
        if shared.is_none() {
            println!("SKIPPED: no PostgreSQL (apt-get install postgresql), or no user {KEEPER}");
        }
        shared.as_ref()
    }

    /// One of a test's own, or `None`, which is said.
    pub(crate) fn start_again(name: &str) -> Option<Cluster> {
        Cluster::shared()?;
        Cluster::start(name, true)
    }

    /// A server whose users give no password, but for `guest`, whose is `right`.
    fn start(name: &str, is_kept: bool) -> Option<Cluster> {
        let programs = programs()?;
        let folder = std::env::temp_dir().join(format!("booru-pg-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            let given = Command::new("chown").arg(KEEPER).arg(&folder).status();
            if !given.is_ok_and(|status| status.success()) {
                let _ = fs::remove_dir_all(&folder);
                return None;
            }
        }
        let made = as_keeper(&programs.join("initdb"))
            .current_dir(&folder)
            .args([
                "-U",
                "owner",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-A",
                "trust",
                "-N",
                "-D",
            ])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        // Those who come by the network, that is 127.0.0.1, need a password.
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
        let cluster = Cluster {
            folder,
            programs,
            port: free_port(),
            is_kept,
            server: Mutex::new(None),
        };
        cluster.run();
        Some(cluster)
    }

    /// Starts the server, and waits until it takes connections.
    pub(crate) fn run(&self) {
        let script = "\"$1\" -D \"$2/data\" -k \"$2\" -p \"$3\" -c listen_addresses=127.0.0.1 -c fsync=off \
                      -c max_connections=40 -c shared_buffers=32MB -c log_min_messages=panic 2>&1 & \
                      server=$!; echo $server; cat >/dev/null; kill -QUIT $server; wait $server; \
                      test \"$4\" = kept || rm -rf \"$2\"";
        let mut child = as_keeper(Path::new("/bin/sh"))
            .current_dir(&self.folder)
            .args(["-c", script, "sh"])
            .arg(self.programs.join("postgres"))
            .arg(&self.folder)
            .arg(self.port.to_string())
            .arg(if self.is_kept { "kept" } else { "gone" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        *self.server.lock().unwrap() = Some(Server {
            child,
            _until: until,
        });
        let mut tries = 0;
        while self.try_sql("postgres", "SELECT 1").is_err() {
            tries += 1;
            assert!(tries < 1000, "the server does not take connections");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Read so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn crash(&self) {
        if let Some(Server { mut child, _until }) = self.server.lock().unwrap().take() {
            drop(_until);
            child.wait().unwrap();
        }
        let _ = fs::remove_file(self.folder.join("data/postmaster.pid"));
    }

    /// An empty database, by its address.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("board_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    pub(crate) fn address(&self, database: &str) -> String {
        let folder = self.folder.display();
        format!(
            "postgres://owner@/{database}?host={folder}&port={}",
            self.port
        )
    }

    /// As another program asks, each statement for itself.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        self.try_sql(database, sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let address = self.address(database);
            let connecting = tokio_postgres::connect(&address, tokio_postgres::NoTls);
            let (client, connection) = connecting.await?;
            tokio::spawn(connection);
            let said = client.simple_query(sql).await?;
            let rows = said.iter().filter_map(|one| match one {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some(row.get(0).unwrap_or_default().to_owned())
                }
                _ => None,
            });
            Ok(rows.collect())
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// The name of the database of an address that [`Cluster::database`] made.
pub(crate) fn name_of(address: &str) -> &str {
    let (_, rest) = address.split_once("@/").unwrap();
    rest.split('?').next().unwrap()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
