//! What the models, their worker and what is made of their answers are set to, by the original's names:
//! a variable of the environment comes before `booru.toml`, where the names are in lower case.
//!
//! What names a program or a library to be run (`ML_WORKER_PROGRAM`, `ORT_DYLIB_PATH`) is taken from the
//! environment alone: to open somebody else's board must not run a program of theirs.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use plimsoll_booru_worker_protocol::message::{ComputeSimilarity, Tagging, UpscaleImage};
use plimsoll_booru_worker_protocol::usual_socket;

use super::queue::Kind;
use crate::query::Category;
use crate::store::folder_of;

/// Every name that `booru.toml` may have for this.
pub const NAMES: &[&str] = &[
    "IMAGE_DIRECTORY",
    "ML_WORKER_ENABLED",
    "ML_WORKER_IDLE_TIMEOUT",
    "ML_WORKER_SILENCE_TIMEOUT",
    "ML_WORKER_BACKEND",
    "ML_WORKER_RUNTIME",
    "ML_WORKER_BATCH_SIZE",
    "ML_WORKER_SOCKET",
    "ENABLE_LOCAL_TAGGER",
    "LOCAL_TAGGER_NAME",
    "LOCAL_TAGGER_MODEL_PATH",
    "LOCAL_TAGGER_METADATA_PATH",
    "LOCAL_TAGGER_THRESHOLD",
    "LOCAL_TAGGER_CHARACTER_THRESHOLD",
    "LOCAL_TAGGER_STORAGE_THRESHOLD",
    "LOCAL_TAGGER_DISPLAY_THRESHOLD",
    "LOCAL_TAGGER_MERGE_CATEGORIES",
    "LOCAL_TAGGER_ALWAYS_RUN",
    "LOCAL_TAGGER_REVIEW",
    "LOCAL_TAGGER_RATING",
    "ENABLE_SEMANTIC_SIMILARITY",
    "SEMANTIC_MODEL_PATH",
    "SEMANTIC_MODEL_TYPE",
    "SEMANTIC_IMAGE_SIZE",
    "SEMANTIC_EMBEDDING_DIM",
    "UPSCALER_ENABLED",
    "UPSCALER_MODEL",
    "UPSCALER_TILE_SIZE",
    "UPSCALER_TILE_PAD",
    "UPSCALER_MIN_TILE_SIZE",
    "UPSCALER_ALLOW_CPU_FALLBACK",
    "UPSCALER_OUTPUT_FORMAT",
    "UPSCALER_OUTPUT_QUALITY",
    "UPSCALED_IMAGES_DIR",
];

/// Of these, what other parts of the board read too: it stays in their table.
const SHARED: [&str; 3] = [
    "IMAGE_DIRECTORY",
    "ENABLE_SEMANTIC_SIMILARITY",
    "UPSCALED_IMAGES_DIR",
];

/// The part of `booru.toml` that is about models.
#[derive(Clone, Debug, Default)]
pub struct FileSettings(toml::Table);

impl FileSettings {
    /// Takes what is about models out of `table`; what others read too is copied.
    #[must_use]
    pub fn take(table: &mut toml::Table) -> FileSettings {
        let mut own = toml::Table::new();
        for name in NAMES {
            let key = name.to_lowercase();
            let value = match SHARED.contains(name) {
                true => table.get(&key).cloned(),
                false => table.remove(&key),
            };
            own.extend(value.map(|value| (key, value)));
        }
        FileSettings(own)
    }

    fn get(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.0.get(&name.to_lowercase()) else {
            return Ok(None);
        };
        Ok(Some(match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(is) => is.to_string(),
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| {
                    let text = item.as_str();
                    text.with_context(|| {
                        format!("{} of booru.toml has {item:?}", name.to_lowercase())
                    })
                });
                texts.collect::<Result<Vec<_>>>()?.join(",")
            }
            other => bail!("{} of booru.toml is {other:?}", name.to_lowercase()),
        }))
    }
}

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

