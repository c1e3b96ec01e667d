//! The destination: one connection of FTP or FTPS.
//!
//! A file is sent under a temporary name in its folder, compared in length, and renamed: who reads the
//! destination never sees half of one. Memory: a buffer of 64 KiB while a file is sent, and those of
//! TLS (some 40 KiB).

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use suppaftp::types::{FileType, Response};
use suppaftp::{FtpError, Mode, RustlsConnector, RustlsFtpStream, Status};

use crate::key::TEMP_PREFIX;
use crate::record::{Etag, Meta};

/// What is read of a file before it is sent on.
pub const BUFFER_BYTES: usize = 64 << 10;

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

/// How TLS is spoken: certificates are checked, against the usual ones or those that are given as DER.
///
/// # Errors
/// A certificate that is none.
pub fn tls_config(certificates: &[Vec<u8>]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    if certificates.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for der in certificates {
        roots.add(CertificateDer::from(der.clone()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why something failed at the destination, or on the way there.
#[derive(Debug)]
pub enum Fault {
    /// Refused, with this code: the connection goes on.
    Refused(u16, String),
    /// The connection is of no use any more.
    Failed(String),
    /// The source broke off; the connection is of no use any more.
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
            ftp = ftp.into_secure(RustlsConnector::from(tls.clone()), &settings.host)?;
        }
        ftp.login(&settings.user, &settings.password)?;
        ftp.transfer_type(FileType::Binary)?;
        Ok(Connection {
            ftp,
            base_path: settings.base_path.clone(),
            has_size: true,
        })
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
        let digest = self.send(&temp, meta, source, each)?;
        if let (Etag::Md5(listed), true) = (&meta.etag, has_md5_etag)
            && *listed != digest
        {
            let _ = self.ftp.rm(&temp);
            return Err(Fault::Damaged(format!(
                "the source sends other bytes of {key:?} than its hash says"
            )));
        }
        if let Some(size) = self.size(&temp)?
            && size != meta.size_bytes
        {
            let _ = self.ftp.rm(&temp);
            return Err(Fault::DestinationDamaged(format!(
                "the destination has {size} bytes of {key:?}, {} were sent",
                meta.size_bytes
            )));
        }
        match self.ftp.rename(&temp, &target).map_err(Fault::from) {
            // Some servers rename over nothing that is there.
            Err(Fault::Refused(500..=599, _)) if self.exists(&target)? => {
                self.ftp.rm(&target)?;
                Ok(self.ftp.rename(&temp, &target)?)
            }
            ended => ended,
        }
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
            Err(FtpError::UnexpectedResponse(Response { status, .. }))
                if !matches!(status.code(), 400..=499) =>
            {
                self.make_folders(temp)?;
                self.ftp.put_with_stream(temp)?
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
            data.write_all(&buffer[..read])?;
            md5.update(&buffer[..read]);
            sent += read as u64;
            if !each(read as u64) {
                return Err(Fault::Cancelled);
            }
            if sent > meta.size_bytes {
                break;
            }
        }
        data.finish()?;
        if sent != meta.size_bytes {
            let _ = self.ftp.rm(temp);
            return Err(Fault::Damaged(format!(
                "the source sends {sent} bytes or more, {} were listed",
                meta.size_bytes
            )));
        }
        Ok(md5.finalize().into())
    }

    /// Makes every folder on the way to `path`. That one is there already is no failure; that one could
    /// not be made is told by what is done next.
    fn make_folders(&mut self, path: &str) -> Result<(), Fault> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder.is_empty() {
            return Ok(());
        }
        for (at, _) in folder.match_indices('/').skip_while(|(at, _)| *at == 0) {
            self.make_folder(&folder[..at])?;
        }
        self.make_folder(folder)
    }

    fn make_folder(&mut self, folder: &str) -> Result<(), Fault> {
        match self.ftp.mkdir(folder).map_err(Fault::from) {
            Err(Fault::Refused(..)) | Ok(()) => Ok(()),
            failed => failed,
        }
    }

    /// Deletes a file, and what is left of an upload of it. That it is not there is a success, if that is
    /// what the server means: the same code tells that it may not be deleted.
    pub fn delete(&mut self, key: &str) -> Result<(), Fault> {
        let (target, temp) = (self.path(key), self.temp_path(key));
        match self.ftp.rm(&temp).map_err(Fault::from) {
            Ok(()) | Err(Fault::Refused(..)) => {}
            failed => return failed,
        }
        match self.ftp.rm(&target).map_err(Fault::from) {
            Err(Fault::Refused(550, text)) => {
                if !self.exists(&target)? && tells_absence(&text) {
                    return Ok(());
                }
                Err(Fault::Refused(550, text))
            }
            ended => ended,
        }
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
        format!("{}/{folder}{slash}{TEMP_PREFIX}{name:032x}", self.base_path)
    }
}

const _: () = assert!(
    Status::Ready as u16 == 220,
    "codes are those of the replies"
);

/// Whether a reply to a deletion says that there is no such file.
fn tells_absence(text: &str) -> bool {
    let text = text.to_lowercase();
    [
        "no such",
        "not found",
        "not exist",
        "nonexist",
        "can't find",
        "cannot find",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_tell_absence() {
        for text in [
            "550 No such file or directory.",
            "550 a/b: No such file or directory",
            "550 Could not delete x: No such file or directory",
            "550 File not found",
            "550 The file does not exist",
        ] {
            assert!(tells_absence(text), "{text}");
        }
        for text in [
            "550 Permission denied.",
            "550 Not enough privileges.",
            "550 Delete failed",
            "",
        ] {
            assert!(!tells_absence(text), "{text}");
        }
    }
}
