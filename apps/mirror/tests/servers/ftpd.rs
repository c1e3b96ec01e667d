//! FTP servers that people run: proftpd, pure-ftpd and vsftpd, unpacked by `fetch.sh`, each with a configuration
//! of its own. They switch users, so they run as root only.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::folder::Folder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Proftpd,
    PureFtpd,
    Vsftpd,
}

/// How a server is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    /// Key and certificate in one file: nothing is taken without TLS then.
    pub(crate) certificate: Option<&'a Path>,
    /// Lines of its configuration, or arguments.
    pub(crate) more: &'a [&'a str],
}

/// A server that runs, and ends with this.
pub(crate) struct Ftpd {
    child: Child,
    pub(crate) port: u16,
    pub(crate) user: &'static str,
    /// What it shows as its root.
    pub(crate) root: PathBuf,
    folder: Folder,
}

/// Where `fetch.sh` unpacks what it has downloaded.
pub(crate) fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mirror-servers/root")
}

/// Whom the servers run as once somebody is logged in; vsftpd wants a user whose home is there.
const NOBODY: u32 = 65534;
const DAEMON: u32 = 1;

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Proftpd, Kind::PureFtpd, Kind::Vsftpd];

    fn program(self) -> &'static str {
        match self {
            Kind::Proftpd => "usr/sbin/proftpd",
            Kind::PureFtpd => "usr/sbin/pure-ftpd",
            Kind::Vsftpd => "usr/sbin/vsftpd",
        }
    }

    fn command(self) -> Command {
        let root = unpacked();
        let mut command = Command::new(root.join(self.program()));
        let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
        command.env("LD_LIBRARY_PATH", libraries);
        command.stdin(Stdio::null());
        command
    }

    /// Starts one; none, said aloud, where that can't be.
    pub(crate) fn start(self, options: Options) -> Option<Ftpd> {
        // SAFETY: it only asks.
        if unsafe { libc::geteuid() } != 0 {
            println!("SKIPPED: {self:?} runs as root only");
            return None;
        }
        let program = unpacked().join(self.program());
        if !program.exists() {
            println!(
                "SKIPPED: no {self:?}; tests/servers/fetch.sh target/mirror-servers fetches it"
            );
            return None;
        }
        let folder = Folder::new(&format!("{self:?}"));
        fs::set_permissions(folder.root(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = folder.path("ftp");
        for path in [&root, &root.join("base")] {
            fs::create_dir(path).unwrap();
        }
        let owner = match self {
            Kind::Vsftpd => DAEMON,
            Kind::Proftpd | Kind::PureFtpd => NOBODY,
        };
        chown(root.join("base"), Some(owner), Some(owner)).unwrap();
        // vsftpd serves no root that may be written to by whom it serves.
        if self != Kind::Vsftpd {
            chown(&root, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let port = free_port();
        let mut command = match self {
            Kind::Proftpd => proftpd(&folder, port, options),
            Kind::PureFtpd => pure_ftpd(&folder, port, options),
            Kind::Vsftpd => vsftpd(&folder, port, options),
        };
        let log = fs::File::create(folder.path("out")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // From here on it ends with this, also by a panic.
        let mut ftpd = Ftpd {
            child: command.spawn().unwrap(),
            port,
            user: match self {
                Kind::Vsftpd => "anonymous",
                Kind::Proftpd | Kind::PureFtpd => "user",
            },
            root,
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let is_ended = ftpd.child.try_wait().unwrap().is_some();
            assert!(
                !is_ended && begun.elapsed() < Duration::from_secs(60),
                "{self:?} does not start: {}",
                fs::read_to_string(ftpd.folder.path("out")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(ftpd)
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// As crypt(3) has it.
fn hash() -> String {
    let output = Command::new("openssl")
        .args(["passwd", "-6", "-salt", "mirror", "secret"])
        .output();
    let output = output.expect("openssl hashes the password of a server");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn proftpd(folder: &Folder, port: u16, options: Options) -> Command {
    let users = folder.path("users");
    let root = folder.path("ftp");
    let line = format!(
        "user:{}:{NOBODY}:{NOBODY}::{}:/bin/false\n",
        hash(),
        root.display()
    );
    write_secret(&users, &line);
    let at = folder.root().display();
    let modules = unpacked().join("usr/lib/proftpd");
    let mut text = format!(
        "ModulePath {}\nServerType standalone\nPort {port}\nDefaultAddress 127.0.0.1\nUseIPv6 off\n\
         User nobody\nGroup nogroup\nUseReverseDNS off\nWtmpLog off\nTransferLog none\nSystemLog {at}/log\n\
         PidFile {at}/pid\nScoreboardFile {at}/scoreboard\nAuthOrder mod_auth_file.c\n\
         AuthUserFile {at}/users\nRequireValidShell off\nDefaultRoot ~\nMaxInstances 60\n",
        modules.display()
    );
    if let Some(certificate) = options.certificate {
        let certificate = certificate.display();
        text += &format!(
            "LoadModule mod_tls.c\nTLSEngine on\nTLSRequired on\nTLSLog {at}/tls\n\
             TLSRSACertificateFile {certificate}\nTLSRSACertificateKeyFile {certificate}\n"
        );
    }
    for line in options.more {
        text += &format!("{line}\n");
    }
    let configuration = folder.path("configuration");
    fs::write(&configuration, text).unwrap();
    let mut command = Kind::Proftpd.command();
    command.arg("--nodaemon").arg("--config").arg(configuration);
    command
}

fn pure_ftpd(folder: &Folder, port: u16, options: Options) -> Command {
    let (users, database) = (folder.path("users"), folder.path("users.pdb"));
    let root = folder.path("ftp");
    let colons = ":".repeat(12);
    let line = format!(
        "user:{}:{NOBODY}:{NOBODY}::{}/./{colons}\n",
        hash(),
        root.display()
    );
    write_secret(&users, &line);
    let made = Command::new(unpacked().join("usr/bin/pure-pw"))
        .arg("mkdb")
        .arg(&database)
        .arg("-f")
        .arg(&users)
        .env(
            "LD_LIBRARY_PATH",
            unpacked().join("usr/lib/x86_64-linux-gnu"),
        )
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut command = Kind::PureFtpd.command();
    command
        .arg(format!("--bind=127.0.0.1,{port}"))
        .arg(format!("--login=puredb:{}", database.display()))
        .arg(format!("--pidfile={}", folder.path("pid").display()))
        .args([
            "--chrooteveryone",
            "--noanonymous",
            "--dontresolve",
            "--minuid=1",
        ])
        .args(options.more);
    if let Some(certificate) = options.certificate {
        command
            .arg("--tls=3")
            .arg(format!("--certfile={}", certificate.display()));
    }
    command
}

fn vsftpd(folder: &Folder, port: u16, options: Options) -> Command {
    let at = folder.root().display();
    let empty = folder.path("empty");
    fs::create_dir(&empty).unwrap();
    let mut text = format!(
        "listen=YES\nbackground=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nanonymous_enable=YES\n\
         no_anon_password=YES\nanon_root={at}/ftp\nftp_username=daemon\nnopriv_user=nobody\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\n\
         anon_other_write_enable=YES\nanon_umask=022\nsecure_chroot_dir={at}/empty\n\
         xferlog_enable=NO\nvsftpd_log_file={at}/log\nseccomp_sandbox=NO\n"
    );
    if let Some(certificate) = options.certificate {
        let certificate = certificate.display();
        text += &format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_data_ssl=YES\nforce_anon_logins_ssl=YES\n\
             ssl_tlsv1=YES\nssl_ciphers=HIGH\nrsa_cert_file={certificate}\nrsa_private_key_file={certificate}\n"
        );
    }
    for line in options.more {
        text += &format!("{line}\n");
    }
    let configuration = folder.path("configuration");
    fs::write(&configuration, text).unwrap();
    let mut command = Kind::Vsftpd.command();
    command.arg(configuration);
    command
}

impl Drop for Ftpd {
    fn drop(&mut self) {
        // First politely, so that it ends its children.
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
