//! RPM packages, from rpm's SQLite database. The formats before it (Berkeley DB, ndb) are told
//! apart and left as a gap: Fedora wrote its last one in 2020 (release 33 changed).

mod database;
mod header;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason, PackageManager};

use crate::lookup::{Lookup, package};
use crate::root::{gap_of, is_absent};
use crate::spelling::Aliases;
use database::Database;

const DATABASE: &str = "rpmdb.sqlite";

/// Fedora and SUSE moved the folder below /usr and left a link behind.
const FOLDERS: [&str; 2] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"];

/// Berkeley DB's and ndb's names in those folders.
const OLDER_DATABASES: [&str; 2] = ["Packages", "Packages.db"];

const WHAT: &str = "RPM package of mapped files";

pub(crate) fn claim(lookup: &mut Lookup<'_>, aliases: &Aliases) {
    let mut older = None;
    for folder in FOLDERS.map(Path::new) {
        let database = folder.join(DATABASE);
        match lookup.root.open_file(&database).and_then(|f| f.metadata()) {
            Ok(before) => return claim_in(lookup, aliases, folder, &before),
            Err(error) if is_absent(&error) => {}
            Err(error) => lookup.gap(gap_of(WHAT, &database, &error)),
        }
        let names = OLDER_DATABASES.map(|name| folder.join(name));
        older = older.or(names.into_iter().find(|path| lookup.root.is_file(path)));
    }
    if let Some(path) = older.filter(|_| !lookup.is_done()) {
        let detail = format!(
            "{}: a database of rpm before its SQLite format; `rpm -qf FILE` answers there",
            path.display()
        );
        lookup.gap(Gap::new(WHAT, GapReason::Unsupported, detail));
    }
}

fn claim_in(lookup: &mut Lookup<'_>, aliases: &Aliases, folder: &Path, before: &Metadata) {
    if lookup.is_done() {
        return;
    }
    let path = folder.join(DATABASE);
    let opened = lookup.root.open_path(folder);
    let found = match opened {
        Ok(descriptor) => Database::open(descriptor, DATABASE)
            .and_then(|database| owners(lookup, aliases, &database)),
        Err(error) => {
            lookup.gap(gap_of(WHAT, folder, &error));
            return;
        }
    };
    if let Some(detail) = change(lookup, &path, before) {
        lookup.gap(Gap::new(WHAT, GapReason::Changed, detail));
        return;
    }
    match found {
        Ok(found) => {
            for (path, owner) in found {
                let owner = package(PackageManager::Rpm, &owner.name, &owner.version);
                lookup.claim(&path, &owner);
            }
        }
        Err(error) => {
            let detail = format!("{}: {error}", path.display());
            lookup.gap(Gap::new(WHAT, GapReason::Malformed, detail));
        }
    }
}

fn owners(
    lookup: &Lookup<'_>,
    aliases: &Aliases,
    database: &Database,
) -> Result<Vec<(PathBuf, database::Owner)>, rusqlite::Error> {
    let mut found = Vec::new();
    for path in lookup.open() {
        for name in aliases.names(lookup.root, path) {
            if let Some((folder, base)) = split(&name)
                && let Some(owner) = database.owner(&folder, base)?
            {
                found.push((path.to_path_buf(), owner));
                break;
            }
        }
    }
    Ok(found)
}

/// `/usr/lib64/` and `libz.so.1`; `None` for names that are not UTF-8, which rpm refuses to build.
fn split(path: &Path) -> Option<(String, &str)> {
    let (folder, base) = path.to_str()?.rsplit_once('/')?;
    Some((format!("{folder}/"), base))
}

/// Says how the database changed while it was read, or is about to: what was read may then not
/// fit together. rpm leaves an empty log behind when it has finished.
fn change(lookup: &Lookup<'_>, database: &Path, before: &Metadata) -> Option<String> {
    let mut log = database.as_os_str().to_os_string();
    log.push("-wal");
    let metadata = |path: &Path| lookup.root.open_file(path).and_then(|f| f.metadata());
    let pending = metadata(Path::new(&log)).map_or(0, |log| log.len());
    if pending > 0 {
        return Some(format!(
            "{}: rpm is writing, {pending} bytes are still in its log; try again when it has \
             finished",
            database.display()
        ));
    }
    let identity = |m: &Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    match metadata(database) {
        Ok(after) if identity(&after) == identity(before) => None,
        _ => Some(format!("{}: rpm wrote to it", database.display())),
    }
}
