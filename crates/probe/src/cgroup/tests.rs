use std::path::PathBuf;

use plimsoll_model::Bytes;
use proptest::prelude::*;

use super::*;

/// A recorded or written tree under fixtures/cgroup.
fn fixture(tree: &str, pid: u32) -> (Option<Cgroup>, Vec<Gap>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroup");
    read_cgroup_under(&root.join(tree), pid)
}

fn paths(cgroup: &Cgroup) -> Vec<&str> {
    cgroup
        .levels
        .iter()
        .map(|level| level.path.as_str())
        .collect()
}

#[test]
fn v2_on_a_host() {
    let (cgroup, gaps) = fixture("v2-host", 100);
    let cgroup = cgroup.unwrap();
    assert_eq!(gaps, []);
    assert_eq!(cgroup.version, CgroupVersion::V2);
    // Neither the innermost group, where the controller is off, nor the root has figures.
    assert_eq!(
        paths(&cgroup),
        ["/system.slice/web.service", "/system.slice"]
    );
    let service = CgroupLevel {
        path: "/system.slice/web.service".to_owned(),
        current: Some(Bytes::mib(400)),
        peak: Some(Bytes(440_000_000)),
        max: Some(Bytes::mib(512)),
        high: Some(Bytes::mib(448)),
        swap_max: Some(Bytes::ZERO),
        anon: Some(Bytes(200_000_000)),
        file: Some(Bytes(180_000_000)),
        inactive_file: Some(Bytes(120_000_000)),
        oom_kills: Some(1),
    };
    assert_eq!(cgroup.levels[0], service);
    assert_eq!(cgroup.tightest(), Some(&service));
    assert_eq!(service.headroom(), Some(Bytes::mib(48)));
    let slice = &cgroup.levels[1];
    assert_eq!((slice.max, slice.high, slice.swap_max), (None, None, None));
}

#[test]
fn v2_in_a_container_says_that_more_may_be_hidden() {
    let (cgroup, gaps) = fixture("v2-container", 7);
    let cgroup = cgroup.unwrap();
    assert_eq!(paths(&cgroup), ["/"]);
    assert_eq!(cgroup.levels[0].headroom(), Some(Bytes::mib(156)));
    assert_eq!(cgroup.levels[0].peak, None);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::Denied);
    assert!(gaps[0].detail.contains("hidden"), "{}", gaps[0]);
}

#[test]
fn v1_in_a_container_tells_the_limit_of_a_hidden_parent() {
    let (cgroup, gaps) = fixture("v1-docker", 5);
    let cgroup = cgroup.unwrap();
    assert_eq!(cgroup.version, CgroupVersion::V1);
    assert_eq!(paths(&cgroup), ["/docker/ab12/job", "/docker/ab12"]);
    let container = CgroupLevel {
        path: "/docker/ab12".to_owned(),
        current: Some(Bytes::mib(70)),
        peak: Some(Bytes::mib(90)),
        max: Some(Bytes::mib(128)),
        high: None,
        swap_max: Some(Bytes::mib(128)),
        anon: Some(Bytes::mib(20)),
        file: Some(Bytes::mib(40)),
        inactive_file: Some(Bytes::mib(10)),
        oom_kills: Some(2),
    };
    assert_eq!(cgroup.levels[1], container);
    assert_eq!(
        (cgroup.levels[0].max, cgroup.levels[0].swap_max),
        (None, None)
    );
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].detail.contains("64.0 MiB"), "{}", gaps[0]);
}

#[test]
fn what_can_not_be_seen_is_a_gap() {
    let check = |tree: &str, pid: u32, reason: GapReason, words: &str| {
        let (cgroup, gaps) = fixture(tree, pid);
        assert_eq!(cgroup, None, "{tree} {pid}");
        assert!(
            gaps.iter()
                .any(|gap| gap.reason == reason && gap.detail.contains(words)),
            "{tree} {pid}: {gaps:?}"
        );
    };
    check("v2-container", 8, GapReason::Denied, "outside the part");
    check("v1-docker", 6, GapReason::Denied, "outside the part");
    check(
        "v2-host",
        101,
        GapReason::Unsupported,
        "controller is on in no group",
    );
    check(
        "none",
        1,
        GapReason::Unsupported,
        "controller is on in no group",
    );
    check("none", 2, GapReason::Unsupported, "not mounted");
    check("none", 3, GapReason::Unsupported, "no group");
    check("none", 4, GapReason::Vanished, "proc/4/cgroup");
}

#[test]
fn a_removed_group_leaves_those_above_it() {
    let (cgroup, gaps) = fixture("v2-host", 102);
    assert_eq!(paths(&cgroup.unwrap()), ["/system.slice"]);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::Vanished);
}

#[test]
fn which_line_accounts_memory() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(
            memory_group(text.as_bytes()).as_deref(),
            expected,
            "{text:?}"
        );
    };
    check("0::/a\n", Some("/a"));
    check("5:memory:/v1\n0::/v2\n", Some("/v1"));
    check("0::/v2\n5:hugetlb,memory:/v1\n", Some("/v1"));
    check("0::/a:b:c\n", Some("/a:b:c"));
    check("5:memoryx:/v1\n1:name=systemd:/\n", None);
    check("", None);
}

/// A group made for the test, removed at its end.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process was reaped before: see the order of declarations in the test.
        let _ = std::fs::remove_dir(&self.0);
    }
}

struct Sleeper(std::process::Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_v1_group_with_a_limit() {
    let name = format!("plimsoll-probe-test-{}", std::process::id());
    let group = Group(Path::new("/sys/fs/cgroup/memory").join(&name));
    let limit = Bytes::mib(64);
    let made = std::fs::create_dir(&group.0)
        .and_then(|()| std::fs::write(group.0.join("memory.limit_in_bytes"), limit.0.to_string()));
    if let Err(error) = made {
        eprintln!("skipped: no cgroup v1 memory group can be made here ({error})");
        return;
    }
    let child = std::process::Command::new("sleep").arg("1000").spawn();
    let sleeper = Sleeper(child.unwrap());
    let pid = sleeper.0.id();
    std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    let (cgroup, gaps) = read_cgroup(pid);
    let cgroup = cgroup.unwrap();
    assert_eq!(cgroup.version, CgroupVersion::V1);
    assert_eq!(cgroup.levels[0].path, format!("/{name}"));
    assert_eq!(cgroup.levels[0].max, Some(limit));
    assert!(cgroup.levels[0].current.unwrap() < limit);
    assert_eq!(cgroup.levels[0].oom_kills, Some(0));
    assert_eq!(cgroup.levels.last().unwrap().path, "/");
    assert_eq!(cgroup.tightest().unwrap().path, format!("/{name}"));
    assert_eq!(gaps, []);
}

proptest! {
    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = memory_group(&text);
    }

    #[test]
    fn every_parent_is_walked(names in proptest::collection::vec("[a-z.]{1,6}", 0..6)) {
        let path = names.join("/");
        let walked: Vec<&str> = walk_up(&path).collect();
        prop_assert_eq!(walked.len(), names.len() + 1);
        prop_assert_eq!(walked.last(), Some(&""));
        prop_assert_eq!(walked[0], path.as_str());
    }
}
