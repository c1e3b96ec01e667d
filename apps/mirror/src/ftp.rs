//! The destination: one connection of FTP or FTPS.
//!
//! A file is sent under a temporary name in its folder, compared in length, and renamed: who reads the
//! destination never sees half of one. Memory: a buffer of 64 KiB while a file is sent, and those of
//! TLS (some 40 KiB).

mod absence;
mod folder;
mod name;
mod tls;
mod told;
mod upload;

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode, RustlsFtpStream, Status};

pub use tls::{Tls, tls_config};

use crate::key::TEMP_PREFIX;

/// Servers hang up on who is silent for long; after so long they are asked first.
const SILENCE: Duration = Duration::from_secs(2);

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
    pub tls: Option<Arc<Tls>>,
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
    keep_alive(&stream)?;
    Ok(stream)
}

/// Has the kernel send probes on a silent connection: nothing is said on the control connection while a large
/// file is sent, and routers forget connections after some minutes (RFC 5382: two hours; many keep less).
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    const IDLE_SECONDS: libc::c_int = 60;
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, IDLE_SECONDS),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, IDLE_SECONDS),
    ];
    for (level, name, value) in options {
        // SAFETY: an open socket, and a value of the length that is told.
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
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
            ftp = match ftp.into_secure(tls.connector(), &settings.host) {
                Ok(ftp) => ftp,
                // The first time only.
                Err(error) if tls.turns_newer(&error) => return Connection::open(settings),
                Err(error) => return Err(error.into()),
            };
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

/// A refusal says that there is nothing to do; 421 ends the connection.
fn ignore_refusal(ended: Result<(), FtpError>) -> Result<(), Fault> {
    match ended.map_err(Fault::from) {
        Err(Fault::Refused(code, _)) if code != 421 => Ok(()),
        ended => ended,
    }
}
