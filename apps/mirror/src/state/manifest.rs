//! Which files the state is made of. It is replaced in one step: what it names is the state.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use plimsoll::runs::RunFigures;
use plimsoll::stream::AtomicFile;
use serde::{Deserialize, Serialize};

use crate::listing::KeyRange;

pub(super) const NAME: &str = "MANIFEST";
/// The same once more: what is mirrored where is in no other file.
pub(super) const COPY: &str = "MANIFEST.copy";
/// Version 1 had neither a range nor a checksum.
const VERSION: u32 = 2;
const VERSION_MIN: u32 = 1;

/// What is mirrored where: state of another pair would have files deleted that belong to nobody's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Such as `s3://endpoint/bucket/prefix`, without secrets.
    pub source: String,
    /// Such as `ftp://host:21/base`.
    pub destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub version: u32,
    pub pair: Pair,
    /// Rises with every scan and compaction.
    pub generation: u64,
    pub base: RunFile,
    pub delta: RunFile,
    pub journal: String,
    /// When the listing behind this generation ended, in seconds since 1970; 0 before the first.
    pub listed_at: u64,
    /// The keys that it is of, as `FROM..TO`; empty for all.
    #[serde(default)]
    pub range: String,
    /// CRC-32 of all the rest, as it is written without spaces and with 0 here.
    #[serde(default)]
    checksum: u32,
}

/// A run that the state is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    pub name: String,
    pub entries: u64,
    pub file_bytes: u64,
    pub checksum: u32,
}

impl RunFile {
    pub fn new(name: &str, figures: RunFigures) -> RunFile {
        RunFile {
            name: name.to_owned(),
            entries: figures.entries,
            file_bytes: figures.file_bytes,
            checksum: figures.checksum,
        }
    }

    pub fn matches(&self, figures: RunFigures) -> bool {
        *self == RunFile::new(&self.name, figures)
    }
}

impl Manifest {
    pub fn new(pair: Pair, generation: u64) -> Manifest {
        let none = RunFile {
            name: String::new(),
            entries: 0,
            file_bytes: 0,
            checksum: 0,
        };
        Manifest {
            version: VERSION,
            pair,
            generation,
            base: none.clone(),
            delta: none,
            journal: String::new(),
            listed_at: 0,
            range: String::new(),
            checksum: 0,
        }
    }

    /// How a range is written here: nothing for all keys.
    #[must_use]
    pub fn range_text(range: &KeyRange) -> String {
        match range.is_all() {
            true => String::new(),
            false => range.to_string(),
        }
    }

    /// None where there is no manifest.
    pub fn read(folder: &Path) -> Result<Option<Manifest>> {
        Manifest::read_from(&folder.join(NAME))
    }

    pub(super) fn read_from(path: &Path) -> Result<Option<Manifest>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
        };
        let damaged = || {
            format!(
                "read {}: it is damaged; `mirror check --repair` makes it anew",
                path.display()
            )
        };
        let parsed: serde_json::Value = serde_json::from_slice(&bytes).with_context(damaged)?;
        let version = parsed.get("version").and_then(serde_json::Value::as_u64);
        let Some(version) = version else {
            bail!("{}: it tells no version", damaged());
        };
        if version > u64::from(VERSION) {
            return Err(Newer(format!(
                "read {}: versions to {VERSION} are known, not {version}; a later mirror wrote it",
                path.display()
            ))
            .into());
        }
        let mut manifest: Manifest = serde_json::from_value(parsed).with_context(damaged)?;
        if version < u64::from(VERSION_MIN) {
            bail!("{}: no manifest has version {version}", damaged());
        }
        if version > 1 && manifest.checksum != manifest.sum()? {
            bail!("{}: its checksum does not hold", damaged());
        }
        (manifest.version, manifest.checksum) = (VERSION, 0);
        let names = [&manifest.base.name, &manifest.delta.name, &manifest.journal];
        if names
            .iter()
            .any(|name| name.is_empty() || name.contains('/'))
        {
            bail!("{}: it names files elsewhere", damaged());
        }
        Ok(Some(manifest))
    }

    fn sum(&self) -> Result<u32> {
        let mut all = self.clone();
        all.checksum = 0;
        Ok(crc32fast::hash(&serde_json::to_vec(&all)?))
    }

    /// Puts it in place, durable, and a copy beside it. The copy may be that of before after a crash.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_to(&folder.join(NAME))?;
        self.write_to(&folder.join(COPY))
    }

    fn write_to(&self, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600));
        let mut whole = self.clone();
        whole.checksum = self.sum()?;
        let mut bytes = serde_json::to_vec_pretty(&whole)?;
        bytes.push(b'\n');
        file.write_all(&bytes)
            .with_context(|| format!("write {}", path.display()))?;
        file.commit()?;
        Ok(())
    }
}

/// A later program wrote it: nothing here may touch it.
#[derive(Debug)]
pub(super) struct Newer(pub(super) String);

impl std::fmt::Display for Newer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Newer {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    /// A manifest of version 1, as it was written.
    const FIRST: &str = r#"{
  "version": 1,
  "pair": {"source": "https://s/b/", "destination": "ftp://h:21/"},
  "generation": 3,
  "base": {"name": "base-000002.run", "entries": 5, "file_bytes": 300, "checksum": 7},
  "delta": {"name": "delta-000003.run", "entries": 0, "file_bytes": 72, "checksum": 0},
  "journal": "journal-000003.log",
  "listed_at": 12
}"#;

    #[test]
    fn every_version_is_read() {
        let folder = Folder::new("manifest");
        let path = folder.path(NAME);
        let home = path.parent().unwrap();
        fs::write(&path, FIRST).unwrap();
        let manifest = Manifest::read(home).unwrap().unwrap();
        assert_eq!((manifest.generation, &*manifest.range), (3, ""));
        manifest.write(home).unwrap();
        let again = Manifest::read(home).unwrap().unwrap();
        assert_eq!(again, manifest);
        // A word that was changed is told.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("ftp://h", "ftp://i")).unwrap();
        let error = format!("{:#}", Manifest::read(home).unwrap_err());
        assert!(error.contains("checksum does not hold"), "{error}");
        fs::write(&path, FIRST.replace("\"version\": 1", "\"version\": 3")).unwrap();
        assert!(Manifest::read(home).unwrap_err().is::<Newer>());
    }
}
