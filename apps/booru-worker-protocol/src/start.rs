//! The worker's process as the board starts it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::ClientError;

/// How often the socket is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often one is started that ends well before it is reached: another had the socket and has gone since, or it was
/// idle for as long as it may be.
const STARTS_MAX: u32 = 5;

/// A worker that this process started. Its standard input is a pipe that only this process holds:
/// when this ends, however, the worker sees the end of it and ends too. (A death signal would be
/// bound to the thread that started it, and threads of a web server come and go.)
pub(crate) struct Started {
    process: Child,
    _lifeline: Option<ChildStdin>,
}

impl Started {
    /// Starts `program` and waits until its socket answers.
    pub(crate) fn start(
        program: &Path,
        args: &[std::ffi::OsString],
        env: &[(std::ffi::OsString, std::ffi::OsString)],
        socket: &Path,
        ready: Duration,
    ) -> Result<Started, ClientError> {
        let failed = |reason: String| ClientError::Start {
            program: PathBuf::from(program),
            reason,
        };
        let spawn = || {
            let mut process = Command::new(program)
                .args(args)
                .envs(env.iter().map(|(key, value)| (key, value)))
                .env("ML_WORKER_SOCKET", socket)
                .stdin(Stdio::piped())
                // Standard error is the board's own: its log.
                .stdout(Stdio::null())
                .spawn()
                .map_err(|error| {
                    failed(format!(
                        "{error}; is it installed, and ML_WORKER_PROGRAM right?"
                    ))
                })?;
            let lifeline = process.stdin.take();
            Ok(Started {
                process,
                _lifeline: lifeline,
            })
        };
        let begun = Instant::now();
        let mut started = spawn()?;
        let mut starts = 1;
        loop {
            // Another process's client may have been faster; its worker serves as well.
            if UnixStream::connect(socket).is_ok() {
                return Ok(started);
            }
            if let Ok(Some(status)) = started.process.try_wait() {
                if !status.success() || starts == STARTS_MAX {
                    return Err(failed(format!("it ended with {status}; its log says why")));
                }
                starts += 1;
                started = spawn()?;
            }
            if begun.elapsed() >= ready {
                // Dropping it kills it.
                let seconds = ready.as_secs_f64();
                return Err(failed(format!(
                    "its socket {} did not answer within {seconds} s",
                    socket.display()
                )));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Whether it runs; reaps it otherwise.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Kills nothing that was reaped: std remembers.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
