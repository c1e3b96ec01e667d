//! Drives the runner in a process of its own.
//!
//! The runner catches signals and reaps all children of its process, so each run has a process of
//! its own: the test program, started again as [`driver`], which writes what its observer is told
//! into a file, one line a call.

#![allow(
    dead_code,
    reason = "each test program is compiled with this module and uses a part of it"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_model::{Breakdown, Event, Gap, GapReason, ProcessId, ProcessRecord, Sample};
use plimsoll_runner::{BreakdownReason, Launch, Observer, Options, Progress, record, run};

/// The name of the test that is no test.
pub(crate) const DRIVER: &str = "driving::driver";
pub(crate) const LOG: &str = "PLIMSOLL_TEST_LOG";
pub(crate) const COMMAND: &str = "PLIMSOLL_TEST_COMMAND";
pub(crate) const PID: &str = "PLIMSOLL_TEST_PID";
pub(crate) const TICKS: &str = "PLIMSOLL_TEST_TICKS";
pub(crate) const STEPS: &str = "PLIMSOLL_TEST_STEPS";
pub(crate) const THREADS: &str = "PLIMSOLL_TEST_THREADS";
pub(crate) const SLOW: &str = "PLIMSOLL_TEST_SLOW_READING";

/// Writes a line for each call.
pub(crate) struct Log {
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
            run(&options, &Launch::new(words), read, &mut log)
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

/// Not a test of its own: a subject of many threads, for a second.
#[test]
fn threads() {
    let Ok(count) = std::env::var(THREADS) else {
        return;
    };
    let sleepers: Vec<_> = (0..count.parse().unwrap())
        .map(|_: u32| std::thread::spawn(|| std::thread::sleep(Duration::from_secs(1))))
        .collect();
    for sleeper in sleepers {
        sleeper.join().unwrap();
    }
}

pub(crate) struct Driven {
    pub(crate) process: Child,
    pub(crate) log: PathBuf,
}

pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    pub(crate) log: String,
}

pub(crate) fn driver_command(environment: &[(&str, &str)]) -> (Command, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "plimsoll-runner-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let log = std::env::temp_dir().join(name);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", DRIVER, "--nocapture"])
        .env(LOG, &log)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    (command, log)
}

pub(crate) fn drive(environment: &[(&str, &str)]) -> Driven {
    let (mut command, log) = driver_command(environment);
    // Its own group, as a shell gives to a job.
    let process = command.process_group(0).spawn().unwrap();
    Driven { process, log }
}

pub(crate) fn drive_command(words: &[&str]) -> Driven {
    drive(&[(COMMAND, &words.join("\x1f"))])
}

impl Driven {
    pub(crate) fn finish(self) -> Finished {
        let output = self.process.wait_with_output().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        let _ = std::fs::remove_file(&self.log);
        Finished {
            status: output.status.code(),
            log,
        }
    }

    pub(crate) fn wait_for(&self, wanted: &str) {
        while !std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains(wanted)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: i32) {
        kill(self.process.id(), signal);
    }
}

impl Finished {
    pub(crate) fn values(&self, first: &str) -> Vec<Vec<&str>> {
        let words = self
            .log
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        words.filter(|words| words[0] == first).collect()
    }

    pub(crate) fn rss_of_samples(&self) -> Vec<u64> {
        self.values("sample")
            .iter()
            .map(|words| words[2].parse().unwrap())
            .collect()
    }
}

pub(crate) fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) touches no memory; the pid is of a child that was not waited for.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}
