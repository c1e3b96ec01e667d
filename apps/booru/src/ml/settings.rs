//! What the models, their worker and what is made of their answers are set to, by the original's names.
//!
//! What names a program or a library to be run (`ML_WORKER_PROGRAM`, `ORT_DYLIB_PATH`) is taken from the
//! environment alone: to open somebody else's board must not run a program of theirs.

mod source;
mod tagger;
mod worker;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use plimsoll_booru_worker_protocol::message::{ComputeSimilarity, UpscaleImage};

use source::Source;
pub use source::{FileSettings, NAMES};
pub use tagger::{ReviewPolicy, TaggerSettings};
pub use worker::{Residence, WorkerSettings};

use super::queue::Kind;
use crate::store::folder_of;

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where relative paths begin.
    pub board: PathBuf,
    /// `IMAGE_DIRECTORY`.
    pub images: PathBuf,
    pub worker: WorkerSettings,
    pub tagger: TaggerSettings,
    pub embedder: EmbedderSettings,
    pub upscaler: UpscalerSettings,
}

#[derive(Clone, Debug)]
pub struct EmbedderSettings {
    pub is_enabled: bool,
    pub model: PathBuf,
    /// `siglip`, `tagger` or `wd14`.
    pub model_type: String,
    /// Pixels; `None` is the model's own.
    pub image_size: Option<u32>,
    pub dimension: usize,
}

#[derive(Clone, Debug)]
pub struct UpscalerSettings {
    pub is_enabled: bool,
    pub model: PathBuf,
    pub tile_size: u32,
    pub tile_pad: u32,
    pub min_tile_size: u32,
    pub allows_cpu_fallback: bool,
    pub output_format: String,
    pub output_quality: u8,
    /// `UPSCALED_IMAGES_DIR`.
    pub folder: PathBuf,
}

impl Settings {
    /// What `environment` and the board's file say. Nothing is looked for: a model that is not there is
    /// an error of what needs it.
    ///
    /// # Errors
    /// Names the setting that makes no sense.
    pub fn read(
        board: &Path,
        file: &FileSettings,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Settings> {
        let board =
            std::path::absolute(folder_of(board)).context("find the folder of the board")?;
        let source = Source {
            environment,
            file,
            board: &board,
        };
        Ok(Settings {
            images: source.path("IMAGE_DIRECTORY", "static/images")?,
            worker: WorkerSettings::read(&source)?,
            tagger: TaggerSettings::read(&source)?,
            embedder: EmbedderSettings::read(&source)?,
            upscaler: UpscalerSettings::read(&source)?,
            board,
        })
    }

    /// Whether a kind of work is switched on and its model is there.
    #[must_use]
    pub fn is_set_up(&self, kind: Kind) -> bool {
        let (is_enabled, model) = match kind {
            Kind::Tag => (self.tagger.is_enabled, &self.tagger.model),
            Kind::Embed => (self.embedder.is_enabled, &self.embedder.model),
            Kind::Upscale => (self.upscaler.is_enabled, &self.upscaler.model),
        };
        is_enabled && model.is_file()
    }

    /// The file of an image by its path in the database.
    ///
    /// # Errors
    /// A path that leads out of the folder of images.
    pub fn image_file(&self, path: &str) -> Result<PathBuf> {
        Ok(self.images.join(inner(path)?))
    }

    /// Where the larger form of an image lies: where the original looks for it, under the same name
    /// whatever its format is.
    ///
    /// # Errors
    /// As [`Settings::image_file`].
    pub fn upscaled_file(&self, path: &str) -> Result<PathBuf> {
        Ok(self.upscaler.folder.join("images").join(inner(path)?))
    }
}

/// A path that stays below where it is put.
fn inner(path: &str) -> Result<&Path> {
    let path = Path::new(path);
    let mut parts = path.components();
    let stays = parts.all(|part| matches!(part, Component::Normal(_)));
    ensure!(
        stays && !path.as_os_str().is_empty(),
        "the path {path:?} leads out of the folder of images"
    );
    Ok(path)
}

impl EmbedderSettings {
    fn read(source: &Source<'_>) -> Result<EmbedderSettings> {
        let model_type = source.text("SEMANTIC_MODEL_TYPE")?;
        let model_type = model_type.unwrap_or_else(|| "siglip".to_owned());
        let size = source.number("SEMANTIC_IMAGE_SIZE", 0, 0..=4096)?;
        let usual_dimension = match model_type.as_str() {
            "siglip" => 1152,
            "tagger" | "wd14" => 1024,
            other => bail!("SEMANTIC_MODEL_TYPE is {other:?}; there are siglip, tagger and wd14"),
        };
        Ok(EmbedderSettings {
            is_enabled: source.is("ENABLE_SEMANTIC_SIMILARITY", true)?,
            model: source.path("SEMANTIC_MODEL_PATH", "models/Similarity/model.onnx")?,
            model_type,
            image_size: (size > 0).then_some(size),
            dimension: source.number("SEMANTIC_EMBEDDING_DIM", usual_dimension, 1..=65_536)?,
        })
    }

