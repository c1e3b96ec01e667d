//! A recorder that is killed, and a disk that is full: what was committed stays readable.
//!
//! The recorder to kill is this test program itself, started again with a variable set.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its own functions"
)]

mod made;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use made::{Folder, meta, sample, write_small};
use plimsoll_model::{Bytes, RecordingMeta};
use plimsoll_recording::{RecordingError, RecordingWriter, read_recorded};

const RECORD_TO: &str = "PLIMSOLL_TEST_RECORD_TO";

/// Not a test of its own: the recorder that the next test kills. Prints the time of each sample.
#[test]
fn recorder_to_be_killed() {
    let Some(path) = std::env::var_os(RECORD_TO) else {
        return;
    };
    let mut writer = RecordingWriter::create(&PathBuf::from(path), &meta()).unwrap();
    let start = Instant::now();
    loop {
        let at = u64::try_from(start.elapsed().as_micros()).unwrap();
        writer.sample(&sample(at, 41, 4096)).unwrap();
        println!("\nat {at}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_kill_loses_at_most_the_last_second() {
    let folder = Folder::new();
    let mut recorder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recorder_to_be_killed", "--nocapture"])
        .env(RECORD_TO, folder.file())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(recorder.stdout.take().unwrap());
    let mut times = output.lines().map_while(Result::ok).filter_map(|line| {
        line.strip_prefix("at ")
            .and_then(|at| at.parse::<u64>().ok())
    });
    let reached = times
        .find(|at| *at > 2_200_000)
        .expect("the recorder runs on");
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let last = times.last().unwrap_or(reached);
    let recorded = read_recorded(&folder.file(), 100_000).unwrap();
    let kept = recorded.samples.last().unwrap().at;
    let lost = Duration::from_micros(last).saturating_sub(kept);
    assert!(lost <= Duration::from_secs(1), "lost {lost:?}");
    assert!(!recorded.meta.complete);
    assert_eq!(recorded.meta.length, kept);
}

/// A file system of 256 KiB, unmounted at the end.
struct SmallDisk(Folder);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = Folder::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "plimsoll-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| SmallDisk(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_once_and_what_was_written_stays() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    let path = disk.path().join("run.plimsoll");
    let mut writer = RecordingWriter::create(&path, &meta()).unwrap();
    let mut errors: Vec<RecordingError> = Vec::new();
    for at in 0..20_000 {
        errors.extend(writer.sample(&sample(at, 41, 1 << 33)).err());
        if at % 500 == 0 {
            errors.extend(writer.flush().err());
        }
    }
    assert!(writer.has_failed());
    let summary = writer.finish(&RecordingMeta {
        samples_taken: 20_000,
        ..meta()
    });
    assert!(
        matches!(errors[..], [RecordingError::DiskFull { .. }]),
        "{errors:?}"
    );
    assert!(summary.unwrap().size > Bytes::kib(64));
    let recorded = read_recorded(&path, 100_000).unwrap();
    let kept = recorded.samples.len() as u64;
    assert!((500..20_000).contains(&kept), "{kept} samples");
    assert_eq!(
        recorded.samples.last().unwrap().at,
        Duration::from_micros(kept - 1)
    );
    assert!(!recorded.meta.complete);
}

#[test]
fn a_disk_too_full_to_begin_leaves_no_file() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    // Fills it up: the write ends with an error.
    let _ = std::fs::write(disk.path().join("filler"), vec![1; 1 << 20]);
    let path = disk.path().join("run.plimsoll");
    let error = RecordingWriter::create(&path, &meta())
        .unwrap_err()
        .to_string();
    assert!(error.contains("run.plimsoll"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_recording_is_read_where_nothing_can_be_written() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    let path = disk.path().join("run.plimsoll");
    write_small(&path);
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.path())
        .status();
    assert!(remounted.unwrap().success());
    assert!(std::fs::write(disk.path().join("x"), "x").is_err());
    assert_eq!(read_recorded(&path, 10).unwrap().samples.len(), 2);
}
