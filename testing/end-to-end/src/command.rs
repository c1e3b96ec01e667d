//! One call of the command: arguments in, exit code and both streams out.
//!
//! [`Plimsoll`] prepares a call, [`Call`] is one that has ended, [`Background`] one that runs while
//! the test does something to it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::artifact::executable;

/// A call to be made.
#[derive(Debug)]
pub struct Plimsoll {
    command: Command,
}

/// A call that has ended.
#[derive(Debug)]
pub struct Call {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A call that is running.
#[derive(Debug)]
pub struct Background {
    child: Child,
}

impl Plimsoll {
    /// `plimsoll ARGUMENTS…`, in an environment where nothing changes its output.
    #[must_use]
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Plimsoll {
        let mut command = Command::new(executable());
        command.args(arguments);
        Plimsoll::from_command(command)
    }

    /// The same started by another program: `setpriv … plimsoll ARGUMENTS…`.
    #[must_use]
    pub fn under(
        launcher: &[&str],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Plimsoll {
        let mut command = Command::new(launcher[0]);
        command
            .args(&launcher[1..])
            .arg(executable())
            .args(arguments);
        Plimsoll::from_command(command)
    }

    fn from_command(mut command: Command) -> Plimsoll {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8");
        Plimsoll { command }
    }

    /// Where relative paths, and recordings without a name, go.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Plimsoll {
        self.command.current_dir(folder);
        self
    }

    /// Files that it writes end at `bytes`, as on a full disk (RLIMIT_FSIZE with SIGXFSZ ignored).
    #[must_use]
    pub fn with_file_size_limit(mut self, bytes: u64) -> Plimsoll {
        let limit = move || {
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: bytes,
            };
            // SAFETY: both calls are async-signal-safe and the pointer is valid.
            let failed = unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
            };
            if failed == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        };
        // SAFETY: the closure makes only async-signal-safe calls and allocates nothing.
        unsafe { self.command.pre_exec(limit) };
        self
    }

    /// Standard output goes where every write fails with "no space left".
    ///
    /// # Panics
    /// Where there is no /dev/full.
    #[must_use]
    pub fn into_full_device(mut self) -> Plimsoll {
        let full = std::fs::File::options().write(true).open("/dev/full");
        self.command.stdout(full.expect("Linux has /dev/full"));
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn call(mut self) -> Call {
        let output = self.command.output();
        Call::new(output.unwrap_or_else(|error| panic!("failed to start {self:?}: {error}")))
    }

    /// Starts it with an open standard input, which a child that `run` starts gets.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Background {
        let child = self.command.stdin(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("failed to start {self:?}: {error}"));
        Background { child }
    }
}

impl Call {
    fn new(output: Output) -> Call {
        Call {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output of a call that must have ended with 0.
    ///
    /// # Panics
    /// Where it did not.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// The same, parsed.
    ///
    /// # Panics
    /// Where it failed or printed no JSON.
    #[must_use]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON: {error}: {text}"))
    }

    /// The JSON of a verb whose exit code is its verdict, which must be `code`.
    ///
    /// # Panics
    /// Where it ended otherwise or printed no JSON.
    #[must_use]
    pub fn verdict(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {self:?}"))
    }

    /// A call that could not run: exit code 2, nothing on standard output, and one clear error that
    /// has all of `words` in it.
    ///
    /// # Panics
    /// Where it did not end so.
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(!self.stderr.trim().is_empty(), "an error is said");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in {:?}",
                self.stderr
            );
        }
        let panicked = self.stderr.contains("panicked") || self.stderr.contains("RUST_BACKTRACE");
        assert!(!panicked, "{}", self.stderr);
    }
}

impl Background {
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Panics
    /// Where it has ended and was waited for.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        // SAFETY: kill takes plain numbers; the child is not reaped yet, so the pid is its own.
        let failed = unsafe { libc::kill(pid, signal) };
        assert_eq!(failed, 0, "the call runs");
    }

    /// The next line of its standard output, without the newline.
    ///
    /// # Panics
    /// Where there is none.
    pub fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().expect("its output is a pipe");
        let mut line = Vec::new();
        let mut byte = [0];
        // Byte by byte: nothing behind the line may be taken away from `end`.
        while stdout.read(&mut byte).expect("a pipe can be read") == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        assert!(!line.is_empty(), "a line was expected of {:?}", self.child);
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// Where nobody reads it any more.
    pub fn send(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("its input is a pipe");
        let written = std::io::Write::write_all(stdin, format!("{line}\n").as_bytes());
        written.unwrap_or_else(|error| panic!("failed to send {line:?}: {error}"));
    }

    /// Closes its standard output unread, as `| head -1` does.
    pub fn close_output(&mut self) {
        self.child.stdout = None;
    }

    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    /// Where its output cannot be read.
    #[must_use]
    pub fn end(self) -> Call {
        Call::new(self.child.wait_with_output().expect("a pipe can be read"))
    }
}
