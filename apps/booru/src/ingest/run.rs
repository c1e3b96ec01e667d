//! One ingest from the first file to the last: who walks, who looks, who places.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use plimsoll::budget::{Budget, Policy};

use super::digest::Stamp;
use super::examine::{Examiner, Found, Looked, Ready};
use super::incoming::Incoming;
use super::place::Places;
use super::settings::Settings;
use super::trash::{finish_deletions, prepare_deletions};
use super::walk::walk;
use super::{Event, Mode, Outcome, Totals, set_aside};
use crate::board::Board;
use crate::ml::{self, Intake};
use crate::query::moment;
use crate::store::{Access, Place, Store, StoreOptions};
use crate::writer::Writer;

/// Paths that wait for a look.
const FOUND_MAX: usize = 64;
/// Files that were looked at and wait for their place, each with its small picture, some 100 KiB.
pub const READY_MAX: usize = 16;
/// Files that become images in one transaction.
const BATCH_MAX: usize = 16;
/// Page cache of a thread's connection, which looks for single rows.
const CACHE_BYTES: u64 = 256 << 10;

/// All that an ingest needs; it can be run again and again, by one thread at a time.
pub struct Ingest {
    settings: Settings,
    /// The folder of images, without links in its path.
    images: PathBuf,
    device: u64,
    incoming: Incoming,
    writer: Arc<dyn Writer>,
    database: Place,
    patience: Duration,
    budget: Budget,
    retries: bool,
    /// What new images are queued by for models; `None` where they are not.
    models: Option<ml::Settings>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Ingest")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

type Seen = (Found, Result<Looked>);

impl Ingest {
    /// Makes the folders that are not there, and removes what a killed ingest has left in them. What a killed
    /// deletion has left is not taken in; [`Ingest::finish_deletions`] does the rest of it.
    ///
    /// # Errors
    /// Folders that can't be made, a board that is read-only, what the database says.
    pub fn open(settings: Settings, writer: Arc<dyn Writer>, patience: Duration) -> Result<Ingest> {
        let making = |path: &Path| format!("make the folder {}", path.display());
        for path in [&settings.images, &settings.thumbnails] {
            fs::create_dir_all(path).with_context(|| making(path))?;
        }
        let images = settings
            .images
            .canonicalize()
            .with_context(|| making(&settings.images))?;
        let device = fs::metadata(&images)
            .with_context(|| making(&images))?
            .dev();
        let mut database = None;
        writer.lend(&mut |board| {
            set_aside::prepare(board.store())?;
            prepare_deletions(board)?;
            board.store.refresh_schema()?;
            database = Some(board.store().place().clone());
            Ok(())
        })?;
        Ok(Ingest {
            budget: Budget::new(settings.memory_bytes, Policy::Greedy),
            incoming: Incoming::open(&images)?,
            settings,
            images,
            device,
            writer,
            database: database.context("the writer has not called back")?,
            patience,
            retries: false,
            models: None,
        })
    }

    /// Whether files that were set aside are tried again though they have not changed, as where a file beside one or
    /// a setting has.
    #[must_use]
    pub fn retrying(self, retries: bool) -> Ingest {
        Ingest { retries, ..self }
    }

    /// By which settings images that come in are queued for models, where they are: in the transaction that takes
    /// them in.
    #[must_use]
    pub fn queueing(self, models: Option<ml::Settings>) -> Ingest {
        Ingest { models, ..self }
    }

