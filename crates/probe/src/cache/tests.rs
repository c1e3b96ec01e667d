use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};

use plimsoll_model::{AddressRange, Counters, Permissions, VmFlags};

use super::*;
use crate::maps::parse_maps;

/// A folder of its own for a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("plimsoll-cache-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// A file of `pages` pages.
    fn file(&self, name: &str, pages: usize) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, vec![7; pages * page_bytes()]).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn page_bytes() -> usize {
    // SAFETY: sysconf(3) touches no memory of ours.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

/// A file mapped into this process.
struct Mapped {
    address: *mut libc::c_void,
    length: usize,
}

impl Mapped {
    fn new(file: &File) -> Mapped {
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED);
        Mapped { address, length }
    }

    fn mapping(&self) -> Mapping {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        parse_maps(&maps)
            .mappings
            .into_iter()
            .find(|mapping| mapping.range.start == self.address as u64)
            .unwrap()
    }

    fn read(&self) -> (MappedFile, Vec<Gap>) {
        let mapping = self.mapping();
        let (files, gaps) = read_mapped_files(std::process::id(), &[mapping], Sharers::Skip);
        assert_eq!(files.len(), 1);
        (files.into_values().next().unwrap(), gaps)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing refers to it.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

/// Whether /proc/PID/map_files may be followed (CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN before
/// Linux 5.9).
fn map_files_allowed(mapped: &Mapped) -> bool {
    let name = map_files_name(mapped.mapping().range);
    File::open(format!("/proc/self/map_files/{name}")).is_ok()
}

#[test]
fn a_file_by_its_path() {
    let folder = Folder::new("path");
    let path = folder.file("data", 50);
    let mapped = Mapped::new(&File::open(&path).unwrap());
    let (file, gaps) = mapped.read();
    assert_eq!(gaps, []);
    assert_eq!(file.path, path);
    let size = Bytes(50 * page_bytes() as u64);
    assert_eq!(file.size, Some(size));
    assert_eq!(file.cache.unwrap().cached, size);
    assert_eq!((file.processes, file.package), (None, None));
}

#[test]
fn a_deleted_or_replaced_file_is_never_taken_for_another() {
    let folder = Folder::new("replaced");
    let path = folder.file("data", 20);
    let mapped = Mapped::new(&File::open(&path).unwrap());
    let before = mapped.mapping();
    let size = Bytes(20 * page_bytes() as u64);
    std::fs::rename(folder.file("other", 5), &path).unwrap();
    // What a reader has who read maps before the file was replaced.
    let (files, gaps) = read_mapped_files(std::process::id(), &[before], Sharers::Skip);
    let stale = files.into_values().next().unwrap();
    let (deleted, deleted_gaps) = mapped.read();
    if map_files_allowed(&mapped) {
        assert_eq!((stale.size, deleted.size), (Some(size), Some(size)));
        assert_eq!((gaps, deleted_gaps), (vec![], vec![]));
    } else {
        assert_eq!((stale.size, deleted.size), (None, None));
        assert_eq!(gaps[0].reason, GapReason::Changed);
        assert_eq!((deleted.cache, deleted_gaps.len()), (None, 1));
    }
}

#[test]
fn a_memfd_through_its_descriptor() {
    // SAFETY: the name is NUL-terminated; the descriptor is new and nobody else's.
    let file: File = unsafe {
        let descriptor = libc::memfd_create(c"probe test".as_ptr(), libc::MFD_CLOEXEC);
        OwnedFd::from_raw_fd(descriptor).into()
    };
    let page = page_bytes() as u64;
    file.set_len(30 * page).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![1; page_bytes() * 3], 0).unwrap();
    let mapped = Mapped::new(&file);
    let (found, gaps) = mapped.read();
    assert_eq!(gaps, []);
    assert!(found.in_memory_filesystem);
    assert_eq!(found.path, PathBuf::from("memfd:probe test"));
    assert_eq!(found.size, Some(Bytes(30 * page)));
    let cached = found.cache.unwrap().cached;
    assert!(
        cached >= Bytes(3 * page) && cached <= Bytes(30 * page),
        "{cached}"
    );
}

#[test]
fn what_is_not_there_is_a_gap_for_each_reason() {
    let folder = Folder::new("missing");
    let path = folder.file("data", 1);
    let metadata = std::fs::metadata(&path).unwrap();
    let made = |inode: u64, device_minor: u32, path: &Path| Mapping {
        range: AddressRange::new(0x1000, 0x2000),
        permissions: Permissions::default(),
        offset: 0,
        file: Some(FileId {
            device_major: libc::major(metadata.dev()),
            device_minor,
            inode,
        }),
        backing: Backing::File {
            path: path.to_owned(),
            deleted: false,
        },
        counters: Counters::default(),
        flags: VmFlags::default(),
    };
    let minor = libc::minor(metadata.dev());
    let mappings = [
        made(metadata.ino() + 1_000_000, minor, &path),
        made(metadata.ino() + 2_000_000, minor, &folder.0.join("gone")),
        made(metadata.ino(), minor + 77, &path),
    ];
    let (files, gaps) = read_mapped_files(std::process::id(), &mappings, Sharers::Skip);
    assert_eq!(files.len(), 3);
    for file in files
        .values()
        .filter(|file| file.id.inode != metadata.ino())
    {
        assert_eq!((file.size, file.cache), (None, None), "{file:?}");
    }
    let replaced = gaps
        .iter()
        .find(|gap| gap.reason == GapReason::Changed)
        .unwrap();
    assert!(replaced.detail.starts_with("2 files"), "{replaced}");
    // On file systems that renumber devices the same inode at the same path is accepted.
    assert!(
        gaps.iter().any(|gap| gap.detail.contains("device numbers")),
        "{gaps:?}"
    );
}

#[test]
fn anonymous_memory_and_devices_are_no_files() {
    let maps = b"7f00-7f10 rw-p 00000000 00:00 0   [heap]\n\
                 7f20-7f30 rw-s 00000000 00:06 5   /dev/nvidia0\n";
    let mappings = parse_maps(maps).mappings;
    assert_eq!(mappings.len(), 2);
    let (files, gaps) = read_mapped_files(std::process::id(), &mappings, Sharers::Count);
    assert_eq!((files.len(), gaps), (0, vec![]));
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_share_a_program() {
    let folder = Folder::new("sharers");
    let program = folder.0.join("sleep");
    let original = ["/bin/sleep", "/usr/bin/sleep"]
        .iter()
        .find(|path| Path::new(path).exists());
    std::fs::copy(original.unwrap(), &program).unwrap();
    let started: Vec<Sleeper> = (0..3)
        .map(|_| Sleeper(Command::new(&program).arg("1000").spawn().unwrap()))
        .collect();
    // A program started is not a program mapped: that is only sure once it sleeps.
    for sleeper in &started {
        let stat = format!("/proc/{}/stat", sleeper.0.id());
        while !std::fs::read_to_string(&stat)
            .unwrap()
            .contains("(sleep) S ")
        {
            std::thread::yield_now();
        }
    }
    let pid = started[0].0.id();
    let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap();
    let mappings = parse_maps(&maps).mappings;
    let (files, gaps) = read_mapped_files(pid, &mappings, Sharers::Count);
    let file = files.values().find(|file| file.path == program).unwrap();
    let processes = file.processes.unwrap();
    assert_eq!(processes.count, 3);
    // Others' processes may be unreadable: then that is said.
    if gaps.iter().any(|gap| gap.what.contains("at least")) {
        assert!(!processes.complete);
    } else {
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(
            processes.complete,
            namespace.as_os_str() == "pid:[4026531836]"
        );
    }
}
