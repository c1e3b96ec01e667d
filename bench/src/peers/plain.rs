//! The least that any reader of smaps must do: reads files of /proc to their end, parses nothing.

use std::fs::File;
use std::io::Read;

use anyhow::Context;

/// One reused buffer, as large as a reader would take.
#[derive(Debug)]
pub(crate) struct PlainReader {
    buffer: Vec<u8>,
}

impl PlainReader {
    pub(crate) fn new() -> PlainReader {
        PlainReader {
            buffer: vec![0; 1 << 20],
        }
    }

    /// How many bytes `/proc/PID/name` has.
    pub(crate) fn read(&mut self, pid: u32, name: &str) -> anyhow::Result<usize> {
        let path = format!("/proc/{pid}/{name}");
        let failed = || format!("failed to read {path}");
        let mut file = File::open(&path).with_context(failed)?;
        let mut total = 0;
        loop {
            match file.read(&mut self.buffer).with_context(failed)? {
                0 => return Ok(total),
                length => total += length,
            }
        }
    }
}
