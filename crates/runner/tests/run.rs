//! Real children, run and recorded: exit codes, signals, orphans, peaks, ends at bad moments.
//!
//! The runner catches signals and reaps all children of its process, so each run has a process of
//! its own: this test program, started again as `driver`, which writes what its observer is told
//! into a file, one line a call.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_model::{Breakdown, Bytes, Event, Gap, GapReason, ProcessId, ProcessRecord, Sample};
use plimsoll_runner::{BreakdownReason, Observer, Options, Progress, record, run};

const LOG: &str = "PLIMSOLL_TEST_LOG";
const COMMAND: &str = "PLIMSOLL_TEST_COMMAND";
const PID: &str = "PLIMSOLL_TEST_PID";
const TICKS: &str = "PLIMSOLL_TEST_TICKS";
const STEPS: &str = "PLIMSOLL_TEST_STEPS";
const SLOW: &str = "PLIMSOLL_TEST_SLOW_READING";

/// Writes a line for each call.
struct Log {
    file: File,
    ticks_left: u64,
}

impl Log {
    fn line(&mut self, line: &str) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Observer for Log {
    fn started(&mut self, root: ProcessId, _: Duration) {
        self.line(&format!("started {root} {}", root.start_time));
    }
    fn process_started(&mut self, process: &ProcessRecord) {
        self.line(&format!("process {} {}", process.id, process.name));
    }
    fn process_ended(&mut self, process: &ProcessRecord) {
        self.line(&format!("ended {} {}", process.id, process.rss_peak.0));
    }
    fn sample(&mut self, sample: &Sample) {
        self.line(&format!("sample {} {}", sample.process, sample.rss.0));
    }
    fn breakdown(&mut self, _: Duration, reason: BreakdownReason, _: Breakdown) {
        self.line(&format!("breakdown {reason:?}"));
    }
    fn event(&mut self, event: &Event) {
        self.line(&format!("event {:?} {}", event.kind, event.text));
    }
    fn gap(&mut self, _: Duration, gap: &Gap) {
        self.line(&format!("gap {gap}"));
    }
    fn ticked(&mut self, _: &Progress) -> ControlFlow<()> {
        self.ticks_left -= 1;
        if self.ticks_left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Not a test of its own: runs or records what the environment says and exits as the tool would.
#[test]
fn driver() {
    let Some(path) = std::env::var_os(LOG) else {
        return;
    };
    let ticks = std::env::var(TICKS).map_or(u64::MAX, |ticks| ticks.parse().unwrap());
    let mut log = Log {
        file: File::create(path).unwrap(),
        ticks_left: ticks,
    };
    let options = Options::new(Duration::from_millis(10), Duration::from_millis(50)).unwrap();
    let slow = std::env::var_os(SLOW).is_some();
    // A reading that takes until the process is gone, as a walk through a large one may.
    let read = move |processes: &[ProcessId]| {
        while slow && plimsoll_probe::read_status(processes[0].pid).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Gap::new(
            "breakdown",
            GapReason::Vanished,
            processes.len().to_string(),
        ))
    };
    let outcome = match std::env::var(PID) {
        Ok(pid) => record(&options, pid.parse().unwrap(), read, &mut log),
        Err(_) => {
            let command = std::env::var_os(COMMAND).unwrap();
            let words: Vec<OsString> = command
                .to_str()
                .unwrap()
                .split('\x1f')
                .map(OsString::from)
                .collect();
            // What the driver needed must not reach the subject.
            run(&options, &words, read, &mut log)
        }
    };
    let status = match outcome {
        Ok(outcome) => {
            log.line(&format!(
                "outcome {:?} {:?}",
                outcome.end, outcome.interrupted
            ));
            log.line(&format!("cpu {}", outcome.recorder_cpu.as_nanos()));
            outcome.end.exit_status()
        }
        Err(error) => {
            log.line(&format!("error {error}"));
            error.exit_status()
        }
    };
    #[expect(
        clippy::exit,
        reason = "the test harness would exit with its own status"
    )]
    std::process::exit(i32::from(status));
}

/// Not a test of its own: a subject that allocates 8 MiB at a time, then frees all of it.
#[test]
fn steps() {
    let Ok(steps) = std::env::var(STEPS) else {
        return;
    };
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for step in 0..steps.parse().unwrap() {
        blocks.push(vec![step | 1; 8 << 20]);
        std::thread::sleep(Duration::from_millis(40));
    }
    drop(blocks);
    std::thread::sleep(Duration::from_millis(100));
}

struct Driven {
    process: Child,
    log: PathBuf,
}

struct Finished {
    status: Option<i32>,
    log: String,
}

fn driver_command(environment: &[(&str, &str)]) -> (Command, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "plimsoll-runner-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let log = std::env::temp_dir().join(name);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "driver", "--nocapture"])
        .env(LOG, &log)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    (command, log)
}

fn drive(environment: &[(&str, &str)]) -> Driven {
    let (mut command, log) = driver_command(environment);
    // Its own group, as a shell gives to a job.
    let process = command.process_group(0).spawn().unwrap();
    Driven { process, log }
}

