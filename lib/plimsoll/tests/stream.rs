//! Copies, moves, replaced files and temporary space, with everything that can fail made to fail.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use folder::Folder;
use plimsoll::stream::{
    AtomicFile, Cancel, CopyOptions, Moved, Phase, Progress, TempSpace, Verify, copy, copy_file,
    move_file, remove_leftovers,
};
use plimsoll::{Error, ErrorKind};

const BUFFER: usize = 4 << 10;

fn small<'a>() -> CopyOptions<'a> {
    CopyOptions {
        buffer_bytes: BUFFER,
        ..CopyOptions::default()
    }
}

/// Bytes that repeat nowhere near.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// The `nth` call fails (from 1); a write that fails is preceded by half of it.
struct Failing<T> {
    inner: T,
    calls_left: usize,
}

impl<T> Failing<T> {
    fn call(&mut self) -> io::Result<()> {
        self.calls_left -= 1;
        if self.calls_left == 0 {
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }
}

impl<T: Read> Read for Failing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.call()?;
        self.inner.read(bytes)
    }
}

impl<T: Write> Write for Failing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.call() {
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.call()?;
        self.inner.flush()
    }
}

#[test]
fn every_failing_read_or_write_leaves_the_target_untouched() {
    let folder = Folder::new("failing");
    let target = folder.path("target");
    let content = bytes(5 * BUFFER + 7);
    let mut outcomes = Vec::new();
    for fails_read in [true, false] {
        for nth in 1.. {
            fs::write(&target, "old").unwrap();
            let mut file = AtomicFile::create(&target).unwrap();
            let result = if fails_read {
                let inner = &content[..];
                copy(
                    Failing {
                        inner,
                        calls_left: nth,
                    },
                    &mut file,
                    small(),
                )
            } else {
                let inner = &mut file;
                copy(
                    &content[..],
                    Failing {
                        inner,
                        calls_left: nth,
                    },
                    small(),
                )
            };
            match result {
                Ok(_) => {
                    file.commit().unwrap();
                    assert_eq!(fs::read(&target).unwrap(), content);
                    outcomes.push(nth);
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io);
                    assert!(error.to_string().contains("injected"), "{error}");
                    drop(file);
                    assert_eq!(fs::read(&target).unwrap(), b"old");
                }
            }
            assert_eq!(folder.names(), ["target"]);
        }
    }
    // Seven reads (the last finds the end), six writes and a flush can fail.
    assert_eq!(outcomes, [8, 8]);
}

#[test]
fn a_copy_is_whole_and_has_the_permissions_of_its_source() {
    let folder = Folder::new("copy");
    let (source, target) = (folder.path("source"), folder.path("target"));
    for length in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 10 * BUFFER + 3] {
        fs::write(&source, bytes(length)).unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o640)).unwrap();
        let mut told = Vec::new();
        let mut progress = |progress: Progress| told.push(progress);
        let options = CopyOptions {
            progress: Some(&mut progress),
            ..small()
        };
        let copied = copy_file(&source, &target, options).unwrap();
        assert_eq!(copied.bytes, length as u64);
        assert_eq!(fs::read(&target).unwrap(), bytes(length));
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o640);
        for phase in [Phase::Copying, Phase::Verifying] {
            let last = told.iter().rfind(|told| told.phase == phase);
            assert_eq!(last.map_or(0, |last| last.done_bytes), length as u64);
        }
        assert!(
            told.iter()
                .all(|told| told.total_bytes == Some(length as u64))
        );
        assert_eq!(folder.names(), ["source", "target"]);
    }
}

