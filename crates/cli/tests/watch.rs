//! `plimsoll watch` in a real terminal (tmux): what it shows, what keys do, and that the terminal
//! is as it was before, however the view ends. What happens when the terminal itself ends is in
//! `watch_hang_up.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PLIMSOLL: &str = env!("CARGO_BIN_EXE_plimsoll");

/// Longest wait for a screen; generous, because a loaded machine reads slowly.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

/// A terminal of its own: a tmux server on a socket of its own, which ends with it.
struct Tmux {
    socket: String,
    /// Of everything that runs in the terminal: the shell's pid.
    session: Option<String>,
}

impl Tmux {
    /// `None`, said aloud, when this machine has no tmux.
    fn start(test: &str, columns: u16, lines: u16) -> Option<Tmux> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped {test}: tmux is not installed");
            return None;
        }
        let mut tmux = Tmux {
            socket: format!("plimsoll-test-{}-{test}", std::process::id()),
            session: None,
        };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        // `sh` with a plain prompt, so that the machine's own settings don't matter.
        let shell = "env -i TERM=screen-256color LANG=C.UTF-8 PATH=/usr/bin:/bin PS1='$ ' sh";
        tmux.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            shell,
        ]);
        let shell = tmux.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let session = String::from_utf8(shell.stdout).unwrap();
        assert_ne!(session.trim(), "");
        tmux.session = Some(session.trim().to_owned());
        Some(tmux)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(arguments)
            .env("LANG", "C.UTF-8")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {said}");
        output
    }

    fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The first screen that is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let since = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(since.elapsed() < PATIENCE, "no {what}, but:\n{screen}");
            std::thread::sleep(POLL);
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Asks the shell, which only answers legibly when the terminal echoes and has its own
    /// screen back.
    fn assert_restored(&self, code: i32) {
        // What is typed while the view still has the terminal is the view's.
        self.wait("end of the view", |screen| {
            screen.contains("before the watch")
        });
        self.keys(&[
            "echo code=$?; stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo",
            "Enter",
        ]);
        let screen = self.wait("restored terminal", |screen| {
            let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
            lines.ends_with(&["icanon", "echo", "$"])
                || screen.contains("icanon\necho\n$")
                || screen.contains("echo\nicanon\n$")
        });
        // The shell's prompt may come after what was typed for it, and then stands before the answer.
        let answer = format!("code={code}");
        let answered = |line: &str| line.trim_end().trim_start_matches("$ ") == answer;
        assert!(screen.lines().any(answered), "{screen}");
        assert!(
            screen.contains("before the watch"),
            "the old screen is not back:\n{screen}"
        );
        assert!(!screen.contains("q quit"), "{screen}");
    }

    fn watch(&self, arguments: &str) {
        self.keys(&[
            &format!("echo before the watch; {PLIMSOLL} watch {arguments}"),
            "Enter",
        ]);
    }
}

impl Drop for Tmux {
    /// Also when an assertion has failed, nothing that was started in the terminal is left: not
    /// what ignores the terminal's end, nor what has a process group of its own.
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            let _ = Command::new("pkill")
                .args(["-KILL", "-s", session])
                .output();
        }
        let _ = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
    }
}

/// Python that holds 64 MiB and grows; killed when dropped.
struct Python(Child);