/// How long a worker stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// From the first request until nothing was asked for `ML_WORKER_IDLE_TIMEOUT`.
    OnDemand,
    /// From the board's start to its end: `ML_WORKER_ENABLED=false`.
    WithBoard,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// `ML_WORKER_PROGRAM` of the environment; without it `booru-tagger` beside this program or in `PATH`.
    pub program: Option<PathBuf>,
    pub socket: PathBuf,
    pub residence: Residence,
    /// It is killed where it says nothing for so long while it is asked.
    pub silence_timeout: Duration,
    /// For its environment: what `booru.toml` says, and what follows from the above.
    pub variables: Vec<(OsString, OsString)>,
    /// What `booru setup` remembers.
    pub env_file: Option<PathBuf>,
}

/// Which predictions go straight onto images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewPolicy {
    /// Those from their threshold on; the rest waits for a review.
    BelowThreshold,
    /// None.
    All,
}

#[derive(Clone, Debug)]
pub struct TaggerSettings {
    pub is_enabled: bool,
    /// Written beside each prediction.
    pub name: String,
    pub model: PathBuf,
    /// Without it, what lies beside the model.
    pub metadata: Option<PathBuf>,
    /// From here on a prediction is the image's tag.
    pub threshold: f32,
    pub character_threshold: f32,
    /// From here on it is kept.
    pub storage_threshold: f32,
    /// From here on it is shown with the image's tags, if its category is among `merge_categories`; what is
    /// no tag of the image too.
    pub display_threshold: f32,
    pub merge_categories: Vec<Category>,
    /// Whether images that a source has tags of are tagged too.
    pub always_run: bool,
    pub review: ReviewPolicy,
    /// Whether an image without a rating gets the model's.
    pub rates: bool,
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

/// Where a name is looked up.
struct Source<'a> {
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    file: &'a FileSettings,
    board: &'a Path,
}

impl Source<'_> {
    fn text(&self, name: &str) -> Result<Option<String>> {
        if let Some(value) = (self.environment)(name).filter(|value| !value.is_empty()) {
            let value = value.into_string();
            return match value {
                Ok(text) => Ok(Some(text)),
                Err(_) => bail!("{name} is not UTF-8"),
            };
        }
        Ok(self.file.get(name)?.filter(|text| !text.is_empty()))
    }

    fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        usual: T,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<T> {
        let Some(text) = self.text(name)? else {
            return Ok(usual);
        };
        let number = text.trim().parse().ok();
        let number = number.filter(|number| range.contains(number));
        number.with_context(|| {
            format!(
                "{name} is {text:?}, not a number from {} to {}",
                range.start(),
                range.end()
            )
        })
    }

    fn is(&self, name: &str, usual: bool) -> Result<bool> {
        let Some(text) = self.text(name)? else {
            return Ok(usual);
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => bail!("{name} is {text:?}; there are true and false"),
        }
    }

    /// Relative to the folder of the board, as the original's are to its own.
    fn path(&self, name: &str, usual: &str) -> Result<PathBuf> {
        let text = self.text(name)?;
        Ok(self.board.join(text.as_deref().unwrap_or(usual)))
    }
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

/// Longer than any board lives, and still a time that clocks know.
const FOREVER_SECONDS: &str = "31536000";

impl WorkerSettings {
    fn read(source: &Source<'_>) -> Result<WorkerSettings> {
        let named = |name: &str| (source.environment)(name).filter(|value| !value.is_empty());
        let residence = match source.is("ML_WORKER_ENABLED", true)? {
            true => Residence::OnDemand,
            false => Residence::WithBoard,
        };
        let mut variables = Vec::new();
        let passed = [
            "ML_WORKER_BACKEND",
            "ML_WORKER_RUNTIME",
            "ML_WORKER_BATCH_SIZE",
        ];
        for name in passed {
            // The environment's own are the worker's anyway.
            if let Some(value) = source.file.get(name)?.filter(|_| named(name).is_none()) {
                variables.push((name.into(), value.into()));
            }
        }
        // Checked here, so that a wrong one is told before anything is queued.
        let idle: f64 = source.number("ML_WORKER_IDLE_TIMEOUT", 300.0, 0.001..=1e9)?;
        let idle = match residence {
            Residence::OnDemand => idle.to_string(),
            Residence::WithBoard => FOREVER_SECONDS.to_owned(),
        };
        variables.push(("ML_WORKER_IDLE_TIMEOUT".into(), idle.into()));
        let socket = match source.text("ML_WORKER_SOCKET")? {
            Some(path) => source.board.join(path),
            None => usual_socket(named("XDG_RUNTIME_DIR").map(PathBuf::from)),
        };
        let silence = source.number("ML_WORKER_SILENCE_TIMEOUT", 300.0, 0.1..=86_400.0)?;
        Ok(WorkerSettings {
            program: named("ML_WORKER_PROGRAM").map(PathBuf::from),
            socket,
            residence,
            silence_timeout: Duration::from_secs_f64(silence),
            variables,
            env_file: env_file(&named),
        })
    }
}

