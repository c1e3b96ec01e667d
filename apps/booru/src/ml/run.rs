//! One step of the work: some jobs are taken from the queue, the worker is asked, and its answers are put
//! into the database.
//!
//! The board is locked only to take and to record; while a model runs, others edit.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use plimsoll_booru_worker_protocol::message::{Cause, Progress, TagImages, Task};
use plimsoll_booru_worker_protocol::{Client, ClientError};
use serde_json::Value;

use super::answers::{self, NotTagged};
use super::claim::Claim;
use super::embeddings;
use super::queue::{self, Blame, Job, Kind, TRIES_MAX};
use super::service::BATCH_MAX;
use super::settings::Settings;
use crate::edit::TaggedJob;
use crate::similarity::Semantic;
use crate::store::Store;
use crate::writer::{Writer, with};

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

    fn tag(&mut self, client: &Client, jobs: &[Job], heed: &impl Heed) -> Result<Outcome> {
        let settings = &self.settings.tagger;
        if !settings.is_enabled {
            return Ok(self.unfit(Kind::Tag, "ENABLE_LOCAL_TAGGER is false".to_owned()));
        }
        let mut failures = Vec::new();
        let mut asked = Vec::new();
        let mut paths = Vec::new();
        for job in jobs {
            match self.settings.image_file(&job.path) {
                Ok(path) => {
                    paths.push(path.to_string_lossy().into_owned());
                    asked.push(job);
                }
                Err(error) => {
                    failures.push((job.clone(), Some(Cause::Image), format!("{error:#}")))
                }
            }
        }
        if asked.is_empty() {
            return Ok(Outcome::Answered(failures));
        }
        let task = Task::TagImages(TagImages {
            image_paths: paths.clone(),
            tagging: settings.tagging(),
        });
        let answer = client.call_with(&task, |progress| heed.progressed(Kind::Tag, progress));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(self.judge(Kind::Tag, jobs, error)),
        };
        let Ok(answers) = answers::parse_batch(answer, &paths) else {
            return Ok(self.unfit(
                Kind::Tag,
                "the worker's answer is no answer to tag_images".to_owned(),
            ));
        };
        let mut tagged = Vec::with_capacity(asked.len());
        for (job, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(one) => tagged.push(TaggedJob {
                    job: job.id,
                    image: job.image_id,
                    tagged: one,
                }),
                Err(NotTagged { cause, reason }) => failures.push((job.clone(), cause, reason)),
            }
        }
        if !tagged.is_empty() {
            with(&*self.board, |board| board.record_tagged(&tagged, settings))?;
        }
        Ok(Outcome::Answered(failures))
    }

    fn embed(&mut self, client: &Client, job: &Job) -> Result<Outcome> {
        let settings = &self.settings.embedder;
        if !settings.is_enabled {
            return Ok(self.unfit(
                Kind::Embed,
                "ENABLE_SEMANTIC_SIMILARITY is false".to_owned(),
            ));
        }
        let image = match self.settings.image_file(&job.path) {
            Ok(image) => image,
            Err(error) => return Ok(failed(job, Some(Cause::Image), format!("{error:#}"))),
        };
        let answer = client.call(&Task::ComputeSimilarity(settings.request(&image)));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(self.judge(Kind::Embed, std::slice::from_ref(job), error)),
        };
        let numbers = match answers::parse_embedding(&answer, settings.dimension) {
            Ok(numbers) => numbers,
            Err(error) => return Ok(failed(job, None, format!("{error:#}"))),
        };
        // Of an image that was deleted meanwhile nothing is kept.
        if !self.with_store(|store| queue::is_under_way(store, job.id))? {
            return Ok(Outcome::Answered(Vec::new()));
        }
        let file = self.with_store(|store| Ok(store.file().map(Path::to_owned)))?;
        let Some(file) = file else {
            self.with_store(|store| {
                store.write(|| {
                    store.vectors(numbers.len())?.put(job.image_id, &numbers)?;
                    queue::finish(store, job.id)
                })
            })?;
            return Ok(Outcome::Answered(Vec::new()));
        };
        let beside = self
            .embeddings
            .get_or_insert_with(|| embeddings::open(&file));
        // Before the job is done: to write it twice is as once.
        beside.add(job.image_id, &numbers)?;
        self.with_store(|store| store.write(|| queue::finish(store, job.id)))?;
        Ok(Outcome::Answered(Vec::new()))
    }

    fn upscale(&mut self, client: &Client, job: &Job, heed: &impl Heed) -> Result<Outcome> {
        let settings = &self.settings.upscaler;
        if !settings.is_enabled {
            return Ok(self.unfit(Kind::Upscale, "UPSCALER_ENABLED is false".to_owned()));
        }
        let files = self.settings.image_file(&job.path);
        let files = files.and_then(|image| Ok((image, self.settings.upscaled_file(&job.path)?)));
        let (image, output) = match files {
            Ok(files) => files,
            Err(error) => return Ok(failed(job, Some(Cause::Image), format!("{error:#}"))),
        };
        if let Some(folder) = output.parent() {
            let made = fs::create_dir_all(folder);
            made.with_context(|| format!("make {}", folder.display()))?;
        }
        let task = Task::UpscaleImage(settings.request(&image, &output));
        // The same in each try of the job: a worker that goes on with it, or has it done, is not asked anew.
        let id = format!("upscale-{}-{}", job.id, job.queued_at);
        let mut session = client.session();
        let answer = session.call_as(&id, &task, |progress| {
            heed.progressed(Kind::Upscale, progress)
        });
        let answer: Value = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(self.judge(Kind::Upscale, std::slice::from_ref(job), error)),
        };
        match answers::parse_upscaled(&answer) {
            Ok(size) => {
                let (job, image) = (job.id, job.image_id);
                with(&*self.board, |board| {
                    board.record_upscaled(job, image, size)
                })?;
            }
            Err(error) => return Ok(failed(job, None, format!("{error:#}"))),
        }
        Ok(Outcome::Answered(Vec::new()))
    }

    /// What an error of the worker means for `jobs`.
    fn judge(&self, kind: Kind, jobs: &[Job], error: ClientError) -> Outcome {
        match error {
            ClientError::Refused {
                cause: Some(Cause::Model),
                message,
            } => self.unfit(kind, message),
            ClientError::Refused { cause, message } => Outcome::Answered(
                jobs.iter()
                    .map(|job| (job.clone(), cause, message.clone()))
                    .collect(),
            ),
            ClientError::Start { .. } => Outcome::Unfit(Pause::for_a_while(error.to_string())),
            ClientError::Invalid(message) => self.unfit(kind, message),
            error => Outcome::Died(error.to_string()),
        }
    }
}

fn failed(job: &Job, cause: Option<Cause>, reason: String) -> Outcome {
    Outcome::Answered(vec![(job.clone(), cause, reason)])
}

fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}
