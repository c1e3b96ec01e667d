//! Finds a few paths among the 140,000 lines of dpkg's file lists.
//!
//! [`Wanted`] holds the names looked for. A line is first tested against 8 KiB of bits by its
//! length and last bytes, so that hardly any line that is not wanted costs a hash. Pure.

use std::collections::HashMap;

/// One bit for each value of [`Wanted::key`].
const KEY_BITS: usize = 1 << 16;

/// Which package's list may name a file, as diversions rule it (dpkg-divert(1)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lister {
    Any,
    /// The name is diverted for all packages but this one.
    Only(String),
    /// The name is where the diversion of this package moves other packages' file.
    AllBut(String),
}

impl Lister {
    fn admits(&self, package: &str) -> bool {
        match self {
            Lister::Any => true,
            Lister::Only(diverter) => package == diverter,
            Lister::AllBut(diverter) => package != diverter,
        }
    }
}

/// Names looked for, each with the index of the path it stands for. Names have no leading `/`.
#[derive(Debug)]
pub(crate) struct Wanted {
    names: HashMap<Vec<u8>, Vec<(usize, Lister)>>,
    keys: Vec<u64>,
}

impl Wanted {
    pub(crate) fn new() -> Wanted {
        Wanted {
            names: HashMap::new(),
            keys: vec![0; KEY_BITS / 64],
        }
    }

    pub(crate) fn add(&mut self, name: &[u8], index: usize, lister: Lister) {
        let key = Wanted::key(name);
        self.keys[key / 64] |= 1 << (key % 64);
        let listers = self.names.entry(name.to_vec()).or_default();
        listers.push((index, lister));
    }

    /// Calls `found` with the index of each path that `package`'s list names. The lines of a list
    /// are paths, with a leading `/` in `*.list` and behind 34 bytes of checksum in `*.md5sums`.
    pub(crate) fn search(
        &self,
        list: &[u8],
        format: ListFormat,
        package: &str,
        mut found: impl FnMut(usize),
    ) {
        let mut rest = list;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            let name = line.get(format.name_start()..).unwrap_or_default();
            let key = Wanted::key(name);
            if self.keys[key / 64] & (1 << (key % 64)) == 0 {
                continue;
            }
            for (index, lister) in self.names.get(name).into_iter().flatten() {
                if lister.admits(package) {
                    found(*index);
                }
            }
        }
    }

    /// Less than [`KEY_BITS`]: the length and the last four bytes, mixed (Fibonacci hashing).
    fn key(name: &[u8]) -> usize {
        let last = name
            .last_chunk::<4>()
            .map_or(0, |end| u32::from_le_bytes(*end));
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let mixed = (last ^ length.rotate_left(24)).wrapping_mul(0x9e37_79b1);
        (mixed >> 16) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    List,
    Md5sums,
}

impl ListFormat {
    fn name_start(self) -> usize {
        match self {
            ListFormat::List => 1,
            // 32 hexadecimal digits and two spaces (md5sum(1)).
            ListFormat::Md5sums => 34,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(
        list: &[u8],
        format: ListFormat,
        package: &str,
        wanted: &[(&str, Lister)],
    ) -> Vec<usize> {
        let mut table = Wanted::new();
        for (index, (name, lister)) in wanted.iter().enumerate() {
            table.add(name.as_bytes(), index, lister.clone());
        }
        let mut result = Vec::new();
        table.search(list, format, package, |index| result.push(index));
        result
    }

    #[test]
    fn whole_lines_only() {
        let list = b"/.\n/lib\n/lib/libc.so.6\n/lib/x\n\n/last";
        let check = |name: &str, expected: &[usize]| {
            let result = found(list, ListFormat::List, "p", &[(name, Lister::Any)]);
            assert_eq!(result, expected, "{name}");
        };
        check("lib/libc.so.6", &[0]);
        check("lib/libc.so", &[]);
        check("libc.so.6", &[]);
        check("last", &[0]);
    }

    #[test]
    fn checksums() {
        let list = b"d41d8cd98f00b204e9800998ecf8427e  usr/lib/libz.so.1\nshort\n";
        let wanted = [("usr/lib/libz.so.1", Lister::Any)];
        assert_eq!(found(list, ListFormat::Md5sums, "p", &wanted), [0]);
    }

    #[test]
    fn diversions() {
        let check = |package: &str, expected: &[usize]| {
            let wanted = [
                ("bin/sh", Lister::Only("dash".to_string())),
                ("bin/sh", Lister::AllBut("dash".to_string())),
            ];
            let result = found(b"/bin/sh\n", ListFormat::List, package, &wanted);
            assert_eq!(result, expected, "{package}");
        };
        check("dash", &[0]);
        check("bash", &[1]);
    }

    proptest! {
        #[test]
        fn as_a_plain_search(
            lines in proptest::collection::vec("[a-c/]{1,4}", 0..30),
            name in "[a-c/]{1,4}",
        ) {
            let list: String = lines.iter().map(|line| format!("/{line}\n")).collect();
            let hits = found(list.as_bytes(), ListFormat::List, "p", &[(&name, Lister::Any)]);
            prop_assert_eq!(hits.len(), lines.iter().filter(|line| **line == name).count());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = found(&bytes, ListFormat::List, "p", &[("", Lister::Any)]);
            let _ = found(&bytes, ListFormat::Md5sums, "p", &[("", Lister::Any)]);
        }
    }
}
