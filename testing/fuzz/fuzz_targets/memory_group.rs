//! `memory_group`: the answer is the path of a line that is there, and the v1 `memory` line
//! outranks the v2 line wherever they stand.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_probe::memory_group;

fuzz_target!(|text: &[u8]| {
    let group = memory_group(text);
    if let Some(path) = &group {
        assert!(!path.contains('\n'));
        let ending = format!(":{path}");
        assert!(
            text.split(|byte| *byte == b'\n')
                .any(|line| String::from_utf8_lossy(line).ends_with(&ending))
        );
    }

    let v1_first = [b"9:memory:/v1\n", text].concat();
    assert_eq!(memory_group(&v1_first).as_deref(), Some("/v1"));

    // A v2 line at the end is the answer unless a v1 line was; a v1 line stays the answer.
    let v2_last = memory_group(&[text, b"\n0::/v2\n"].concat());
    assert!(v2_last == group || v2_last.as_deref() == Some("/v2"));
    if v2_last.as_deref() != Some("/v2") {
        let v1_last = memory_group(&[text, b"\n9:memory:/v1\n"].concat());
        assert_eq!(v1_last, group);
    }
});
