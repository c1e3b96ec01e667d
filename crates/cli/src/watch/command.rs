//! The command that `watch -- CMD` starts: without input, its output kept instead of shown, and
//! ended with the watch.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use plimsoll_render::printable;

use super::terminal;

/// The end of the command's output that is kept: more than the lines that are printed need.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Lines of output printed after the watch.
const OUTPUT_LINES_MAX: usize = 20;

/// How long a command has to end after SIGTERM before it is left alone.
const END_PATIENCE: Duration = Duration::from_secs(10);

const END_POLL: Duration = Duration::from_millis(20);

/// A started command. Dropped without [`Command::finish`], it is sent SIGTERM.
#[derive(Debug)]
pub(super) struct Command {
    child: Child,
    pub(super) name: String,
    output: Arc<Mutex<VecDeque<u8>>>,
    status: Option<ExitStatus>,
}

impl Command {
    pub(super) fn start(words: &[OsString]) -> anyhow::Result<Command> {
        let (program, arguments) = words.split_first().context("no command to start")?;
        let (reader, writer) = io::pipe().context("can't make a pipe for the command's output")?;
        let writer_of_errors = writer
            .try_clone()
            .context("can't share the output's pipe")?;
        let name = program.to_string_lossy().into_owned();
        // A group of its own: SIGTERM reaches what a shell has started, and a Ctrl-C on the
        // terminal is ours alone.
        let child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(writer_of_errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {name:?}"))?;
        let output = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&output);
        thread::spawn(move || keep_end(reader, &kept));
        Ok(Command {
            child,
            name,
            output,
            status: None,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, in words; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<String> {
        if self.status.is_none() {
            // It is our child and not yet waited for, so this can't fail.
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.map(words)
    }

    /// Ends it if it still runs, and prints how it ended and the last lines of its output.
    pub(super) fn finish(mut self) {
        if self.ended().is_none() {
            self.terminate();
            tell(format_args!(
                "plimsoll: sent SIGTERM to {}, waiting for it to end",
                self.shown()
            ));
            self.wait();
        }
        match self.ended() {
            Some(how) => tell(format_args!("plimsoll: {}: {how}", self.shown())),
            None => tell(format_args!(
                "plimsoll: {} (pid {}) has not ended; it is left running, and writing output \
                 will fail for it",
                self.shown(),
                self.pid()
            )),
        }
        self.print_output();
    }

    fn shown(&self) -> String {
        printable(&self.name).into_owned()
    }

    fn wait(&mut self) {
        let since = Instant::now();
        let asked_before = terminal::signal();
        while self.ended().is_none()
            && since.elapsed() < END_PATIENCE
            && terminal::signal() == asked_before
        {
            thread::sleep(END_POLL);
        }
    }

    fn terminate(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // SAFETY: kill(2) takes plain numbers; the group is our child's, which we have not
            // waited for, so its number was not given to another.
            unsafe { libc::kill(-group, libc::SIGTERM) };
        }
    }

    fn print_output(&self) {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = output.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return;
        }
        let shown = &lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..];
        tell(format_args!(
            "plimsoll: the last {} of its output:",
            count(shown.len())
        ));
        for line in shown {
            tell(format_args!("{}", printable(line)));
        }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.terminate();
        }
    }
}

/// A line to standard error, or to nobody when that is a terminal that is gone: `eprintln!` would
/// panic.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn count(lines: usize) -> String {
    if lines == 1 {
        "line".to_owned()
    } else {
        format!("{lines} lines")
    }
}

/// Reads until the last holder of the other end is gone, so that the command never blocks on a
/// full pipe.
fn keep_end(mut reader: PipeReader, kept: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 8 * 1024];
    while let Ok(length) = reader.read(&mut buffer) {
        if length == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..length]);
        let surplus = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        kept.drain(..surplus);
    }
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str) -> Command {
        Command::start(&["sh".into(), "-c".into(), script.into()]).unwrap()
    }

    fn waited(command: &mut Command) -> Option<String> {
        command.wait();
        command.ended()
    }

    #[test]
    fn how_it_ended_is_told() {
        let check = |script: &str, expected: &str| {
            assert_eq!(waited(&mut started(script)).as_deref(), Some(expected));
        };
        check("exit 3", "exit code 3");
        check("kill -9 $$", "killed by signal 9");
        // No input: it sees the end of the file instead of waiting for our keys.
        check("read line || exit 7", "exit code 7");
    }

    #[test]
    fn only_the_end_of_the_output_is_kept() {
        let mut command = started("seq 1 50000; echo last >&2");
        waited(&mut command);
        let ends_with = |wanted: &[u8]| {
            let output: Vec<u8> = command.output.lock().unwrap().iter().copied().collect();
            assert!(output.len() <= OUTPUT_BYTES_MAX);
            output.ends_with(wanted)
        };
        let since = Instant::now();
        while !ends_with(b"50000\nlast\n") {
            assert!(since.elapsed() < END_PATIENCE, "the output did not arrive");
            thread::yield_now();
        }
    }

    #[test]
    fn it_is_ended_with_all_it_has_started() {
        let mut command = started("sleep 1000 & sleep 1000; exit 0");
        assert_eq!(command.ended(), None);
        command.terminate();
        assert_eq!(waited(&mut command).as_deref(), Some("killed by signal 15"));
    }

    #[test]
    fn what_can_not_be_started_is_an_error() {
        let error = Command::start(&["/no/such/program".into()]).unwrap_err();
        assert_eq!(error.to_string(), "can't start \"/no/such/program\"");
    }
}
