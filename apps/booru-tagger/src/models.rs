//! Models that are loaded, the few that were used last.
//!
//! Each has a consumer in the budget `models`, by the name of its file, holding the file's bytes: what a
//! beacon shows. That is the size on disk and not what a runtime makes of it; the RSS beside it tells that.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use plimsoll::budget::{Budget, Policy, Reservation};
use plimsoll::ledger::Tag;
use plimsoll::stage::Stage;

use crate::runtime::{Backend, Device, Loaded, Model};

/// A tagger, an embedder and an upscaler.
const LOADED_MAX: usize = 3;
/// Bytes of model files: what is above it does not fit beside the board on any machine it is for.
const FILES_MAX: u64 = 16 << 30;

static MODEL: Tag = Tag::new("model");

/// A model under the name that it was asked by.
struct Entry {
    path: PathBuf,
    device: Device,
    /// The file as it was: another file of the same name is another model.
    stamp: (u64, Option<SystemTime>),
    loaded: Loaded,
    _claim: Reservation,
}

/// The models of a worker; used by one request at a time.
pub struct Models {
    backend: Backend,
    budget: Budget,
    /// The last is the one used last.
    entries: Vec<Entry>,
}

impl Models {
    /// None yet; no runtime is loaded.
    #[must_use]
    pub fn new(backend: Backend) -> Models {
        Models {
            backend,
            budget: Budget::new(FILES_MAX, Policy::Greedy),
            entries: Vec::new(),
        }
    }

    /// For the beacon.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What models run on unless a request says otherwise.
    #[must_use]
    pub fn device(&self) -> Device {
        self.backend.device
    }

    /// The model of a file on `device`, loaded if it is not there; one that was not used for long makes
    /// room. Also the engine's name.
    ///
    /// # Errors
    /// As [`Backend::load`].
    pub fn get(&mut self, path: &Path, device: Device) -> Result<(&mut dyn Model, &'static str)> {
        let found = std::fs::metadata(path)
            .with_context(|| format!("load the model {}", path.display()))?;
        let stamp = (found.len(), found.modified().ok());
        let same = |entry: &Entry| entry.path == path && entry.device == device;
        if let Some(place) = self.entries.iter().position(same) {
            let entry = self.entries.remove(place);
            if entry.stamp == stamp {
                self.entries.push(entry);
            }
        }
        if !self.entries.last().is_some_and(same) {
            if self.entries.len() >= LOADED_MAX {
                self.entries.remove(0);
            }
            let entry = self.load(path, device, stamp)?;
            self.entries.push(entry);
        }
        let loaded = &mut self
            .entries
            .last_mut()
            .expect("one was found or loaded")
            .loaded;
        Ok((loaded.model.as_mut(), loaded.engine))
    }

    fn load(&self, path: &Path, device: Device, stamp: (u64, Option<SystemTime>)) -> Result<Entry> {
        let _stage = Stage::begin("load model");
        let _tag = MODEL.enter();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let consumer = self.budget.consumer(format!("file {name}"));
        let claim = consumer.reserve(stamp.0)?;
        let backend = Backend {
            device,
            ..self.backend.clone()
        };
        Ok(Entry {
            path: path.to_owned(),
            device,
            stamp,
            loaded: backend.load(path)?,
            _claim: claim,
        })
    }
}
