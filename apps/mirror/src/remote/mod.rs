//! A state that lives on S3, so that any machine can go on with it.
//!
//! ```text
//! PREFIX/LEASE                                who may change it ([`lease`])
//! PREFIX/MANIFEST                             the state's own manifest, and where its files are
//! PREFIX/eE/base-N.run, delta-N.run           as in a folder; E is the epoch of who put them
//! PREFIX/eE/journal-N.log/OFFSET              what was appended to the journal at a time
//! ```
//!
//! A run works in a folder of its machine, which is a state like any other: what differs is pulled into it
//! first, and what it makes is put before the manifest is swapped. Names have the epoch of the lease, which no
//! two holders share, so nothing that a manifest names is ever written over, not even by a process that went
//! on after its lease; and its manifest is swapped only against the one it began with.
//!
//! Memory: two connections, and up to 64 KiB of journal. Costs in requests: see docs/state.md.

mod journal;
pub mod lease;
pub(crate) mod settings;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use plimsoll::runs::Run;
use plimsoll::stream::AtomicFile;
use serde::{Deserialize, Serialize};

use crate::config::{RunArguments, StateArguments};
use crate::s3::objects::{Condition, PART_BYTES, Swap};
use crate::s3::{Client, Settings};
use crate::state::journal::JournalWriter;
use crate::state::{Lock, Manifest, RunFile};
use lease::{Fence, Lease};

const SCHEME: &str = "s3://";
const MANIFEST: &str = "MANIFEST";
const LEASE: &str = "LEASE";

/// A run publishes once in its life: no three do while one file is read.
const PULLS_MAX: usize = 3;

/// Where a state on S3 is: `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub bucket: String,
    /// Ends in `/`, or is empty.
    pub prefix: String,
}

impl Place {
    /// None of a folder.
    ///
    /// # Errors
    /// An address without a bucket.
    pub fn parse(state: &Path) -> Result<Option<Place>> {
        let Some(rest) = state.to_str().and_then(|text| text.strip_prefix(SCHEME)) else {
            return Ok(None);
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            bail!(
                "--state {}: a state on S3 is s3://BUCKET/PREFIX",
                state.display()
            );
        }
        let prefix = prefix.trim_matches('/');
        Ok(Some(Place {
            bucket: bucket.to_owned(),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
        }))
    }
}

impl Place {
    /// # Errors
    /// It is among what is mirrored: the state would be mirrored with it, and change with each run.
    pub fn refuse_within(&self, run: &RunArguments, source: &Settings) -> Result<()> {
        let endpoint = run.state.state_s3_endpoint.as_ref();
        let is_there = endpoint
            .is_none_or(|own| own.trim_end_matches('/') == source.endpoint.trim_end_matches('/'));
        if is_there && self.bucket == source.bucket && self.prefix.starts_with(&run.s3_prefix) {
            bail!(
                "--state s3://{}/{}: that is among the keys that are mirrored; give it a bucket of its own, or                  a prefix that --s3-prefix leaves out",
                self.bucket,
                self.prefix
            );
        }
        Ok(())
    }
}

/// What a verb does to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// As [`Access::Read`], and there may be none yet.
    Plan,
    /// Under the lease.
    Change,
}

/// The manifest as an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    version: u32,
    /// The state's own, as it is in a folder.
    manifest: String,
    /// Keys below the prefix.
    base: String,
    delta: String,
    /// Ends in `/`.
    journal: String,
}

const VERSION: u32 = 1;

/// A state on S3, pulled into a folder.
#[derive(Debug)]
pub struct Remote {
    client: Arc<Client>,
    place: Place,
    folder: PathBuf,
    lease: Option<Lease>,
    /// What is there, with its ETag.
    index: Option<(Index, Manifest, String)>,
}

impl Remote {
    /// Pulls the state that `arguments` name, if it is on S3, and has them name the folder that it is in now.
    ///
    /// # Errors
    /// Another run holds it; it can't be reached, or is damaged.
    pub fn enter(
        arguments: &mut StateArguments,
        source: Option<Settings>,
        access: Access,
        tell: &dyn Fn(&str),
    ) -> Result<Option<Remote>> {
        let Some(place) = Place::parse(&arguments.state)? else {
            return Ok(None);
        };
        let shown = arguments.state.display().to_string();
        let folder = match &arguments.state_cache {
            Some(folder) => folder.clone(),
            None => default_folder(&place),
        };
        let variable = |name: &str| std::env::var(name).ok();
        let settings = settings::settings(arguments, &place.bucket, source, &variable)?;
        let client = Arc::new(Client::new(settings)?);
        let lease = match access {
            Access::Read | Access::Plan => None,
            Access::Change => {
                let key = format!("{}{LEASE}", place.prefix);
                let term = Duration::from_secs(arguments.state_lease);
                Some(Lease::take(&client, &key, term, tell)?)
            }
        };
        let mut remote = Remote {
            client,
            place,
            folder,
            lease,
            index: None,
        };
        let mut pulled = remote.pull(access);
        // Without the lease, what was named may be replaced before it is read.
        for _ in 1..PULLS_MAX {
            if pulled.is_ok() || access == Access::Change {
                break;
            }
            pulled = remote.pull(access);
        }
        pulled
            .with_context(|| format!("pull the state {shown} into {}", remote.folder.display()))?;
        arguments.state = remote.folder.clone();
        Ok(Some(remote))
    }