fn drive_command(words: &[&str]) -> Driven {
    drive(&[(COMMAND, &words.join("\x1f"))])
}

impl Driven {
    fn finish(self) -> Finished {
        let output = self.process.wait_with_output().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        let _ = std::fs::remove_file(&self.log);
        Finished {
            status: output.status.code(),
            log,
        }
    }

    fn wait_for(&self, wanted: &str) {
        while !std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains(wanted)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: i32) {
        kill(self.process.id(), signal);
    }
}

impl Finished {
    fn values(&self, first: &str) -> Vec<Vec<&str>> {
        let words = self
            .log
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        words.filter(|words| words[0] == first).collect()
    }

    fn rss_of_samples(&self) -> Vec<u64> {
        self.values("sample")
            .iter()
            .map(|words| words[2].parse().unwrap())
            .collect()
    }
}

fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory; the pid is of a child that was not waited for.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

#[test]
fn exit_codes_are_passed_through() {
    let check = |words: &[&str], status: i32, expected: &str| {
        let finished = drive_command(words).finish();
        assert_eq!(finished.status, Some(status), "{words:?}: {}", finished.log);
        assert!(
            finished.log.contains(expected),
            "{words:?}: {}",
            finished.log
        );
    };
    check(&["true"], 0, "outcome Exited(0)");
    check(&["sh", "-c", "exit 3"], 3, "event Ended exit code 3");
    check(
        &["sh", "-c", "kill -KILL $$"],
        137,
        "event Ended killed by SIGKILL",
    );
    check(&["sh", "-c", "kill -TERM $$"], 143, "outcome Killed(15)");
    check(
        &["no-such-command-here"],
        127,
        "error run no-such-command-here: command not found",
    );
    check(&["/no/such/command"], 127, "command not found");
    check(&["/"], 126, "error run /: ");
    check(
        &["/etc/passwd"],
        126,
        "error run /etc/passwd: Permission denied",
    );
    check(&[""], 127, "error run : command not found");
}

#[test]
fn a_script_without_its_interpreter_can_not_be_executed() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("plimsoll-script-{}", std::process::id()));
    std::fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let finished = drive_command(&[path.to_str().unwrap()]).finish();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(finished.status, Some(126));
    assert!(finished.log.contains("interpreter"), "{}", finished.log);
}

#[test]
fn signals_sent_to_us_reach_the_subject() {
    let check = |signal: i32, name: &str| {
        let script = format!("trap 'exit 7' {name}; echo $$ >&2; while :; do sleep 0.01; done");
        let driven = drive_command(&["sh", "-c", &script]);
        // Its loop is running once it has had a child.
        driven.wait_for(" sleep\n");
        driven.signal(signal);
        let finished = driven.finish();
        assert_eq!(finished.status, Some(7), "{}", finished.log);
        assert!(
            finished.log.contains(&format!("Some({signal})")),
            "{}",
            finished.log
        );
    };
    check(libc::SIGINT, "INT");
    check(libc::SIGTERM, "TERM");
    check(libc::SIGHUP, "HUP");
    check(libc::SIGUSR1, "USR1");
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let words = ["sh", "-c", "trap 'exit 7' HUP; kill -HUP $$; exit 5"].join("\x1f");
    let (mut command, log) = driver_command(&[(COMMAND, &words)]);
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let finished = Driven {
        process: command.spawn().unwrap(),
        log,
    }
    .finish();
    // POSIX: a shell can't trap a signal that was ignored when it started.
    assert_eq!(finished.status, Some(5), "{}", finished.log);
}

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
        writeln!(terminal, "{program} --exact driver --nocapture").unwrap();
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

#[test]
fn children_and_orphans_are_followed() {
    // The inner shell ends at once, so that the sleeper loses its parent.
    let script = "sh -c 'sleep 1.5 & exit 0'; sleep 0.6";
    let finished = drive_command(&["sh", "-c", script]).finish();
    let sleepers: Vec<&str> = finished
        .values("process")
        .iter()
        .filter(|words| words[2] == "sleep")
        .map(|words| words[1])
        .collect();
    assert_eq!(sleepers.len(), 2, "{}", finished.log);
    for sleeper in sleepers {
        let samples = finished
            .values("sample")
            .iter()
            .filter(|words| words[1] == sleeper)
            .count();
        assert!(samples > 10, "{samples} of {sleeper}");
    }
}

#[test]
fn the_peak_of_a_run_that_ends_at_once_is_known() {
    // dd holds its block in memory for about 20 ms, between samples or not.
    let words = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];
    let finished = drive_command(&words).finish();
    let ended = finished.values("ended");
    let peak: u64 = ended[0][2].parse().unwrap();
    assert!(peak > 64 << 20, "{}", finished.log);
    assert!(peak < 80 << 20, "{}", finished.log);
}

