//! A subject's output on its way through us: passed on, searched for lines that begin stages, and
//! its end kept.
//!
//! Memory: a buffer of 64 KiB and a line of at most [`LINE_MAX`] bytes for each of two streams.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::launch::{LineMatcher, Streams};
use crate::marks::Mark;
use crate::signals::{wake, with_signals_blocked};

/// What is longer is searched up to here.
const LINE_MAX: usize = 64 * 1024;
/// Enough for the message of a program that fails, and a backtrace.
const TAIL_MAX: usize = 4096;
/// How long to wait, once the subject has ended, for output that others still hold open.
const DRAIN_WAIT: Duration = Duration::from_secs(1);

/// The threads that take a subject's output.
#[derive(Debug)]
pub(crate) struct Output {
    streams: usize,
    /// Tells each stream's end.
    ended: Receiver<()>,
    tail: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    /// Sets the streams of a command that is about to be started.
    pub(crate) fn prepare(streams: &Streams, command: &mut Command) {
        match streams {
            Streams::Inherited => {}
            Streams::Watched(_) => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
            }
            Streams::Silent(matcher) => {
                command.stdin(Stdio::null()).stderr(Stdio::piped());
                match matcher {
                    Some(_) => command.stdout(Stdio::piped()),
                    None => command.stdout(Stdio::null()),
                };
            }
        }
    }

    /// Starts to take the output of a command that was just started.
    pub(crate) fn take(
        streams: &Streams,
        child: &mut Child,
        marks: &Sender<Mark>,
    ) -> io::Result<Output> {
        let (matcher, passes_on) = match streams {
            Streams::Inherited => (None, false),
            Streams::Watched(matcher) => (Some(matcher), true),
            Streams::Silent(matcher) => (matcher.as_ref(), false),
        };
        let tail = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = channel();
        let mut count = 0;
        let mut start = |from: Box<dyn Read + Send>, to: Option<Box<dyn Write + Send>>, kept| {
            let stream = Stream {
                from,
                to,
                lines: matcher.cloned().map(|matcher| Lines::new(matcher, marks)),
                tail: Option::<Arc<_>>::clone(&kept),
            };
            let end = end.clone();
            count += 1;
            with_signals_blocked(|| {
                std::thread::Builder::new()
                    .name("output".to_owned())
                    .spawn(move || {
                        stream.work();
                        // Nobody waits any more: the run is over.
                        let _ = end.send(());
                        wake();
                    })
            })
        };
        if let Some(stdout) = child.stdout.take() {
            let to = passes_on.then(|| Box::new(io::stdout()) as Box<dyn Write + Send>);
            start(Box::new(stdout), to, None)?;
        }
        if let Some(stderr) = child.stderr.take() {
            let to = passes_on.then(|| Box::new(io::stderr()) as Box<dyn Write + Send>);
            start(Box::new(stderr), to, Some(Arc::clone(&tail)))?;
        }
        Ok(Output {
            streams: count,
            ended,
            tail,
        })
    }

    /// Waits for what is still in the pipes, and returns the end of standard error. What a process
    /// that outlives the subject writes later is not waited for.
    pub(crate) fn drain(&mut self) -> String {
        while self.streams > 0 && self.ended.recv_timeout(DRAIN_WAIT).is_ok() {
            self.streams -= 1;
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).trim_end().to_owned()
    }
}

struct Stream {
    from: Box<dyn Read + Send>,
    to: Option<Box<dyn Write + Send>>,
    lines: Option<Lines>,
    tail: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Stream {
    fn work(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = match self.from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => &buffer[..length],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if let Some(to) = &mut self.to
                && to.write_all(bytes).and_then(|()| to.flush()).is_err()
            {
                // Our reader is gone. Closing the pipe tells the subject, as it would be told
                // without us.
                return;
            }
            if let Some(lines) = &mut self.lines {
                lines.push(bytes);
            }
            if let Some(tail) = &self.tail {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(bytes);
                let surplus = tail.len().saturating_sub(TAIL_MAX);
                tail.drain(..surplus);
            }
        }
        if let Some(lines) = &mut self.lines {
            lines.end_line();
        }
    }
}

/// Cuts bytes into lines and sends a mark for each that the matcher knows.
struct Lines {
    matcher: LineMatcher,
    marks: Sender<Mark>,
    line: Vec<u8>,
}

impl Lines {
    fn new(matcher: LineMatcher, marks: &Sender<Mark>) -> Lines {
        Lines {
            matcher,
            marks: marks.clone(),
            line: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if let Some(label) = (self.matcher)(line.trim_end()) {
            // Nobody takes marks any more: the run is over.
            let _ = self.marks.send(Mark::of_log(label));
            wake();
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pieces: &[&[u8]]) -> Vec<String> {
        let matcher: LineMatcher = Arc::new(|line| line.strip_prefix("stage ").map(str::to_owned));
        let (sender, marks) = channel();
        let mut lines = Lines::new(matcher, &sender);
        for piece in pieces {
            lines.push(piece);
        }
        lines.end_line();
        drop(lines);
        drop(sender);
        marks.into_iter().map(|mark| mark.label).collect()
    }

    #[test]
    fn lines_are_found_however_they_are_cut() {
        let check = |pieces: &[&[u8]], expected: &[&str]| {
            assert_eq!(labels(pieces), expected, "{pieces:?}");
        };
        check(&[b"stage a\nother\nstage b\n"], &["a", "b"]);
        check(&[b"sta", b"ge a", b"\nst", b"age b"], &["a", "b"]);
        check(&[b"stage a\r\n\n\nstage b"], &["a", "b"]);
        check(&[b"not a stage\n"], &[]);
        check(&[], &[]);
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let mut long = b"stage ".to_vec();
        long.resize(3 * LINE_MAX, b'x');
        let found = labels(&[&long, b"\nstage b\n"]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), LINE_MAX - "stage ".len());
        assert_eq!(found[1], "b");
    }
}
