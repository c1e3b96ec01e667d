//! A key and a certificate of localhost, made once for all tests of a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

pub(crate) struct Certificate {
    /// The certificate alone, to be trusted.
    pub(crate) certificate: PathBuf,
    /// With the key, for a server.
    pub(crate) both: PathBuf,
}

/// None, said aloud, where there is no openssl.
pub(crate) fn certificate() -> Option<&'static Certificate> {
    static MADE: OnceLock<Option<Certificate>> = OnceLock::new();
    let made = MADE.get_or_init(make).as_ref();
    if made.is_none() {
        println!("SKIPPED: no openssl");
    }
    made
}

fn make() -> Option<Certificate> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    // Programs of tests may run at the same time.
    let own = |name: &str| folder.join(format!("{}-{name}", std::process::id()));
    let (both, certificate) = (own("both.pem"), own("certificate.pem"));
    let mut command = Command::new("openssl");
    command
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&both)
        .arg("-out")
        .arg(&certificate);
    if !command.output().is_ok_and(|output| output.status.success()) {
        return None;
    }
    let pem = [fs::read(&both).unwrap(), fs::read(&certificate).unwrap()].concat();
    fs::write(&both, pem).unwrap();
    // proftpd takes no key that others may read.
    fs::set_permissions(&both, fs::Permissions::from_mode(0o600)).unwrap();
    Some(Certificate { certificate, both })
}
