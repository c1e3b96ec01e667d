//! `plimsoll ballast`: a known fault around a command, so that a gate can be seen to bite.
//!
//! It holds so many bytes of its own while the command runs, and grows by so many at each mark that
//! the command makes or line that it writes. It stands between the command and whoever measures:
//! marks and output pass through it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use plimsoll_runner::{MARKS_VARIABLE, send_mark};

use crate::arguments::Ballast;

/// Bytes that are held, every page of them touched.
type Held = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) fn ballast(arguments: &Ballast) -> anyhow::Result<ExitCode> {
    let held: Held = Arc::default();
    grow(&held, arguments.hold.map_or(0, |bytes| bytes.0));
    let (program, words) = arguments
        .command
        .split_first()
        .context("ballast: no command")?;
    let mut command = Command::new(program);
    command.args(words);
    let each = arguments.each.map_or(0, |bytes| bytes.0);
    let outer = std::env::var_os(MARKS_VARIABLE).map(PathBuf::from);
    let folder = std::env::temp_dir().join(format!("plimsoll-ballast-{}", std::process::id()));
    if each > 0
        && let Some(outer) = outer
    {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("ballast: make {}", folder.display()))?;
        let socket = folder.join("marks");
        let listener = UnixListener::bind(&socket)
            .with_context(|| format!("ballast: listen on {}", socket.display()))?;
        command.env(MARKS_VARIABLE, &socket);
        let held = Arc::clone(&held);
        std::thread::spawn(move || pass_marks(&listener, &outer, &held, each));
    }
    command.stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("ballast: run {}", program.to_string_lossy()))?;
    if let Some(output) = child.stdout.take() {
        pass_lines(BufReader::new(output), &held, each);
    }
    let status = child.wait().context("ballast: wait")?;
    // Ours, made above; a leftover in the temporary folder is all that can go wrong.
    let _ = std::fs::remove_dir_all(&folder);
    // Freed piece by piece it would be in the last reading as any part of it.
    std::mem::forget(held);
    let code = status.code().unwrap_or(1) & 0xff;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Zeroed pages are not resident until they are written.
fn grow(held: &Held, bytes: u64) {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let block = vec![0xB5; bytes];
    held.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(block);
}

/// Connections end with the command that made them; one at a time is enough, since each mark waits
/// to be read.
fn pass_marks(listener: &UnixListener, outer: &Path, held: &Held, each: u64) {
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            continue;
        };
        let (outer, held) = (outer.to_owned(), Arc::clone(held));
        std::thread::spawn(move || {
            // The command has gone: it has made all its marks.
            let _ = pass_marks_of(&connection, &outer, &held, each);
        });
    }
}

fn pass_marks_of(
    connection: &UnixStream,
    outer: &Path,
    held: &Held,
    each: u64,
) -> std::io::Result<()> {
    let mut answers = connection.try_clone()?;
    for label in BufReader::new(connection).lines() {
        grow(held, each);
        send_mark(outer, &label?)?;
        answers.write_all(b"ok\n")?;
    }
    Ok(())
}

fn pass_lines(mut lines: impl BufRead, held: &Held, each: u64) {
    let mut line = Vec::new();
    let mut stdout = std::io::stdout();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        if each > 0 {
            grow(held, each);
        }
        // Who measures reads it; when that has gone, nobody does.
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
        line.clear();
    }
}
