//! The worker's program: found, set up, asked how it is, and ended.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use plimsoll_booru_worker_protocol::message::Task;
use plimsoll_booru_worker_protocol::{Client, ClientOptions};
use serde::Serialize;

use super::settings::WorkerSettings;

const PROGRAM: &str = "booru-tagger";
/// From its start to its first connection: it loads no model for that, but machines may be busy.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

impl WorkerSettings {
    /// The program: what was set, beside this one, or in `PATH`.
    ///
    /// # Errors
    /// Where it is nowhere; says what to do.
    pub fn find_program(&self) -> Result<PathBuf> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        let beside = env::current_exe().ok();
        let beside = beside.and_then(|own| Some(own.parent()?.to_owned()));
        let folders = env::var_os("PATH").unwrap_or_default();
        let mut places = beside.into_iter().chain(env::split_paths(&folders));
        let found = places.find_map(|folder| {
            let path = folder.join(PROGRAM);
            path.is_file().then_some(path)
        });
        found.with_context(|| {
            format!(
                "find {PROGRAM}, which runs the models: it is neither beside this program nor in PATH. Build it \
                 with `cargo build --release -p plimsoll-booru-tagger` and put it there, or say where it is \
                 with ML_WORKER_PROGRAM"
            )
        })
    }

    /// A client that keeps no count of tries: the queue does.
    ///
    /// # Errors
    /// As [`WorkerSettings::find_program`].
    pub fn client(&self) -> Result<Client> {
        let mut options = self.client_options(self.find_program()?);
        options.tries = 1;
        Ok(Client::new(options))
    }

    fn client_options(&self, program: PathBuf) -> ClientOptions {
        let mut options = ClientOptions::new(program, &self.socket);
        options.ready_timeout = READY_TIMEOUT;
        options.silence_timeout = self.silence_timeout;
        options.env.clone_from(&self.variables);
        if let Some(file) = self.env_file.as_ref().filter(|file| file.is_file()) {
            options.args.push("--env-file".into());
            options.args.push(file.into());
        }
        options
    }

    /// A client for a worker that is there already; it starts none.
    fn visitor(&self) -> Client {
        Client::new(self.client_options(PROGRAM.into()))
    }
}

/// How a worker is.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerStatus {
    pub is_running: bool,
    pub socket: PathBuf,
    pub pid: Option<u64>,
    pub backend: Option<String>,
    pub active_jobs: Option<u64>,
    /// Resident, by the kernel, and of it anonymous.
    pub rss_bytes: Option<u64>,
    pub anonymous_bytes: Option<u64>,
}

/// Asks the worker that listens at the socket, if there is one. Starts none.
///
/// # Errors
/// One that gives no answer.
pub fn status(settings: &WorkerSettings) -> Result<WorkerStatus> {
    let client = settings.visitor();
    let health = client.call_running(&Task::HealthCheck)?;
    let answer = health.clone().unwrap_or_default();
    let pid = answer["pid"].as_u64();
    let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    let bytes = |name: &str| {
        let line = status
            .as_ref()?
            .lines()
            .find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kib << 10)
    };
    Ok(WorkerStatus {
        is_running: health.is_some(),
        socket: settings.socket.clone(),
        pid,
        backend: answer["backend"].as_str().map(str::to_owned),
        active_jobs: answer["active_jobs"].as_u64(),
        rss_bytes: bytes("VmRSS:"),
        anonymous_bytes: bytes("RssAnon:"),
    })
}

/// Has the worker end after what it does now; whether there was one.
///
/// # Errors
/// One that gives no answer.
pub fn stop(settings: &WorkerSettings) -> Result<bool> {
    Ok(settings.visitor().call_running(&Task::Shutdown)?.is_some())
}

/// Runs `booru-tagger setup` with these arguments; it remembers its choice where boards look for it,
/// unless they name another file.
///
/// # Errors
/// A program that is nowhere, or can't be run.
pub fn setup(settings: &WorkerSettings, arguments: &[OsString]) -> Result<ExitStatus> {
    let program = settings.find_program()?;
    let mut command = Command::new(&program);
    command.arg("setup").args(arguments);
    let names_file = |argument: &OsString| {
        argument
            .to_str()
            .is_some_and(|text| text.starts_with("--env-file"))
    };
    if !arguments.iter().any(names_file) {
        let Some(file) = &settings.env_file else {
            bail!(
                "remember the setup: neither XDG_CONFIG_HOME nor HOME is set; give --env-file FILE"
            );
        };
        if let Some(folder) = file.parent() {
            make_folder(folder)?;
        }
        command.arg("--env-file").arg(file);
    }
    let status = command.status();
    status.with_context(|| format!("run {}", program.display()))
}

fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("make {}", folder.display()))
}
