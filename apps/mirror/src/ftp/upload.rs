//! A file sent under a temporary name, compared with what was listed and with what arrived, and renamed.
//! Memory: a buffer of 64 KiB.

use std::io::{self, Read, Write};
use std::time::Instant;

use md5::{Digest, Md5};
use suppaftp::FtpError;

use super::{Connection, Fault, ignore_refusal, tls};
use crate::record::{Etag, Meta};

const BUFFER_BYTES: usize = 64 << 10;

impl Connection {
    /// Puts the bytes of `source` in place of `key`, if they are those that `meta` tells of: their length,
    /// and their MD5 where the hash is one. `each` is told the bytes of each step, and ends it by false.
    pub fn upload(
        &mut self,
        key: &str,
        meta: &Meta,
        has_md5_etag: bool,
        source: &mut dyn Read,
        each: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), Fault> {
        let (target, temp) = (self.path(key), self.temp_path(key));
        let ended = self
            .send(&temp, meta, source, each)
            .and_then(|digest| self.verify(&temp, meta, has_md5_etag.then_some(digest)))
            .and_then(|()| self.place(&temp, &target));
        self.heard = Instant::now();
        // Elsewhere the next try replaces what is left.
        if ended.as_ref().is_err_and(Fault::leaves_connection) {
            self.is_broken = ignore_refusal(self.ftp.rm(&temp)).is_err();
        }
        ended
    }

    /// Sends the bytes under the temporary name; their MD5.
    fn send(
        &mut self,
        temp: &str,
        meta: &Meta,
        source: &mut dyn Read,
        each: &mut dyn FnMut(u64) -> bool,
    ) -> Result<[u8; 16], Fault> {
        let mut data = match self.ftp.put_with_stream(temp) {
            Ok(data) => data,
            Err(FtpError::UnexpectedResponse(reply))
                if !(400..500).contains(&reply.status.code()) =>
            {
                let made = self.make_folders(temp)?;
                if made.is_none_made {
                    // Servers that write over nothing don't do so over what a crash left either.
                    ignore_refusal(self.ftp.rm(temp))?;
                }
                let again = self.ftp.put_with_stream(temp).map_err(Fault::from);
                again.map_err(|fault| made.explain(fault))?
            }
            Err(error) => return Err(error.into()),
        };
        let mut md5 = Md5::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut sent = 0;
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Fault::Source(format!("after {sent} bytes: {error}")));
                }
            };
            if read == 0 {
                break;
            }
            if let Err(error) = data.write_all(&buffer[..read]) {
                // Why it hung up is in its reply, if it sends one.
                return Err(match data.finish().map_err(Fault::from) {
                    Err(Fault::Refused(code, text)) => Fault::Refused(code, text),
                    _ => Fault::Failed(format!("after {sent} bytes: {error}")),
                });
            }
            md5.update(&buffer[..read]);
            sent += read as u64;
            if !each(read as u64) {
                return Err(Fault::Cancelled);
            }
            if sent > meta.size_bytes {
                break;
            }
        }
        tls::end(data.get_mut());
        data.finish()?;
        if sent != meta.size_bytes {
            return Err(Fault::Damaged(format!(
                "the source sends {sent} bytes or more, {} were listed",
                meta.size_bytes
            )));
        }
        Ok(md5.finalize().into())
    }

    /// Compares what was sent with what was listed, and with what arrived.
    fn verify(&mut self, temp: &str, meta: &Meta, md5: Option<[u8; 16]>) -> Result<(), Fault> {
        if let (Etag::Md5(listed), Some(digest)) = (&meta.etag, md5)
            && *listed != digest
        {
            return Err(Fault::Damaged(
                "the source sends other bytes than its hash says".to_owned(),
            ));
        }
        self.verify_name(temp)?;
        match self.size(temp)? {
            Some(size) if size != meta.size_bytes => Err(Fault::DestinationDamaged(format!(
                "the destination has {size} bytes, {} were sent",
                meta.size_bytes
            ))),
            _ => Ok(()),
        }
    }

    /// Renames to the file's own name, over the file that is there.
    fn place(&mut self, temp: &str, target: &str) -> Result<(), Fault> {
        let refused = match self.ftp.rename(temp, target).map_err(Fault::from) {
            // pure-ftpd answers with 451 that a folder is there.
            Err(Fault::Refused(code, text)) if code != 421 => Fault::Refused(code, text),
            ended => return ended,
        };
        // Some servers rename over nothing that is there. Only a file steps aside, never a folder; and it
        // comes back if the new one is refused all the same.
        if !self.exists(target)? {
            // A folder may have become a file.
            if self.remove_empty_folder(target)? {
                return Ok(self.ftp.rename(temp, target)?);
            }
            return Err(refused);
        }
        let aside = format!("{temp}-old");
        ignore_refusal(self.ftp.rm(&aside))?;
        match self.ftp.rename(target, &aside).map_err(Fault::from) {
            Ok(()) => {}
            Err(Fault::Refused(..)) => return Err(refused),
            Err(failed) => return Err(failed),
        }
        let ended = self.ftp.rename(temp, target).map_err(Fault::from);
        match &ended {
            Ok(()) => ignore_refusal(self.ftp.rm(&aside))?,
            Err(_) => drop(self.ftp.rename(aside.as_str(), target)),
        }
        ended
    }
}
