//! The worker: its program, where it listens, how long it stays, and what it is started with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use plimsoll_booru_worker_protocol::usual_socket;

use super::source::Source;

/// How long a worker stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// From the first request until nothing was asked for `ML_WORKER_IDLE_TIMEOUT`.
    OnDemand,
    /// From the board's start to its end: `ML_WORKER_ENABLED=false`.
    WithBoard,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `ML_WORKER_PROGRAM` of the environment; without it `booru-tagger` beside this program or in `PATH`.
    pub program: Option<PathBuf>,
    pub socket: PathBuf,
    pub residence: Residence,
    /// It is killed where it says nothing for so long while it is asked.
    pub silence_timeout: Duration,
    /// For its environment: what `booru.toml` says, and what follows from the above.
    pub variables: Vec<(OsString, OsString)>,
    /// What `booru setup` remembers.
    pub env_file: Option<PathBuf>,
}

/// Longer than any board lives, and still a time that clocks know.
pub(super) const FOREVER_SECONDS: &str = "31536000";

impl WorkerSettings {
    pub(super) fn read(source: &Source<'_>) -> Result<WorkerSettings> {
        let named = |name: &str| (source.environment)(name).filter(|value| !value.is_empty());
        let residence = match source.is("ML_WORKER_ENABLED", true)? {
            true => Residence::OnDemand,
            false => Residence::WithBoard,
        };
        let mut variables = Vec::new();
        let passed = [
            "ML_WORKER_BACKEND",
            "ML_WORKER_RUNTIME",
            "ML_WORKER_BATCH_SIZE",
        ];
        for name in passed {
            // The environment's own are the worker's anyway.
            if let Some(value) = source.file.get(name)?.filter(|_| named(name).is_none()) {
                variables.push((name.into(), value.into()));
            }
        }
        // Checked here, so that a wrong one is told before anything is queued.
        let idle: f64 = source.number("ML_WORKER_IDLE_TIMEOUT", 300.0, 0.001..=1e9)?;
        let idle = match residence {
            Residence::OnDemand => idle.to_string(),
            Residence::WithBoard => FOREVER_SECONDS.to_owned(),
        };
        variables.push(("ML_WORKER_IDLE_TIMEOUT".into(), idle.into()));
        let socket = match source.text("ML_WORKER_SOCKET")? {
            Some(path) => source.board.join(path),
            None => usual_socket(named("XDG_RUNTIME_DIR").map(PathBuf::from)),
        };
        let silence = source.number("ML_WORKER_SILENCE_TIMEOUT", 300.0, 0.1..=86_400.0)?;
        Ok(WorkerSettings {
            program: named("ML_WORKER_PROGRAM").map(PathBuf::from),
            socket,
            residence,
            silence_timeout: Duration::from_secs_f64(silence),
            variables,
            env_file: env_file(&named),
        })
    }
}

/// Where `booru setup` remembers what it chose: a file of the user, not of a board.
fn env_file(named: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = named("ML_WORKER_ENV_FILE") {
        return Some(path.into());
    }
    let config = named("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(named("HOME")?).join(".config")));
    Some(config?.join("booru").join("ml_worker.env"))
}