impl Python {
    /// `None`, said aloud, when this machine has no Python.
    fn start(test: &str) -> Option<Python> {
        let script = "import time\n\
            held = [bytearray(b'x') * (64 << 20)]\n\
            print('ready', flush=True)\n\
            while True:\n    held.append(bytearray(b'x') * (1 << 20)); time.sleep(0.3)";
        let started = Command::new("python3")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            eprintln!("skipped {test}: python3 is not installed");
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Some(Python(child))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_python_process_is_watched_with_keys_and_left_alone() {
    let test = "keys";
    let (Some(tmux), Some(mut python)) = (Tmux::start(test, 80, 24), Python::start(test)) else {
        return;
    };
    tmux.watch(&python.pid().to_string());
    let screen = tmux.wait_for("must stay");
    assert!(
        screen.contains(&format!("pid {}", python.pid())),
        "{screen}"
    );
    for shown in [
        "RSS ",
        "PSS ",
        "peak ",
        "must stay",
        "droppable",
        "resident:",
        "q quit",
        "not read",
    ] {
        assert!(screen.contains(shown), "{shown} is missing:\n{screen}");
    }
    // It grows by 3 MiB a second: the change is seen, with its sign.
    tmux.wait("growth", |screen| {
        screen.contains(" MiB since start)") && screen.contains("(+")
    });
    let row = |screen: &str| -> usize {
        screen
            .lines()
            .position(|line| line.starts_with('>'))
            .unwrap_or(0)
    };
    let first = row(&tmux.screen());
    tmux.keys(&["Down"]);
    tmux.wait("selection one row down", |screen| row(screen) == first + 1);
    tmux.keys(&["Home", "s", "s"]);
    tmux.wait_for("▼since start");
    tmux.keys(&["r"]);
    tmux.wait_for("▲since start");
    tmux.keys(&["/"]);
    tmux.wait_for("filter: ▏");
    tmux.keys(&["no-such-name"]);
    tmux.wait_for("no component fits the filter");
    tmux.keys(&["Escape"]);
    tmux.wait_for("q quit");
    tmux.keys(&["Space"]);
    tmux.wait_for("PAUSED");
    tmux.keys(&["Space"]);
    tmux.wait_for("watched");
    tmux.keys(&["b"]);
    tmux.wait_for("since mark");
    tmux.keys(&["t"]);
    tmux.wait_for("no descendants");
    tmux.keys(&["?"]);
    tmux.wait_for("key closes");
    tmux.keys(&["x"]);
    tmux.wait_for("q quit");
    tmux.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    tmux.wait_for("take back");
    tmux.tmux(&["resize-window", "-x", "20", "-y", "4"]);
    tmux.wait_for("too small");
    tmux.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    tmux.wait_for("must stay");
    tmux.keys(&["q"]);
    tmux.assert_restored(0);
    assert!(
        python.0.try_wait().unwrap().is_none(),
        "the watched process has ended"
    );
}

#[test]
fn the_last_state_stays_when_the_process_ends() {
    let test = "ended";
    let (Some(tmux), Some(mut python)) = (Tmux::start(test, 80, 24), Python::start(test)) else {
        return;
    };
    tmux.watch(&python.pid().to_string());
    tmux.wait_for("must stay");
    python.0.kill().unwrap();
    python.0.wait().unwrap();
    let screen = tmux.wait_for("ENDED");
    assert!(screen.contains("components"), "{screen}");
    tmux.keys(&["q"]);
    tmux.assert_restored(0);
}

#[test]
fn a_signal_restores_the_terminal() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let test = format!("signal-{signal}");
        let (Some(tmux), Some(python)) = (Tmux::start(&test, 80, 24), Python::start(&test)) else {
            return;
        };
        // The shell that becomes the watch tells its pid first.
        let pid = python.pid();
        let inner = format!("echo watch-pid=$$.; exec {PLIMSOLL} watch {pid}");
        tmux.keys(&[&format!("echo before the watch; sh -c '{inner}'"), "Enter"]);
        tmux.wait_for("must stay");
        let watch = watches(pid);
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &watch])
            .status();
        assert!(sent.unwrap().success());
        tmux.wait_for(&format!("watch-pid={watch}."));
        tmux.assert_restored(code);
    }
}

/// Pids of `plimsoll watch` for the process `pid`.
fn watches(pid: u32) -> String {
    let output = Command::new("pgrep")
        .args(["-f", &format!("^{PLIMSOLL} watch {pid}$")])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Story: a terminal closed under the view left a process that read it for ever, at full speed.
#[test]
fn the_end_of_the_terminal_ends_the_view() {
    let test = "closed";
    let (Some(tmux), Some(python)) = (Tmux::start(test, 80, 24), Python::start(test)) else {
        return;
    };
    tmux.watch(&python.pid().to_string());
    tmux.wait_for("must stay");
    assert_ne!(watches(python.pid()), "");
    tmux.tmux(&["kill-session"]);
    let since = Instant::now();
    while !watches(python.pid()).is_empty() {
        assert!(since.elapsed() < PATIENCE, "it runs without a terminal");
        std::thread::sleep(POLL);
    }
}

/// A view whose shell is gone, while another has the terminal, would read errors for ever.
#[test]
fn a_view_that_nobody_can_bring_back_gives_the_terminal_up() {
    let test = "orphan";
    let (Some(tmux), Some(python)) = (Tmux::start(test, 80, 24), Python::start(test)) else {
        return;
    };
    let script = format!("{PLIMSOLL} watch {} & read line < wait", python.pid());
    let fifo = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("orphan-{}", std::process::id()));
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let script = script.replace("wait", &format!("'{}'", fifo.display()));
    tmux.keys(&[&format!("sh -c \"{script}\""), "Enter"]);
    tmux.wait_for("must stay");
    // The inner shell ends, the outer one has the terminal again, and there is something to read.
    std::fs::write(&fifo, "end\n").unwrap();
    let since = Instant::now();
    while !watches(python.pid()).is_empty() {
        assert!(
            since.elapsed() < PATIENCE,
            "it runs on a terminal of another"
        );
        tmux.keys(&["a"]);
        std::thread::sleep(POLL);
    }
    std::fs::remove_file(&fifo).unwrap();
    tmux.wait("end of the view", |screen| !screen.contains("q quit"));
}

