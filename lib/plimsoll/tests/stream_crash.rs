//! Full disks and kills, in processes of their own.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use folder::Folder;
use plimsoll::ErrorKind;
use plimsoll::stream::{CopyOptions, Verify, copy_file, remove_leftovers};

const BUFFER: usize = 4 << 10;
/// Chunks of the file that is copied.
const CHUNKS: usize = 6;
const ROUNDS: usize = 40;

fn options<'a>() -> CopyOptions<'a> {
    CopyOptions {
        buffer_bytes: BUFFER,
        ..CopyOptions::default()
    }
}

/// Runs a test of this file alone, in a process of its own.
fn spawn(test: &str, folder: &Folder) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            test,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("PLIMSOLL_FOLDER", folder.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn folder_given() -> PathBuf {
    PathBuf::from(std::env::var_os("PLIMSOLL_FOLDER").expect("run by the test beside it"))
}

#[test]
fn a_full_disk_leaves_the_target_untouched() {
    let folder = Folder::new("full");
    fs::write(folder.path("source"), vec![7; CHUNKS * BUFFER]).unwrap();
    let output = spawn("child_with_a_full_disk", &folder)
        .wait_with_output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn child_with_a_full_disk() {
    let folder = folder_given();
    let (source, target) = (folder.join("source"), folder.join("target"));
    fs::write(&target, "old").unwrap();
    // SAFETY: ignoring a signal installs no handler; a write beyond the limit then fails (signal(7)).
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // The limit falls on the start and into the middle of each write.
    for half in 0..2 * CHUNKS {
        limit_files(half * BUFFER / 2);
        for verify in [Verify::ReadBack, Verify::None] {
            let options = CopyOptions {
                verify,
                ..options()
            };
            let error = copy_file(&source, &target, options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(
                error.to_string().contains("writing failed after"),
                "{error}"
            );
            assert_eq!(fs::read(&target).unwrap(), b"old");
            assert_eq!(
                fs::read_dir(&folder).unwrap().count(),
                2,
                "nothing beside them"
            );
        }
    }
    limit_files(CHUNKS * BUFFER);
    copy_file(&source, &target, options()).unwrap();
    assert_eq!(fs::read(&target).unwrap(), vec![7; CHUNKS * BUFFER]);
}

/// From now on, this process can write no file beyond so many bytes.
fn limit_files(bytes: usize) {
    let limit = libc::rlimit {
        rlim_cur: bytes as u64,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the struct outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    assert_eq!(result, 0);
}

#[test]
fn a_kill_leaves_the_old_or_the_new_file_whole() {
    let folder = Folder::new("killed");
    let (one, two) = (vec![1; 300_000], vec![2; 200_000]);
    fs::write(folder.path("one"), &one).unwrap();
    fs::write(folder.path("two"), &two).unwrap();
    fs::write(folder.path("target"), &one).unwrap();
    let mut left = 0;
    for round in 0..ROUNDS {
        let mut child = spawn("child_that_is_killed", &folder);
        // It tells every buffer: a kill at another of them each time, in all phases of a copy.
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut told = output
            .lines()
            .filter(|line| line.as_ref().is_ok_and(|line| line == "buffer"));
        let buffers = 1 + round * 7;
        let count = told.by_ref().take(buffers).count();
        assert_eq!(count, buffers, "it runs until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        let found = fs::read(folder.path("target")).unwrap();
        assert!(
            found == one || found == two,
            "round {round}: {} bytes",
            found.len()
        );
        left += remove_leftovers(folder.root()).unwrap();
        assert_eq!(folder.names(), ["one", "target", "two"]);
    }
    println!("{left} of {ROUNDS} kills left an unfinished file, all removed");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn child_that_is_killed() {
    let folder = folder_given();
    let mut progress = |_| println!("\nbuffer");
    for name in ["one", "two"].iter().cycle() {
        let options = CopyOptions {
            progress: Some(&mut progress),
            ..options()
        };
        copy_file(folder.join(name), folder.join("target"), options).unwrap();
    }
}
