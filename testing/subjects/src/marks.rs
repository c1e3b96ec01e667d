//! Marks of a subject: tells who runs it that a stage or a cycle begins.
//!
//! The protocol is the tool's public one: connect to the Unix socket named by `PLIMSOLL_MARKS`, write
//! a label and a newline, read `ok` and a newline.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// The connection, or none where nobody listens.
#[derive(Debug)]
pub struct Marks {
    connection: Option<BufReader<UnixStream>>,
}

impl Marks {
    pub fn connect() -> io::Result<Marks> {
        let connection = match std::env::var_os("PLIMSOLL_MARKS") {
            Some(path) => Some(BufReader::new(UnixStream::connect(path)?)),
            None => None,
        };
        Ok(Marks { connection })
    }

    /// Returns once the mark was read.
    pub fn mark(&mut self, label: &str) -> io::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        connection
            .get_mut()
            .write_all(format!("{label}\n").as_bytes())?;
        let mut answer = String::new();
        connection.read_line(&mut answer)?;
        Ok(())
    }
}
