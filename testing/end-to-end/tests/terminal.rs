//! On a terminal: the progress line of `run`, and `watch`, which draws until it is told to quit.
//!
//! The terminal is a pseudo-terminal made by script(1) of util-linux; without it these are skipped.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use plimsoll_end_to_end::{Scratch, executable, program, skip};
use plimsoll_subjects::Subject;

/// The command on a terminal of 100 × 30.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    fn start(test: &str, arguments: &str) -> Option<Terminal> {
        if program(&["script"]).is_none() {
            skip(test, "script (util-linux) is not installed");
            return None;
        }
        let command = format!(
            "stty cols 100 rows 30; exec {} {arguments}",
            executable().display()
        );
        let child = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &command,
                "/dev/null",
            ])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Terminal {
            child,
            shown: String::new(),
        })
    }

    /// Reads what is drawn until `text` is there.
    fn wait_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.shown.contains(text) {
            let length = self
                .child
                .stdout
                .as_mut()
                .unwrap()
                .read(&mut bytes)
                .unwrap();
            assert!(length > 0, "{text:?} never came: {:?}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    fn press(&mut self, keys: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// All that was drawn, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut rest)
            .unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (self.shown, self.child.wait().unwrap().code())
    }
}

#[test]
fn run_shows_a_progress_line_and_clears_it() {
    let folder = Scratch::new("progress");
    let recording = folder.file("it.plimsoll");
    let arguments = format!("run --recording {recording} -- sh -c 'sleep 1.2; exit 4'");
    let Some(mut terminal) = Terminal::start("progress", &arguments) else {
        return;
    };
    terminal.wait_for("RSS");
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(4), "{shown}");
    // The line is wiped before the report, and the report is there.
    let report = shown
        .rfind("\r\u{1b}[K")
        .map(|at| &shown[at..])
        .expect("the line is wiped");
    assert!(report.contains("Peak"), "{shown:?}");
}

#[test]
fn watch_draws_and_quits() {
    let subject = Subject::start("memfd", &["--mib", "16", "--name", "watched"]);
    let arguments = format!("watch --interval 100ms {}", subject.pid);
    let Some(mut terminal) = Terminal::start("watch", &arguments) else {
        return;
    };
    terminal.wait_for("watched");
    terminal.wait_for("16.0 MiB");
    terminal.press("q");
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    // The other screen is left and the cursor is back (xterm: 1049, 25).
    assert!(shown.contains("\u{1b}[?1049l"), "{shown:?}");
    assert!(shown.contains("\u{1b}[?25h"), "{shown:?}");
    assert!(subject.finish().success(), "the subject was not touched");
}

#[test]
fn watch_of_a_process_that_ends() {
    let subject = Subject::start("memfd", &["--mib", "4", "--name", "leaving"]);
    let arguments = format!("watch --interval 100ms {}", subject.pid);
    let Some(mut terminal) = Terminal::start("watch", &arguments) else {
        return;
    };
    terminal.wait_for("leaving");
    assert!(subject.finish().success());
    terminal.wait_for("ended");
    terminal.press("q");
    let (shown, code) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
}
