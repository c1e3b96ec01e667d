//! Roots whose owner means harm, or that can't be read: nothing outside a root is ever used.

#![expect(
    clippy::unwrap_used,
    reason = "functions shared by the tests of this file"
)]

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_model::{GapReason, PackageManager};
use plimsoll_provenance::Provenance;

/// A folder of its own for one test, removed at its end.
struct TemporaryRoot(PathBuf);

impl TemporaryRoot {
    fn new() -> TemporaryRoot {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-provenance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        TemporaryRoot(path)
    }

    fn write(&self, below: &str, text: impl AsRef<[u8]>) {
        let path = self.folder_for(below);
        fs::write(path, text).unwrap();
    }

    fn link(&self, below: &str, target: impl AsRef<Path>) {
        symlink(target, self.folder_for(below)).unwrap();
    }

    fn folder_for(&self, below: &str) -> PathBuf {
        let path = self.0.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn owner(&self, path: &str) -> (String, Vec<plimsoll_model::Gap>) {
        let path = PathBuf::from(path);
        let (owners, gaps) = Provenance::new(self.0.clone()).packages(std::slice::from_ref(&path));
        let owner = &owners[&path];
        (format!("{} {owner}", owner.manager.name()), gaps)
    }
}

impl Drop for TemporaryRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A link in a container that names a file of this machine leads to the container's own.
#[test]
fn links_do_not_leave_the_root() {
    let outside = TemporaryRoot::new();
    outside.write("info/secret.list", "/.\n/usr/lib/libx.so\n");
    let root = TemporaryRoot::new();
    root.link("var/lib/dpkg/info", outside.0.join("info"));
    assert_eq!(
        root.owner("/usr/lib/libx.so"),
        ("folder /usr/lib".into(), vec![])
    );

    let climbing = TemporaryRoot::new();
    let up = format!("{}{}", "../".repeat(20), outside.0.join("info").display());
    climbing.link("var/lib/dpkg/info", up);
    assert_eq!(
        climbing.owner("/usr/lib/libx.so"),
        ("folder /usr/lib".into(), vec![])
    );
}

#[test]
fn an_absolute_link_is_resolved_in_the_root() {
    let root = TemporaryRoot::new();
    root.write("data/info/inside.list", "/.\n/usr/lib/libx.so\n");
    root.write("var/lib/dpkg/status", "Package: inside\nVersion: 1\n");
    root.link("var/lib/dpkg/info", "/data/info");
    assert_eq!(
        root.owner("/usr/lib/libx.so"),
        ("deb inside 1".into(), vec![])
    );
}

#[test]
fn a_loop_of_links_is_a_gap() {
    let root = TemporaryRoot::new();
    root.link("var/lib/dpkg/info", "info");
    let (owner, gaps) = root.owner("/usr/lib/libx.so");
    assert_eq!(owner, "folder /usr/lib");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
}

#[test]
fn many_unreadable_lists_are_one_gap() {
    let root = TemporaryRoot::new();
    for number in 0..20 {
        fs::create_dir_all(root.folder_for(&format!("var/lib/dpkg/info/{number}.list"))).unwrap();
    }
    let (_, gaps) = root.owner("/usr/lib/libx.so");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].detail.ends_with("and 19 more"), "{gaps:?}");
}

/// Opening a FIFO for reading would wait for a writer for ever.
#[test]
fn a_fifo_is_not_opened() {
    let root = TemporaryRoot::new();
    root.write("var/lib/dpkg/info/x.list", "/.\n/usr/lib/libx.so\n");
    for name in [
        "var/lib/dpkg/status",
        "var/lib/rpm/rpmdb.sqlite",
        "lib/apk/db/installed",
    ] {
        let path = CString::new(root.folder_for(name).as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is nul-terminated.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }
    let (owner, gaps) = root.owner("/usr/lib/libx.so");
    assert_eq!(owner, "deb x");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let (owner, gaps) = root.owner("/usr/lib/liby.so");
    assert_eq!(owner, "folder /usr/lib");
    assert_eq!(gaps.len(), 2, "{gaps:?}");
}

#[test]
fn names_can_not_steer_a_terminal() {
    let root = TemporaryRoot::new();
    root.write(
        "app/node_modules/x/package.json",
        r#"{"version": "1\u001b[2J\n2"}"#,
    );
    let (owner, _) = root.owner("/app/node_modules/x/x.node");
    assert_eq!(owner, "npm x 1\u{fffd}[2J\u{fffd}2");
}

#[test]
fn a_foreign_rpm_database_is_a_gap() {
    let check = |bytes: &[u8]| {
        let root = TemporaryRoot::new();
        root.write("var/lib/rpm/rpmdb.sqlite", bytes);
        let (owner, gaps) = root.owner("/usr/lib64/libx.so");
        assert_eq!(owner, "folder /usr/lib64");
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0].reason, GapReason::Malformed);
    };
    check(b"");
    check(b"SQLite format 3\0 and then nothing of it");
    check(&[0x5a; 8192]);
}

/// Without its indices and with every row alike, one lookup would be a product of all rows.
#[test]
fn an_endless_rpm_query_is_given_up() {
    let root = TemporaryRoot::new();
    let path = root.folder_for("var/lib/rpm/rpmdb.sqlite");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB);
             CREATE TABLE Basenames (key TEXT, hnum INTEGER, idx INTEGER);
             CREATE TABLE Dirnames (key TEXT, hnum INTEGER, idx INTEGER);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
             INSERT INTO Basenames SELECT 'libx.so', 1, 0 FROM n;
             INSERT INTO Dirnames SELECT '/usr/lib64/', 1, 0 FROM Basenames;",
        )
        .unwrap();
    drop(database);
    let (owner, gaps) = root.owner("/usr/lib64/libx.so");
    assert_eq!(owner, "folder /usr/lib64");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].detail.contains("interrupted"), "{gaps:?}");
}

/// rpm's database in a root is reached through a link whose text, read here, would name this
/// machine's own; and what waits in rpm's log makes versions doubtful.
#[test]
fn an_rpm_database_with_a_full_log_has_no_versions() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/rpm/usr/lib/sysimage/rpm/rpmdb.sqlite");
    let root = TemporaryRoot::new();
    root.write(
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        fs::read(fixture).unwrap(),
    );
    root.link("var/lib/rpm", "/usr/lib/sysimage/rpm");
    let (owner, gaps) = root.owner("/opt/twin/libtide.so.1.4.2");
    assert_eq!((owner.as_str(), gaps.len()), ("rpm harbour 7:2.0-1", 0));

    root.write("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "frames");
    let (owner, gaps) = root.owner("/opt/twin/libtide.so.1.4.2");
    assert_eq!(owner, "rpm harbour");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::Changed);
    let names: Vec<_> = fs::read_dir(root.0.join("usr/lib/sysimage/rpm"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 2, "nothing was created beside the database");
}

#[test]
fn a_root_that_can_not_be_read_gives_folders_and_one_gap() {
    let paths = [PathBuf::from("/usr/lib/a.so"), PathBuf::from("/opt/b.so")];
    let provenance = Provenance::new(PathBuf::from("/proc/0/root"));
    let (owners, gaps) = provenance.packages(&paths);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(owners.len(), 2);
    assert!(
        owners
            .values()
            .all(|owner| owner.manager == PackageManager::Folder)
    );
}

#[test]
fn no_paths_ask_nothing() {
    let (owners, gaps) = Provenance::new(PathBuf::from("/proc/0/root")).packages(&[]);
    assert!(owners.is_empty() && gaps.is_empty(), "{gaps:?}");
}