#[test]
fn growth_in_steps_is_sampled() {
    let program = std::env::current_exe().unwrap();
    let words = [program.to_str().unwrap(), "--exact", "steps", "--nocapture"].join("\x1f");
    let finished = drive(&[(COMMAND, &words), (STEPS, "6")]).finish();
    assert_eq!(finished.status, Some(0), "{}", finished.log);
    let rss = finished.rss_of_samples();
    let highest = *rss.iter().max().unwrap();
    assert!(highest > 48 << 20, "highest {}", Bytes(highest));
    assert!(rss.len() > 15, "{} samples", rss.len());
    // The steps themselves, not only the end: some sample lies in each third.
    for third in 0..3 {
        let range = third * highest / 3..(third + 1) * highest / 3;
        assert!(rss.iter().any(|rss| range.contains(rss)), "third {third}");
    }
    // The readings fail here, but were asked for more than once: growth is a reason.
    assert!(finished.values("gap").len() > 2, "{}", finished.log);
    let cpu: u64 = finished.values("cpu")[0][1].parse().unwrap();
    assert!(cpu > 0);
}

#[test]
fn the_subject_may_end_during_a_full_reading() {
    let words = ["sleep", "0.3"].join("\x1f");
    let finished = drive(&[(COMMAND, &words), (SLOW, "1")]).finish();
    assert_eq!(finished.status, Some(0), "{}", finished.log);
    let gaps = finished.values("gap");
    let readings = gaps.iter().filter(|words| words[1] == "breakdown:");
    assert_eq!(readings.count(), 1, "{}", finished.log);
    assert!(
        finished.log.contains("gap breakdown: vanished"),
        "{}",
        finished.log
    );
    // Sampling went on meanwhile.
    assert!(finished.values("sample").len() > 3, "{}", finished.log);
}

#[test]
fn a_running_process_is_recorded_until_it_ends() {
    let mut subject = Command::new("sleep").arg("0.4").spawn().unwrap();
    let pid = subject.id().to_string();
    let driven = drive(&[(PID, &pid)]);
    subject.wait().unwrap();
    let finished = driven.finish();
    assert_eq!(finished.status, Some(0));
    assert!(
        finished.log.contains("outcome Gone None"),
        "{}",
        finished.log
    );
    assert_eq!(finished.values("ended")[0][1], pid);
    assert!(finished.values("sample").len() > 3, "{}", finished.log);
}

#[test]
fn a_signal_ends_the_recording_and_not_the_subject() {
    let mut subject = Command::new("sleep").arg("1000").spawn().unwrap();
    let driven = drive(&[(PID, &subject.id().to_string())]);
    driven.wait_for("sample");
    driven.signal(libc::SIGINT);
    let finished = driven.finish();
    assert!(
        finished.log.contains("outcome StillRunning Some(2)"),
        "{}",
        finished.log
    );
    assert!(subject.try_wait().unwrap().is_none());
    subject.kill().unwrap();
    subject.wait().unwrap();
}

#[test]
fn an_observer_may_end_the_sampling() {
    let mut subject = Command::new("sleep").arg("1000").spawn().unwrap();
    let finished = drive(&[(PID, &subject.id().to_string()), (TICKS, "4")]).finish();
    assert_eq!(finished.values("sample").len(), 4);
    assert!(
        finished.log.contains("outcome StillRunning None"),
        "{}",
        finished.log
    );
    subject.kill().unwrap();
    subject.wait().unwrap();
}

#[test]
fn what_can_not_be_recorded_is_told() {
    let check = |pid: &str, expected: &str| {
        let finished = drive(&[(PID, pid)]).finish();
        assert_eq!(finished.status, Some(2), "{}", finished.log);
        assert!(finished.log.contains(expected), "{}", finished.log);
    };
    check(
        "4194305",
        "error record process 4194305: no process 4194305",
    );
    // kthreadd, where the tests run outside a pid namespace.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        check("2", "kernel thread");
    }
    let mut zombie = Command::new("true").spawn().unwrap();
    while !matches!(
        plimsoll_probe::process_info(zombie.id()).map(|info| info.state),
        Ok(plimsoll_model::ProcessState::Zombie)
    ) {
        std::thread::sleep(Duration::from_millis(1));
    }
    check(&zombie.id().to_string(), "zombie");
    zombie.wait().unwrap();
}

#[test]
fn short_lived_children_leave_no_zombies_and_their_peak_is_told() {
    // Each of these is over in a few milliseconds; the shell itself never has 64 MiB.
    let script = "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null
        i=0; while [ $i -lt 50 ]; do (sh -c 'true & true &' &); i=$((i+1)); done; sleep 0.2
        ps -o stat= --ppid $PPID >&2; exit 0";
    let (mut command, log) = driver_command(&[(COMMAND, &["sh", "-c", script].join("\x1f"))]);
    command.stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    let output = process.wait_with_output().unwrap();
    let log_text = std::fs::read_to_string(&log).unwrap();
    let _ = std::fs::remove_file(&log);
    let states = String::from_utf8_lossy(&output.stderr);
    if states.trim().is_empty() {
        eprintln!("SKIPPED: needs ps");
    }
    assert!(!states.contains('Z'), "{states}");
    let seen = log_text.lines().any(|line| {
        line.starts_with("gap a peak")
            || line.strip_prefix("ended ").is_some_and(|ended| {
                ended.split(' ').nth(1).unwrap().parse::<u64>().unwrap() > 48 << 20
            })
    });
    assert!(seen, "{log_text}");
}
