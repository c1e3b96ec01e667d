//! In a terminal the runner must be as good as not there: Ctrl-C, Ctrl-Z, `fg`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

mod driving;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use driving::{COMMAND, DRIVER, Driven, driver_command};

/// A terminal and a command that has it as its controlling terminal.
fn with_terminal(mut command: Command) -> (Child, File) {
    let (mut controller, mut terminal) = (-1, -1);
    // SAFETY: openpty(3) fills the two descriptors; null asks for no name and for defaults.
    let rc = unsafe {
        libc::openpty(
            &raw mut controller,
            &raw mut terminal,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened and have no other owner.
    let (controller, terminal) = unsafe {
        (
            OwnedFd::from_raw_fd(controller),
            OwnedFd::from_raw_fd(terminal),
        )
    };
    let output = terminal.try_clone().unwrap();
    let errors = terminal.try_clone().unwrap();
    command.stdin(terminal).stdout(output).stderr(errors);
    // SAFETY: setsid(2) and ioctl(2) are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    (command.spawn().unwrap(), File::from(controller))
}

/// What a terminal printed and nobody looked at yet.
struct Printed {
    terminal: File,
    text: Vec<u8>,
}

impl Printed {
    /// Reads until `wanted` was printed, and forgets everything up to it.
    fn wait_for(&mut self, wanted: &str) {
        let wanted = wanted.as_bytes();
        let mut buffer = [0; 1024];
        loop {
            let mut places = self.text.windows(wanted.len());
            if let Some(place) = places.position(|window| window == wanted) {
                self.text.drain(..place + wanted.len());
                return;
            }
            let count = self.terminal.read(&mut buffer).unwrap();
            self.text.extend_from_slice(&buffer[..count]);
        }
    }
}

/// A terminal tells the whole foreground group: the subject must get one SIGINT, not two.
#[test]
fn ctrl_c_reaches_the_subject_once() {
    let script = "n=0; trap 'n=$((n+1))' INT; i=0
        while [ $i -lt 60 ]; do sleep 0.01; i=$((i+1)); done; exit $((40+n))";
    let words = ["sh", "-c", script].join("\x1f");
    let (command, log) = driver_command(&[(COMMAND, &words)]);
    let (process, mut terminal) = with_terminal(command);
    let driven = Driven { process, log };
    driven.wait_for(" sleep\n");
    terminal.write_all(b"\x03").unwrap();
    let finished = driven.finish();
    assert_eq!(finished.status, Some(41), "{}", finished.log);
    assert!(
        finished.log.contains("event Interrupted SIGINT"),
        "{}",
        finished.log
    );
}

/// Ctrl-Z gives the prompt back and `fg` goes on, also when the subject stops only itself, as
/// programs do that read the keys of the terminal themselves.
#[test]
fn jobs_are_stopped_and_go_on() {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("SKIPPED: needs bash");
        return;
    }
    let check = |script: &str, key: &[u8]| {
        let words = ["sh", "-c", script].join("\x1f");
        let (driver, log) = driver_command(&[(COMMAND, &words)]);
        let mut shell = Command::new("bash");
        shell
            .args(["--norc", "--noediting", "-i"])
            .env("PS1", "ready> ");
        for (name, value) in driver.get_envs() {
            shell.env(name, value.unwrap());
        }
        let (process, mut terminal) = with_terminal(shell);
        let mut printed = Printed {
            terminal: terminal.try_clone().unwrap(),
            text: Vec::new(),
        };
        let driven = Driven { process, log };
        printed.wait_for("ready> ");
        let program = driver.get_program().to_str().unwrap();
        writeln!(terminal, "{program} --exact {DRIVER} --nocapture").unwrap();
        driven.wait_for("sample");
        terminal.write_all(key).unwrap();
        printed.wait_for("Stopped");
        printed.wait_for("ready> ");
        writeln!(terminal, "fg").unwrap();
        printed.wait_for("ready> ");
        writeln!(terminal, "exit $?").unwrap();
        let finished = driven.finish();
        assert_eq!(finished.status, Some(9), "{}", finished.log);
        assert!(finished.log.contains("Exited(9)"), "{}", finished.log);
    };
    check("sleep 1; exit 9", b"\x1a");
    check("sleep 0.2; kill -TSTP $$; sleep 0.2; exit 9", b"");
}
