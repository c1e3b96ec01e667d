//! Marks: where a subject says that a stage begins.
//!
//! The subject finds the path of a Unix socket in the environment variable [`MARKS_VARIABLE`],
//! connects, and writes one line a mark: the label. Once the figures of that instant are read, it
//! gets the line `ok`, so that what it does next counts in the next stage. `plimsoll mark` does
//! that for shell scripts; any language can in a few lines.
//!
//! Memory: a thread for each connection, at most [`CONNECTIONS_MAX`], each with a line of at most
//! [`LINE_MAX`] bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use plimsoll_model::StageSource;

use crate::signals::{wake, with_signals_blocked};

/// The environment variable that holds the path of the socket.
pub const MARKS_VARIABLE: &str = "PLIMSOLL_MARKS";
/// Each is a thread of ours. A subject with more workers than this that all stay connected is told
/// so by a refused connection; one that connects for each mark never gets near.
const CONNECTIONS_MAX: usize = 64;
/// A label is a few words. What is longer is cut.
const LINE_MAX: u64 = 4096;
/// Folders with a number in their name that are tried: names of crashed runs may be left over.
const FOLDERS_TRIED: u32 = 1000;

/// A mark that arrived.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) label: String,
    pub(crate) source: StageSource,
    /// Who waits for it to be read; nobody for a line of output.
    reply: Option<SyncSender<()>>,
}

impl Mark {
    pub(crate) fn of_log(label: String) -> Mark {
        Mark {
            label,
            source: StageSource::Log,
            reply: None,
        }
    }

    /// Lets the subject go on.
    pub(crate) fn answer(self) {
        if let Some(reply) = self.reply {
            // The connection's thread is gone with its subject: then nobody waits.
            let _ = reply.send(());
        }
    }
}

/// The socket of one run. Dropped, it is closed and its folder removed.
#[derive(Debug)]
pub(crate) struct MarkListener {
    folder: PathBuf,
    closed: Arc<AtomicBool>,
}

impl MarkListener {
    /// Opens the socket; marks come out of the receiver, and lines of output may be sent in too.
    pub(crate) fn open() -> io::Result<(MarkListener, Sender<Mark>, Receiver<Mark>)> {
        let folder = create_folder(&std::env::temp_dir())?;
        let (marks, incoming) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        let listener = MarkListener {
            folder,
            closed: Arc::clone(&closed),
        };
        let socket = UnixListener::bind(listener.path())?;
        let sender = marks.clone();
        with_signals_blocked(|| {
            std::thread::Builder::new()
                .name("marks".to_owned())
                .spawn(move || accept(&socket, &closed, &sender))
        })?;
        Ok((listener, marks, incoming))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("marks")
    }
}

impl Drop for MarkListener {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread that accepts. Leftovers in the temporary folder are all that can go
        // wrong here.
        let _ = UnixStream::connect(self.path());
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A folder that only this user may enter: the socket in it needs no further check of who connects.
fn create_folder(parent: &Path) -> io::Result<PathBuf> {
    let pid = std::process::id();
    let mut number = 0;
    loop {
        let folder = parent.join(format!("plimsoll-{pid}-{number}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && number < FOLDERS_TRIED =>
            {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn accept(socket: &UnixListener, closed: &AtomicBool, marks: &Sender<Mark>) {
    let connections = Arc::new(AtomicUsize::new(0));
    for connection in socket.incoming() {
        if closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(connection) = connection else {
            continue;
        };
        if connections.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (marks, connections) = (marks.clone(), Arc::clone(&connections));
        let started = with_signals_blocked(|| {
            let count = Arc::clone(&connections);
            std::thread::Builder::new()
                .name("mark".to_owned())
                .spawn(move || {
                    // A subject that closes its end has said all it wants to.
                    let _ = take_marks(connection, &marks);
                    count.fetch_sub(1, Ordering::AcqRel);
                })
        });
        if started.is_err() {
            connections.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn take_marks(connection: UnixStream, marks: &Sender<Mark>) -> io::Result<()> {
    let mut answers = connection.try_clone()?;
    let mut lines = BufReader::new(connection);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut lines).take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let label = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        let (reply, read) = sync_channel(1);
        let mark = Mark {
            label,
            source: StageSource::Mark,
            reply: Some(reply),
        };
        if marks.send(mark).is_err() {
            return Ok(());
        }
        wake();
        if read.recv().is_err() {
            return Ok(());
        }
        answers.write_all(b"ok\n")?;
    }
}

/// Says from inside a run that a stage begins, and waits until its start was read.
pub fn send_mark(socket: &Path, label: &str) -> io::Result<()> {
    let mut connection = UnixStream::connect(socket)?;
    let label = label.replace(['\n', '\r'], " ");
    connection.write_all(format!("{label}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer)?;
    match answer.as_str() {
        "ok\n" => Ok(()),
        _ => Err(io::Error::other("the run ended before the mark was read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_arrive_in_order_and_are_answered() {
        let (listener, _sender, incoming) = MarkListener::open().unwrap();
        let path = listener.path();
        let subject = std::thread::spawn(move || {
            send_mark(&path, "import").unwrap();
            send_mark(&path, "two\nlines").unwrap();
            // One connection may send several.
            let mut connection = UnixStream::connect(&path).unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            for label in ["a", "b"] {
                writeln!(connection, "{label}").unwrap();
                assert_eq!(lines.next().unwrap().unwrap(), "ok");
            }
        });
        for expected in ["import", "two lines", "a", "b"] {
            let mark = incoming.recv().unwrap();
            assert_eq!(mark.label, expected);
            assert_eq!(mark.source, StageSource::Mark);
            mark.answer();
        }
        subject.join().unwrap();
    }

    #[test]
    fn a_mark_without_a_run_is_an_error_and_nothing_is_left() {
        let (listener, _sender, incoming) = MarkListener::open().unwrap();
        let (path, folder) = (listener.path(), listener.folder.clone());
        let subject = std::thread::spawn({
            let path = path.clone();
            move || send_mark(&path, "late")
        });
        drop(incoming.recv().unwrap());
        assert!(subject.join().unwrap().is_err());
        drop(listener);
        assert!(send_mark(&path, "later").is_err());
        assert!(!folder.exists());
    }

    #[test]
    fn only_the_user_may_connect() {
        use std::os::unix::fs::PermissionsExt;
        let (listener, _sender, _incoming) = MarkListener::open().unwrap();
        let mode = std::fs::metadata(&listener.folder)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
