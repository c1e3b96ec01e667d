//! Which files the state is made of. It is replaced in one step: what it names is the state.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use plimsoll::runs::RunFigures;
use plimsoll::stream::AtomicFile;
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "MANIFEST";
const VERSION: u32 = 1;

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
        }
    }

    /// None where there is no manifest.
    pub fn read(folder: &Path) -> Result<Option<Manifest>> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("read {}", path.display()));
            }
        };
        let parsed: serde_json::Value = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "read {}: it is damaged; take the folder from a copy",
                path.display()
            )
        })?;
        let version = parsed.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            bail!(
                "read {}: version {VERSION} is known, not {}; a later mirror wrote it, or it is no \
                 manifest",
                path.display(),
                version.map_or("none".to_owned(), |version| version.to_string())
            );
        }
        let manifest: Manifest = serde_json::from_value(parsed).with_context(|| {
            format!(
                "read {}: it is damaged; take the folder from a copy",
                path.display()
            )
        })?;
        let names = [&manifest.base.name, &manifest.delta.name, &manifest.journal];
        if names
            .iter()
            .any(|name| name.is_empty() || name.contains('/'))
        {
            bail!(
                "read {}: it names files elsewhere; it is damaged",
                path.display()
            );
        }
        Ok(Some(manifest))
    }

    /// Puts it in place, durable.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        let mut file = AtomicFile::create(&path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600));
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        file.write_all(&bytes)
            .with_context(|| format!("write {}", path.display()))?;
        file.commit()?;
        Ok(())
    }
}
