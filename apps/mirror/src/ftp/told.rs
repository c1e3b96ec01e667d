//! What the server tells of a file.

use suppaftp::FtpError;

use super::{Connection, Fault};
use crate::adopt::Told;

impl Connection {
    /// Length and time of the file of `key`; none where there is no such file, or the server does not tell.
    pub fn told(&mut self, key: &str) -> Result<Option<Told>, Fault> {
        let path = self.path(key);
        // What a server makes of such a name is another file's.
        if path.ends_with(' ') {
            return Ok(None);
        }
        let size_bytes = match self.size(&path) {
            Ok(Some(size)) => size,
            Ok(None) => return Ok(None),
            Err(Fault::Refused(code, _)) if code != 421 => return Ok(None),
            Err(fault) => return Err(fault),
        };
        Ok(Some(Told {
            size_bytes,
            modified: self.modified(&path)?,
        }))
    }

    /// Seconds since 1970, as the server has them; none where it does not tell.
    fn modified(&mut self, path: &str) -> Result<Option<i64>, Fault> {
        if !self.has_times {
            return Ok(None);
        }
        let fault = match self.ftp.mdtm(path) {
            Ok(time) => return Ok(Some(time.and_utc().timestamp())),
            // Not written as RFC 3659 has it.
            Err(FtpError::BadResponse) => Fault::Refused(502, String::new()),
            Err(error) => error.into(),
        };
        match fault {
            // Not known, or not implemented.
            Fault::Refused(500 | 502 | 504, _) => {
                self.has_times = false;
                Ok(None)
            }
            fault => Err(fault),
        }
    }
}
