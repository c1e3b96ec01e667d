//! What requests ask for, done.
//!
//! One request at a time reads an image and uses models: two at once would take the memory of two. Others wait
//! in line and hold nothing; `health_check` does not.

use std::any::Any;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};
use plimsoll::ledger::Tag;
use plimsoll::stage::Stage;
use plimsoll::stream::remove_leftovers;
use plimsoll_booru_picture::pixels::drop_alpha;
use plimsoll_booru_worker_protocol::message::{
    BATCH_MAX, Cause, ComputeSimilarity, Progress, TagImages, Tagging, UpscaleImage,
};
use serde_json::{Value, json};

use crate::encode::Unwritable;
use crate::runtime::{Device, Model, Tensor};
use crate::sidecar::Sidecar;
use crate::tagger::Feed;
use crate::upscaler::{self, Upscaled};
use crate::{embedder, input, models::Models, sidecar, tagger};

static IMAGE: Tag = Tag::new("image");
static INFERENCE: Tag = Tag::new("inference");

/// The work of a process.
pub struct Work {
    models: Mutex<Models>,
    models_folder: PathBuf,
    /// Requests that use a model or wait for it.
    active: AtomicUsize,
    ran_on_cuda: AtomicBool,
    device: Device,
    /// Images of one inference, where a model takes several.
    batch_images: usize,
}

/// One request counted as active.
struct Active<'work>(&'work AtomicUsize);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Work {
    /// Loads nothing yet.
    #[must_use]
    pub fn new(models: Models, models_folder: PathBuf, batch_images: usize) -> Work {
        Work {
            batch_images: batch_images.max(1),
            device: models.device(),
            models: Mutex::new(models),
            models_folder,
            active: AtomicUsize::new(0),
            ran_on_cuda: AtomicBool::new(false),
        }
    }

    fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(&self.active)
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        // A panic inside a model leaves the list of models whole.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, device: Device) {
        if device == Device::Cuda {
            self.ran_on_cuda.store(true, Ordering::Relaxed);
        }
    }

    /// `tag_image`.
    pub fn tag_image(&self, image_path: &str, tagging: &Tagging) -> Result<Value, Failure> {
        let _active = self.begin();
        let mut models = self.models();
        let picture = read(image_path)?;
        let mut tagger = Tagger::open(&mut models, self.device, tagging).map_err(of_model)?;
        let _stage = Stage::begin("tag");
        let _tag = INFERENCE.enter();
        let input = tagger.feed.tensor(&picture.image);
        let mut tags = tagger.infer(input)?;
        self.note(self.device);
        let tags = tags.pop().context("the model has no answer")?;
        Ok(tagger.told(&tags, picture.is_truncated)?)
    }

    /// `tag_images`: each image has its own outcome, and one that fails stops no other. The model is
    /// looked at first: what is wrong with it is no image's fault, and fails the request.
    pub fn tag_images(
        &self,
        request: &TagImages,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Value, Failure> {
        let _active = self.begin();
        let count = request.image_paths.len();
        if !(1..=BATCH_MAX).contains(&count) {
            let text = format!("{count} images in a batch, from 1 to {BATCH_MAX} are possible");
            return Err(anyhow!(text).into());
        }
        let mut models = self.models();
        let tagger = Tagger::open(&mut models, self.device, &request.tagging);
        let mut tagger = tagger.map_err(of_model)?;
        let together = match tagger.can_batch() {
            true => self.batch_images,
            false => 1,
        };
        let mut results = Vec::with_capacity(count);
        for paths in request.image_paths.chunks(together) {
            let told = tagger.tag_some(paths);
            self.note(self.device);
            for (path, told) in paths.iter().zip(told) {
                results.push(match told {
                    Ok(tags) => json!({ "image_path": path, "status": "success", "data": tags }),
                    Err(failure) => json!({
                        "image_path": path, "status": "error",
                        "error": format!("{:#}", failure.error), "cause": failure.cause,
                    }),
                });
                let done = results.len() as u64;
                progress(&Progress::new(done, count as u64, path.clone()));
            }
        }
        Ok(json!({ "results": results }))
    }

    /// `compute_similarity`.
    pub fn compute_similarity(&self, request: &ComputeSimilarity) -> Result<Value, Failure> {
        let _active = self.begin();
        // Said before a model is loaded for nothing.
        embedder::scheme(&request.model_type).map_err(of_model)?;
        let mut models = self.models();
        let picture = read(&request.image_path)?;
        let model_path = Path::new(&request.model_path);
        let (model, _) = models.get(model_path, self.device).map_err(of_model)?;
        let _stage = Stage::begin("embed");
        let _tag = INFERENCE.enter();
        let embedding = embedder::embed(
            model,
            &picture.image,
            &request.model_type,
            request.image_size,
            request.embedding_dim,
        )?;
        self.note(self.device);
        let mut result = json!({ "embedding": embedding });
        if picture.is_truncated {
            result["warning"] = "image_truncated".into();
        }
        Ok(result)
    }

    /// `upscale_image`.
    pub fn upscale_image(
        &self,
        request: &UpscaleImage,
        progress: impl FnMut(&Progress),
    ) -> Result<Value, Failure> {
        let _active = self.begin();
        let image_path = Path::new(&request.image_path);
        input::require_still(image_path).map_err(of_image)?;
        let mut models = self.models();
        let picture = read(&request.image_path)?;
        let image = drop_alpha(&picture.image);
        let mut warnings = Vec::new();
        if picture.image.color().has_alpha() {
            warnings.push("alpha_dropped".to_owned());
        }
        if picture.is_truncated {
            warnings.push("image_truncated".to_owned());
        }
        drop(picture);
        let output = Path::new(&request.output_path);
        let folder = output
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        // What a killed worker left of an earlier try.
        remove_leftovers(folder.unwrap_or(Path::new(".")))
            .with_context(|| format!("write {}", output.display()))
            .map_err(of_output)?;
        let upscaled = self.upscale(&mut models, &image, request, progress, &mut warnings)?;
        if upscaled.is_clamped {
            warnings.push("webp_dimension_clamped".to_owned());
        }
        let warning = match warnings.is_empty() {
            true => Value::Null,
            false => warnings.join(", ").into(),
        };
        Ok(json!({
            "success": true,
            "output_path": request.output_path,
            "original_size": [image.width(), image.height()],
            "upscaled_size": [upscaled.size.0, upscaled.size.1],
            "tile_size": upscaled.tile_size,
            "warning": warning,
        }))
    }

    fn upscale(
        &self,
        models: &mut Models,
        image: &image::RgbImage,
        request: &UpscaleImage,
        mut progress: impl FnMut(&Progress),
        warnings: &mut Vec<String>,
    ) -> Result<Upscaled, Failure> {
        let device = match request.device.as_str() {
            "auto" => self.device,
            named => named.parse().map_err(of_model)?,
        };
        let model_path = self.upscaler_path(&request.model_name).map_err(of_model)?;
        let mut run = |device: Device, progress: &mut dyn FnMut(&Progress)| {
            let (model, _) = models.get(&model_path, device).map_err(of_model)?;
            let _stage = Stage::begin("upscale");
            let _tag = INFERENCE.enter();
            let upscaled = upscaler::upscale(model, image, request, progress);
            let upscaled = upscaled.map_err(|error| match error.is::<Unwritable>() {
                true => of_output(error),
                false => error.into(),
            })?;
            self.note(device);
            Ok(upscaled)
        };
        match run(device, &mut progress) {
            Err(Failure { error, .. }) if device != Device::Cpu && request.allow_cpu_fallback => {
                warnings.push(format!("cpu_fallback: {error:#}"));
                run(Device::Cpu, &mut progress)
            }
            outcome => outcome,
        }
    }

    /// A path of an ONNX file, or the name of one in the folder of models.
    fn upscaler_path(&self, name: &str) -> Result<PathBuf> {
        let is_plain = !name.is_empty() && !name.contains('/') && name != "..";
        if !is_plain {
            return Ok(PathBuf::from(name));
        }
        let in_folder = [name.to_owned(), format!("{name}.onnx")];
        let mut paths = in_folder.iter().map(|name| self.models_folder.join(name));
        paths.find(|path| path.is_file()).with_context(|| {
            format!(
                "find the upscaler {name:?}: there is no {name}.onnx in {}, which ML_MODELS_DIR names",
                self.models_folder.display()
            )
        })
    }

    /// `health_check`; waits for nothing. `cuda_available` is what was seen: a model ran on CUDA.
    #[must_use]
    pub fn health(&self) -> Value {
        json!({
            "status": "ok",
            "cuda_available": self.ran_on_cuda.load(Ordering::Relaxed),
            "active_jobs": self.active.load(Ordering::Relaxed),
            "backend": self.device.to_string(),
            "pid": std::process::id(),
        })
    }
}

fn read(path: &str) -> Result<input::Input, Failure> {
    let _stage = Stage::begin("read image");
    let _tag = IMAGE.enter();
    // Decoders have assertions of their own; of a batch only this image is at fault.
    let read = catch_unwind(|| input::read(Path::new(path)));
    let read = read.unwrap_or_else(|panic| {
        let words = words_of(&*panic);
        Err(anyhow!(
            "read the image {path}: its decoder gave up: {words}"
        ))
    });
    read.map_err(of_image)
}

/// What a panic says.
pub fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic")
}

/// Why a request was not done, and what that lies in.
pub struct Failure {
    /// `None` where nobody can tell.
    pub cause: Option<Cause>,
    /// In words.
    pub error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure {
            cause: None,
            error: error.into(),
        }
    }
}

