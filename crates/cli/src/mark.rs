//! `plimsoll mark LABEL`: called from inside a run, begins a stage there.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use plimsoll_runner::{MARKS_VARIABLE, send_mark};

use crate::arguments::Mark;

pub(crate) fn mark(arguments: &Mark) -> anyhow::Result<ExitCode> {
    if arguments.label.trim().is_empty() {
        bail!("mark: give the stage a name");
    }
    let Some(socket) = std::env::var_os(MARKS_VARIABLE) else {
        bail!(
            "mark {:?}: {MARKS_VARIABLE} is not set, so nobody listens; call it from a command \
             that was started by `plimsoll run -- CMD`",
            arguments.label
        );
    };
    let socket = Path::new(&socket);
    send_mark(socket, &arguments.label)
        .with_context(|| format!("mark {:?}: tell {}", arguments.label, socket.display()))?;
    Ok(ExitCode::SUCCESS)
}
