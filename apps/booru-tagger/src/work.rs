//! What requests ask for, done.
//!
//! One request at a time uses models: two inferences at once would take the memory of two. Others wait
//! in line; `health_check` does not.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use plimsoll::ledger::Tag;
use plimsoll::stage::Stage;
use plimsoll::stream::remove_leftovers;
use plimsoll_booru_picture::pixels::drop_alpha;
use plimsoll_booru_worker_protocol::message::{
    BATCH_MAX, ComputeSimilarity, Progress, TagImages, Tagging, UpscaleImage,
};
use serde_json::{Value, json};

use crate::runtime::Device;
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
    pub fn new(models: Models, models_folder: PathBuf) -> Work {
        Work {
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
    pub fn tag_image(&self, image_path: &str, tagging: &Tagging) -> Result<Value> {
        let _active = self.begin();
        let picture = read(image_path)?;
        self.tag(&picture, tagging)
    }

    fn tag(&self, picture: &input::Input, tagging: &Tagging) -> Result<Value> {
        let model_path = Path::new(&tagging.model_path);
        let mut models = self.models();
        let (model, engine) = models.get(model_path, self.device)?;
        let sidecar = sidecar::read(model_path, tagging.metadata_path.as_deref().map(Path::new))?;
        let _stage = Stage::begin("tag");
        let _tag = INFERENCE.enter();
        let tags = tagger::tag(model, &sidecar, &picture.image, tagging)?;
        self.note(self.device);
        let mut result = serde_json::to_value(tags)?;
        result["runtime"] = engine.into();
        if picture.is_truncated {
            result["warning"] = "image_truncated".into();
        }
        Ok(result)
    }

    /// `tag_images`: each image has its own outcome, and one that fails stops no other.
    pub fn tag_images(
        &self,
        request: &TagImages,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Value> {
        let _active = self.begin();
        let count = request.image_paths.len();
        ensure!(
            (1..=BATCH_MAX).contains(&count),
            "{count} images in a batch, from 1 to {BATCH_MAX} are possible"
        );
        let mut results = Vec::with_capacity(count);
        for (index, path) in request.image_paths.iter().enumerate() {
            let tagged = read(path).and_then(|picture| self.tag(&picture, &request.tagging));
            results.push(match tagged {
                Ok(tags) => json!({ "image_path": path, "status": "success", "data": tags }),
                Err(error) => {
                    json!({ "image_path": path, "status": "error", "error": format!("{error:#}") })
                }
            });
            progress(&Progress::new(index as u64 + 1, count as u64, path.clone()));
        }
        Ok(json!({ "results": results }))
    }

    /// `compute_similarity`.
    pub fn compute_similarity(&self, request: &ComputeSimilarity) -> Result<Value> {
        let _active = self.begin();
        // Said before a model is loaded for nothing.
        embedder::scheme(&request.model_type)?;
        let picture = read(&request.image_path)?;
        let mut models = self.models();
        let (model, _) = models.get(Path::new(&request.model_path), self.device)?;
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
    ) -> Result<Value> {
        let _active = self.begin();
        let image_path = Path::new(&request.image_path);
        input::require_still(image_path)?;
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
            .with_context(|| format!("write {}", output.display()))?;
        let upscaled = self.upscale(&image, request, progress, &mut warnings)?;
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
        image: &image::RgbImage,
        request: &UpscaleImage,
        mut progress: impl FnMut(&Progress),
        warnings: &mut Vec<String>,
    ) -> Result<Upscaled> {
        let device = match request.device.as_str() {
            "auto" => self.device,
            named => named.parse()?,
        };
        let model_path = self.upscaler_path(&request.model_name)?;
        let mut models = self.models();
        let mut run = |device: Device, progress: &mut dyn FnMut(&Progress)| {
            let (model, _) = models.get(&model_path, device)?;
            let _stage = Stage::begin("upscale");
            let _tag = INFERENCE.enter();
            let upscaled = upscaler::upscale(model, image, request, progress)?;
            self.note(device);
            Ok(upscaled)
        };
        match run(device, &mut progress) {
            Err(error) if device != Device::Cpu && request.allow_cpu_fallback => {
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

fn read(path: &str) -> Result<input::Input> {
    let _stage = Stage::begin("read image");
    let _tag = IMAGE.enter();
    input::read(Path::new(path))
}
