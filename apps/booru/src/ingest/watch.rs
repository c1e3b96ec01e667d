//! Files are taken in as they come: folders are watched, a file is looked at when nobody has written to it for a
//! while, and all is looked through now and then, for what was missed.
//!
//! Memory: at most [`PENDING_MAX`] paths that wait, and [`EVENTS_MAX`] events; beyond that a scan follows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::digest::Stamp;
use super::run::Ingest;
use super::sidecar::beside;
use super::walk::is_wanted;
use super::{Event, Outcome};

/// Nobody has written to a file for so long when it is looked at.
const DEBOUNCE: Duration = Duration::from_secs(2);
/// Paths that wait.
const PENDING_MAX: usize = 4096;
/// Events of the system that wait.
const EVENTS_MAX: usize = 4096;
/// Files that are taken in at once, so that an end is not long in coming.
const AT_ONCE_MAX: usize = 64;
/// What failed is tried again after this.
pub const RETRY: Duration = Duration::from_secs(10);
/// How often is looked whether to end.
const LOOK: Duration = Duration::from_millis(250);

/// Watches the folders of an ingest.
pub struct Watcher<'a> {
    ingest: &'a Ingest,
    roots: Vec<PathBuf>,
    events: Receiver<notify::Event>,
    /// Events were lost.
    is_incomplete: Arc<AtomicBool>,
    pending: BTreeMap<PathBuf, Pending>,
    scan_at: Instant,
    /// Ends when it is dropped.
    _watcher: RecommendedWatcher,
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Watcher")
            .field("roots", &self.roots)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    due: Instant,
    seen: Option<Stamp>,
}

impl<'a> Watcher<'a> {
    /// Begins to watch; the folder for new files is made.
    ///
    /// # Errors
    /// Folders that can't be made or watched, as where the system's limit of watches is reached.
    pub fn new(ingest: &'a Ingest) -> Result<Watcher<'a>> {
        let folder = &ingest.settings().ingest;
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = folder
            .canonicalize()
            .with_context(|| format!("find {}", folder.display()))?;
        let roots = vec![folder, ingest.images().to_owned()];
        let (send, events) = sync_channel(EVENTS_MAX);
        let is_incomplete = Arc::new(AtomicBool::new(false));
        let incomplete = Arc::clone(&is_incomplete);
        let on_event = move |event: notify::Result<_>| {
            let is_sent = event.is_ok_and(|event| send.try_send(event).is_ok());
            if !is_sent {
                incomplete.store(true, Ordering::Relaxed);
            }
        };
        // A walk does not follow links either.
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher =
            RecommendedWatcher::new(on_event, config).context("begin to watch folders")?;
        for root in &roots {
            let watched = watcher.watch(root, RecursiveMode::Recursive);
            watched.with_context(|| {
                format!(
                    "watch {}; where the limit of watches is reached, raise fs.inotify.max_user_watches",
                    root.display()
                )
            })?;
        }
        Ok(Watcher {
            ingest,
            roots,
            events,
            is_incomplete,
            pending: BTreeMap::new(),
            scan_at: Instant::now(),
            _watcher: watcher,
        })
    }

    /// Takes in what is there and what comes, until `is_over`; then what is begun is done first. What fails, as
    /// where the disk is full, is told to `on_error` and tried again after [`RETRY`].
    pub fn run(
        &mut self,
        is_over: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(&Event),
        on_error: &mut dyn FnMut(anyhow::Error),
    ) {
        while !is_over() {
            if Instant::now() >= self.scan_at {
                // What can't be deleted keeps nothing else from coming.
                if let Err(error) = self.ingest.finish_deletions() {
                    on_error(error);
                }
                if let Err(error) = self.scan(on_event) {
                    on_error(error);
                    self.scan_at = Instant::now() + RETRY;
                }
            }
            let due = self.pending.values().map(|pending| pending.due);
            let next = due.chain([self.scan_at]).min().unwrap_or(self.scan_at);
            let wait = next.saturating_duration_since(Instant::now()).min(LOOK);
            match self.events.recv_timeout(wait) {
                Ok(event) => {
                    self.note(&event);
                    while let Ok(event) = self.events.try_recv() {
                        self.note(&event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
            if self.is_incomplete.swap(false, Ordering::Relaxed) {
                self.scan_soon();
            }
            if let Err(error) = self.take_in_due(on_event) {
                // The scan meets what was not taken in.
                on_error(error);
                self.scan_at = Instant::now() + RETRY;
            }
        }
    }

    fn scan(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let (_, were_young) = self.ingest.scan_settled(DEBOUNCE, on_event)?;
        self.scan_at = Instant::now() + self.ingest.settings().monitor_interval;
        if were_young {
            self.scan_soon();
        }
        Ok(())
    }

    fn scan_soon(&mut self) {
        self.scan_at = self.scan_at.min(Instant::now() + DEBOUNCE);
    }

    fn note(&mut self, event: &notify::Event) {
        let is_news = match event.kind {
            EventKind::Create(_) => true,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Name(_) | ModifyKind::Any) => true,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            _ => event.need_rescan(),
        };
        if !is_news {
            return;
        }
        if event.need_rescan() {
            self.scan_soon();
        }
        for path in &event.paths {
            // What is said of a picture may come after it.
            let path = beside(path).unwrap_or_else(|| path.clone());
            if path.is_dir() {
                // Files in it may have come before it was watched.
                self.scan_soon();
            } else if is_wanted(&path) && !is_hidden(&path, &self.roots) {
                self.wait_for(path);
            }
        }
    }

    fn wait_for(&mut self, path: PathBuf) {
        if self.pending.len() >= PENDING_MAX {
            self.scan_soon();
            return;
        }
        let pending = Pending {
            due: Instant::now() + DEBOUNCE,
            seen: Stamp::of(&path).ok(),
        };
        self.pending.insert(path, pending);
    }

    /// Takes in files that are as they were when nobody had written to them.
    fn take_in_due(&mut self, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let now = Instant::now();
        let due = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.due <= now);
        let due: Vec<PathBuf> = due
            .take(AT_ONCE_MAX)
            .map(|(path, _)| path.clone())
            .collect();
        let mut still = Vec::with_capacity(due.len());
        for path in due {
            let Some(before) = self.pending.remove(&path) else {
                continue;
            };
            let Ok(stamp) = Stamp::of(&path) else {
                continue;
            };
            match before.seen == Some(stamp) {
                true => {
                    let root = self.roots.iter().find(|root| path.starts_with(root));
                    still.extend(root.cloned().map(|root| (path, root)));
                }
                false => self.wait_for(path),
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        let mut again = Vec::new();
        self.ingest.take_in(&still, &mut |event| {
            if event.outcome == Outcome::Changed && event.path.exists() {
                again.push(event.path.clone());
            }
            on_event(event);
        })?;
        again.into_iter().for_each(|path| self.wait_for(path));
        Ok(())
    }
}

/// Whether a part of a path below one of the roots begins with a dot.
fn is_hidden(path: &Path, roots: &[PathBuf]) -> bool {
    let below = roots.iter().find_map(|root| path.strip_prefix(root).ok());
    let mut parts = below.unwrap_or(path).iter();
    parts.any(|part| part.as_encoded_bytes().starts_with(b"."))
}