    /// Does what a killed deletion has left to do.
    ///
    /// # Errors
    /// The first file that can't go; the others go first.
    pub fn finish_deletions(&self) -> Result<()> {
        self.writer
            .lend(&mut |board| finish_deletions(board, &self.settings))
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Most bytes that were reserved for decoding at once.
    #[must_use]
    pub fn decoding_peak_bytes(&self) -> u64 {
        self.budget.figures().held_peak_bytes
    }

    /// Takes in files, and those below folders. `on_event` is told what came of each.
    ///
    /// # Errors
    /// A path that is not there or is a link; the database, and folders that can't be read or written.
    pub fn import(
        &self,
        paths: &[PathBuf],
        mode: Mode,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Totals> {
        let mut sources = Vec::with_capacity(paths.len());
        for path in paths {
            sources.push(source(path)?);
        }
        self.run(
            |send| {
                for (path, is_folder) in &sources {
                    self.find(path, *is_folder, mode, send)?;
                }
                Ok(())
            },
            on_event,
        )
    }

    /// How many files there are to look at.
    ///
    /// # Errors
    /// As [`Ingest::import`].
    pub fn count(&self, paths: &[PathBuf]) -> Result<u64> {
        let mut count = 0;
        for path in paths {
            let (path, is_folder) = source(path)?;
            self.find(&path, is_folder, Mode::Copy, &mut |_| {
                count += 1;
                Ok(())
            })?;
        }
        Ok(count)
    }

    /// Takes in what lies in the folder for new files, and then what lies in the folder of images and is none.
    ///
    /// # Errors
    /// As [`Ingest::import`].
    pub fn scan(&self, on_event: &mut dyn FnMut(&Event)) -> Result<Totals> {
        Ok(self.scan_settled(Duration::ZERO, on_event)?.0)
    }

    /// The same, but files that have changed within `age` are left, and whether there were any is told.
    pub(super) fn scan_settled(
        &self,
        age: Duration,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<(Totals, bool)> {
        let ingest = match self.settings.ingest.canonicalize() {
            Ok(ingest) => Some(ingest),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = self.settings.ingest.display();
                return Err(error).with_context(|| format!("read the folder {path}"));
            }
        };
        // One after the other: a file that got its place before a kill is told by its old place what is said of it.
        let mut totals = Totals::default();
        let mut were_young = false;
        for folder in ingest.iter().chain([&self.images]) {
            let find = |send: &mut dyn FnMut(Found) -> Result<()>| {
                self.find(folder, true, Mode::Move, &mut |found| {
                    match is_younger(&found.path, age) {
                        true => were_young = true,
                        false => send(found)?,
                    }
                    Ok(())
                })
            };
            totals.add(&self.run(find, on_event)?);
        }
        Ok((totals, were_young))
    }

    /// Takes in single files that lie below the folders that are watched; others are passed by, as a walk
    /// does it.
    ///
    /// # Errors
    /// As [`Ingest::import`].
    pub(super) fn take_in(
        &self,
        files: &[(PathBuf, PathBuf)],
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Totals> {
        self.run(
            |send| {
                let others = self.others();
                let is_wanted =
                    |(path, root): &&(PathBuf, PathBuf)| lies_below(path, root, &others);
                for (path, root) in files.iter().filter(is_wanted) {
                    send(Found {
                        path: path.clone(),
                        root: root.clone(),
                        mode: Mode::Move,
                    })?;
                }
                Ok(())
            },
            on_event,
        )
    }

    pub(super) fn images(&self) -> &Path {
        &self.images
    }

    fn find(
        &self,
        path: &Path,
        is_folder: bool,
        mode: Mode,
        send: &mut dyn FnMut(Found) -> Result<()>,
    ) -> Result<()> {
        let found = |path: PathBuf, root: &Path| Found {
            // What lies in the folder of images is ours.
            mode: match path.starts_with(&self.images) {
                true => Mode::Move,
                false => mode,
            },
            path,
            root: root.to_owned(),
        };
        if !is_folder {
            let root = path.parent().unwrap_or(path);
            return send(found(path.to_owned(), root));
        }
        walk(path, &self.others(), &mut |file| send(found(file, path)))
    }

    /// Folders that are passed by where they lie below another, without links in their paths.
    fn others(&self) -> Vec<PathBuf> {
        let others = [&self.settings.thumbnails, &self.settings.trash];
        others
            .into_iter()
            .filter_map(|other| other.canonicalize().ok())
            .collect()
    }

    fn run(
        &self,
        find: impl FnOnce(&mut dyn FnMut(Found) -> Result<()>) -> Result<()> + Send,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Totals> {
        let (send_found, found) = sync_channel::<Found>(FOUND_MAX);
        let (send_seen, seen) = sync_channel::<Seen>(READY_MAX);
        let found = Mutex::new(found);
        thread::scope(|scope| {
            let found = &found;
            for _ in 0..self.settings.workers {
                let send_seen = send_seen.clone();
                let examiner = self.examiner()?;
                scope.spawn(move || look_at_all(&examiner, found, &send_seen));
            }
            drop(send_seen);
            let walking = scope.spawn(move || {
                // Where nobody looks any more, the reason is told by who placed.
                find(&mut |found| send_found.send(found).map_err(|_| anyhow!("stopped")))
            });
            let placed = self.place_all(seen, on_event);
            // Whoever still looks for a file ends, since there is nobody to tell it to.
            if placed.is_err() {
                let found = found.lock().unwrap_or_else(PoisonError::into_inner);
                while found.recv().is_ok() {}
            }
            let walked = walking
                .join()
                .unwrap_or_else(|_| bail!("the walk ended by a fault"));
            let totals = placed?;
            walked?;
            Ok(totals)
        })
    }

    fn examiner(&self) -> Result<Examiner<'_>> {
        let options = StoreOptions {
            access: Access::ReadOnly,
            cache_bytes: CACHE_BYTES,
            patience: self.patience,
        };
        Ok(Examiner {
            settings: &self.settings,
            incoming: &self.incoming,
            images: &self.images,
            device: self.device,
            retries: self.retries,
            decoding: self.budget.consumer("pictures that are decoded"),
            store: Store::open_place(self.database.clone(), options)?,
        })
    }

    fn place_all(&self, seen: Receiver<Seen>, on_event: &mut dyn FnMut(&Event)) -> Result<Totals> {
        let mut totals = Totals::default();
        while let Ok(first) = seen.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = seen.try_recv()
            {
                batch.push(next);
            }
            for event in self.place(batch)? {
                totals.count(&event);
                on_event(&event);
            }
        }
        Ok(totals)
    }

    /// Files that were looked at, to their end.
    fn place(&self, batch: Vec<Seen>) -> Result<Vec<Event>> {
        let mut events = Vec::with_capacity(batch.len());
        let mut ready: Vec<(Found, Box<Ready>)> = Vec::new();
        let mut duplicates = Vec::new();
        let mut tell = |found: Found, bytes: u64, outcome: Outcome| {
            events.push(Event {
                path: found.path,
                bytes,
                outcome,
            });
        };
        for (found, looked) in batch {
            let looked = looked.with_context(|| format!("take in {}", found.path.display()))?;
            match looked {
                Looked::Ready(one) => ready.push((found, one)),
                Looked::Duplicate { stamp, digest } => duplicates.push((found, stamp, digest)),
                Looked::Stored => tell(found, 0, Outcome::Stored),
                Looked::ToGo => tell(found, 0, Outcome::ToGo),
                Looked::StillAside => tell(found, 0, Outcome::StillAside),
                Looked::Changed => tell(found, 0, Outcome::Changed),
                Looked::Refused { stamp, reason } => {
                    self.set_aside(&found.path, &stamp, &reason)?;
                    tell(found, stamp.bytes, Outcome::SetAside { reason });
                }
            }
        }
        if ready.is_empty() && duplicates.is_empty() {
            return Ok(events);
        }
        let mut outcomes = Vec::new();
        let mut work = Some((ready, duplicates));
        let intake = self.models.as_ref().map(Intake::of).unwrap_or_default();
        self.writer.lend(&mut |board| {
            // Asked once; a second time there is nothing left to do.
            let Some((ready, duplicates)) = work.take() else {
                return Ok(());
            };
            let places = Places::lock(&self.settings, &self.incoming, &self.images)?;
            outcomes.extend(places.take_in(board, ready, intake)?);
            for (found, stamp, digest) in duplicates {
                let outcome = places.duplicate(board, &found, &stamp, &digest)?;
                if let Outcome::SetAside { reason } = &outcome {
                    write_down(board, &found.path, &stamp, reason)?;
                }
                outcomes.push((found, stamp.bytes, outcome));
            }
            for (found, _, outcome) in &outcomes {
                if !matches!(outcome, Outcome::SetAside { .. } | Outcome::Changed) {
                    set_aside::forget(board.store(), &found.path)?;
                }
            }
            Ok(())
        })?;
        for (found, bytes, outcome) in outcomes {
            events.push(Event {
                path: found.path,
                bytes,
                outcome,
            });
        }
        Ok(events)
    }

    fn set_aside(&self, path: &Path, stamp: &Stamp, reason: &str) -> Result<()> {
        self.writer
            .lend(&mut |board| write_down(board, path, stamp, reason))
    }
}

fn write_down(board: &Board, path: &Path, stamp: &Stamp, reason: &str) -> Result<()> {
    set_aside::set_aside(board.store(), path, stamp, reason, &moment::now_text())
}

/// Whether a walk from `root` would come to a file: no link leads to it, and none of `others`.
fn lies_below(path: &Path, root: &Path, others: &[PathBuf]) -> bool {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let is_in = |other: &PathBuf| path.starts_with(other) && !root.starts_with(other);
    folder.is_some_and(|folder| path.parent() == Some(&*folder) && folder.starts_with(root))
        && !others.iter().any(is_in)
}

/// Whether a file was written, or came here, less than `age` ago.
fn is_younger(path: &Path, age: Duration) -> bool {
    if age.is_zero() {
        return false;
    }
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
    let last = found.mtime().max(found.ctime());
    // A time to come is one of another clock.
    (0..=age.as_secs() as i64).contains(&(now - last))
}

/// A path without links, and whether it is a folder.
fn source(path: &Path) -> Result<(PathBuf, bool)> {
    let looking = || format!("take in {}", path.display());
    let found = path.symlink_metadata().with_context(looking)?;
    if found.is_dir() {
        return Ok((path.canonicalize().with_context(looking)?, true));
    }
    let name = path.file_name();
    let (true, Some(name)) = (found.is_file(), name) else {
        bail!(
            "take in {}: it is neither file nor folder; of a link, give what it leads to",
            path.display()
        );
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().with_context(looking)?;
    Ok((folder.join(name), false))
}

fn look_at_all(examiner: &Examiner<'_>, found: &Mutex<Receiver<Found>>, send: &SyncSender<Seen>) {
    loop {
        let next = {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.recv()
        };
        let Ok(found) = next else {
            return;
        };
        // A decoder's fault is one of its file.
        let looked = catch_unwind(AssertUnwindSafe(|| examiner.look(&found)));
        let looked = looked.unwrap_or_else(|_| match Stamp::of(&found.path) {
            Ok(stamp) => Ok(Looked::Refused {
                stamp,
                reason: "a fault of the program ended the look at it".to_owned(),
            }),
            Err(_) => Ok(Looked::Changed),
        });
        if send.send((found, looked)).is_err() {
            return;
        }
    }
}
