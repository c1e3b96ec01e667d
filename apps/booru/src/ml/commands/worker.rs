//! `booru worker`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::read_settings;
use crate::command::{mib, say, say_json, shown};
use crate::ml::arguments::{WorkerArguments, WorkerCommand};
use crate::ml::worker;

pub(super) fn worker(act: &WorkerCommand) -> Result<ExitCode> {
    let settings = |arguments: &WorkerArguments| read_settings(arguments.board.as_deref());
    match act {
        WorkerCommand::Status(arguments) => {
            let status = worker::status(&settings(arguments)?.worker)?;
            if arguments.form.json {
                say_json(&status)?;
                return Ok(ExitCode::SUCCESS);
            }
            let socket = shown(&status.socket.to_string_lossy());
            let mut text = String::new();
            match status.pid.filter(|_| status.is_running) {
                None if status.is_running => writeln!(text, "A worker runs at {socket}")?,
                None => writeln!(text, "No worker runs; the next job starts one at {socket}")?,
                Some(pid) => writeln!(text, "The worker {pid} runs at {socket}")?,
            }
            let backend = status
                .backend
                .map(|backend| format!("on {}", shown(&backend)));
            let jobs = status
                .active_jobs
                .map(|jobs| format!("{jobs} requests under way"));
            for line in [backend, jobs].into_iter().flatten() {
                writeln!(text, "  {line}")?;
            }
            if let (Some(rss), Some(anonymous)) = (status.rss_bytes, status.anonymous_bytes) {
                writeln!(
                    text,
                    "  RSS {}, of it anonymous {}",
                    mib(rss),
                    mib(anonymous)
                )?;
            }
            say(&text)?;
        }
        WorkerCommand::Stop(arguments) => {
            let has_stopped = worker::stop(&settings(arguments)?.worker)?;
            match (arguments.form.json, has_stopped) {
                (true, _) => say_json(&json!({ "has_stopped": has_stopped }))?,
                (_, true) => say("The worker ends\n")?,
                (_, false) => say("No worker runs\n")?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
