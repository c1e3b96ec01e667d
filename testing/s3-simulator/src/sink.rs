//! An FTP server that keeps no file: of each it remembers a hash of its name, one of its content, and its
//! length, 24 bytes, so that what a client made of it can be compared with a bucket. Memory: that, and
//! 64 KiB a connection.
//!
//! Folders are there always. It speaks what an upload and a deletion need: USER PASS TYPE PASV EPSV STOR
//! SIZE RNFR RNTO DELE MKD NOOP QUIT.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::bucket::Bucket;
use crate::noise::{hash, mix};

/// A server in this process; its threads go on until that ends.
#[derive(Clone, Debug)]
pub struct Sink {
    files: Arc<Mutex<Files>>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct Files {
    /// By the hash of the path.
    held: HashMap<u64, File>,
    counts: SinkCounts,
}

#[derive(Clone, Copy, Debug)]
struct File {
    content: u64,
    size_bytes: u64,
}

/// What was done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    pub stored: u64,
    pub stored_bytes: u64,
    pub renamed: u64,
    pub deleted: u64,
}

/// All files of a server or a bucket in three numbers: equal where the files are, but for chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub files: u64,
    pub bytes: u64,
    pub hash: u64,
}

impl Summary {
    fn add(&mut self, path: u64, file: File) {
        self.files += 1;
        self.bytes += file.size_bytes;
        // The order does not matter.
        self.hash = self.hash.wrapping_add(mix(path, file.content));
    }

    /// Of a bucket below a folder. O(all its bytes).
    #[must_use]
    pub fn of(bucket: &Bucket, base: &str) -> Summary {
        let mut summary = Summary::default();
        let mut path = base.as_bytes().to_vec();
        path.push(b'/');
        let start = path.len();
        bucket.for_each(|key, object| {
            path.truncate(start);
            path.extend_from_slice(key);
            let mut content = Content::default();
            object.body_in_parts(|part| content.add(part));
            let file = File {
                content: content.hash,
                size_bytes: object.size_bytes,
            };
            summary.add(hash(&path), file);
        });
        summary
    }
}

/// A hash that takes bytes in parts of any length.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    hash: u64,
    size_bytes: u64,
}

impl Content {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte))
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(5);
        }
        self.size_bytes += bytes.len() as u64;
    }
}

impl Sink {
    /// Serves on a port of this machine; 0 is any that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(port: u16) -> io::Result<Sink> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let sink = Sink {
            files: Arc::default(),
            address: listener.local_addr()?,
        };
        let files = sink.files.clone();
        thread::Builder::new()
            .name("ftp".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let files = files.clone();
                    thread::spawn(move || drop(Session::serve(&files, stream)));
                }
            })?;
        Ok(sink)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        lock(&self.files).counts
    }

    /// All files that it holds now, those with temporary names too. O(files).
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for (path, file) in &lock(&self.files).held {
            summary.add(*path, *file);
        }
        summary
    }
}

fn lock(files: &Mutex<Files>) -> std::sync::MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client.
struct Session<'a> {
    files: &'a Mutex<Files>,
    control: TcpStream,
    passive: Option<TcpListener>,
    renamed: Option<u64>,
}

impl Session<'_> {
    fn serve(files: &Mutex<Files>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut session = Session {
            files,
            control: stream,
            passive: None,
            renamed: None,
        };
        session.reply("220 a sink")?;
        let mut line = String::new();
        loop {
            line.clear();
            // A path of 4 KiB is longer than any.
            if (&mut lines).take(8 << 10).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end_matches(['\r', '\n']);
            let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
            if verb.eq_ignore_ascii_case("QUIT") {
                return session.reply("221 bye");
            }
            session.act(&verb.to_ascii_uppercase(), argument)?;
        }
    }

    fn reply(&mut self, text: &str) -> io::Result<()> {
        self.control.write_all(format!("{text}\r\n").as_bytes())
    }

    fn act(&mut self, verb: &str, argument: &str) -> io::Result<()> {
        let path = hash(argument.as_bytes());
        match verb {
            "USER" => self.reply("331 and the password"),
            "PASS" => self.reply("230 welcome"),
            "TYPE" | "NOOP" | "CWD" => self.reply("200 so be it"),
            "MKD" => self.reply("257 it is there"),
            "PASV" | "EPSV" => self.listen(verb),
            "STOR" => self.store(path),
            "SIZE" => {
                let size = lock(self.files).held.get(&path).map(|file| file.size_bytes);
                match size {
                    Some(size) => self.reply(&format!("213 {size}")),
                    None => self.reply("550 no such file"),
                }
            }
            "RNFR" => {
                let is_there = lock(self.files).held.contains_key(&path);
                self.renamed = is_there.then_some(path);
                self.reply(if is_there {
                    "350 to what"
                } else {
                    "550 no such file"
                })
            }
            "RNTO" => {
                let renamed = self.renamed.take().is_some_and(|from| {
                    let mut files = lock(self.files);
                    let file = files.held.remove(&from);
                    file.map(|file| files.held.insert(path, file)).is_some()
                });
                lock(self.files).counts.renamed += u64::from(renamed);
                self.reply(if renamed {
                    "250 renamed"
                } else {
                    "503 not after RNFR"
                })
            }
            "DELE" => {
                let was_there = lock(self.files).held.remove(&path).is_some();
                lock(self.files).counts.deleted += u64::from(was_there);
                self.reply(if was_there {
                    "250 deleted"
                } else {
                    "550 no such file"
                })
            }
            _ => self.reply("502 not known"),
        }
    }

    fn listen(&mut self, verb: &str) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        let (high, low) = (port >> 8, port & 0xff);
        match verb {
            "PASV" => self.reply(&format!(
                "227 Entering Passive Mode (127,0,0,1,{high},{low})"
            )),
            _ => self.reply(&format!("229 Entering Extended Passive Mode (|||{port}|)")),
        }
    }

    fn store(&mut self, path: u64) -> io::Result<()> {
        let Some(passive) = self.passive.take() else {
            return self.reply("425 PASV first");
        };
        self.reply("150 go on")?;
        let (mut data, _) = passive.accept()?;
        let mut content = Content::default();
        let mut part = [0; 32 << 10];
        loop {
            match data.read(&mut part) {
                Ok(0) => break,
                Ok(read) => content.add(&part[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.reply("426 broken off"),
            }
        }
        let mut files = lock(self.files);
        let file = File {
            content: content.hash,
            size_bytes: content.size_bytes,
        };
        files.held.insert(path, file);
        files.counts.stored += 1;
        files.counts.stored_bytes += content.size_bytes;
        drop(files);
        self.reply("226 stored")
    }
}
