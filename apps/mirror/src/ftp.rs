//! The destination: one connection of FTP or FTPS.
//!
//! A file is sent under a temporary name in its folder, compared in length, and renamed: who reads the
//! destination never sees half of one. Memory: a buffer of 64 KiB while a file is sent, and those of
//! TLS (some 40 KiB).

mod absence;
mod name;
mod tls;
mod told;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use rustls::ClientConfig;
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode, RustlsFtpStream, Status};

pub use tls::tls_config;

use crate::key::TEMP_PREFIX;
use crate::record::{Etag, Meta};

const BUFFER_BYTES: usize = 64 << 10;
/// Servers hang up on who is silent for long; after so long they are asked first.
const SILENCE: Duration = Duration::from_secs(2);

/// Where the destination is.
#[derive(Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Without a `/` at its end; empty is the root.
    pub base_path: String,
    /// FTPS, by `AUTH TLS`, when there is one.
    pub tls: Option<Arc<ClientConfig>>,
    /// Longest time without a byte or a reply.
    pub idle: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("base_path", &self.base_path)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Why something failed at the destination, or on the way there.
#[derive(Debug)]
pub enum Fault {
    /// Refused, with this code.
    Refused(u16, String),
    /// The connection is of no use any more.
    Failed(String),
    /// The source broke off.
    Source(String),
    /// Other bytes came from the source than were listed.
    Damaged(String),
    /// The destination has another length than was sent.
    DestinationDamaged(String),
    /// The run is to end.
    Cancelled,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused(_, text) => write!(f, "FTP: {text}"),
            Fault::Failed(text) => write!(f, "FTP: {text}"),
            Fault::Source(text) | Fault::Damaged(text) | Fault::DestinationDamaged(text) => {
                f.write_str(text)
            }
            Fault::Cancelled => f.write_str("the run is to end"),
        }
    }
}

impl Fault {
    /// Whether the connection goes on after it: there was a reply, and none that ends the connection or says
    /// that its data connections fail, as they do when it has no session of TLS left to go on with.
    #[must_use]
    pub fn leaves_connection(&self) -> bool {
        match self {
            Fault::Refused(code, _) => !matches!(code, 421 | 425 | 426 | 522),
            // A transfer that is given up is ended in order, and its reply read.
            Fault::Damaged(_) | Fault::DestinationDamaged(_) => true,
            Fault::Source(_) | Fault::Cancelled => true,
            Fault::Failed(_) => false,
        }
    }
}

