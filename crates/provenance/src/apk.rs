//! Alpine packages: `lib/apk/db/installed`, a text of paragraphs (apk-tools `src/database.c`):
//! `P:` name, `V:` version, `F:` folder, `R:` file in the folder last named.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Package, PackageManager};

use crate::lines::for_each_line;
use crate::lookup::{Lookup, package};
use crate::root::{gap_of, is_absent};
use crate::spelling::Aliases;

/// Alpine 3.23 moved the database below /usr.
const DATABASES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

const WHAT: &str = "Alpine package of mapped files";

pub(crate) fn claim(lookup: &mut Lookup<'_>, aliases: &Aliases) {
    for database in DATABASES.map(Path::new) {
        if lookup.is_done() {
            return;
        }
        let file = match lookup.root.open_file(database) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => continue,
            Err(error) => {
                lookup.gap(gap_of(WHAT, database, &error));
                continue;
            }
        };
        let wanted = wanted_names(lookup, aliases);
        let mut installed = Installed::new(&wanted);
        if let Err(error) = for_each_line(file, |line| installed.take(line)) {
            lookup.gap(gap_of(WHAT, database, &error));
        }
        for (path, owner) in installed.found {
            lookup.claim(&path, &owner);
        }
    }
}

/// Names without the leading `/`, as the database spells them.
fn wanted_names(lookup: &Lookup<'_>, aliases: &Aliases) -> HashMap<Vec<u8>, PathBuf> {
    let of = |path: &Path| {
        let names = aliases.names(lookup.root, path).into_iter();
        let path = path.to_path_buf();
        names.map(move |name| (name.as_os_str().as_bytes()[1..].to_vec(), path.clone()))
    };
    lookup.open().flat_map(of).collect()
}

/// The state of reading: the paragraph's name and version, and its current folder.
#[derive(Debug)]
struct Installed<'w> {
    wanted: &'w HashMap<Vec<u8>, PathBuf>,
    name: String,
    version: String,
    file: Vec<u8>,
    folder_length: usize,
    found: Vec<(PathBuf, Package)>,
}

impl<'w> Installed<'w> {
    fn new(wanted: &'w HashMap<Vec<u8>, PathBuf>) -> Installed<'w> {
        Installed {
            wanted,
            name: String::new(),
            version: String::new(),
            file: Vec::new(),
            folder_length: 0,
            found: Vec::new(),
        }
    }

    fn take(&mut self, line: &[u8]) -> ControlFlow<()> {
        match line {
            [] => {
                self.name.clear();
                self.version.clear();
                self.set_folder(b"");
            }
            [b'P', b':', name @ ..] => self.name = String::from_utf8_lossy(name).into_owned(),
            [b'V', b':', version @ ..] => {
                self.version = String::from_utf8_lossy(version).into_owned();
            }
            [b'F', b':', folder @ ..] => self.set_folder(folder),
            [b'R', b':', name @ ..] => {
                self.file.truncate(self.folder_length);
                self.file.extend_from_slice(name);
                if let Some(path) = self.wanted.get(&self.file)
                    && !self.name.is_empty()
                {
                    let owner = package(PackageManager::Alpine, &self.name, &self.version);
                    self.found.push((path.clone(), owner));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn set_folder(&mut self, folder: &[u8]) {
        self.file.clear();
        self.file.extend_from_slice(folder);
        if !folder.is_empty() {
            self.file.push(b'/');
        }
        self.folder_length = self.file.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owners(text: &[u8], wanted: &[&str]) -> Vec<String> {
        let wanted = wanted
            .iter()
            .map(|name| (name.as_bytes().to_vec(), PathBuf::from("/").join(name)))
            .collect();
        let mut installed = Installed::new(&wanted);
        for_each_line(text, |line| installed.take(line)).unwrap();
        installed
            .found
            .iter()
            .map(|(path, owner)| format!("{} {owner}", path.display()))
            .collect()
    }

    const TEXT: &[u8] = b"C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\n\
a:0:0:755\nZ:Q1x=\nR:libc.musl-x86_64.so.1\n\nP:zlib\nV:1.3.1-r1\nF:usr\nF:usr/lib\n\
R:libz.so.1.3.1\nF:\nR:in-root\n";

    #[test]
    fn files_go_to_their_paragraph() {
        let check = |wanted: &[&str], expected: &[&str]| {
            assert_eq!(owners(TEXT, wanted), expected, "{wanted:?}");
        };
        check(
            &["lib/ld-musl-x86_64.so.1"],
            &["/lib/ld-musl-x86_64.so.1 musl 1.2.5-r0"],
        );
        check(
            &["usr/lib/libz.so.1.3.1"],
            &["/usr/lib/libz.so.1.3.1 zlib 1.3.1-r1"],
        );
        check(&["in-root"], &["/in-root zlib 1.3.1-r1"]);
        check(&["usr/lib/ld-musl-x86_64.so.1"], &[]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = owners(&bytes, &["lib/x"]);
        }
    }
}
