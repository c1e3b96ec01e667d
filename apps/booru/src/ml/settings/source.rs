//! Where a setting is looked up: a variable of the environment comes before `booru.toml`, where the names are in lower
//! case.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

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
pub(super) const SHARED: [&str; 3] = [
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

    pub(super) fn get(&self, name: &str) -> Result<Option<String>> {
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

/// Where a name is looked up.
pub(super) struct Source<'a> {
    pub(super) environment: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) file: &'a FileSettings,
    pub(super) board: &'a Path,
}

impl Source<'_> {
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        if let Some(value) = (self.environment)(name).filter(|value| !value.is_empty()) {
            let value = value.into_string();
            return match value {
                Ok(text) => Ok(Some(text)),
                Err(_) => bail!("{name} is not UTF-8"),
            };
        }
        Ok(self.file.get(name)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display>(
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

    pub(super) fn is(&self, name: &str, usual: bool) -> Result<bool> {
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
    pub(super) fn path(&self, name: &str, usual: &str) -> Result<PathBuf> {
        let text = self.text(name)?;
        Ok(self.board.join(text.as_deref().unwrap_or(usual)))
    }
}
