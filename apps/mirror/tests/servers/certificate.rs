//! A key and a certificate of localhost in one file, made once a week for all tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// It is valid for a month.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The file, for a server, and to be trusted by the program; none, said aloud, where there is no openssl.
pub(crate) fn certificate() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("localhost.pem");
    let made = fs::metadata(&path).and_then(|found| found.modified());
    if made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < AGE_MAX)) {
        return Some(path);
    }
    // Tests run at the same time, as do programs of tests: each puts a whole file in place.
    let own = |part: &str| {
        let thread = std::thread::current().id();
        path.with_extension(format!("{}-{thread:?}-{part}", std::process::id()))
    };
    let (key, certificate) = (own("key"), own("certificate"));
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
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    if !command.output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no openssl");
        return None;
    }
    let pem = [fs::read(&key).unwrap(), fs::read(&certificate).unwrap()].concat();
    fs::write(&key, pem).unwrap();
    // proftpd takes no key that others may read.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(certificate).unwrap();
    fs::rename(key, &path).unwrap();
    Some(path)
}
