//! Versions from dpkg's `status`, a text of paragraphs (deb-control(5)): `Package:`,
//! `Architecture:`, `Version:`. Takes lines, opens nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A package as the name of its list spells it: `libc6:amd64` where several architectures can be
/// installed side by side, `bash` elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListedName {
    pub(crate) name: String,
    pub(crate) architecture: Option<String>,
}

impl ListedName {
    pub(crate) fn parse(text: &str) -> ListedName {
        let (name, architecture) = match text.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture.to_string())),
            None => (text, None),
        };
        ListedName {
            name: name.to_string(),
            architecture,
        }
    }
}

/// Collects the versions of the wanted packages from the lines of a status file.
#[derive(Debug)]
pub(crate) struct Versions {
    /// `None` until found.
    wanted: BTreeMap<ListedName, Option<String>>,
    missing: usize,
    name: String,
    architecture: String,
    version: String,
}

impl Versions {
    pub(crate) fn wanted(names: impl IntoIterator<Item = ListedName>) -> Versions {
        let wanted: BTreeMap<_, _> = names.into_iter().map(|name| (name, None)).collect();
        Versions {
            missing: wanted.len(),
            wanted,
            name: String::new(),
            architecture: String::new(),
            version: String::new(),
        }
    }

    pub(crate) fn take(&mut self, line: &[u8]) -> ControlFlow<()> {
        if line.is_empty() {
            self.end_paragraph();
            return if self.missing == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
        }
        let fields = [
            (b"Package:".as_slice(), &mut self.name),
            (b"Architecture:".as_slice(), &mut self.architecture),
            (b"Version:".as_slice(), &mut self.version),
        ];
        for (field, value) in fields {
            if let Some(text) = line.strip_prefix(field) {
                value.clear();
                value.push_str(String::from_utf8_lossy(text).trim());
            }
        }
        ControlFlow::Continue(())
    }

    /// Versions by listed name; names without one are left out.
    pub(crate) fn into_versions(mut self) -> BTreeMap<ListedName, String> {
        self.end_paragraph();
        let found = |(name, version): (_, Option<String>)| Some((name, version?));
        self.wanted.into_iter().filter_map(found).collect()
    }

    fn end_paragraph(&mut self) {
        let name = std::mem::take(&mut self.name);
        let architecture = std::mem::take(&mut self.architecture);
        let version = std::mem::take(&mut self.version);
        if name.is_empty() || version.is_empty() {
            return;
        }
        for architecture in [None, Some(architecture)] {
            let listed = ListedName {
                name: name.clone(),
                architecture,
            };
            if let Some(slot @ None) = self.wanted.get_mut(&listed) {
                *slot = Some(version.clone());
                self.missing -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn versions(text: &[u8], wanted: &[&str]) -> Vec<String> {
        let mut versions = Versions::wanted(wanted.iter().map(|name| ListedName::parse(name)));
        for line in text.split(|&byte| byte == b'\n') {
            if versions.take(line).is_break() {
                break;
            }
        }
        versions.into_versions().into_values().collect()
    }

    const TEXT: &[u8] = b"Package: libc6\nStatus: install ok installed\nArchitecture: i386\n\
Version: 2.35\nDescription: x\n Version: 9\n\nPackage: libc6\nArchitecture: amd64\n\
Version: 2.36-9\n\nPackage: bash\nVersion: 5.2\n";

    #[test]
    fn by_name_and_architecture() {
        let check = |wanted: &[&str], expected: &[&str]| {
            assert_eq!(versions(TEXT, wanted), expected, "{wanted:?}");
        };
        check(&["libc6:amd64"], &["2.36-9"]);
        check(&["libc6:i386", "bash"], &["5.2", "2.35"]);
        check(&["libc6:arm64"], &[]);
        check(&["dash"], &[]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = versions(&bytes, &["a"]);
        }

        #[test]
        fn a_written_paragraph_comes_back(name in "[a-z0-9+.-]{1,9}", version in "[0-9:~.-]{1,9}") {
            let text = format!("Package: x{name}\nVersion: 0\n\nPackage: {name}\nVersion: {version}\n");
            prop_assert_eq!(versions(text.as_bytes(), &[&name]), vec![version]);
        }
    }
}
