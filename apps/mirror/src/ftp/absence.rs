//! Whether a file is not there, by what servers say: 550 answers a deletion of a missing file as well as one
//! that is not permitted.

use suppaftp::Status;

use super::{Connection, Fault, ignore_refusal};

impl Connection {
    /// Whether there is no file at `path`, whose deletion was refused with this text. In doubt
    /// there is one.
    pub(super) fn is_absent(&mut self, path: &str, text: &str) -> Result<bool, Fault> {
        let said = Said::of(text, path);
        if said == Said::Denied {
            return Ok(false);
        }
        let size = match self.ftp.size(path).map_err(Fault::from) {
            Ok(_) => return Ok(false),
            Err(Fault::Refused(500 | 502 | 504, _)) => return Ok(said == Said::Absent),
            Err(Fault::Refused(550 | 553, text)) => Said::of(&text, path),
            Err(Fault::Refused(..)) => return Ok(false),
            Err(failed) => return Err(failed),
        };
        match (said, size) {
            (_, Said::Denied) => Ok(false),
            (Said::Absent, _) | (_, Said::Absent) => Ok(true),
            // vsftpd says "Delete operation failed" of both, pure-ftpd "Prohibited file name" of names that
            // it keeps no file under.
            _ => self.is_seen_absent(path),
        }
    }

    /// Whether a file that has no size would have one if it were there: its folder can be entered, or the
    /// folder itself is missing from one that can.
    fn is_seen_absent(&mut self, path: &str) -> Result<bool, Fault> {
        let mut missing = path;
        while let Some((folder, _)) = missing.rsplit_once('/') {
            let folder = if folder.is_empty() { "/" } else { folder };
            if self.can_enter(folder)? {
                return Ok(missing == path || !self.can_be_named(missing)?);
            }
            if folder == "/" {
                break;
            }
            missing = folder;
        }
        Ok(false)
    }

    /// Whether the server would rename it, a folder too.
    fn can_be_named(&mut self, path: &str) -> Result<bool, Fault> {
        let asked = self
            .ftp
            .custom_command(format!("RNFR {path}"), &[Status::RequestFilePending]);
        match asked.map_err(Fault::from) {
            Ok(_) => {
                // proftpd refuses everything until it is told a name: the one that it has.
                let named = format!("RNTO {path}");
                let named = self
                    .ftp
                    .custom_command(named, &[Status::RequestedFileActionOk, Status::CommandOk]);
                ignore_refusal(named.map(drop))?;
                Ok(true)
            }
            Err(Fault::Refused(..)) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    pub(super) fn can_enter(&mut self, folder: &str) -> Result<bool, Fault> {
        // A base path may be relative to where the login led.
        let here = self.ftp.pwd()?;
        match self.ftp.cwd(folder).map_err(Fault::from) {
            Ok(()) => self
                .ftp
                .cwd(&here)
                .map_err(|error| Fault::Failed(format!("go back to {here}: {error}")))
                .map(|()| true),
            Err(Fault::Refused(..)) => Ok(false),
            Err(failed) => Err(failed),
        }
    }
}

/// What a reply says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Absent,
    Denied,
    /// It could be either.
    Unclear,
}

const DENIED: [&str; 6] = [
    "denied",
    "permi",
    "privilege",
    "not allowed",
    "forbidden",
    "read-only",
];
const ABSENT: [&str; 6] = [
    "no such",
    "not found",
    "not exist",
    "nonexist",
    "can't find",
    "cannot find",
];

impl Said {
    fn of(text: &str, path: &str) -> Said {
        let says = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
        let (text, path) = (text.to_lowercase(), path.to_lowercase());
        // Servers repeat the path, and a file may be called "not found".
        let mut text = text.replace(&path, "");
        let name = path.rsplit('/').next().unwrap_or_default();
        if says(name, &DENIED) || says(name, &ABSENT) {
            text = text.replace(name, "");
        }
        if says(&text, &DENIED) {
            Said::Denied
        } else if says(&text, &ABSENT) {
            Said::Absent
        } else {
            Said::Unclear
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_tell_absence_from_denial() {
        let check = |expected, texts: &[&str]| {
            for text in texts {
                assert_eq!(Said::of(text, "/base/a/not found"), expected, "{text}");
            }
        };
        assert_eq!(Said::of("550 Permission denied.", "/e"), Said::Denied);
        assert_eq!(
            Said::of("550 Denied: Permission denied", "/Denied"),
            Said::Denied
        );
        assert_eq!(Said::of("550 File not found", "/a"), Said::Absent);
        check(
            Said::Absent,
            &[
                "550 No such file or directory.",
                "550 /base/a/not found: No such file or directory",
                "550 Could not delete not found: No such file or directory",
                "550 The file does not exist",
            ],
        );
        check(
            Said::Denied,
            &[
                "550 Permission denied.",
                "550 /base/a/not found: Permission denied",
                "550 Not enough privileges.",
                "550 not found: Operation not permitted",
            ],
        );
        check(
            Said::Unclear,
            &["550 Delete operation failed.", "550 not found", ""],
        );
    }
}
