//! `plimsoll watch`: a live terminal view of a process's memory.
//!
//! `state` says what is shown and what keys and readings do to it; `draw` makes a screen of it;
//! both are pure. `reader` reads in threads of its own so that keys are answered while a reading
//! takes seconds, and `keys` waits for keys in another; `live` is the loop between them and the
//! terminal; `command` is the command that `watch -- CMD` starts.

mod changes;
mod command;
mod component_id;
mod draw;
mod history;
mod keys;
mod live;
#[cfg(test)]
mod made;
mod reader;
mod reading;
mod rows;
mod state;
mod terminal;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::bail;

use self::command::Command;
use self::live::{Outcome, live};
use crate::arguments::Watch;
use crate::subject;

/// Exit codes above this are signals, as shells count them.
const SIGNALS_FROM: u8 = 128;

pub(crate) fn watch(arguments: &Watch) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() {
        bail!(
            "standard output is not a terminal, and `watch` draws on one; use `plimsoll inspect` \
             for one reading or `plimsoll record` to follow a process"
        );
    }
    let outcome = match &arguments.subject {
        Some(subject) => live(subject::find(subject)?, None, arguments.interval)?,
        None => {
            let mut command = Command::start(&arguments.command)?;
            let outcome = live(command.pid(), Some(&mut command), arguments.interval);
            command.finish();
            outcome?
        }
    };
    Ok(match outcome {
        Outcome::Quit => ExitCode::SUCCESS,
        Outcome::Signal(signal) => ExitCode::from(SIGNALS_FROM + signal),
    })
}