impl From<FtpError> for Fault {
    fn from(error: FtpError) -> Fault {
        match error {
            FtpError::UnexpectedResponse(reply) => {
                let text = String::from_utf8_lossy(&reply.body).trim().to_owned();
                // The crate does not know every code; the reply begins with it.
                let code = text.get(..3).and_then(|digits| digits.parse().ok());
                Fault::Refused(code.unwrap_or(reply.status.code() as u16), text)
            }
            other => Fault::Failed(other.to_string()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Failed(error.to_string())
    }
}

/// One connection, logged in.
pub struct Connection {
    ftp: RustlsFtpStream,
    base_path: String,
    /// Whether the server tells sizes; known after the first file.
    has_size: bool,
    /// Whether the server tells times; known after the first file that it was asked about.
    has_times: bool,
    /// Whether the server drops spaces at the end of names; known after the first name that has one.
    drops_spaces: Option<bool>,
    /// When it was known to answer.
    heard: Instant,
    /// Known not to.
    is_broken: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("base_path", &self.base_path)
            .finish_non_exhaustive()
    }
}

fn dial(address: &std::net::SocketAddr, idle: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, idle)?;
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    /// Connects and logs in.
    pub fn open(settings: &Settings) -> Result<Connection, Fault> {
        let idle = settings.idle;
        let place = (&*settings.host, settings.port);
        let addresses = place.to_socket_addrs().map_err(|error| {
            Fault::Failed(format!("find the address of {}: {error}", settings.host))
        })?;
        let mut last = None;
        let mut found = None;
        for address in addresses {
            match dial(&address, idle) {
                Ok(stream) => {
                    found = Some((address, stream));
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        let Some((address, stream)) = found else {
            let why = last.map_or("it has no address".to_owned(), |error| error.to_string());
            let place = format!("{}:{}", settings.host, settings.port);
            return Err(Fault::Failed(format!("connect to {place}: {why}")));
        };
        let mut ftp = RustlsFtpStream::connect_with_stream(stream)?
            .passive_stream_builder(move |to| dial(&to, idle).map_err(FtpError::ConnectionError));
        // Data goes to the host of the control connection, whatever address the server believes to have.
        ftp.set_passive_nat_workaround(true);
        if address.is_ipv6() {
            ftp.set_mode(Mode::ExtendedPassive);
        }
        if let Some(tls) = &settings.tls {
            ftp = ftp.into_secure(tls::connector(tls), &settings.host)?;
        }
        ftp.login(&settings.user, &settings.password)?;
        ftp.transfer_type(FileType::Binary)?;
        Ok(Connection {
            ftp,
            base_path: settings.base_path.clone(),
            has_size: true,
            has_times: true,
            drops_spaces: None,
            heard: Instant::now(),
            is_broken: false,
        })
    }

    /// Whether the server still answers; asks only one that was left in silence.
    pub fn is_alive(&mut self) -> bool {
        if self.is_broken {
            return false;
        }
        if self.heard.elapsed() >= SILENCE {
            if self.ftp.noop().is_err() {
                return false;
            }
            self.heard = Instant::now();
        }
        true
    }

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
            Err(Fault::Refused(code @ 500..=599, text)) => Fault::Refused(code, text),
            ended => return ended,
        };
        // Some servers rename over nothing that is there. Only a file steps aside, never a folder; and it
        // comes back if the new one is refused all the same.
        if !self.exists(target)? {
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

    /// Makes every folder on the way to `path`. That one is there already is no failure; that one could
    /// not be made is told by what is done next.
    fn make_folders(&mut self, path: &str) -> Result<Made, Fault> {
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

    /// Deletes a file, and what is left of an upload of it. That it is not there is a success, if that is
    /// what the server means: the same code tells that it may not be deleted.
    pub fn delete(&mut self, key: &str) -> Result<(), Fault> {
        let (target, temp) = (self.path(key), self.temp_path(key));
        ignore_refusal(self.ftp.rm(&temp))?;
        if self.is_name_of_another(&target)? {
            // Nothing can be there under its own.
            return Ok(());
        }
        let ended = match self.ftp.rm(&target).map_err(Fault::from) {
            Err(Fault::Refused(code @ (550 | 553), text)) => {
                match self.is_absent(&target, &text)? {
                    true => Ok(()),
                    false => Err(Fault::Refused(code, text)),
                }
            }
            ended => ended,
        };
        self.heard = Instant::now();
        ended
    }

    fn exists(&mut self, path: &str) -> Result<bool, Fault> {
        match self.ftp.size(path).map_err(Fault::from) {
            Ok(_) => Ok(true),
            Err(Fault::Refused(..)) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// The size of a file; none where the server does not tell sizes.
    fn size(&mut self, path: &str) -> Result<Option<u64>, Fault> {
        if !self.has_size {
            return Ok(None);
        }
        match self.ftp.size(path).map_err(Fault::from) {
            Ok(size) => Ok(Some(size as u64)),
            // Not known, or not implemented.
            Err(Fault::Refused(500 | 502 | 504, _)) => {
                self.has_size = false;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Ends the connection, politely if that can be.
    pub fn close(mut self) {
        let _ = self.ftp.quit();
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.base_path)
    }

    /// In the folder of the key, and always the same: what is left of a try is replaced by the next.
    fn temp_path(&self, key: &str) -> String {
        let (folder, _) = key.rsplit_once('/').map_or(("", key), |(a, b)| (a, b));
        let slash = if folder.is_empty() { "" } else { "/" };
        let digest: [u8; 16] = Md5::digest(key.as_bytes()).into();
        let name = u128::from_be_bytes(digest);
        // A server that does something to a space at the end does it to this name first.
        let space = if key.ends_with(' ') { " " } else { "" };
        format!(
            "{}/{folder}{slash}{TEMP_PREFIX}{name:032x}{space}",
            self.base_path
        )
    }
}

const _: () = assert!(
    Status::Ready as u16 == 220,
    "codes are those of the replies"
);

/// What came of making folders.
struct Made {
    is_none_made: bool,
    /// What the server said last of one that it did not make.
    refusal: String,
}

impl Made {
    /// A fault that has its cause in a folder that was not made.
    fn explain(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused(code, text) if !self.refusal.is_empty() => {
                Fault::Refused(code, format!("{text}; of its folder: {}", self.refusal))
            }
            other => other,
        }
    }
}

/// A refusal says that there is nothing to do; 421 ends the connection.
fn ignore_refusal(ended: Result<(), FtpError>) -> Result<(), Fault> {
    match ended.map_err(Fault::from) {
        Err(Fault::Refused(code, _)) if code != 421 => Ok(()),
        ended => ended,
    }
}
