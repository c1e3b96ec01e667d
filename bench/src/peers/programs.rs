//! Programs that are measured as whole commands: start, read, print to /dev/null, end.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::race::{Contestant, Turn};

/// `command` as a contestant, or why it is skipped: `hint` says how to get it.
pub(crate) fn contestant<'a>(name: &str, mut program: Command, hint: &str) -> Contestant<'a> {
    if let Err(reason) = installed(&program) {
        return Contestant::skipped(name, format!("{reason} ({hint})"));
    }
    Contestant::new(name, move || {
        command::run(&mut program).map(|ended| Turn::from(ended.cost))
    })
}

pub(crate) fn pmap<'a>(option: &str, pid: u32) -> Contestant<'a> {
    let mut command = Command::new("pmap");
    command.arg(option).arg(pid.to_string());
    contestant(&format!("pmap {option}"), command, "apt install procps")
}

/// smem reads the smaps of every process whose name or command line fits; `arguments` must fit one.
pub(crate) fn smem<'a>(command_line: &str) -> Contestant<'a> {
    let mut command = Command::new("smem");
    command.args(["-m", "-P", command_line]);
    contestant("smem -m", command, "apt install smem")
}

/// A script that reads the mappings of one process with psutil.
pub(crate) fn psutil_script<'a>(pid: u32) -> Contestant<'a> {
    let mut command = Command::new("python3");
    command.args(["-c", &psutil_program(pid)]);
    contestant(
        "python3 + psutil memory_maps",
        command,
        "apt install python3",
    )
}

pub(crate) fn psutil_program(pid: u32) -> String {
    format!("import psutil; psutil.Process({pid}).memory_maps(grouped=False)")
}

/// What a Python program costs that only imports psutil.
pub(crate) fn python_start<'a>() -> Contestant<'a> {
    let mut command = Command::new("python3");
    command.args(["-c", "import psutil"]);
    contestant(
        "python3, import psutil only",
        command,
        "apt install python3",
    )
}

/// `Err` says that it is skipped.
pub(crate) fn installed(command: &Command) -> Result<(), String> {
    let path = Path::new(command.get_program());
    if is_installed(path) {
        return Ok(());
    }
    Err(format!("skipped: {} is not installed", path.display()))
}

fn is_installed(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}
