//! A journal as objects: a segment for each time that something was made durable, named by where it
//! begins, and many of them made one from time to time. Memory: up to 64 KiB of what was put last.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use plimsoll::stream::AtomicFile;

use super::lease::Fence;
use crate::s3::Client;
use crate::state::journal::Follower;

/// Segments that are made one: who takes over reads one object for so many.
const SEGMENTS_MAX: usize = 64;
/// Bytes of them, whichever comes first.
const JOINED_BYTES_MAX: usize = 64 << 10;

/// The key of the segment that begins at `offset`.
pub(super) fn segment(journal: &str, offset: u64) -> String {
    format!("{journal}{offset:016}")
}

/// Puts what is appended to a journal.
#[derive(Debug)]
pub(super) struct Segments {
    client: Arc<Client>,
    journal: String,
    fence: Arc<Fence>,
    /// Put since some were made one: where they begin, and their bytes.
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl Segments {
    pub(super) fn new(client: Arc<Client>, journal: String, fence: Arc<Fence>) -> Segments {
        Segments {
            client,
            journal,
            fence,
            offsets: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Makes one of them; where that fails they stay as they are.
    fn join(&mut self) {
        let offsets = std::mem::take(&mut self.offsets);
        let bytes = std::mem::take(&mut self.bytes);
        let Some((first, rest)) = offsets.split_first() else {
            return;
        };
        // Who has taken over may be reading them.
        if !self.fence.holds() {
            return;
        }
        let key = segment(&self.journal, *first);
        if self.client.put_object(&key, &bytes).is_ok() {
            for offset in rest {
                let _ = self.client.delete_object(&segment(&self.journal, *offset));
            }
        }
    }
}

impl Follower for Segments {
    fn appended(&mut self, at: u64, frame: &[u8]) -> Result<()> {
        self.fence.check()?;
        self.client
            .put_object(&segment(&self.journal, at), frame)
            .context("put a segment of the journal")?;
        self.offsets.push(at);
        self.bytes.extend_from_slice(frame);
        if self.offsets.len() >= SEGMENTS_MAX || self.bytes.len() >= JOINED_BYTES_MAX {
            self.join();
        }
        Ok(())
    }
}

/// Writes the journal that the segments make.
///
/// # Errors
/// One is missing between others, or can't be read.
pub(super) fn pull(client: &Client, journal: &str, path: &Path) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600));
    let mut length = 0_u64;
    client.each_key(journal, |key| {
        let offset = key.strip_prefix(journal).and_then(|name| name.parse().ok());
        let Some(offset): Option<u64> = offset else {
            bail!("the object {key} is no segment of a journal");
        };
        let mut bytes = Vec::new();
        client.open_object(key)?.read_to_end(&mut bytes)?;
        let end = offset + bytes.len() as u64;
        // One that was joined into the one before, and not removed yet.
        if end <= length {
            return Ok(());
        }
        if offset != length {
            bail!("a segment of the journal {journal} is missing at byte {length}");
        }
        file.write_all(&bytes)?;
        length = end;
        Ok(())
    })?;
    if length == 0 {
        bail!("the journal {journal} has no segments");
    }
    file.commit()?;
    Ok(())
}
