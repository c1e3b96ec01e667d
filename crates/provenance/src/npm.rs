//! npm packages: the folder below the last `node_modules`, proved by its `package.json`.
//! pnpm and workspaces need no rule of their own, because maps names the real file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason, PackageManager};

use crate::lookup::{Lookup, package};
use crate::root::{Extent, gap_of, is_absent};

/// One package.json. Those of packages with native code that were looked at have under 20 KiB.
const MANIFEST_BYTES_LIMIT: usize = 1 << 20;

const WHAT: &str = "npm package of mapped files";

pub(crate) fn claim(lookup: &mut Lookup<'_>) {
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in lookup.open() {
        if let Some(folder) = package_folder(path) {
            folders.entry(folder).or_default().push(path.to_path_buf());
        }
    }
    let mut buffer = Vec::new();
    for (folder, paths) in folders {
        let manifest = folder.join("package.json");
        let version = match lookup
            .root
            .read(&manifest, MANIFEST_BYTES_LIMIT, &mut buffer)
        {
            Ok(Extent::Cut) => {
                let detail = format!("{}: over {MANIFEST_BYTES_LIMIT} bytes", manifest.display());
                lookup.gap(Gap::new(WHAT, GapReason::Bounded, detail));
                String::new()
            }
            Ok(Extent::Whole) => match parse_version(&buffer) {
                Ok(version) => version,
                Err(error) => {
                    let detail = format!("{}: {error}", manifest.display());
                    lookup.gap(Gap::new(WHAT, GapReason::Malformed, detail));
                    String::new()
                }
            },
            // A folder in node_modules without a manifest was not installed by npm.
            Err(error) if is_absent(&error) => continue,
            Err(error) => {
                lookup.gap(gap_of(WHAT, &manifest, &error));
                continue;
            }
        };
        let owner = package(PackageManager::Npm, &package_name(&folder), &version);
        for path in paths {
            lookup.claim(&path, &owner);
        }
    }
}

/// The folder of the package around `path`: `…/node_modules/NAME` or `…/node_modules/@SCOPE/NAME`.
fn package_folder(path: &Path) -> Option<PathBuf> {
    let modules = path
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name() == Some(OsStr::new("node_modules")))?;
    let mut below = path.strip_prefix(modules).ok()?.iter();
    let first = below.next()?;
    // `.bin`, `.cache` and `.pnpm` are npm's own folders.
    if first.as_bytes().starts_with(b".") {
        return None;
    }
    let mut folder = modules.join(first);
    if first.as_bytes().starts_with(b"@") {
        folder.push(below.next()?);
    }
    below.next()?;
    Some(folder)
}

/// `NAME` or `@SCOPE/NAME`.
fn package_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let scope = folder.parent().and_then(Path::file_name);
    match scope.filter(|scope| scope.as_bytes().starts_with(b"@")) {
        Some(scope) => format!("{}/{name}", scope.to_string_lossy()),
        None => name.into_owned(),
    }
}

/// The version in a package.json, "" when it has none.
fn parse_version(json: &[u8]) -> Result<String, serde_json::Error> {
    // Node itself accepts a byte-order mark here.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let value: serde_json::Value = serde_json::from_slice(json)?;
    let version = value.get("version").and_then(|version| version.as_str());
    Ok(version.unwrap_or_default().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_names() {
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let folder = package_folder(Path::new(path));
            let name = folder.as_deref().map(package_name);
            let found = folder
                .as_deref()
                .and_then(Path::to_str)
                .zip(name.as_deref());
            assert_eq!(found, expected, "{path}");
        };
        check(
            "/a/node_modules/sharp/build/s.node",
            Some(("/a/node_modules/sharp", "sharp")),
        );
        check(
            "/a/node_modules/@img/sharp-linux/lib/s.node",
            Some(("/a/node_modules/@img/sharp-linux", "@img/sharp-linux")),
        );
        check(
            "/a/node_modules/x/node_modules/y/z.node",
            Some(("/a/node_modules/x/node_modules/y", "y")),
        );
        check(
            "/a/node_modules/.pnpm/y@1/node_modules/y/z.node",
            Some(("/a/node_modules/.pnpm/y@1/node_modules/y", "y")),
        );
        check("/a/node_modules/.cache/z.node", None);
        check("/a/node_modules/z.node", None);
        check("/a/node_modules/@img/z.node", None);
        check("/a/modules/x/z.node", None);
    }

    #[test]
    fn versions() {
        let check = |json: &str, expected: Option<&str>| {
            let found = parse_version(json.as_bytes()).ok();
            assert_eq!(found.as_deref(), expected, "{json}");
        };
        check(r#"{"name":"x","version":"1.2.3"}"#, Some("1.2.3"));
        check("\u{feff}{\"version\":\"1\"}", Some("1"));
        check(r#"{"version":7}"#, Some(""));
        check("[]", Some(""));
        check("{", None);
    }
}