    /// What the worker is asked.
    #[must_use]
    pub fn request(&self, image: &Path) -> ComputeSimilarity {
        ComputeSimilarity {
            image_path: image.to_string_lossy().into_owned(),
            model_path: self.model.to_string_lossy().into_owned(),
            model_type: self.model_type.clone(),
            image_size: self.image_size,
            embedding_dim: Some(self.dimension),
        }
    }
}

impl UpscalerSettings {
    fn read(source: &Source<'_>) -> Result<UpscalerSettings> {
        let model = source.text("UPSCALER_MODEL")?;
        let model = model.unwrap_or_else(|| "RealESRGAN_x4plus".to_owned());
        // A name as the original has it, or a path.
        let model = match model.contains('/') || model.ends_with(".onnx") {
            true => source.board.join(model),
            false => source.board.join("models/Upscaler").join(model + ".onnx"),
        };
        let format = source.text("UPSCALER_OUTPUT_FORMAT")?;
        let format = format.unwrap_or_else(|| "png".to_owned());
        ensure!(
            matches!(format.as_str(), "png" | "webp"),
            "UPSCALER_OUTPUT_FORMAT is {format:?}; there are png and webp"
        );
        Ok(UpscalerSettings {
            is_enabled: source.is("UPSCALER_ENABLED", false)?,
            model,
            tile_size: source.number("UPSCALER_TILE_SIZE", 512, 8..=1024)?,
            tile_pad: source.number("UPSCALER_TILE_PAD", 32, 0..=1024)?,
            min_tile_size: source.number("UPSCALER_MIN_TILE_SIZE", 64, 8..=1024)?,
            allows_cpu_fallback: source.is("UPSCALER_ALLOW_CPU_FALLBACK", false)?,
            output_format: format,
            output_quality: source.number("UPSCALER_OUTPUT_QUALITY", 95, 1..=100)?,
            folder: source.path("UPSCALED_IMAGES_DIR", "static/upscaled")?,
        })
    }

    /// What the worker is asked.
    #[must_use]
    pub fn request(&self, image: &Path, output: &Path) -> UpscaleImage {
        UpscaleImage {
            image_path: image.to_string_lossy().into_owned(),
            output_path: output.to_string_lossy().into_owned(),
            model_name: self.model.to_string_lossy().into_owned(),
            device: "auto".to_owned(),
            tile_size: self.tile_size,
            tile_pad: self.tile_pad,
            min_tile_size: self.min_tile_size,
            allow_cpu_fallback: self.allows_cpu_fallback,
            output_format: self.output_format.clone(),
            output_quality: self.output_quality,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::source::SHARED;
    use super::worker::FOREVER_SECONDS;
    use super::*;
    use crate::query::Category;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Settings> {
        let mut table: toml::Table = toml::from_str(file).unwrap();
        let shared = table.clone();
        let file = FileSettings::take(&mut table);
        for (key, value) in &table {
            assert!(SHARED.contains(&key.to_uppercase().as_str()), "{key}");
            assert_eq!(shared.get(key), Some(value));
        }
        Settings::read(Path::new("/b/booru.db"), &file, &|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_environment_comes_before_the_file_and_both_before_the_original_s() {
        let file = "local_tagger_threshold = 0.7\nml_worker_backend = 'cuda'\nsemantic_model_type = 'tagger'\n\
                    local_tagger_merge_categories = ['general', 'character']\n";
        let settings = read(file, &[("LOCAL_TAGGER_THRESHOLD", "0.9")]).unwrap();
        assert_eq!(
            (settings.tagger.threshold, settings.tagger.storage_threshold),
            (0.9, 0.5)
        );
        let categories = [Category::General, Category::Character];
        assert_eq!(settings.tagger.merge_categories, categories);
        assert_eq!(settings.embedder.dimension, 1024);
        let backend = ("ML_WORKER_BACKEND".into(), "cuda".into());
        assert!(settings.worker.variables.contains(&backend));
        let settings = read(file, &[("ML_WORKER_BACKEND", "cpu")]).unwrap();
        assert!(!settings.worker.variables.contains(&backend));
        assert_eq!(settings.worker.residence, Residence::OnDemand);
        let settings = read("image_directory = '/pictures'", &[]).unwrap();
        assert_eq!(settings.images, Path::new("/pictures"));
        let settings = read("ml_worker_enabled = false", &[]).unwrap();
        assert_eq!(settings.worker.residence, Residence::WithBoard);
        let forever = ("ML_WORKER_IDLE_TIMEOUT".into(), FOREVER_SECONDS.into());
        assert!(settings.worker.variables.contains(&forever));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (name, value) in [
            ("ML_WORKER_IDLE_TIMEOUT", "soon"),
            ("ML_WORKER_IDLE_TIMEOUT", "0"),
            ("ML_WORKER_ENABLED", "perhaps"),
            ("LOCAL_TAGGER_THRESHOLD", "1.5"),
            ("LOCAL_TAGGER_THRESHOLD", "NaN"),
            ("LOCAL_TAGGER_STORAGE_THRESHOLD", "0.8"),
            ("LOCAL_TAGGER_REVIEW", "none"),
            ("LOCAL_TAGGER_MERGE_CATEGORIES", "general, hats"),
            ("SEMANTIC_MODEL_TYPE", "clip"),
            ("UPSCALER_TILE_SIZE", "7"),
            ("UPSCALER_OUTPUT_FORMAT", "tiff"),
        ] {
            let error = read("", &[(name, value)]).unwrap_err();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
        let error = read("upscaler_model = {}", &[]).unwrap_err();
        assert!(error.to_string().contains("upscaler_model"), "{error}");
    }

    #[test]
    fn a_board_names_no_program() {
        for name in ["ML_WORKER_PROGRAM", "ORT_DYLIB_PATH", "ML_WORKER_ENV_FILE"] {
            assert!(!NAMES.contains(&name));
        }
    }

    #[test]
    fn no_image_lies_outside() {
        let settings = read("", &[]).unwrap();
        let file = settings.image_file("abc/x y.png").unwrap();
        assert_eq!(file, Path::new("/b/static/images/abc/x y.png"));
        let file = settings.upscaled_file("abc/x.png").unwrap();
        assert_eq!(file, Path::new("/b/static/upscaled/images/abc/x.png"));
        for path in ["", "/etc/passwd", "../x", "a/../../x", "./x"] {
            assert!(settings.image_file(path).is_err(), "{path}");
        }
    }
}
