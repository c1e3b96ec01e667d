//! Subjects that map files and shared memory.

use plimsoll_subjects::Subject;

use crate::MIB;
use crate::smaps::{read, sum, within};

#[test]
fn shared_memory() {
    let check = |name: &str, path: &str| {
        let subject = Subject::start(name, &["--mib", "16"]);
        let vmas = read(subject.pid);
        let ours: Vec<_> = vmas.iter().filter(|vma| vma.path == path).collect();
        assert_eq!(ours.len(), 1, "{name}");
        assert_eq!(ours[0].start, subject.number("address"));
        assert_eq!(ours[0].get("Rss"), subject.number("shmem_bytes"), "{name}");
        assert_eq!(subject.number("shmem_bytes"), 16 * MIB);
        assert!(subject.finish().success());
    };
    check("shared_anonymous", "/dev/zero (deleted)");
    check("sysv_shm", "/SYSV00000000 (deleted)");
}

#[test]
fn tmpfs_file() {
    for killed in [false, true] {
        let subject = Subject::start("tmpfs_file", &["--mib", "16"]);
        let file = subject.text("file").to_owned();
        let vmas = read(subject.pid);
        let ours: Vec<_> = vmas.iter().filter(|vma| vma.path == file).collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].get("Rss"), 8 * MIB);
        assert_eq!(subject.number("shmem_bytes"), 8 * MIB);
        if killed {
            drop(subject);
        } else {
            assert!(subject.finish().success());
        }
        assert!(
            !std::path::Path::new(&file).exists(),
            "nothing is left behind"
        );
    }
}

#[test]
fn dirty_file() {
    let mut subject = Subject::start("dirty_file", &["--mib", "16", "--dirty-mib", "6"]);
    let dirty = subject.number("dirty_bytes");
    assert_eq!(dirty, 6 * MIB);
    // A system that writes much back early may have cleaned some: then they are dirtied again.
    let found = (0..5).find_map(|_| {
        let vmas = read(subject.pid);
        let ours: Vec<_> = vmas
            .into_iter()
            .filter(|vma| vma.path == subject.text("file"))
            .collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].get("Rss"), subject.number("resident_bytes"));
        assert!(ours[0].get("Private_Dirty") <= dirty);
        subject.tell("again");
        (ours[0].get("Private_Dirty") == dirty).then(|| ours[0].get("Private_Clean"))
    });
    assert_eq!(found, Some(subject.number("clean_bytes")));
    let folder = subject.folder().to_owned();
    assert!(folder.join("table.db").is_file());
    drop(subject);
    assert!(!folder.exists(), "nothing is left behind");
}

#[test]
fn deleted_file() {
    let subject = Subject::start("deleted_file", &["--mib", "8"]);
    let vmas = read(subject.pid);
    let ours: Vec<_> = vmas
        .iter()
        .filter(|vma| vma.path == subject.text("file"))
        .collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0].get("Rss"), subject.number("resident_bytes"));
    assert!(!std::path::Path::new(subject.text("original_file")).exists());
}

#[test]
fn odd_file_names() {
    let subject = Subject::start("odd_file_names", &["--kib", "256"]);
    let vmas = read(subject.pid);
    let files = subject.truth["files"].as_array().unwrap();
    assert_eq!(files.len(), 8);
    for file in files {
        let address = file["address"].as_u64().unwrap();
        let bytes = file["resident_bytes"].as_u64().unwrap();
        let ours = within(&vmas, address..address + bytes);
        assert_eq!(ours.len(), 1, "{file}");
        assert_eq!(ours[0].path, file["maps_text"].as_str().unwrap());
        assert_eq!(sum(ours, "Rss"), bytes);
    }
}