    /// To be asked before anything that lasts.
    #[must_use]
    pub fn fence(&self) -> Option<Arc<Fence>> {
        self.lease.as_ref().map(|lease| lease.fence.clone())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.place.prefix)
    }

    /// Makes the folder what is there.
    fn pull(&mut self, access: Access) -> Result<()> {
        let _lock = match Lock::take(&self.folder) {
            Ok(lock) => lock,
            // A run of this machine works in it: nothing is newer.
            Err(_) if access != Access::Change && Manifest::read(&self.folder)?.is_some() => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let key = self.key(MANIFEST);
        let Some(stored) = self.client.read_object(&key)? else {
            if access == Access::Read {
                bail!("no state is there: run `mirror run` first");
            }
            return Ok(());
        };
        let damaged = || format!("read the object {key}: it is damaged");
        let index: Index = serde_json::from_slice(&stored.bytes).with_context(damaged)?;
        if index.version != VERSION {
            bail!(
                "the object {key} has version {}, {VERSION} is known",
                index.version
            );
        }
        let manifest =
            Manifest::parse(index.manifest.as_bytes(), Path::new(&key)).with_context(damaged)?;
        self.pull_run(&manifest.base, &index.base)?;
        self.pull_run(&manifest.delta, &index.delta)?;
        let journal = self.key(&index.journal);
        journal::pull(&self.client, &journal, &self.folder.join(&manifest.journal))?;
        manifest.write(&self.folder)?;
        self.index = Some((index, manifest, stored.etag));
        Ok(())
    }

    fn pull_run(&self, file: &RunFile, object: &str) -> Result<()> {
        let path = self.folder.join(&file.name);
        let is_it = |path: &Path| Run::open(path).is_ok_and(|run| file.matches(run.figures()));
        if is_it(&path) {
            return Ok(());
        }
        let key = self.key(object);
        let failed = || format!("get the object {key}");
        let mut source = self.client.open_object(&key).with_context(failed)?;
        let mut target = AtomicFile::create(&path)?;
        target.set_permissions(fs::Permissions::from_mode(0o600));
        std::io::copy(&mut source, &mut target).with_context(failed)?;
        target.commit()?;
        if !is_it(&path) {
            let _ = fs::remove_file(&path);
            bail!(
                "{}: it is not the file that the manifest names; put it back from a copy, or remove MANIFEST \
                 there, and all is uploaded again",
                failed()
            );
        }
        Ok(())
    }

    /// Puts what the folder has by now, if that is newer than what is there, and swaps the manifest.
    ///
    /// # Errors
    /// The lease is lost; another machine has taken over; it can't be reached.
    pub fn publish(&mut self) -> Result<()> {
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        let Some(manifest) = Manifest::read(&self.folder)? else {
            return Ok(());
        };
        let before = self.index.as_ref();
        if before.is_some_and(|(_, known, _)| *known == manifest) {
            return Ok(());
        }
        let epoch = lease.epoch;
        let object = |name: &str| format!("e{epoch:06}/{name}");
        let index = Index {
            version: VERSION,
            manifest: manifest.text()?,
            base: match before {
                Some((index, known, _)) if known.base == manifest.base => index.base.clone(),
                _ => object(&manifest.base.name),
            },
            delta: object(&manifest.delta.name),
            journal: format!("{}/", object(&manifest.journal)),
        };
        for (file, key) in [
            (&manifest.base, &index.base),
            (&manifest.delta, &index.delta),
        ] {
            if before.is_some_and(|(index, ..)| index.base == *key) {
                continue;
            }
            let path = self.folder.join(&file.name);
            let failed = || format!("put {} as {key}", path.display());
            let opened = File::open(&path).with_context(failed)?;
            self.client
                .put_file(&self.key(key), &opened, PART_BYTES)
                .with_context(failed)?;
        }
        let header = fs::read(self.folder.join(&manifest.journal))
            .with_context(|| format!("read the journal {}", manifest.journal))?;
        let first = journal::segment(&self.key(&index.journal), 0);
        self.client.put_object(&first, &header)?;
        lease.fence.check()?;
        let condition = match before {
            Some((_, _, etag)) => Condition::Is(etag),
            None => Condition::Absent,
        };
        let bytes = serde_json::to_vec_pretty(&index)?;
        let swap = self
            .client
            .swap_object(&self.key(MANIFEST), &bytes, condition)?;
        let Swap::Done(etag) = swap else {
            bail!(
                "another machine has taken over the state: nothing of this run was published; the next run \
                 goes on"
            );
        };
        let kept = [&index.base, &index.delta, &index.journal].map(Clone::clone);
        let before = before.map(|(index, ..)| index.clone());
        self.index = Some((index, manifest, etag));
        // It is published; what is left of the one before is removed by the next run.
        let _ = self.remove_old(&kept, epoch, before);
        Ok(())
    }

    /// Removes what no manifest names any more: that of the one before, and whatever earlier holders left.
    /// A later holder began with this manifest, so what it names is either here or of its own epoch.
    fn remove_old(&self, kept: &[String], epoch: u64, before: Option<Index>) -> Result<()> {
        let own = format!("e{epoch:06}/");
        let before = before.map_or_else(Vec::new, |old| vec![old.base, old.delta, old.journal]);
        let mut old = Vec::new();
        self.client.each_key(&self.key("e"), |key| {
            let name = key.strip_prefix(&self.place.prefix).unwrap_or(key);
            let is_in = |all: &[String]| all.iter().any(|one| name.starts_with(one.as_str()));
            let is_past = name < own.as_str() || is_in(&before);
            if is_past && is_of_state(name) && !is_in(kept) {
                old.push(key.to_owned());
            }
            Ok(())
        })?;
        old.iter()
            .try_for_each(|key| self.client.delete_object(key).map_err(Into::into))
    }

    /// Has what is appended to the journal put there, too.
    pub fn follow(&self, journal: &mut JournalWriter) {
        if let (Some(lease), Some((index, ..))) = (&self.lease, &self.index) {
            journal.follow(Box::new(journal::Segments::new(
                self.client.clone(),
                self.key(&index.journal),
                lease.fence.clone(),
            )));
        }
    }
}

