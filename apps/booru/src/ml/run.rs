//! One step of the work: some jobs are taken from the queue, the worker is asked, and its answers are put
//! into the database.
//!
//! The board is locked only to take and to record; while a model runs, others edit.

mod ask;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use plimsoll_booru_worker_protocol::Client;
use plimsoll_booru_worker_protocol::message::{Cause, Progress};

use super::claim::Claim;
use super::queue::{self, Blame, Job, Kind, TRIES_MAX};
use super::settings::Settings;
use crate::similarity::Semantic;
use crate::store::Store;
use crate::writer::{Writer, with};

/// Images of one request: a worker's death costs no more work, and an edit stays short.
const BATCH_MAX: usize = 16;
/// Failures in a row, before anything went through, after which a kind of work waits: they are more likely
/// the model's than so many images'.
const STRIKES_MAX: u32 = 3;
/// For what may mend itself: a machine too busy to start a worker, a program that is being installed.
const PAUSE: Duration = Duration::from_secs(60);

/// Why a kind of work waits.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    pub(crate) reason: String,
    /// The model as it was: another file may do.
    stamp: Option<(u64, SystemTime)>,
    until: Option<Instant>,
}

impl Pause {
    fn for_a_while(reason: String) -> Pause {
        Pause {
            reason,
            stamp: None,
            until: Some(Instant::now() + PAUSE),
        }
    }
}

/// What is known of one kind of work, as long as the process lives.
#[derive(Debug, Default)]
struct Standing {
    /// Something went through.
    is_proven: bool,
    strikes: u32,
}

/// Who works off a queue.
pub(crate) struct Runner {
    board: Arc<dyn Writer>,
    settings: Settings,
    claim: Option<Claim>,
    embeddings: Option<Semantic>,
    standings: [Standing; Kind::ALL.len()],
    /// The last step ended by an error, so that jobs of it may still be `running`.
    has_failed: bool,
}

/// What the runner tells while it works.
pub(crate) trait Heed {
    /// Somebody wants it to end: what is under way is given back.
    fn is_stopping(&self) -> bool;
    /// Somebody wants what is under way of this kind to be broken off and forgotten.
    fn is_cancelled(&self, kind: Kind) -> bool;
    fn pause_of(&self, kind: Kind) -> Option<Pause>;
    fn set_pause(&self, kind: Kind, pause: Option<Pause>);
    fn begun(&self, kind: Kind);
    fn progressed(&self, kind: Kind, progress: &Progress);
    fn ended(&self, kind: Kind, done: u64, failed: u64);
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Worked,
    /// A worker died of it, or hung.
    Died,
    /// Nothing to be done, or by another process, or not now.
    Idle,
}

/// How the jobs of one request ended.
enum Outcome {
    /// Each is recorded as done but these, with what is wrong with their images, as far as is known.
    Answered(Vec<(Job, Option<Cause>, String)>),
    /// The worker died, hung or spoke nonsense.
    Died(String),
    /// What is wrong is no image's fault.
    Unfit(Pause),
}

impl Runner {
    pub(crate) fn new(board: Arc<dyn Writer>, settings: Settings) -> Runner {
        Runner {
            board,
            settings,
            claim: None,
            embeddings: None,
            standings: Default::default(),
            has_failed: false,
        }
    }

    fn with_store<T>(&self, act: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        with(&*self.board, |board| act(&board.store))
    }

    fn give_back(&self, jobs: &[Job], blame: Blame) -> Result<()> {
        self.with_store(|store| queue::give_back(store, jobs, blame))
    }

    /// One request's worth of work.
    ///
    /// # Errors
    /// What keeps the queue from being read or written; jobs that were taken and could not be put back are
    /// put back by the next step.
    pub(crate) fn step(
        &mut self,
        client: &dyn Fn() -> Result<Arc<Client>>,
        heed: &impl Heed,
    ) -> Result<Step> {
        let step = self.try_step(client, heed);
        self.has_failed = step.is_err();
        step
    }

    fn try_step(
        &mut self,
        client: &dyn Fn() -> Result<Arc<Client>>,
        heed: &impl Heed,
    ) -> Result<Step> {
        if !self.with_store(queue::has_work)? {
            return self.rest();
        }
        if self
            .claim
            .as_ref()
            .is_some_and(|claim| !claim.holds().unwrap_or(false))
        {
            self.claim = None;
        }
        if self.claim.is_none() {
            let Some(claim) = self.with_store(Claim::take)? else {
                return Ok(Step::Idle);
            };
            self.with_store(queue::recover)?;
            self.claim = Some(claim);
        } else if self.has_failed {
            self.with_store(queue::take_back)?;
        }
        for kind in Kind::ALL {
            if self.is_paused(kind, heed) {
                continue;
            }
            let limit = match kind {
                Kind::Tag => BATCH_MAX,
                // Each is a request of its own.
                Kind::Embed | Kind::Upscale => 1,
            };
            let jobs = self.with_store(|store| queue::take(store, kind, limit))?;
            if jobs.is_empty() {
                continue;
            }
            match client() {
                Ok(client) => return self.work(&client, kind, jobs, heed),
                Err(error) => {
                    // There is no program, which may be installed by and by.
                    self.give_back(&jobs, Blame::None)?;
                    heed.set_pause(kind, Some(Pause::for_a_while(format!("{error:#}"))));
                }
            }
        }
        self.rest()
    }

