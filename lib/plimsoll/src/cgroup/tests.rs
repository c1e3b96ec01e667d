use proptest::prelude::*;

use super::*;

/// A made-up tree of files, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = std::env::temp_dir().join(format!("plimsoll-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Tree(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn version_2_takes_the_tightest_up_the_tree() {
    let tree = Tree::new(
        "v2",
        &[
            ("proc/self/cgroup", "0::/a/b\n"),
            (
                "proc/self/mountinfo",
                "30 1 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            ),
            ("sys/fs/cgroup/a/b/memory.current", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.high", "9000\n"),
            ("sys/fs/cgroup/a/memory.current", "4000\n"),
            ("sys/fs/cgroup/a/memory.max", "5000\n"),
            ("sys/fs/cgroup/a/memory.stat", "file 9\ninactive_file 700\n"),
        ],
    );
    let reading = read_under(&tree.0).unwrap();
    assert_eq!(reading.limit_bytes, Some(5000));
    assert_eq!(reading.current_bytes, Some(4000));
    assert_eq!(reading.current_limit_bytes, Some(5000));
    assert_eq!(reading.inactive_file_bytes, Some(700));
    assert_eq!(reading.v2_directory, Some(tree.0.join("sys/fs/cgroup/a/b")));
}

#[test]
fn version_1_takes_hidden_parents_too() {
    let tree = Tree::new(
        "v1",
        &[
            ("proc/self/cgroup", "4:memory:/c/x\n0::/\n"),
            (
                "proc/self/mountinfo",
                "35 31 0:32 /c /m rw shared:9 - cgroup cgroup rw,memory\n",
            ),
            ("m/x/memory.usage_in_bytes", "10\n"),
            ("m/x/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "m/x/memory.stat",
                "cache 1\nhierarchical_memory_limit 4096\ntotal_inactive_file 3\n",
            ),
            ("m/memory.limit_in_bytes", "8192\n"),
            ("m/memory.usage_in_bytes", "12\n"),
        ],
    );
    let reading = read_under(&tree.0).unwrap();
    assert_eq!(reading.limit_bytes, Some(4096));
    assert_eq!(reading.current_bytes, Some(10));
    assert_eq!(reading.v2_directory, None);
}

#[test]
fn what_is_not_there_is_none() {
    let check = |name: &str, files: &[(&str, &str)]| {
        let tree = Tree::new(name, files);
        assert_eq!(read_under(&tree.0), None, "{name}");
    };
    check("empty", &[("x", "")]);
    check(
        "outside",
        &[
            ("proc/self/cgroup", "0::/../other\n"),
            (
                "proc/self/mountinfo",
                "30 1 0:2 / /g rw - cgroup2 cgroup2 rw\n",
            ),
        ],
    );
    check(
        "no-controller",
        &[
            ("proc/self/cgroup", "0::/a\n"),
            (
                "proc/self/mountinfo",
                "30 1 0:2 / /g rw - cgroup2 cgroup2 rw\n",
            ),
            ("g/a/cgroup.procs", "1\n"),
        ],
    );
}

#[test]
fn numbers_and_keys() {
    let check = |text: &str, key, expected| {
        assert_eq!(keyed_value(text.as_bytes(), key), expected, "{text:?}");
    };
    check("a 1\nab 2\n", "ab", Some(2));
    check("MemTotal:   12 kB\n", "MemTotal:", Some(12));
    check("ab x\n", "ab", None);
    check("ab\n", "ab", None);
    assert_eq!(parse_number(b"max\n"), None);
    assert_eq!(parse_number(b"99999999999999999999"), None);
    assert!(read_ram().unwrap() > 0);
}

proptest! {
    #[test]
    fn parsers_never_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_group(&text);
        let _ = parse_mounts(&text, Version::V1);
        let _ = parse_mounts(&text, Version::V2);
        let _ = keyed_value(&text, "a");
    }
}
