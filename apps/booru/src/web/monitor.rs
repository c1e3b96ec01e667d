//! New files are taken in while a board is served: the watcher of [`crate::ingest`] on a thread of its own,
//! which writes by the server's one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::App;
use super::boards::ByApp;
use crate::ingest::{Event, Ingest, Outcome, Watcher};

/// Of the thread; pictures are decoded by threads of the ingest.
const STACK_BYTES: usize = 1 << 20;
/// How long another program may hold the database.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The thread, until it is told to end.
pub(super) struct Monitor {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Monitor {
    /// # Errors
    /// A system that has no more threads. What keeps it from watching is told by it, and the server goes on.
    pub(super) fn start(app: &Arc<App>) -> Result<Monitor> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (app, flag) = (Arc::clone(app), Arc::clone(&is_over));
        let watch = move || {
            if let Err(error) = watch(app, &flag) {
                eprintln!("booru: new files are not taken in: {error:#}");
            }
        };
        let thread = std::thread::Builder::new()
            .name("booru-monitor".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(watch)
            .context("start a thread that watches for new files")?;
        Ok(Monitor { is_over, thread })
    }

    /// Waits until what is begun is done, for some time: a file that is not taken in by then is taken in at
    /// the next start.
    pub(super) fn end(self, patience: Duration) {
        self.is_over.store(true, Ordering::Relaxed);
        let until = Instant::now() + patience;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
}

fn watch(app: Arc<App>, is_over: &AtomicBool) -> Result<()> {
    let settings = app.settings().ingest.clone();
    let ingest = Ingest::open(settings, Arc::new(ByApp(Arc::clone(&app))), PATIENCE)?;
    let ingest = ingest.queueing(app.models_for_new());
    let mut watcher = Watcher::new(&ingest)?;
    let folder = ingest.settings().ingest.canonicalize();
    let folder = folder.context("find the folder for new images")?;
    let mut on_event = |event: &Event| {
        tell(event);
        app.arrivals.follow(&folder, event);
        if let Outcome::TakenIn { queued, .. } = &event.outcome {
            app.wake_models(queued);
        }
    };
    let mut on_error = |error: anyhow::Error| {
        eprintln!(
            "booru: take in new files: {}",
            format!("{error:#}").escape_debug()
        );
    };
    watcher.run(
        &|| is_over.load(Ordering::Relaxed),
        &mut on_event,
        &mut on_error,
    );
    Ok(())
}

fn tell(event: &Event) {
    if let Outcome::SetAside { reason } = &event.outcome {
        // Names are of others: nothing in them moves a terminal.
        let path = event.path.to_string_lossy().escape_debug().to_string();
        eprintln!("booru: {path} is set aside: {reason}");
    }
}
