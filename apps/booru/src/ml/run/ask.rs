//! What the worker is asked of images, and what its answers mean: for the database, and for the jobs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plimsoll_booru_worker_protocol::message::{Cause, TagImages, Task};
use plimsoll_booru_worker_protocol::{Client, ClientError};
use serde_json::Value;

use super::{Heed, Outcome, Pause, Runner};
use crate::edit::TaggedJob;
use crate::ml::answers::{self, NotTagged};
use crate::ml::embeddings;
use crate::ml::queue::{self, Job, Kind};
use crate::writer::with;

impl Runner {
    pub(super) fn tag(
        &mut self,
        client: &Client,
        jobs: &[Job],
        heed: &impl Heed,
    ) -> Result<Outcome> {
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

    pub(super) fn embed(&mut self, client: &Client, job: &Job) -> Result<Outcome> {
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

    pub(super) fn upscale(
        &mut self,
        client: &Client,
        job: &Job,
        heed: &impl Heed,
    ) -> Result<Outcome> {
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
