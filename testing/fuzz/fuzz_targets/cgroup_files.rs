//! The library's readers of cgroup files, their very source: what they find is in the text, no path
//! climbs out of a mount, and no line changes what the lines before it said.

#![no_main]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "sources of the library, of which this uses a part"
)]

/// The library's sources of these names.
#[path = "../../../lib/plimsoll/src"]
mod source {
    pub(crate) mod cgroup;
    pub(crate) mod error;
}

use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use source::cgroup::{Version, below, keyed_value, parse_group, parse_mounts, parse_number};
use source::error;

fn check_group(text: &[u8]) {
    let group = parse_group(text);
    if let Some((_, path)) = &group {
        let ending = format!(":{path}");
        let is_there = |line: &[u8]| String::from_utf8_lossy(line).ends_with(&ending);
        assert!(text.split(|byte| *byte == b'\n').any(is_there));
    }
    let v1_first = [b"9:memory:/v1\n", text].concat();
    assert_eq!(
        parse_group(&v1_first),
        Some((Version::V1, "/v1".to_owned()))
    );
    let v2_last = parse_group(&[text, b"\n0::/v2\n"].concat());
    let is_v1 = matches!(group, Some((Version::V1, _)));
    assert_eq!(
        v2_last,
        if is_v1 {
            group
        } else {
            Some((Version::V2, "/v2".to_owned()))
        }
    );
}

fn check_mounts(text: &[u8]) {
    let lines = text.split(|byte| *byte == b'\n').count();
    for version in [Version::V1, Version::V2] {
        let mounts = parse_mounts(text, version);
        assert!(mounts.len() <= lines);
        for (root, point) in &mounts {
            // Escapes only shorten; a root that is not UTF-8 grows to marks of three bytes.
            assert!(root.len() <= 3 * text.len());
            assert!(point.as_os_str().as_bytes().len() <= text.len());
        }
        let more = [
            text,
            b"\n30 1 0:2 /r\\040x /m rw - cgroup2 c rw\n31 1 0:2 / /n rw - cgroup c rw,memory\n",
        ]
        .concat();
        let known = parse_mounts(&more, version);
        assert_eq!(known[..mounts.len()], mounts);
        let added = match version {
            Version::V1 => ("/".to_owned(), "/n".into()),
            Version::V2 => ("/r x".to_owned(), "/m".into()),
        };
        assert_eq!(known[mounts.len()..], [added]);
    }
}

fn check_below(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let (root, group) = text.split_once('\n').unwrap_or(("/", &text));
    if let Some(path) = below(root, group) {
        assert!(path.split('/').all(|name| name != ".."));
        assert!(group.contains(path.as_str()));
    }
    assert_eq!(below("/", "/a/../b"), None);
}

fn check_numbers(text: &[u8]) {
    if let Some(number) = parse_number(text) {
        let digits = text.trim_ascii();
        let plain = String::from_utf8_lossy(digits);
        assert_eq!(
            plain.trim_start_matches('0'),
            number.to_string().trim_start_matches('0')
        );
    }
    let value = keyed_value(text, "inactive_file");
    let first = [b"inactive_file 7\n", text].concat();
    assert_eq!(keyed_value(&first, "inactive_file"), Some(7));
    let other = [b"total_inactive_file 7\n", text].concat();
    assert_eq!(keyed_value(&other, "inactive_file"), value);
}

fuzz_target!(|text: &[u8]| {
    check_group(text);
    check_mounts(text);
    check_below(text);
    check_numbers(text);
});