/// Whether a name below the prefix is one that [`Remote`] gives: others may have objects there as well.
fn is_of_state(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is = |name: &str, begin: &str, end: &str| {
        let rest = name.strip_prefix(begin);
        let number = rest.and_then(|rest| rest.strip_suffix(end));
        number.is_some_and(is_number)
    };
    let Some((holder, file)) = name.split_once('/') else {
        return false;
    };
    let is_file = match file.split_once('/') {
        None => is(file, "base-", ".run") || is(file, "delta-", ".run"),
        Some((journal, offset)) => {
            is(journal, "journal-", ".log") && offset.len() == 16 && is_number(offset)
        }
    };
    is(holder, "e", "") && holder.len() > 6 && is_file
}

/// In the current folder, one for each place.
fn default_folder(place: &Place) -> PathBuf {
    let name: String = format!("{}-{}", place.bucket, place.prefix.trim_end_matches('/'))
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let sum = crc32fast::hash(format!("{}/{}", place.bucket, place.prefix).as_bytes());
    Path::new("mirror.state-cache").join(format!("{}-{sum:08x}", name.trim_end_matches('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_state_are_its_own() {
        for own in [
            "e000001/base-1.run",
            "e1000000/delta-20.run",
            "e000002/journal-3.log/0000000000000064",
        ] {
            assert!(is_of_state(own), "{own}");
        }
        for other in [
            "e.jpg",
            "e-books/a.pdf",
            "e0000/base-1.run",
            "e000001/base-1.run.gz",
            "e000001/base-.run",
            "e000001/x/base-1.run",
            "e000001/journal-3.log",
            "e000001/journal-3.log/64",
            "e000001/journal-3.log/0000000000000064/x",
        ] {
            assert!(!is_of_state(other), "{other}");
        }
    }

    #[test]
    fn places() {
        let parse = |text: &str| Place::parse(Path::new(text));
        assert_eq!(parse("/var/lib/mirror").unwrap(), None);
        assert_eq!(parse("./s3:/x").unwrap(), None);
        for (text, bucket, prefix) in [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://b/p", "b", "p/"),
            ("s3://b/p/q/", "b", "p/q/"),
        ] {
            let place = parse(text).unwrap().unwrap();
            assert_eq!((&*place.bucket, &*place.prefix), (bucket, prefix), "{text}");
        }
        let error = parse("s3:///p").unwrap_err().to_string();
        assert!(error.contains("is s3://BUCKET/PREFIX"), "{error}");
    }
}
