//! Folders at the destination: made on the way to a file, and removed only where a file has to stand.

use std::io::Read;

use suppaftp::Status;

use super::{Connection, Fault};

/// What is read of the names in a folder: one is enough.
const NAMES_BYTES: u64 = 4 << 10;

impl Connection {
    /// Makes every folder on the way to `path`. That one is there already is no failure; that one could
    /// not be made is told by what is done next.
    pub(super) fn make_folders(&mut self, path: &str) -> Result<Made, Fault> {
        let mut made = Made {
            is_none_made: true,
            refusal: String::new(),
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let ends = folder.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([folder.len()]).filter(|end| *end > 0) {
            match self.ftp.mkdir(&folder[..end]).map_err(Fault::from) {
                Ok(()) => made.is_none_made = false,
                Err(Fault::Refused(421, text)) => return Err(Fault::Refused(421, text)),
                Err(Fault::Refused(_, text)) => made.refusal = text,
                Err(failed) => return Err(failed),
            }
        }
        Ok(made)
    }

    /// Removes a folder that is empty; false where it is none, or is not empty.
    pub(super) fn remove_empty_folder(&mut self, path: &str) -> Result<bool, Fault> {
        // Servers take these for patterns when they list.
        if path.contains(['*', '?', '[', '{']) {
            return Ok(false);
        }
        // RMD removes empty folders only; a server that does otherwise is not asked to.
        if !self.is_listed_empty(path)? {
            return Ok(false);
        }
        match self.ftp.rmdir(path).map_err(Fault::from) {
            Ok(()) => Ok(true),
            Err(Fault::Refused(code, _)) if code != 421 => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    fn is_listed_empty(&mut self, path: &str) -> Result<bool, Fault> {
        let expected = [Status::AlreadyOpen, Status::AboutToSend];
        let asked = self
            .ftp
            .custom_data_command(format!("NLST {path}"), &expected);
        let mut names = match asked.map_err(Fault::from) {
            Ok((_, names)) => names,
            Err(Fault::Refused(code, _)) if code != 421 => return Ok(false),
            Err(fault) => return Err(fault),
        };
        let mut text = Vec::new();
        let read = names.by_ref().take(NAMES_BYTES).read_to_end(&mut text);
        match names.finish().map_err(Fault::from) {
            Ok(()) => {}
            // There was more, and it was not read.
            Err(Fault::Refused(code, _)) if code != 421 => return Ok(false),
            Err(fault) => return Err(fault),
        }
        read?;
        let text = String::from_utf8_lossy(&text);
        let mut names = text.lines().map(|line| line.rsplit('/').next());
        Ok(names.all(|name| matches!(name, Some("" | "." | ".."))))
    }
}

/// What came of making folders.
pub(super) struct Made {
    pub(super) is_none_made: bool,
    /// What the server said last of one that it did not make.
    refusal: String,
}

impl Made {
    /// A fault that has its cause in a folder that was not made.
    pub(super) fn explain(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused(code, text) if !self.refusal.is_empty() => {
                Fault::Refused(code, format!("{text}; of its folder: {}", self.refusal))
            }
            other => other,
        }
    }
}
