//! `plimsoll watch` on a terminal that goes away: the view ends, cheaply, with what it started.
//!
//! Story: it read a terminal that was gone for ever, at 100 % of a core, and neither the SIGHUP
//! nor a SIGTERM ended it.

#![expect(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything; generous, because a loaded machine reads slowly.
const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// Processor time that the end may cost; reading errors at full speed costs a second a second.
const END_CPU_MAX: Duration = Duration::from_secs(1);

/// Whether the terminal sends SIGHUP to those whose own it is, or only its descriptors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    Controlling,
    Foreign,
}

/// Killed when dropped, also when an assertion has failed.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A `watch` on a pseudo-terminal whose other end is held here; in a session of its own, which
/// ends with it.
struct Watch {
    process: Killed,
    master: Option<File>,
}

impl Watch {
    fn start(arguments: &[&str], terminal: Terminal) -> Watch {
        let (mut master, mut slave) = (-1, -1);
        let mut size = libc::winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the pointers are to live values; name and settings may be null (openpty(3)).
        let opened = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                &raw mut size,
            )
        };
        assert_eq!(opened, 0);
        // SAFETY: openpty has just given us both, and nobody else has them.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        // SAFETY: F_SETFD takes plain numbers. The child must not hold the master itself.
        unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&master), libc::F_SETFD, 1) };
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .arg("watch")
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        // SAFETY: setsid and ioctl are system calls, which are async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                if terminal == Terminal::Controlling {
                    libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0);
                }
                Ok(())
            })
        };
        let process = Killed(command.spawn().unwrap());
        Watch {
            process,
            master: Some(File::from(master)),
        }
    }

    /// Reads what is drawn until `text` has come.
    fn wait_for(&mut self, text: &str) {
        let since = Instant::now();
        let mut drawn = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&drawn).contains(text) {
            let length = self.master.as_mut().unwrap().read(&mut buffer).unwrap();
            drawn.extend_from_slice(&buffer[..length]);
            assert!(
                since.elapsed() < PATIENCE,
                "no {text}, but:\n{}",
                String::from_utf8_lossy(&drawn)
            );
        }
    }

    /// Processor time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.0.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        // SAFETY: sysconf takes a plain number.
        let a_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap();
        Duration::from_millis(ticks * 1000 / a_second)
    }

    /// Closes the terminal; how the process ended then and what that took of the processor.
    fn hang_up(mut self) -> (ExitStatus, Duration) {
        let before = self.cpu();
        self.master = None;
        let since = Instant::now();
        let pid = self.process.0.id().cast_signed();
        let mut status = 0;
        // SAFETY: an all-zero rusage is a valid value of that plain C structure.
        let mut used: libc::rusage = unsafe { std::mem::zeroed() };
        // Not `Child::wait`, which does not tell what it used.
        // SAFETY: the pointers are to live values, which the call fills.
        while unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut used) } == 0 {
            assert!(
                since.elapsed() < PATIENCE,
                "it runs without a terminal, and has used {:?} since",
                self.cpu().saturating_sub(before)
            );
            std::thread::sleep(POLL);
        }
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.unsigned_abs())
                + Duration::from_micros(time.tv_usec.unsigned_abs())
        };
        let used = time(used.ru_utime) + time(used.ru_stime);
        (ExitStatus::from_raw(status), used.saturating_sub(before))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Also a command that it has left.
        let session = self.process.0.id().to_string();
        let _ = Command::new("pkill")
            .args(["-KILL", "-s", &session])
            .output();
    }
}

fn assert_ends_well(watch: Watch) {
    let (status, cpu) = watch.hang_up();
    assert_eq!(status.code(), Some(129), "{status}");
    assert!(cpu < END_CPU_MAX, "its end took {cpu:?} of the processor");
}

fn sleeper() -> Killed {
    let sleeper = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn();
    Killed(sleeper.unwrap())
}

#[test]
fn the_end_of_the_terminal_ends_the_view() {
    for terminal in [Terminal::Controlling, Terminal::Foreign] {
        let sleeper = sleeper();
        let mut watch = Watch::start(&[&sleeper.0.id().to_string()], terminal);
        watch.wait_for("must stay");
        assert_ends_well(watch);
    }
}

#[test]
fn half_a_key_does_not_keep_the_view() {
    for terminal in [Terminal::Controlling, Terminal::Foreign] {
        let sleeper = sleeper();
        let mut watch = Watch::start(&[&sleeper.0.id().to_string()], terminal);
        watch.wait_for("must stay");
        // The start of an arrow key's sequence, and never its end; then a redraw, by which it
        // has been read.
        std::io::Write::write_all(watch.master.as_mut().unwrap(), b"?\x1b[").unwrap();
        watch.wait_for("any other key");
        assert_ends_well(watch);
    }
}

#[test]
fn a_command_ends_with_the_terminal() {
    for terminal in [Terminal::Controlling, Terminal::Foreign] {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("hang-up-{terminal:?}-{}", std::process::id()));
        // It takes a moment to end, and outlives the SIGHUP: only the watch's SIGTERM ends it.
        let script = format!(
            "trap '' HUP; trap 'sleep 0.3; echo ended > {0}; exit' TERM; \
             echo started > {0}; while :; do sleep 0.1; done",
            file.display()
        );
        let mut watch = Watch::start(&["--", "sh", "-c", &script], terminal);
        watch.wait_for("must stay");
        // The view may be there before its command has come so far.
        let since = Instant::now();
        while std::fs::read_to_string(&file).unwrap_or_default() != "started\n" {
            assert!(since.elapsed() < PATIENCE, "the command has not started");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_ends_well(watch);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "ended\n");
        std::fs::remove_file(&file).unwrap();
    }
}
