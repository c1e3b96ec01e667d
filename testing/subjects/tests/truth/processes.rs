//! Subjects that are several processes, or do not stay.

use plimsoll_subjects::Subject;

use crate::MIB;
use crate::smaps::{read, sum, within};

fn state_of(pid: u64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn forked_copy_on_write() {
    let arguments = ["--mib", "24", "--children", "3", "--rewrite-mib", "6"];
    let subject = Subject::start("forked_copy_on_write", &arguments);
    let address = subject.number("address");
    let children = subject.truth["children"].as_array().unwrap().iter();
    let children: Vec<u32> = children.map(|pid| pid.as_u64().unwrap() as u32).collect();
    assert_eq!(children.len(), 3);
    let mut proportional = 0;
    for pid in children.iter().copied().chain([subject.pid]) {
        let vmas = read(pid);
        let ours = within(&vmas, address..address + 24 * MIB);
        assert_eq!(
            sum(ours.iter().copied(), "Rss"),
            subject.number("anon_bytes")
        );
        let private = sum(ours.iter().copied(), "Private_Dirty");
        assert_eq!(private, subject.number("private_bytes_each"));
        let shared = sum(ours.iter().copied(), "Shared_Dirty");
        assert_eq!(shared, subject.number("shared_bytes"));
        proportional += sum(ours.iter().copied(), "Pss");
    }
    assert_eq!(subject.number("distinct_bytes"), (24 + 3 * 6) * MIB);
    // The kernel rounds each mapping's PSS down to 1 KiB.
    let distinct = subject.number("distinct_bytes");
    assert!(
        proportional <= distinct && distinct - proportional <= 16 << 10,
        "{proportional}"
    );
    assert!(subject.finish().success());
}

#[test]
fn zombie_parent() {
    let subject = Subject::start("zombie_parent", &[]);
    let zombie = subject.number("zombie");
    assert_eq!(state_of(zombie), Some('Z'));
    assert!(subject.finish().success());
    assert_eq!(state_of(zombie), None);
}

#[test]
fn exits_during_read() {
    let mut told = Subject::start("exits_during_read", &["--mib", "16"]);
    let address = told.number("address");
    let vmas = read(told.pid);
    assert_eq!(
        sum(within(&vmas, address..address + 16 * MIB), "Anonymous"),
        16 * MIB
    );
    told.send("go");
    assert!(told.wait().success());
    let mut timed = Subject::start("exits_during_read", &["--mib", "1", "--after-ms", "5"]);
    assert!(timed.wait().success());
    assert!(std::fs::read(format!("/proc/{}/smaps", timed.pid)).is_err());
}

#[test]
fn spawner() {
    let mut subject = Subject::start("spawner", &["--children", "4", "--milliseconds", "5"]);
    let list = format!("/proc/{0}/task/{0}/children", subject.pid);
    let mut seen = std::collections::BTreeSet::new();
    // Ends as soon as children were replaced twice over, which needs no clock.
    while seen.len() < 12 {
        let pids = std::fs::read_to_string(&list).unwrap();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        assert!(pids.len() <= 4, "{pids:?}");
        seen.extend(pids.into_iter().map(str::to_owned));
    }
    let spawned = subject.tell("end")["spawned"].as_u64().unwrap();
    assert!(spawned >= 12, "{spawned}");
    assert!(subject.wait().success());
}