fn because(cause: Cause, error: anyhow::Error) -> Failure {
    Failure {
        cause: Some(cause),
        error,
    }
}

fn of_image(error: anyhow::Error) -> Failure {
    because(Cause::Image, error)
}

fn of_model(error: anyhow::Error) -> Failure {
    because(Cause::Model, error)
}

fn of_output(error: anyhow::Error) -> Failure {
    because(Cause::Output, error)
}

/// A tagger with the names of its outputs, for one request.
struct Tagger<'models> {
    model: &'models mut dyn Model,
    engine: &'static str,
    sidecar: Sidecar,
    feed: Feed,
    tagging: &'models Tagging,
    /// A batch has failed where each of its images went through.
    refuses_batches: bool,
}

impl<'models> Tagger<'models> {
    fn open(
        models: &'models mut Models,
        device: Device,
        tagging: &'models Tagging,
    ) -> Result<Tagger<'models>> {
        let model_path = Path::new(&tagging.model_path);
        let (model, engine) = models.get(model_path, device)?;
        let sidecar = sidecar::read(model_path, tagging.metadata_path.as_deref().map(Path::new))?;
        let feed = Feed::new(model, &sidecar)?;
        Ok(Tagger {
            model,
            engine,
            sidecar,
            feed,
            tagging,
            refuses_batches: false,
        })
    }

    /// tract plans a model for one shape, so each size of a batch would cost a plan.
    fn can_batch(&self) -> bool {
        self.feed.takes_batches && self.engine == "onnxruntime"
    }

    fn infer(&mut self, input: Tensor) -> Result<Vec<tagger::Tags>> {
        tagger::infer(self.model, &self.sidecar, input, self.tagging)
    }

    /// Each image's answer, or why there is none.
    fn tag_some(&mut self, paths: &[String]) -> Vec<Result<Value, Failure>> {
        let mut inputs = Vec::with_capacity(paths.len());
        let mut read_out: Vec<Result<bool, Failure>> = Vec::with_capacity(paths.len());
        for path in paths {
            read_out.push(read(path).map(|picture| {
                inputs.push(self.feed.tensor(&picture.image));
                picture.is_truncated
            }));
        }
        let _stage = Stage::begin("tag");
        let _tag = INFERENCE.enter();
        let mut tags = self.infer_all(inputs).into_iter();
        let mut tell = |truncated| {
            let tags = tags.next().context("the model has too few answers")??;
            Ok(self.told(&tags, truncated)?)
        };
        let read_out = read_out.into_iter();
        read_out.map(|one| one.and_then(&mut tell)).collect()
    }

    fn infer_all(&mut self, inputs: Vec<Tensor>) -> Vec<Result<tagger::Tags>> {
        if inputs.len() > 1 && !self.refuses_batches {
            match self.infer(Tensor::stacked(&inputs)) {
                Ok(tags) => return tags.into_iter().map(Ok).collect(),
                // An inner shape may be fixed where the input's is not, memory be short, or one image
                // be at fault: each by itself then.
                Err(_) => self.refuses_batches = true,
            }
        }
        let mut infer = |input| {
            let mut tags = self.infer(input)?;
            tags.pop().context("the model has no answer")
        };
        inputs.into_iter().map(&mut infer).collect()
    }

    fn told(&self, tags: &tagger::Tags, truncated: bool) -> Result<Value> {
        let mut result = serde_json::to_value(tags)?;
        result["runtime"] = self.engine.into();
        if truncated {
            result["warning"] = "image_truncated".into();
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::runtime::{Backend, Placement};

    #[test]
    fn who_waits_for_models_has_read_no_image() {
        let backend = Backend {
            device: "cpu".parse().unwrap(),
            engine: "".parse().unwrap(),
            library: None,
            placement: Placement::Mostly,
        };
        let work = Work::new(Models::new(backend), PathBuf::new(), 1);
        let tagging = r#"{"model_path": "none"}"#;
        let tagging: Tagging = serde_json::from_str(tagging).unwrap();
        let similar = r#"{"image_path": "/none", "model_path": "none", "model_type": "tagger"}"#;
        let similar: ComputeSimilarity = serde_json::from_str(similar).unwrap();
        // Whoever reads the image fails at once: there is none.
        let asks: [&(dyn Fn() -> bool + Sync); 2] =
            [&|| work.tag_image("/none", &tagging).is_err(), &|| {
                work.compute_similarity(&similar).is_err()
            }];
        for ask in asks {
            let models = work.models();
            let (send, answer) = channel();
            thread::scope(|scope| {
                scope.spawn(move || send.send(ask()));
                let early = answer.recv_timeout(Duration::from_millis(300));
                assert_eq!(early, Err(RecvTimeoutError::Timeout));
                drop(models);
                assert_eq!(answer.recv(), Ok(true));
            });
        }
    }
}
