//! Full disks and kills while a run is written, in processes of their own.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use folder::Folder;
use plimsoll::runs::{Run, RunOptions, RunWriter, SortOptions, SortedEntries, Sorter};
use plimsoll::stream::{TempSpace, remove_leftovers};
use plimsoll::{Error, ErrorKind};

/// Entries of the run that is there before, and of the one that replaces it.
const OLD: u32 = 100;
const NEW: u32 = 3_000;
const ROUNDS: usize = 30;

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

fn value(n: u32) -> Vec<u8> {
    n.wrapping_mul(0x9e37_79b1).to_le_bytes().repeat(5)
}

/// Replaces the run at `path`, telling each hundredth entry.
fn replace(path: &Path, count: u32) -> Result<(), Error> {
    let mut writer = RunWriter::create(path, RunOptions::default().frame_bytes(4 << 10))?;
    for n in 0..count {
        writer.push(&n.to_be_bytes(), &value(n))?;
        if n % 100 == 0 {
            println!("\nstep");
        }
    }
    println!("\nstep");
    writer.commit()?;
    println!("\nstep");
    Ok(())
}

/// Entries of a run that is whole.
fn count(path: &Path) -> u32 {
    let mut reader = Run::open(path).unwrap().reader();
    let mut count = 0_u32;
    while reader.advance().unwrap() {
        assert_eq!(reader.key(), count.to_be_bytes());
        assert_eq!(reader.value(), value(count));
        count += 1;
    }
    count
}

#[test]
fn a_full_disk_leaves_the_old_run() {
    let folder = Folder::new("runs-full");
    let output = spawn("child_with_a_full_disk", &folder)
        .wait_with_output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn child_with_a_full_disk() {
    let folder = folder_given();
    let path = folder.join("run");
    replace(&path, OLD).unwrap();
    // SAFETY: ignoring a signal installs no handler; a write beyond the limit then fails (signal(7)).
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let mut bytes = 0;
    let refused = loop {
        limit_files(bytes);
        match replace(&path, NEW) {
            Ok(()) => break bytes,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io);
                let text = error.to_string();
                assert!(
                    text.contains("write the run") && text.contains("at byte"),
                    "{text}"
                );
                assert_eq!(count(&path), OLD);
                assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
            }
        }
        bytes += 701;
    };
    assert!(refused > 20_000, "the limit fell into many frames");
    assert_eq!(count(&path), NEW);

    // Of a sort, whose runs have no name.
    limit_files(50_000);
    let options = SortOptions {
        memory_bytes: 1 << 20,
        space: TempSpace::new(&folder, 1 << 30).unwrap(),
    };
    let mut sorter = Sorter::new(options).unwrap();
    let error = (0..1_000_000_u32)
        .try_for_each(|n| sorter.push(&n.wrapping_mul(0x9e37_79b1).to_le_bytes().repeat(8), &[]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    std::io::stdout().flush().unwrap();
}

/// From now on, this process can write no file beyond so many bytes.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the struct outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    assert_eq!(result, 0);
}

#[test]
fn a_kill_leaves_the_old_or_the_new_run_whole() {
    let folder = Folder::new("runs-killed");
    let path = folder.path("run");
    replace(&path, OLD).unwrap();
    let mut left = 0;
    for round in 0..ROUNDS {
        let mut child = spawn("child_that_is_killed", &folder);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut told = output
            .lines()
            .filter(|line| line.as_ref().is_ok_and(|line| line == "step"));
        let steps = 1 + round * 3;
        assert_eq!(
            told.by_ref().take(steps).count(),
            steps,
            "it runs until it is killed"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let found = count(&path);
        assert!(
            [OLD, NEW].contains(&found),
            "round {round}: {found} entries"
        );
        left += remove_leftovers(folder.root()).unwrap();
        assert_eq!(folder.names(), ["run"]);
    }
    println!("{left} of {ROUNDS} kills left an unfinished run, all removed");
}

#[test]
#[ignore = "run in a process of its own by the test above"]
fn child_that_is_killed() {
    let path = folder_given().join("run");
    for count in [NEW, OLD].into_iter().cycle() {
        replace(&path, count).unwrap();
    }
}