#[test]
fn a_command_is_started_and_ended_with_the_watch() {
    let test = "command";
    let Some(tmux) = Tmux::start(test, 80, 24) else {
        return;
    };
    tmux.watch("-- sh -c 'echo its-$((40+2))-output; sleep 1000 & wait'");
    let screen = tmux.wait_for("must stay");
    assert!(screen.contains("q quit, ending the command"), "{screen}");
    assert!(!screen.contains("its-42-output"), "{screen}");
    tmux.keys(&["q"]);
    let screen = tmux.wait_for("its-42-output");
    assert!(screen.contains("sh: killed by signal 15"), "{screen}");
    tmux.assert_restored(0);
}

#[test]
fn the_exit_code_of_a_command_is_shown() {
    let test = "exit-code";
    let Some(tmux) = Tmux::start(test, 80, 24) else {
        return;
    };
    tmux.watch("-- sh -c 'sleep 3; exit 7'");
    tmux.wait_for("must stay");
    tmux.wait_for("exit code 7");
    tmux.keys(&["q"]);
    tmux.assert_restored(0);
}

#[test]
fn without_colour_no_colour_is_sent() {
    let test = "no-color";
    let (Some(tmux), Some(python)) = (Tmux::start(test, 80, 24), Python::start(test)) else {
        return;
    };
    let colors = |tmux: &Tmux| {
        let output = tmux.tmux(&["capture-pane", "-p", "-e"]).stdout;
        let escaped = String::from_utf8(output).unwrap();
        (30..38)
            .chain(90..98)
            .any(|color| escaped.contains(&format!("[{color}m")))
            || escaped.contains("38;5;")
    };
    tmux.keys(&[
        &format!("NO_COLOR=1 {PLIMSOLL} watch {}", python.pid()),
        "Enter",
    ]);
    tmux.wait_for("AAAA");
    assert!(!colors(&tmux));
    tmux.keys(&["q"]);
    tmux.wait("prompt", |screen| !screen.contains("q quit"));
    tmux.keys(&[
        &format!("clear; {PLIMSOLL} watch {}", python.pid()),
        "Enter",
    ]);
    tmux.wait_for("must stay");
    tmux.wait_for("█");
    assert!(colors(&tmux), "the test would not see colours");
}

#[test]
fn what_can_not_be_watched_is_one_clear_error() {
    let check = |test: &str, arguments: &str, expected: &str| {
        // In a terminal, because without one there is another error.
        let Some(tmux) = Tmux::start(test, 120, 24) else {
            return;
        };
        tmux.watch(arguments);
        tmux.wait_for(expected);
        tmux.assert_restored(2);
    };
    check(
        "no-process",
        "4194304000",
        "plimsoll: no process 4194304000",
    );
    check("no-program", "-- /no/such/program", "plimsoll: can't start");
}

/// A command may end before or after the first look: an error, or a view that says so.
#[test]
fn a_command_that_ends_at_once_is_told_to_have_ended() {
    let Some(tmux) = Tmux::start("short", 120, 24) else {
        return;
    };
    tmux.watch("-- true");
    let told = |screen: &str| screen.contains("plimsoll: ") || screen.contains("ENDED");
    let screen = tmux.wait("end of the command", told);
    if screen.contains("ENDED") {
        tmux.keys(&["q"]);
        tmux.assert_restored(0);
    } else {
        tmux.assert_restored(2);
    }
}

#[test]
fn without_a_terminal_there_is_one_clear_error() {
    let output = Command::new(PLIMSOLL)
        .args(["watch", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    for way in ["not a terminal", "plimsoll inspect", "plimsoll record"] {
        assert!(said.contains(way), "{said}");
    }
}
