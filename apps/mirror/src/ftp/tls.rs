//! TLS of one connection of FTPS and of its data connections.
//!
//! Many servers take a data connection only if it goes on with the session of its control connection, so that
//! nobody else can send the file: proftpd and vsftpd unless they are told otherwise. Memory: a few sessions
//! a connection, some 2 KiB each.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use suppaftp::{DataStream, RustlsConnector, TlsStream};

/// Sessions that are kept: of one server.
const SESSIONS: usize = 4;
/// How long the end of a data connection is waited for; what it says is not needed.
const END_WAIT: Duration = Duration::from_secs(1);

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

/// For one connection, with sessions of its own: that of another one is another login, and servers that have
/// a process for each connection can't go on with it.
pub(super) fn connector(config: &ClientConfig) -> RustlsConnector {
    let mut own = config.clone();
    own.resumption = Resumption::in_memory_sessions(SESSIONS);
    RustlsConnector::from(Arc::new(own))
}

/// Ends what is sent, and reads until the server has ended too. With TLS 1.3 a session serves once, and the
/// ticket for the next data connection comes by this one: unread it would be lost, and closing a socket with
/// something unread may take the end of the file with it.
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