/// Runs `act` at the end of a phase of a copy, which then has to fail so.
#[test]
fn a_copy_by_the_kernel_is_whole_and_has_no_sum() {
    let folder = Folder::new("kernel");
    let (source, target) = (folder.path("source"), folder.path("target"));
    // Beyond two steps of the kernel's, with holes.
    let length = 40 << 20;
    let mut file = fs::File::create(&source).unwrap();
    file.set_len(length).unwrap();
    file.write_all(&bytes(100_000)).unwrap();
    file.seek(SeekFrom::Start(length - 7)).unwrap();
    file.write_all(b"the end").unwrap();
    let mut told = Vec::new();
    let mut progress = |progress: Progress| told.push((progress.phase, progress.done_bytes));
    let options = CopyOptions {
        verify: Verify::None,
        progress: Some(&mut progress),
        ..small()
    };
    let copied = copy_file(&source, &target, options).unwrap();
    assert_eq!((copied.bytes, copied.crc32), (length, None));
    assert!(fs::read(&source).unwrap() == fs::read(&target).unwrap());
    assert!(told.len() > 2 && told.iter().all(|(phase, _)| *phase == Phase::Copying));
    assert_eq!(told.last().unwrap().1, length);

    // Cancelled after its first step, it leaves nothing.
    fs::write(&target, "old").unwrap();
    let cancel = Cancel::new();
    let mut progress = |_: Progress| cancel.cancel();
    let options = CopyOptions {
        verify: Verify::None,
        progress: Some(&mut progress),
        cancel: Some(&cancel),
        ..small()
    };
    let error = copy_file(&source, &target, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(folder.names(), ["source", "target"]);
}

fn check_disturbed(phase: Phase, act: impl Fn(&Folder), kind: ErrorKind, part: &str) {
    let folder = Folder::new("disturbed");
    let (source, target) = (folder.path("source"), folder.path("target"));
    fs::write(&source, bytes(3 * BUFFER)).unwrap();
    fs::write(&target, "old").unwrap();
    let mut progress = |progress: Progress| {
        if progress.phase == phase && Some(progress.done_bytes) == progress.total_bytes {
            act(&folder);
        }
    };
    let options = CopyOptions {
        progress: Some(&mut progress),
        ..small()
    };
    let error = copy_file(&source, &target, options).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(folder.names(), ["source", "target"]);
}

#[test]
fn what_is_spoiled_or_changed_meanwhile_is_told() {
    let write_at = |path: &Path, at, bytes: &[u8]| {
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    };
    let changed = "changed meanwhile";
    let longer = |folder: &Folder| write_at(&folder.path("source"), 3 * BUFFER as u64, b"more");
    check_disturbed(Phase::Copying, longer, ErrorKind::Malformed, changed);
    let shorter = |folder: &Folder| fs::write(folder.path("source"), "").unwrap();
    check_disturbed(Phase::Copying, shorter, ErrorKind::Malformed, changed);
    let part = |folder: &Folder| {
        let names = folder.names();
        folder.path(names.iter().find(|name| name.ends_with(".part")).unwrap())
    };
    let spoil = |folder: &Folder| write_at(&part(folder), 5, b"x");
    check_disturbed(Phase::Copying, spoil, ErrorKind::Malformed, "read back");
    let cut = |folder: &Folder| {
        let file = OpenOptions::new().write(true).open(part(folder)).unwrap();
        file.set_len(100).unwrap();
    };
    check_disturbed(Phase::Copying, cut, ErrorKind::Malformed, "read back");
    let steal = |folder: &Folder| fs::remove_file(part(folder)).unwrap();
    check_disturbed(Phase::Verifying, steal, ErrorKind::Io, "put in place");
}

#[test]
fn a_cancelled_copy_leaves_nothing() {
    for phase in [Phase::Copying, Phase::Verifying] {
        let folder = Folder::new("cancel");
        let (source, target) = (folder.path("source"), folder.path("target"));
        fs::write(&source, bytes(3 * BUFFER)).unwrap();
        let cancel = Cancel::new();
        let mut progress = |progress: Progress| {
            if progress.phase == phase {
                cancel.cancel();
            }
        };
        let options = CopyOptions {
            cancel: Some(&cancel),
            progress: Some(&mut progress),
            ..small()
        };
        let error = copy_file(&source, &target, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(folder.names(), ["source"]);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new("refused");
    let file = folder.path("file");
    fs::write(&file, "content").unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    fs::hard_link(&file, folder.path("same")).unwrap();
    symlink("file", folder.path("link")).unwrap();
    let check = |result: Result<(), Error>, kind| {
        assert_eq!(result.unwrap_err().kind(), kind);
        assert_eq!(fs::read(&file).unwrap(), b"content");
        assert_eq!(folder.names(), ["file", "folder", "link", "same"]);
    };
    let copying = |a: &str, b: &str| copy_file(folder.path(a), folder.path(b), small()).map(drop);
    let moving = |a: &str, b: &str| move_file(folder.path(a), folder.path(b), small()).map(drop);
    for run in [&copying as &dyn Fn(&str, &str) -> _, &moving] {
        check(run("file", "same"), ErrorKind::Invalid);
        check(run("file", "file"), ErrorKind::Invalid);
        check(run("file", "link"), ErrorKind::Invalid);
        check(run("folder", "new"), ErrorKind::Invalid);
        check(run("file", "folder"), ErrorKind::Invalid);
        check(run("nowhere", "new"), ErrorKind::Io);
        check(run("file", "nowhere/new"), ErrorKind::Io);
    }
    check(moving("link", "new"), ErrorKind::Invalid);
    check(AtomicFile::create("/").map(drop), ErrorKind::Invalid);
    for buffer_bytes in [0, BUFFER - 1, (64 << 20) + 1] {
        let options = CopyOptions {
            buffer_bytes,
            ..CopyOptions::default()
        };
        check(
            copy_file(&file, folder.path("new"), options).map(drop),
            ErrorKind::Invalid,
        );
    }
}

#[test]
fn a_move_renames_where_it_can() {
    let folder = Folder::new("move");
    let (source, target) = (folder.path("source"), folder.path("target"));
    fs::write(&source, "new").unwrap();
    fs::write(&target, "old").unwrap();
    let before = fs::metadata(&source).unwrap().ino();
    assert_eq!(
        move_file(&source, &target, small()).unwrap(),
        Moved::Renamed
    );
    assert_eq!(fs::metadata(&target).unwrap().ino(), before);
    assert_eq!(folder.names(), ["target"]);
}

#[test]
fn a_move_to_another_file_system_copies_and_removes() {
    let (here, there) = (
        Folder::new("here"),
        Folder::within(Path::new("/dev/shm"), "there"),
    );
    let Some(there) = there else {
        println!("skipped: no /dev/shm");
        return;
    };
    if fs::metadata(here.root()).unwrap().dev() == fs::metadata(there.root()).unwrap().dev() {
        println!("skipped: /dev/shm is the file system of temporary files");
        return;
    }
    let (source, target) = (there.path("source"), here.path("target"));
    fs::write(&source, bytes(3 * BUFFER)).unwrap();
    fs::write(&target, "old").unwrap();
    let changed = fs::metadata(&source).unwrap().modified().unwrap();
    let Moved::Copied(copied) = move_file(&source, &target, small()).unwrap() else {
        panic!("renamed across file systems");
    };
    assert_eq!(copied.bytes, 3 * BUFFER as u64);
    assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), changed);
    assert_eq!(fs::read(&target).unwrap(), bytes(3 * BUFFER));
    assert_eq!(
        (here.names(), there.names().len()),
        (vec!["target".to_owned()], 0)
    );
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let folder = Folder::new("mode");
    let target = folder.path("target");
    fs::write(&target, "old").unwrap();
    fs::set_permissions(&target, Permissions::from_mode(0o4604)).unwrap();
    let mut file = AtomicFile::create(&target).unwrap();
    file.write_all(b"new").unwrap();
    assert_eq!(file.file().metadata().unwrap().mode() & 0o777, 0o600);
    file.commit().unwrap();
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(fs::read(&target).unwrap(), b"new");
}

#[test]
fn leftovers_are_removed_and_files_in_use_are_not() {
    let folder = Folder::new("leftovers");
    fs::write(
        folder.path(".plimsoll-1-0.part"),
        "left by a killed process",
    )
    .unwrap();
    fs::write(folder.path("other.part"), "not ours").unwrap();
    let mut file = AtomicFile::create(folder.path("target")).unwrap();
    file.write_all(b"new").unwrap();
    assert_eq!(remove_leftovers(folder.root()).unwrap(), 1);
    file.commit().unwrap();
    assert_eq!(folder.names(), ["other.part", "target"]);
}

#[test]
fn temporary_files_stay_within_their_space() {
    let folder = Folder::new("temp");
    let space = TempSpace::new(folder.root(), 1000).unwrap();
    let mut first = space.file().unwrap();
    let mut second = space.file().unwrap();
    assert!(folder.names().is_empty(), "they have no names");
    first.write_all(&[1; 600]).unwrap();
    second.write_all(&[2; 400]).unwrap();
    let error = second.write_all(&[2; 1]).unwrap_err();
    assert_eq!(error.kind(), IoKind::StorageFull);
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<Error>())
        .unwrap();
    assert_eq!(inner.kind(), ErrorKind::OutOfBudget);
    let text = inner.to_string();
    for part in [
        "1 B more wanted",
        "1000 B held by 2 files",
        "0 B left of 1000 B",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // What is there may be written anew; what is cut is free again.
    first.rewind().unwrap();
    first.write_all(&[3; 600]).unwrap();
    first.set_len(100).unwrap();
    assert_eq!(space.figures().held_bytes, 500);
    // A hole counts.
    second.seek(SeekFrom::Start(800)).unwrap();
    second.write_all(&[4; 100]).unwrap();
    assert_eq!(
        (second.held_bytes(), space.figures().held_bytes),
        (900, 1000)
    );
    assert!(second.set_len(901).is_err());
    second.rewind().unwrap();
    let mut read = Vec::new();
    second.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), 900);
    drop((first, second));
    let figures = space.figures();
    assert_eq!((figures.held_bytes, figures.files), (0, 0));
    assert_eq!((figures.held_peak_bytes, figures.refused_total), (1000, 2));
}
