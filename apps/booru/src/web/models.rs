//! Models while a board is served: the queue of [`crate::ml`] is worked off on a thread of its own, which
//! writes by the server's one connection.
//!
//! Nothing is started where no model is there and nothing is queued.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::App;
use super::boards::ByApp;
use super::error::Failure;
use crate::board::Board;
use crate::ml::settings::{Residence, Settings};
use crate::ml::{Kind, Service, queue, tables};
use crate::refuse;
use crate::store::Access;

/// The thread, once it is started.
#[derive(Debug)]
pub(super) struct Models {
    service: OnceLock<Service>,
    /// One asks it at a time: it waits for the connection that writes, on a thread that this needs too.
    turn: Arc<Semaphore>,
}

impl Default for Models {
    fn default() -> Models {
        Models {
            service: OnceLock::new(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Whether there is anything for models to do on this board, now or later.
///
/// # Errors
/// What the database says.
pub(super) fn are_wanted(board: &Board, access: Access, settings: &Settings) -> Result<bool> {
    if access == Access::ReadOnly {
        return Ok(false);
    }
    let has_model = settings.is_set_up(Kind::Tag)
        || settings.is_set_up(Kind::Embed)
        || settings.upscaler.is_enabled
        || settings.worker.residence == Residence::WithBoard;
    Ok(has_model || (tables::are_there(board.store()) && queue::has_work(board.store())?))
}

impl App {
    /// Starts the thread, and what keeps the app alive until [`App::end_models`].
    pub(super) fn start_models(self: &Arc<App>) -> Result<()> {
        let writer = Arc::new(ByApp(Arc::clone(self)));
        let service = Service::start(self.settings.models.clone(), writer)?;
        let _ = self.models.service.set(service);
        Ok(())
    }

    /// Ends the thread and the worker that it started; what is under way is queued again.
    pub(super) fn end_models(&self) {
        if let Some(service) = self.models.service.get() {
            service.stop();
        }
    }

    /// # Errors
    /// Where no models work on this board.
    pub(super) fn models(&self) -> Result<&Service> {
        match self.models.service.get() {
            Some(service) => Ok(service),
            None if self.settings.store.access == Access::ReadOnly => {
                refuse!("no models work on this board: the server may only read it")
            }
            None => refuse!(
                "no models work on this board: put one where LOCAL_TAGGER_MODEL_PATH, SEMANTIC_MODEL_PATH or \
                 UPSCALER_MODEL says, and start the server again"
            ),
        }
    }

    /// Asks the service, which waits for the one connection that writes.
    ///
    /// # Errors
    /// As [`App::models`], and those of `act`.
    pub(super) async fn ask_models<T: Send + 'static>(
        app: Arc<App>,
        act: impl FnOnce(&Service) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = Arc::clone(&app.models.turn).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let asked = spawn_blocking(move || {
            let _turn = turn;
            act(app.models()?)
        })
        .await;
        Ok(asked.map_err(anyhow::Error::new)??)
    }

    /// The kinds of work that can be asked for: those whose models are there.
    pub(super) fn kinds_set_up(&self) -> Vec<Kind> {
        if self.models.service.get().is_none() {
            return Vec::new();
        }
        let kinds = [Kind::Tag, Kind::Embed, Kind::Upscale].into_iter();
        let settings = &self.settings.models;
        kinds.filter(|kind| settings.is_set_up(*kind)).collect()
    }

    /// What images that come in are queued by; `None` where no models work on this board.
    pub(super) fn models_for_new(&self) -> Option<Settings> {
        let service = self.models.service.get();
        service.map(|_| self.settings.models.clone())
    }

    /// Tells the thread that jobs of these kinds have come in with an image.
    pub(super) fn wake_models(&self, kinds: &[Kind]) {
        if let Some(service) = self.models.service.get() {
            kinds.iter().for_each(|kind| service.wake(Some(*kind)));
        }
    }
}