/// Where `booru setup` remembers what it chose: a file of the user, not of a board.
fn env_file(named: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = named("ML_WORKER_ENV_FILE") {
        return Some(path.into());
    }
    let config = named("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(named("HOME")?).join(".config")));
    Some(config?.join("booru").join("ml_worker.env"))
}

impl TaggerSettings {
    fn read(source: &Source<'_>) -> Result<TaggerSettings> {
        let share = |name: &str, usual: f32| source.number(name, usual, 0.0..=1.0);
        let review = source.text("LOCAL_TAGGER_REVIEW")?;
        let settings = TaggerSettings {
            is_enabled: source.is("ENABLE_LOCAL_TAGGER", true)?,
            name: source.text("LOCAL_TAGGER_NAME")?.unwrap_or_default(),
            model: source.path("LOCAL_TAGGER_MODEL_PATH", "models/Tagger/model.onnx")?,
            metadata: source
                .text("LOCAL_TAGGER_METADATA_PATH")?
                .map(|path| source.board.join(path)),
            threshold: share("LOCAL_TAGGER_THRESHOLD", 0.6)?,
            character_threshold: share("LOCAL_TAGGER_CHARACTER_THRESHOLD", 0.85)?,
            storage_threshold: share("LOCAL_TAGGER_STORAGE_THRESHOLD", 0.5)?,
            display_threshold: share("LOCAL_TAGGER_DISPLAY_THRESHOLD", 0.7)?,
            merge_categories: merge_categories(source)?,
            always_run: source.is("LOCAL_TAGGER_ALWAYS_RUN", false)?,
            review: match review.as_deref() {
                None | Some("below_threshold") => ReviewPolicy::BelowThreshold,
                Some("all") => ReviewPolicy::All,
                Some(other) => {
                    bail!("LOCAL_TAGGER_REVIEW is {other:?}; there are below_threshold and all")
                }
            },
            rates: source.is("LOCAL_TAGGER_RATING", true)?,
        };
        let (storage, threshold) = (settings.storage_threshold, settings.threshold);
        ensure!(
            storage <= threshold,
            "LOCAL_TAGGER_STORAGE_THRESHOLD is {storage}, above LOCAL_TAGGER_THRESHOLD ({threshold}): tags \
             between the two would be lost"
        );
        Ok(settings)
    }

    /// What the worker is told.
    #[must_use]
    pub fn tagging(&self) -> Tagging {
        Tagging {
            model_path: self.model.to_string_lossy().into_owned(),
            threshold: self.threshold,
            character_threshold: self.character_threshold,
            storage_threshold: self.storage_threshold,
            metadata_path: self
                .metadata
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
        }
    }

    /// Whether a prediction goes straight onto its image.
    #[must_use]
    pub fn is_certain(&self, category: &str, confidence: f32) -> bool {
        let threshold = match category {
            "character" => self.character_threshold,
            _ => self.threshold,
        };
        self.review == ReviewPolicy::BelowThreshold && confidence >= threshold
    }
}

/// With or without brackets and quotes, as the original's file has them; `[]` is none.
fn merge_categories(source: &Source<'_>) -> Result<Vec<Category>> {
    let name = "LOCAL_TAGGER_MERGE_CATEGORIES";
    let text = source.text(name)?;
    let text = text.as_deref().unwrap_or("general").trim();
    let names = text.trim_matches(['[', ']']).split(',');
    let names = names.map(|name| name.trim_matches([' ', '\'', '"']).to_lowercase());
    let categories = names.filter(|name| !name.is_empty()).map(|one| {
        let category = Category::of(&one);
        category.with_context(|| {
            let known = Category::ALL.map(Category::name).join(", ");
            format!("{name} has {one:?}; there are {known}")
        })
    });
    categories.collect()
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
    use super::*;

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
