//! RPM packages, from rpm's SQLite database (Fedora since 33, RHEL since 9). Its other formats,
//! Berkeley DB (RHEL 8) and ndb (SUSE), are told apart and left as a gap.

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
    if lookup.is_done() {
        return;
    }
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
    if let Some(path) = older {
        let detail = format!(
            "{}: not rpm's SQLite format; `rpm -qf FILE` answers there",
            path.display()
        );
        lookup.gap(Gap::new(WHAT, GapReason::Unsupported, detail));
    }
}

fn claim_in(lookup: &mut Lookup<'_>, aliases: &Aliases, folder: &Path, before: &Metadata) {
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
    if has_changed(lookup, &path, before) {
        let detail = format!("{}: rpm wrote to it; try again", path.display());
        lookup.gap(Gap::new(WHAT, GapReason::Changed, detail));
        return;
    }
    let is_current = !has_pending_changes(lookup, &path);
    match found {
        Ok(found) => {
            for (path, owner) in found {
                // Upgrades that are only in the log change a file's version, hardly its owner.
                let version = if is_current { &owner.version } else { "" };
                let owner = package(PackageManager::Rpm, &owner.name, version);
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

/// Whether the database was written to while it was read: then what was read may not fit together.
fn has_changed(lookup: &Lookup<'_>, database: &Path, before: &Metadata) -> bool {
    let identity = |m: &Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    let after = lookup.root.open_file(database).and_then(|f| f.metadata());
    after.map_or(true, |after| identity(&after) != identity(before))
}

/// Whether rpm's write-ahead log holds anything, with a gap. rpm leaves an empty one when it has
/// finished; a full one may hold newer versions than the database does.
fn has_pending_changes(lookup: &mut Lookup<'_>, database: &Path) -> bool {
    let mut log = database.as_os_str().to_os_string();
    log.push("-wal");
    let log = lookup.root.open_file(Path::new(&log));
    let pending = log.and_then(|f| f.metadata()).map_or(0, |log| log.len());
    if pending > 0 {
        let detail = format!(
            "{}: {pending} bytes of changes are still in rpm's log; try again when it has finished",
            database.display()
        );
        lookup.gap(Gap::new(
            "versions of RPM packages",
            GapReason::Changed,
            detail,
        ));
    }
    pending > 0
}
