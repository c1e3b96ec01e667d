//! A plain reading of `/proc/PID/smaps`, kept apart from the tool's own parser on purpose: what
//! checks the subjects must not share a mistake with what they check.

use std::collections::BTreeMap;
use std::ops::Range;

/// One mapping with the sizes the kernel gives for it, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Vma {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) permissions: String,
    pub(crate) path: String,
    sizes: BTreeMap<String, u64>,
    pub(crate) flags: Vec<String>,
}

impl Vma {
    pub(crate) fn get(&self, key: &str) -> u64 {
        *self
            .sizes
            .get(key)
            .unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }
}

/// All mappings of `pid`.
pub(crate) fn read(pid: u32) -> Vec<Vma> {
    let bytes = std::fs::read(format!("/proc/{pid}/smaps")).unwrap();
    let mut vmas: Vec<Vma> = Vec::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let first = line.split_whitespace().next().unwrap();
        match (first.strip_suffix(':'), first.split_once('-')) {
            (Some("VmFlags"), _) => {
                let flags = line.split_whitespace().skip(1).map(str::to_owned).collect();
                vmas.last_mut().unwrap().flags = flags;
            }
            (Some(key), _) => {
                let number = line.split_whitespace().nth(1).unwrap().parse::<u64>();
                // Only sizes are needed: "ProtectionKey: 0" becomes 0 bytes, which harms nobody.
                let bytes = number.unwrap() * 1024;
                vmas.last_mut().unwrap().sizes.insert(key.to_owned(), bytes);
            }
            (None, Some((start, end))) => vmas.push(head(line, start, end)),
            (None, None) => panic!("smaps has the line {line:?}"),
        }
    }
    vmas
}

fn head(line: &str, start: &str, end: &str) -> Vma {
    let mut fields = line.splitn(6, ' ');
    let permissions = fields.nth(1).unwrap().to_owned();
    let path = fields.nth(3).unwrap_or("").trim_start().to_owned();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    let (start, end) = (number(start), number(end));
    Vma {
        start,
        end,
        permissions,
        path,
        sizes: BTreeMap::new(),
        flags: Vec::new(),
    }
}

/// The mappings that overlap `range`.
pub(crate) fn within(vmas: &[Vma], range: Range<u64>) -> Vec<&Vma> {
    vmas.iter()
        .filter(|vma| vma.start < range.end && range.start < vma.end)
        .collect()
}

/// The sum of `key` over `vmas`.
pub(crate) fn sum<'a>(vmas: impl IntoIterator<Item = &'a Vma>, key: &str) -> u64 {
    vmas.into_iter().map(|vma| vma.get(key)).sum()
}

/// Asserts that `found` is at least `expected` and at most `room` bytes more.
#[track_caller]
pub(crate) fn assert_fits(what: &str, found: u64, expected: u64, room: u64) {
    assert!(
        (expected..=expected + room).contains(&found),
        "{what}: the kernel says {found} bytes, the truth row {expected} (room {room})"
    );
}
