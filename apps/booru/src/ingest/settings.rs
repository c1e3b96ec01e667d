//! What an ingest goes by: flags, the original's environment names, `booru.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::BoolishValueParser;
use plimsoll_booru_picture::Limits;
use plimsoll_booru_picture::phash::HashSize;
use plimsoll_booru_picture::thumbnail::{self, ThumbnailOptions};

use crate::config::{BoardArguments, File};
use crate::edit::Implied;
use crate::store::folder_of;

#[derive(Clone, Debug, Default, Args)]
pub struct IngestArguments {
    /// Where the images are; static/images if nothing else is set.
    #[arg(long, env = "IMAGE_DIRECTORY", value_name = "FOLDER")]
    pub image_directory: Option<PathBuf>,
    /// Where small pictures of them are; static/thumbnails if nothing else is set.
    #[arg(long, env = "THUMB_DIR", value_name = "FOLDER")]
    pub thumb_dir: Option<PathBuf>,
    /// Where new files are put to be taken in; ingest if nothing else is set.
    #[arg(long, env = "INGEST_DIRECTORY", value_name = "FOLDER")]
    pub ingest_directory: Option<PathBuf>,
    /// Where files of deleted images go; trash if nothing else is set.
    #[arg(long, env = "TRASH_DIRECTORY", value_name = "FOLDER")]
    pub trash_directory: Option<PathBuf>,
    /// Files that are decoded at once; 2 if nothing else is set, 0 or less for all cores but one.
    #[arg(
        long,
        env = "MAX_WORKERS",
        value_name = "N",
        allow_negative_numbers = true
    )]
    pub max_workers: Option<i64>,
    /// Memory that decoding may take, of all files together; 256 if nothing else is set.
    #[arg(long, env = "INGEST_MEMORY_MB", value_name = "MIB")]
    pub ingest_memory_mb: Option<u64>,
    /// Pixels on the longest side of a small picture; 800 if nothing else is set. More than 2800 take more than the
    /// usual memory for decoding.
    #[arg(long, env = "THUMB_SIZE", value_name = "PIXELS")]
    pub thumb_size: Option<u32>,
    /// Its quality, 0 to 100; 85 if nothing else is set.
    #[arg(long, env = "THUMB_QUALITY", value_name = "N")]
    pub thumb_quality: Option<f32>,
    /// Side of the perceptual hash: 16, which is 256 bits, or 8.
    #[arg(long, env = "PHASH_SIZE", value_name = "N")]
    pub phash_size: Option<u32>,
    /// Sites whose post counts first.
    #[arg(
        long,
        env = "BOORU_PRIORITY",
        value_name = "SITES",
        value_delimiter = ','
    )]
    pub booru_priority: Option<Vec<String>>,
    /// Whether tags of several sites become one set; true if nothing else is set.
    #[arg(
        long,
        env = "USE_MERGED_SOURCES_BY_DEFAULT",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    pub use_merged_sources_by_default: Option<bool>,
    /// Whether new images get the tags that theirs imply; true if nothing else is set.
    #[arg(
        long,
        env = "APPLY_IMPLICATIONS_ON_INGEST",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    pub apply_implications_on_ingest: Option<bool>,
    /// Whether a server watches its folders; true if nothing else is set.
    #[arg(
        long,
        env = "MONITOR_ENABLED",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    pub monitor_enabled: Option<bool>,
    /// Seconds between two looks at all of the folders that are watched; 300 if nothing else is set.
    #[arg(long, env = "MONITOR_INTERVAL", value_name = "SECONDS")]
    pub monitor_interval: Option<u64>,
}

/// Settings with their defaults in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub images: PathBuf,
    pub thumbnails: PathBuf,
    pub ingest: PathBuf,
    pub trash: PathBuf,
    pub workers: usize,
    /// Of all files that are decoded at once.
    pub memory_bytes: u64,
    pub thumbnail: ThumbnailOptions,
    pub hash_size: HashSize,
    pub booru_priority: Vec<String>,
    pub merges_sources: bool,
    pub implied: Implied,
    /// For a server; `booru watch` watches in any case.
    pub is_monitored: bool,
    pub monitor_interval: Duration,
}

const WORKERS: i64 = 2;
/// More threads than this only wait for the disk and the writer.
const WORKERS_MAX: usize = 64;
const MEMORY_MIB: u64 = 256;
const MEMORY_MIB_MIN: u64 = 32;
/// For a picture, beside what its small picture takes: some 2 million pixels.
const PICTURE_BYTES_MIN: u64 = 8 << 20;
const MONITOR_SECONDS: u64 = 300;
const PRIORITY: [&str; 6] = [
    "danbooru",
    "e621",
    "gelbooru",
    "yandere",
    "pixiv",
    "local_tagger",
];

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            images: "static/images".into(),
            thumbnails: "static/thumbnails".into(),
            ingest: "ingest".into(),
            trash: "trash".into(),
            workers: WORKERS as usize,
            memory_bytes: MEMORY_MIB << 20,
            thumbnail: ThumbnailOptions::default(),
            hash_size: HashSize::Bits256,
            booru_priority: PRIORITY.map(str::to_owned).into(),
            merges_sources: true,
            implied: Implied::Applied,
            is_monitored: true,
            monitor_interval: Duration::from_secs(MONITOR_SECONDS),
        }
    }
}

