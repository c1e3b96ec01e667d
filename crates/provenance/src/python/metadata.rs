//! Reads name and version from a distribution's `METADATA` or `PKG-INFO` (PyPA core metadata).
//! Only the header counts: the description behind the first empty line may hold anything.

/// Name and version as the header spells them; `None` without a name. No version gives "".
pub(crate) fn parse_name_version(bytes: &[u8]) -> Option<(String, String)> {
    let mut name = None;
    let mut version = None;
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        // Field names are those of RFC 822, without regard to case; a folded line starts with a
        // space and so never equals one.
        let field = &line[..colon];
        let value = || {
            String::from_utf8_lossy(&line[colon + 1..])
                .trim()
                .to_string()
        };
        if name.is_none() && field.eq_ignore_ascii_case(b"Name") {
            name = Some(value());
        } else if version.is_none() && field.eq_ignore_ascii_case(b"Version") {
            version = Some(value());
        }
        if name.is_some() && version.is_some() {
            break;
        }
    }
    let name = name.filter(|name| !name.is_empty())?;
    Some((name, version.unwrap_or_default()))
}

/// Name and version in a folder's name, `numpy-2.4.6.dist-info` or `foo-1.0-py3.11.egg-info`.
pub(crate) fn parse_folder_name(folder: &str) -> Option<(String, String)> {
    let stem = [".dist-info", ".egg-info", ".egg"]
        .iter()
        .find_map(|suffix| folder.strip_suffix(suffix))?;
    let mut parts = stem.splitn(3, '-');
    let name = parts.next().filter(|name| !name.is_empty())?;
    Some((name.to_string(), parts.next().unwrap_or("").to_string()))
}

/// A name as it is compared (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
pub(crate) fn normalised(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            result.extend(c.to_lowercase());
        } else if !result.ends_with('-') {
            result.push('-');
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_only() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(name, version)| (name.to_string(), version.to_string()));
            assert_eq!(parse_name_version(text.as_bytes()), expected, "{text:?}");
        };
        check(
            "Metadata-Version: 2.1\nName: numpy\nVersion: 2.4.6\n\nName: trap\n",
            Some(("numpy", "2.4.6")),
        );
        check("name: PyYAML\r\nVERSION:6.0\r\n", Some(("PyYAML", "6.0")));
        check("License: x\n  Name: folded\nName: a\n", Some(("a", "")));
        check("Version: 1\n\nName: in the description\n", None);
        check("Name:\nVersion: 1\n", None);
        check("", None);
    }

    #[test]
    fn folder_names() {
        let check = |folder: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(name, version)| (name.to_string(), version.to_string()));
            assert_eq!(parse_folder_name(folder), expected, "{folder}");
        };
        check("numpy-2.4.6.dist-info", Some(("numpy", "2.4.6")));
        check("foo-1.0-py3.11-linux-x86_64.egg", Some(("foo", "1.0")));
        check("PyYAML.egg-info", Some(("PyYAML", "")));
        check("numpy", None);
        check("-1.dist-info", None);
    }

    #[test]
    fn names_compare_as_in_pep_503() {
        assert_eq!(normalised("Foo__Bar.-baz"), "foo-bar-baz");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_name_version(&bytes);
            let _ = parse_folder_name(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn a_written_header_comes_back(name in "[A-Za-z0-9._-]{1,12}", version in "[0-9.]{1,8}") {
            let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nx");
            prop_assert_eq!(parse_name_version(text.as_bytes()), Some((name, version)));
        }
    }
}