    /// Another process may have the queue now; nothing is held.
    fn rest(&mut self) -> Result<Step> {
        self.embeddings = None;
        if self.claim.take().is_some() {
            self.with_store(queue::prune)?;
        }
        Ok(Step::Idle)
    }

    fn is_paused(&self, kind: Kind, heed: &impl Heed) -> bool {
        let Some(pause) = heed.pause_of(kind) else {
            return false;
        };
        let is_over = match pause.until {
            Some(until) => Instant::now() >= until,
            None => stamp(self.model(kind)) != pause.stamp,
        };
        if is_over {
            heed.set_pause(kind, None);
        }
        !is_over
    }

    fn model(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Tag => &self.settings.tagger.model,
            Kind::Embed => &self.settings.embedder.model,
            Kind::Upscale => &self.settings.upscaler.model,
        }
    }

    fn unfit(&self, kind: Kind, reason: String) -> Outcome {
        Outcome::Unfit(Pause {
            reason,
            stamp: stamp(self.model(kind)),
            until: None,
        })
    }

    fn work(
        &mut self,
        client: &Client,
        kind: Kind,
        jobs: Vec<Job>,
        heed: &impl Heed,
    ) -> Result<Step> {
        heed.begun(kind);
        let outcome = match kind {
            Kind::Tag => self.tag(client, &jobs, heed),
            Kind::Embed => self.embed(client, &jobs[0]),
            Kind::Upscale => self.upscale(client, &jobs[0], heed),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // The database or a folder is at fault: not the images, and it may pass. Where this fails
                // too, the next step does it.
                let _ = self.give_back(&jobs, Blame::None);
                return Err(error);
            }
        };
        let count = jobs.len() as u64;
        match outcome {
            Outcome::Answered(failures) => self.settle(kind, failures, count, heed)?,
            Outcome::Died(_) if heed.is_cancelled(kind) => {
                self.with_store(|store| queue::forget(store, &jobs))?;
                heed.ended(kind, 0, 0);
            }
            Outcome::Died(_) if heed.is_stopping() => {
                self.give_back(&jobs, Blame::None)?;
            }
            Outcome::Died(reason) => {
                self.mourn(kind, jobs, &reason, heed)?;
                return Ok(Step::Died);
            }
            Outcome::Unfit(pause) => {
                self.give_back(&jobs, Blame::None)?;
                heed.set_pause(kind, Some(pause));
            }
        }
        Ok(Step::Worked)
    }

    /// Of `count` jobs, sets aside those that failed, unless it is rather the model that does.
    fn settle(
        &mut self,
        kind: Kind,
        failures: Vec<(Job, Option<Cause>, String)>,
        count: u64,
        heed: &impl Heed,
    ) -> Result<()> {
        let unexplained = failures
            .iter()
            .filter(|(_, cause, _)| cause.is_none())
            .count() as u32;
        let failed = failures.len() as u64;
        let standing = &mut self.standings[kind as usize];
        standing.is_proven |= failed < count;
        let is_model = !standing.is_proven && unexplained > 0 && {
            standing.strikes += unexplained;
            standing.strikes >= STRIKES_MAX
        };
        if is_model {
            standing.strikes = 0;
            let reason = failures.iter().find(|(_, cause, _)| cause.is_none());
            let reason = reason
                .map(|(_, _, reason)| reason.clone())
                .unwrap_or_default();
            let jobs: Vec<Job> = failures.into_iter().map(|(job, _, _)| job).collect();
            self.give_back(&jobs, Blame::None)?;
            if let Outcome::Unfit(pause) = self.unfit(kind, reason) {
                heed.set_pause(kind, Some(pause));
            }
            heed.ended(kind, count - failed, 0);
            return Ok(());
        }
        let aside: Vec<_> = failures
            .into_iter()
            .map(|(job, _, reason)| (job.id, reason))
            .collect();
        if !aside.is_empty() {
            self.with_store(|store| queue::set_aside(store, &aside))?;
        }
        heed.ended(kind, count - failed, failed);
        Ok(())
    }

    /// After a death: who was under way with others is tried again alone, who was alone too often is set
    /// aside.
    fn mourn(&mut self, kind: Kind, jobs: Vec<Job>, reason: &str, heed: &impl Heed) -> Result<()> {
        let (aside, again): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.tries >= TRIES_MAX);
        self.give_back(&again, Blame::Counted)?;
        if aside.is_empty() {
            return Ok(());
        }
        let count = aside.len() as u64;
        let failures = aside.into_iter().map(|job| {
            let reason = format!(
                "the ML worker failed {} times at this image: {reason}",
                job.tries
            );
            (job, None, reason)
        });
        self.settle(kind, failures.collect(), count, heed)
    }
}

fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}
