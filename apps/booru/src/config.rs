//! Settings: flags, the original's environment variables, and a file `booru.toml` in the folder of the
//! board. A flag comes before a variable, a variable before the file.

mod commands;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgAction, Args};
use serde::Deserialize;

pub use commands::{Arguments, Command, EmbeddingsAct, TagCommand};

use crate::catalog::TagsHeld;
use crate::ml;
use crate::search::PAGE_IMAGES_MAX;
use crate::similarity::{Kind, Method};
use crate::store::{Access, StoreOptions, folder_of};

#[derive(Clone, Debug, Args)]
pub struct BoardArguments {
    /// The folder of a board, its database, or an address postgres://USER@HOST/DATABASE.
    pub board: PathBuf,
    /// Of SQLite's page cache.
    #[arg(long, env = "DB_CACHE_SIZE_MB", value_name = "MIB")]
    pub db_cache_size_mb: Option<u64>,
    /// Hold who has which tag by ids; `false` by names, to see what ids save.
    #[arg(long, env = "TAG_ID_CACHE_ENABLED", value_name = "BOOL", value_parser = parse_switch)]
    pub tag_id_cache_enabled: Option<bool>,
    /// Of tags held by name: each name once; `false` at each image.
    #[arg(long, env = "STRING_INTERNING_ENABLED", value_name = "BOOL", value_parser = parse_switch)]
    pub string_interning_enabled: Option<bool>,
    /// How long to wait for another program that holds the database, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub patience: u64,
}

/// Help without `-h`, as which `-hat` would be taken.
#[derive(Debug, Args)]
pub struct HelpArguments {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
pub struct FormArguments {
    /// As JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `booru.toml`; names are those of the environment in lower case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    db_cache_size_mb: Option<u64>,
    tag_id_cache_enabled: Option<bool>,
    string_interning_enabled: Option<bool>,
    images_per_page: Option<usize>,
    pub(crate) memory_budget_mb: Option<u64>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) public_url: Option<String>,
    pub(crate) behind_proxy: Option<bool>,
    pub(crate) public_read: Option<bool>,
    pub(crate) app_name: Option<String>,
    pub(crate) image_directory: Option<PathBuf>,
    pub(crate) thumb_dir: Option<PathBuf>,
    pub(crate) upscaled_images_dir: Option<PathBuf>,
    pub(crate) ingest_directory: Option<PathBuf>,
    pub(crate) enable_semantic_similarity: Option<bool>,
    pub(crate) similarity_vectors: Option<Kind>,
    pub(crate) similarity_memory_mb: Option<u64>,
    pub(crate) similarity_threads: Option<usize>,
    pub(crate) faiss_idle_timeout: Option<u64>,
    pub(crate) similarity_method: Option<Method>,
    pub(crate) asymmetric_alpha: Option<f64>,
    pub(crate) use_extended_similarity: Option<bool>,
    pub(crate) similarity_cache_enabled: Option<bool>,
    pub(crate) similarity_cache_size: Option<usize>,
    #[serde(skip)]
    pub ml: ml::settings::FileSettings,
    pub(crate) trash_directory: Option<PathBuf>,
    pub(crate) max_workers: Option<i64>,
    pub(crate) ingest_memory_mb: Option<u64>,
    pub(crate) thumb_size: Option<u32>,
    pub(crate) thumb_quality: Option<f32>,
    pub(crate) phash_size: Option<u32>,
    pub(crate) booru_priority: Option<Vec<String>>,
    pub(crate) use_merged_sources_by_default: Option<bool>,
    pub(crate) apply_implications_on_ingest: Option<bool>,
    pub(crate) monitor_enabled: Option<bool>,
    pub(crate) monitor_interval: Option<u64>,
}

/// Searches need the database for MD5 sums alone, and a page its paths; the original takes 64.
pub(crate) const CACHE_MIB: u64 = 4;
const IMAGES_PER_PAGE: usize = 150;

impl File {
    /// # Errors
    /// A file that can't be read or has something else in it.
    pub fn read(board: &Path) -> Result<File> {
        let path = folder_of(board).join("booru.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(File::default());
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let reading = || format!("read {}", path.display());
        let mut table: toml::Table = toml::from_str(&text).with_context(reading)?;
        let ml = ml::settings::FileSettings::take(&mut table);
        let file: File = table.try_into().with_context(reading)?;
        let file = File { ml, ..file };
        if let Some(images) = file.images_per_page {
            check_per_page(images).with_context(|| format!("read {}", path.display()))?;
        }
        Ok(file)
    }
}

impl BoardArguments {
    /// # Errors
    /// As [`File::read`] says.
    pub fn store_options(&self, access: Access) -> Result<StoreOptions> {
        let file = File::read(&self.board)?;
        let cache_mib = self
            .db_cache_size_mb
            .or(file.db_cache_size_mb)
            .unwrap_or(CACHE_MIB);
        Ok(StoreOptions {
            access,
            cache_bytes: cache_mib.saturating_mul(1 << 20),
            patience: Duration::from_secs(self.patience),
        })
    }

    /// # Errors
    /// As [`File::read`] says.
    pub fn tags_held(&self) -> Result<TagsHeld> {
        let file = File::read(&self.board)?;
        let is_on = |flag: Option<bool>, file: Option<bool>| flag.or(file).unwrap_or(true);
        let interned = is_on(self.string_interning_enabled, file.string_interning_enabled);
        Ok(
            match is_on(self.tag_id_cache_enabled, file.tag_id_cache_enabled) {
                true => TagsHeld::Ids,
                false => TagsHeld::Names { interned },
            },
        )
    }

    /// # Errors
    /// As [`File::read`] says.
    pub fn images_per_page(&self, flag: Option<usize>) -> Result<usize> {
        let file = File::read(&self.board)?;
        Ok(flag.or(file.images_per_page).unwrap_or(IMAGES_PER_PAGE))
    }
}

fn check_per_page(images: usize) -> Result<()> {
    if (1..=PAGE_IMAGES_MAX).contains(&images) {
        return Ok(());
    }
    anyhow::bail!("a page has 1 to {PAGE_IMAGES_MAX} images, not {images}")
}

/// Switches as the original reads them, and their opposites.
pub(crate) fn parse_switch(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => anyhow::bail!("{text:?} is neither true nor false"),
    }
}

pub(crate) fn parse_per_page(text: &str) -> Result<usize> {
    let images = text.parse()?;
    check_per_page(images)?;
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_only_what_is_known() {
        let file: File = toml::from_str("images_per_page = 40\n").unwrap();
        assert_eq!(
            (file.images_per_page, file.db_cache_size_mb),
            (Some(40), None)
        );
        let error = toml::from_str::<File>("images_per_pag = 40\n").unwrap_err();
        assert!(error.to_string().contains("images_per_pag"), "{error}");
        assert!(parse_per_page("0").is_err() && parse_per_page("501").is_err());
    }
}
