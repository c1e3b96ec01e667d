//! Starting a subject from a test, reading its truth row, talking to it, and ending it.
//!
//! The main type is [`Subject`]: a running child and its truth. It is killed when dropped, and the
//! folder it was given for its files goes with it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::artifacts;

/// A running subject that has said it is ready.
#[derive(Debug)]
pub struct Subject {
    /// The process to look at.
    pub pid: u32,
    /// What must be found in it: the JSON of its ready line.
    pub truth: Value,
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Subject {
    /// Starts the subject `name` (a file of `src/bin/`) and waits for its ready line. It runs in an
    /// empty folder of its own, on the same disk as the target folder.
    ///
    /// # Panics
    /// Where the subject cannot be built or started, or ends before it is ready.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str]) -> Subject {
        let mut command = Command::new(Subject::executable(name));
        command.args(arguments);
        Subject::start_command(name, command)
    }

    /// The path of the subject `name`, built if need be: for tests in which the tool starts it. Programs
    /// of the tutorial, `gallery_…`, count as subjects here.
    ///
    /// # Panics
    /// Where the subject cannot be built.
    #[must_use]
    pub fn executable(name: &str) -> PathBuf {
        let package = if name.starts_with("jemalloc") {
            artifacts::JEMALLOC
        } else if name.starts_with("gallery_") {
            artifacts::TUTORIAL
        } else {
            artifacts::SUBJECTS
        };
        artifacts::binary(package, name)
            .unwrap_or_else(|error| panic!("failed to build the subject {name}: {error}"))
    }

    /// Starts any `command` that prints a ready line, in an empty folder of its own.
    ///
    /// # Panics
    /// Where the command cannot be started or ends before it is ready.
    #[must_use]
    pub fn start_command(name: &str, mut command: Command) -> Subject {
        let folder = scratch_folder(name);
        let mut child = command
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start the subject {name}: {error}"));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let pid = child.id();
        let name = name.to_owned();
        let mut subject = Subject {
            pid,
            truth: Value::Null,
            name,
            child,
            input,
            output,
            folder,
        };
        let line = subject.line();
        let truth = line.strip_prefix("ready ").unwrap_or_else(|| {
            panic!(
                "the subject {} said {line:?} instead of its ready line",
                subject.name
            )
        });
        subject.truth = parse(truth, &subject.name);
        subject
    }

    /// The number at `key` of the truth row.
    ///
    /// # Panics
    /// Where there is none: the test and the subject disagree about the name.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        let Subject { name, truth, .. } = self;
        truth[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} has no number {key:?} in {truth}"))
    }

    /// The text at `key` of the truth row.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        let Subject { name, truth, .. } = self;
        truth[key]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no text {key:?} in {truth}"))
    }

    /// Sends a line and waits for the line of JSON that answers it.
    ///
    /// # Panics
    /// Where the subject has ended, or answers something else.
    pub fn tell(&mut self, line: &str) -> Value {
        self.send(line);
        parse(&self.line(), &self.name)
    }

    /// Sends a line to which no answer comes.
    ///
    /// # Panics
    /// Where the subject has ended.
    pub fn send(&mut self, line: &str) {
        let input = self
            .input
            .as_mut()
            .expect("the input is open until the subject is finished");
        // One write: a subject that ends at the first byte is not there for a second.
        input
            .write_all(format!("{line}\n").as_bytes())
            .unwrap_or_else(|error| {
                panic!("failed to write to the subject {}: {error}", self.name)
            });
    }

    /// Waits for its end without telling it to end.
    ///
    /// # Panics
    /// Where it was waited for already by other means.
    pub fn wait(&mut self) -> ExitStatus {
        self.child
            .wait()
            .unwrap_or_else(|error| panic!("failed to wait for the subject {}: {error}", self.name))
    }

    /// Closes its input, which ends it, and waits for its end.
    ///
    /// # Panics
    /// As [`Subject::wait`].
    pub fn finish(mut self) -> ExitStatus {
        self.input = None;
        self.wait()
    }

    /// The empty folder that the subject was started in, for its files; removed with the subject.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        let read = read.unwrap_or_else(|error| panic!("failed to read {}: {error}", self.name));
        if read == 0 {
            let status = self.wait();
            panic!(
                "the subject {} ended ({status}) instead of answering",
                self.name
            );
        }
        line.trim_end().to_owned()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Both fail only where the subject has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What a subject left outside of its folder (/dev/shm), because it was killed.
        for path in self.truth["leftovers"].as_array().into_iter().flatten() {
            if let Some(path) = path
                .as_str()
                .filter(|path| path.contains("plimsoll-subject"))
            {
                let _ = std::fs::remove_file(path);
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn parse(text: &str, name: &str) -> Value {
    serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("the subject {name} said {text:?}, not JSON: {error}"))
}

/// A new empty folder beside the executables: on a disk, where `/tmp` may be memory.
pub(crate) fn scratch_folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = artifacts::profile_folder()
        .join("subjects-scratch")
        .join(format!("{name}-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .unwrap_or_else(|error| panic!("failed to create {}: {error}", folder.display()));
    folder
}
