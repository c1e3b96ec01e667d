//! Ceph's radosgw, unpacked by `fetch-radosgw.sh`, with one file as its store. It sees a root of its own, so it
//! runs where chroot(2) is allowed.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::ftpd::free_port;

pub(crate) struct Radosgw {
    child: Child,
    pub(crate) port: u16,
    place: PathBuf,
}

impl Radosgw {
    /// With pages of so many keys; none, said aloud, where it can't be started.
    pub(crate) fn start(page: u32) -> Option<Radosgw> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mirror-servers/radosgw");
        // SAFETY: it only asks.
        if unsafe { libc::geteuid() } != 0 || !root.join("usr/bin/radosgw").exists() {
            println!(
                "SKIPPED: no radosgw, or not root; tests/servers/fetch-radosgw.sh \
                 target/mirror-servers/radosgw fetches it"
            );
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let inside = format!("/tmp/{}-{number}", std::process::id());
        let place = root.join(&inside[1..]);
        let _ = fs::remove_dir_all(&place);
        for name in ["store", "data", "run"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        for name in ["null", "urandom", "random"] {
            let to = root.join("dev").join(name);
            if !to.exists() {
                let from = format!("/dev/{name}");
                let made = Command::new("cp").arg("-a").arg(from).arg(to).status();
                // Another test may have been faster.
                let to = root.join("dev").join(name);
                assert!(made.unwrap().success() || to.exists());
            }
        }
        let port = free_port();
        let configuration = format!(
            "[global]\nauth_cluster_required = none\nauth_service_required = none\n\
             auth_client_required = none\nrgw_backend_store = dbstore\nrgw_config_store = dbstore\n\
             dbstore_db_dir = {inside}/store\nrgw_data = {inside}/data\nrun_dir = {inside}/run\n\
             log_file = {inside}/log\nlog_to_file = true\nadmin_socket =\n\
             rgw_frontends = beast endpoint=127.0.0.1:{port}\nrgw_max_listing_results = {page}\n"
        );
        fs::write(place.join("ceph.conf"), configuration).unwrap();
        let command = |program: &str| {
            let mut command = Command::new("chroot");
            command.arg(&root).arg(format!("/usr/bin/{program}"));
            command.arg(format!("--conf={inside}/ceph.conf"));
            command.arg("--no-mon-config").stdin(Stdio::null());
            command.env_remove("LD_LIBRARY_PATH");
            command
        };
        let made = command("radosgw-admin")
            .args(["user", "create", "--uid=user", "--display-name=user"])
            .args(["--access-key=key", "--secret-key=unseen-secret"])
            .output()
            .unwrap();
        if !made.status.success() {
            println!("SKIPPED: radosgw does not run here: {made:?}");
            return None;
        }
        let child = command("radosgw")
            .args(["--foreground", "--name=client.admin"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From here on it ends with this, also by a panic.
        let mut radosgw = Radosgw { child, port, place };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let is_ended = radosgw.child.try_wait().unwrap().is_some();
            assert!(
                !is_ended && begun.elapsed() < Duration::from_secs(60),
                "radosgw does not start: {}",
                fs::read_to_string(radosgw.place.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(radosgw)
    }
}

impl Drop for Radosgw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.place);
    }
}