impl Settings {
    /// # Errors
    /// A file of settings that can't be read, and a setting that can't be.
    pub fn of(board: &BoardArguments, arguments: &IngestArguments) -> Result<Settings> {
        let file = File::read(&board.board)?;
        let folder = folder_of(&board.board);
        let within = |flag: &Option<PathBuf>, file: &Option<PathBuf>, usual: &Path| {
            let path = flag.clone().or_else(|| file.clone());
            folder.join(path.unwrap_or_else(|| usual.to_owned()))
        };
        let usual = Settings::default();
        let memory_mib = arguments.ingest_memory_mb.or(file.ingest_memory_mb);
        let memory_mib = memory_mib.unwrap_or(MEMORY_MIB);
        if memory_mib < MEMORY_MIB_MIN {
            bail!("INGEST_MEMORY_MB is {memory_mib}: decoding takes at least {MEMORY_MIB_MIN} MiB");
        }
        let mut thumbnail = usual.thumbnail;
        if let Some(side) = arguments.thumb_size.or(file.thumb_size) {
            thumbnail.side_max = side;
        }
        if let Some(quality) = arguments.thumb_quality.or(file.thumb_quality) {
            thumbnail.quality = quality;
        }
        check_thumbnail(&thumbnail, memory_mib << 20)?;
        let seconds = arguments.monitor_interval.or(file.monitor_interval);
        let priority = arguments.booru_priority.clone().or(file.booru_priority);
        let implied = arguments
            .apply_implications_on_ingest
            .or(file.apply_implications_on_ingest);
        let merged = arguments
            .use_merged_sources_by_default
            .or(file.use_merged_sources_by_default);
        Ok(Settings {
            images: within(
                &arguments.image_directory,
                &file.image_directory,
                &usual.images,
            ),
            thumbnails: within(&arguments.thumb_dir, &file.thumb_dir, &usual.thumbnails),
            ingest: within(
                &arguments.ingest_directory,
                &file.ingest_directory,
                &usual.ingest,
            ),
            trash: within(
                &arguments.trash_directory,
                &file.trash_directory,
                &usual.trash,
            ),
            workers: workers(
                arguments
                    .max_workers
                    .or(file.max_workers)
                    .unwrap_or(WORKERS),
            ),
            memory_bytes: memory_mib << 20,
            thumbnail,
            hash_size: hash_size(arguments.phash_size.or(file.phash_size).unwrap_or(16))?,
            booru_priority: match priority {
                Some(sites) => sites
                    .iter()
                    .map(|site| site.trim().to_lowercase())
                    .collect(),
                None => usual.booru_priority,
            },
            merges_sources: merged.unwrap_or(true),
            implied: match implied.unwrap_or(true) {
                true => Implied::Applied,
                false => Implied::LeftOut,
            },
            is_monitored: arguments
                .monitor_enabled
                .or(file.monitor_enabled)
                .unwrap_or(true),
            monitor_interval: Duration::from_secs(seconds.unwrap_or(MONITOR_SECONDS).max(1)),
        })
    }

    /// How much one picture may ask for: all of the budget but what making a small picture takes.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_bytes_max: self
                .memory_bytes
                .saturating_sub(work_bytes(&self.thumbnail)),
            ..Limits::BOARD
        }
    }
}

/// What making a small picture takes at most beside the pixels of the picture.
fn work_bytes(options: &ThumbnailOptions) -> u64 {
    thumbnail::memory_bytes(u64::MAX, options)
}

fn workers(number: i64) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let workers = match usize::try_from(number) {
        Ok(workers) if workers > 0 => workers,
        _ => cores().saturating_sub(1),
    };
    workers.clamp(1, WORKERS_MAX)
}

fn check_thumbnail(options: &ThumbnailOptions, memory_bytes: u64) -> Result<()> {
    if !(1..=16_383).contains(&options.side_max) {
        bail!(
            "THUMB_SIZE is {}: 1 to 16,383 pixels can be",
            options.side_max
        );
    }
    let needed = work_bytes(options) + PICTURE_BYTES_MIN;
    if needed > memory_bytes {
        bail!(
            "THUMB_SIZE is {}: for small pictures of that size INGEST_MEMORY_MB has to be at least {}",
            options.side_max,
            needed.div_ceil(1 << 20)
        );
    }
    if !(0.0..=100.0).contains(&options.quality) {
        bail!("THUMB_QUALITY is {}: 0 to 100 can be", options.quality);
    }
    Ok(())
}

fn hash_size(side: u32) -> Result<HashSize> {
    match side {
        16 => Ok(HashSize::Bits256),
        8 => Ok(HashSize::Bits64),
        _ => bail!("PHASH_SIZE is {side}: 16 and 8 can be"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_those_of_the_board() {
        assert_eq!(workers(3), 3);
        assert!(workers(0) >= 1 && workers(-5) >= 1 && workers(1 << 40) == WORKERS_MAX);
        assert_eq!(folder_of(Path::new("x/data/booru.db")), Path::new("x"));
        assert_eq!(folder_of(Path::new("x/booru.db")), Path::new("x"));
        assert!(hash_size(12).is_err());
    }

    #[test]
    fn small_pictures_fit_the_memory_that_there_is() {
        let check = |side_max: u32, mib: u64| {
            let options = ThumbnailOptions {
                side_max,
                ..ThumbnailOptions::default()
            };
            check_thumbnail(&options, mib << 20)
        };
        assert!(check(800, MEMORY_MIB_MIN).is_ok() && check(2800, MEMORY_MIB).is_ok());
        let error = check(16_383, MEMORY_MIB).unwrap_err().to_string();
        assert!(error.contains("at least 8204"), "{error}");
        assert!(check(16_383, 8204).is_ok() && check(16_383, 8203).is_err());
        assert!(check(0, MEMORY_MIB).is_err() && check(16_384, 1 << 20).is_err());
    }
}
