//! TLS of the connections of FTPS.
//!
//! Many servers take a data connection only if it goes on with the session of its control connection, so that
//! nobody else can send the file: proftpd and vsftpd unless they are told otherwise. A session of TLS 1.2 can
//! be gone on with for any number of files. One of TLS 1.3 serves once, and proftpd (1.3.8) does not take the
//! one that it gives instead: two files a login. So TLS 1.3 is spoken with servers that take nothing less.
//! Memory: a few sessions a connection, some 2 KiB each.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use suppaftp::{DataStream, FtpError, RustlsConnector, TlsStream};

/// Sessions that are kept: of one server.
const SESSIONS: usize = 4;
/// How long the end of a data connection is waited for; what it says is not needed.
const END_WAIT: Duration = Duration::from_secs(1);

/// How TLS is spoken.
#[derive(Debug)]
pub struct Tls {
    /// Of 1.2 alone, and of 1.3 alone.
    usual: ClientConfig,
    newer: ClientConfig,
    /// The server has refused the usual one.
    needs_newer: AtomicBool,
}

/// Certificates are checked, against the usual ones or those that are given as DER.
///
/// # Errors
/// A certificate that is none.
pub fn tls_config(certificates: &[Vec<u8>]) -> anyhow::Result<Arc<Tls>> {
    let mut roots = RootCertStore::empty();
    if certificates.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for der in certificates {
        roots.add(CertificateDer::from(der.clone()))?;
    }
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = |version| -> anyhow::Result<ClientConfig> {
        Ok(ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots.clone())
            .with_no_client_auth())
    };
    Ok(Arc::new(Tls {
        usual: config(&rustls::version::TLS12)?,
        newer: config(&rustls::version::TLS13)?,
        needs_newer: AtomicBool::new(false),
    }))
}

impl Tls {
    /// For one connection, with sessions of its own: that of another one is another login, and servers that
    /// have a process for each connection can't go on with it.
    pub(super) fn connector(&self) -> RustlsConnector {
        let mut own = match self.needs_newer.load(Ordering::Relaxed) {
            true => self.newer.clone(),
            false => self.usual.clone(),
        };
        own.resumption = Resumption::in_memory_sessions(SESSIONS);
        RustlsConnector::from(Arc::new(own))
    }

    /// Whether another try is of use, after an error of a handshake: the server takes no TLS 1.2.
    pub(super) fn turns_newer(&self, error: &FtpError) -> bool {
        use rustls::AlertDescription::{HandshakeFailure, InsufficientSecurity, ProtocolVersion};
        let FtpError::ConnectionError(error) = error else {
            return false;
        };
        let error = error.get_ref().and_then(|inner| inner.downcast_ref());
        matches!(
            error,
            Some(rustls::Error::AlertReceived(
                ProtocolVersion | HandshakeFailure | InsufficientSecurity
            ))
        ) && !self.needs_newer.swap(true, Ordering::Relaxed)
    }
}

/// Ends what is sent, and reads until the server has ended too. With TLS 1.3 the session for the next data
/// connection comes by this one: unread it would be lost, and closing a socket with something unread may
/// take the end of the file with it.
pub(super) fn end<T>(data: &mut DataStream<T>)
where
    T: TlsStream<InnerStream = rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>>,
{
    let DataStream::Ssl(tls) = data else { return };
    let tls = tls.mut_ref();
    // Whether all arrived is what the reply and the size say.
    let mut flush = || -> std::io::Result<()> {
        // The handshake is due now, where there was nothing to send.
        tls.flush()?;
        tls.conn.send_close_notify();
        tls.flush()
    };
    let ended = flush()
        .and_then(|()| tls.sock.set_read_timeout(Some(END_WAIT)))
        .and_then(|()| tls.sock.shutdown(Shutdown::Write));
    if ended.is_ok() {
        let mut buffer = [0; 1024];
        while matches!(tls.read(&mut buffer), Ok(read) if read > 0) {}
    }
}
