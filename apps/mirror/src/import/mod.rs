//! `mirror import-bbolt`: the cache of yomins-sync becomes a state, so that who comes from there uploads
//! only what differs. Memory: a node of each level of the cache, and the writer of a state; pages of the
//! cache are given up behind the reading place.
//!
//! What the cache calls synced may not be: that can't be seen from it, and is told.

pub mod bbolt;
mod cached;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::config::RunArguments;
use crate::key::{Policy, Refusal, judge};
use crate::report::Log;
use crate::run::{EQUAL, PARTIAL};
use crate::scan::StatusCounts;
use crate::state::{Generation, Lock, Manifest, State};
use bbolt::{Database, ReadAt};
use cached::{CachedStatus, Trust};

/// Longest key of S3.
const KEY_BYTES_MAX: usize = 1024;
/// Damaged records that are told one by one.
const TOLD_MAX: u64 = 10;
/// Bytes that are read of the cache before its pages are given up.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Records between two lines that tell how far it is.
const PROGRESS_RECORDS: u64 = 1_000_000;

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The cache: a file of bbolt, which no other program has open.
    pub cache: PathBuf,
    /// Take no file for synced, whatever the cache says of it.
    ///
    /// The next run uploads all, or with --adopt size what the destination has in another length.
    #[arg(long)]
    pub distrust: bool,
    #[command(flatten)]
    pub run: RunArguments,
}

/// Imports a cache as a new state.
///
/// # Errors
/// It is no cache, damaged, or open elsewhere; there is a state already.
pub(crate) fn import(arguments: &ImportArguments) -> Result<ExitCode> {
    let log = Log::of(&arguments.run);
    // Also what only a run needs is checked.
    arguments.run.source()?;
    arguments.run.destination()?;
    let file = CacheFile::open(&arguments.cache)?;
    let folder = &arguments.run.state.state;
    let (_lock, mut next) = match arguments.run.dry_run {
        true => (None, None),
        false => {
            let lock = Lock::take(folder)?;
            let range = Manifest::range_text(&arguments.run.range);
            let next = State::create(folder, &arguments.run.pair(), &range, &lock)?;
            (Some(lock), Some(next))
        }
    };
    let counts = read(arguments, &file, &log, next.as_mut())
        .with_context(|| format!("import {}", arguments.cache.display()))?;
    log.memory("AFTER_IMPORT");
    if let Some(next) = next {
        // Never listed: what the source has is not known yet.
        next.publish(0)?;
    }
    Ok(counts.tell(arguments, &log))
}

fn read(
    arguments: &ImportArguments,
    file: &CacheFile,
    log: &Log,
    mut next: Option<&mut Generation>,
) -> Result<Counts> {
    let trust = match arguments.distrust {
        true => Trust::Nothing,
        false => Trust::Synced,
    };
    let database = Database::open(file)?;
    let mut entries = database.bucket(arguments.run.gone.cache_bucket.as_bytes())?;
    let mut counts = Counts {
        is_fallback: database.is_fallback(),
        ..Counts::default()
    };
    while entries.advance()? {
        counts.read += 1;
        if counts.read.is_multiple_of(PROGRESS_RECORDS) {
            log.info(format!("Import progress: {} records", counts.read));
        }
        let key = entries.key();
        if entries.is_bucket() {
            counts.buckets += 1;
            continue;
        }
        if !counts.takes(key, &arguments.run) {
            continue;
        }
        let record = match cached::parse(entries.value(), trust) {
            Ok((status, record)) => {
                counts.count(status);
                record
            }
            Err(why) => {
                counts.damaged += 1;
                if counts.damaged <= TOLD_MAX {
                    let key = key.escape_ascii();
                    log.error(format!("\"{key}\": a damaged record: {why}"));
                }
                cached::unclear()
            }
        };
        counts.after.add(record.status());
        if let Some(next) = &mut next {
            next.put(key, None, Some(&record))?;
        }
    }
    Ok(counts)
}

/// What was in a cache.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    synced: u64,
    new: u64,
    error: u64,
    deleted: u64,
    /// As they are now.
    after: StatusCounts,
    damaged: u64,
    /// In the bucket, where no other belongs.
    buckets: u64,
    long_keys: u64,
    outside: u64,
    folder_markers: u64,
    refused: BTreeMap<Refusal, u64>,
    is_fallback: bool,
}

impl Counts {
    /// Whether a key is one that this program mirrors.
    fn takes(&mut self, key: &[u8], run: &RunArguments) -> bool {
        let counter = match judge(key) {
            _ if key.len() > KEY_BYTES_MAX => &mut self.long_keys,
            _ if !key.starts_with(run.s3_prefix.as_bytes()) || !run.range.has(key) => {
                &mut self.outside
            }
            Policy::Mirror => return true,
            Policy::FolderMarker => &mut self.folder_markers,
            Policy::Refuse(refusal) => self.refused.entry(refusal).or_default(),
        };
        *counter += 1;
        false
    }

    fn count(&mut self, status: CachedStatus) {
        *match status {
            CachedStatus::Synced | CachedStatus::TempDeleted => &mut self.synced,
            CachedStatus::New => &mut self.new,
            CachedStatus::Error => &mut self.error,
            CachedStatus::DeletedInSource => &mut self.deleted,
        } += 1;
    }

    fn left_out(&self) -> u64 {
        let refused: u64 = self.refused.values().sum();
        refused + self.buckets + self.long_keys + self.outside + self.folder_markers
    }

    fn tell(&self, arguments: &ImportArguments, log: &Log) -> ExitCode {
        log.info(format!(
            "ImportCache: read={}, SYNCED={}, NEW={}, ERROR={}, DELETED_ON_S3={}, damaged={}, left_out={}",
            self.read,
            self.synced,
            self.new,
            self.error,
            self.deleted,
            self.damaged,
            self.left_out()
        ));
        self.tell_left_out(arguments, log);
        self.tell_unknown(arguments, log);
        let end = match arguments.run.dry_run {
            true => "(dry-run) the state would be",
            false => "the state is",
        };
        log.info(format!("{end} {}", self.after.line()));
        let is_whole = self.damaged + self.left_out() == 0 && !self.is_fallback;
        ExitCode::from(if is_whole { EQUAL } else { PARTIAL })
    }

    fn tell_left_out(&self, arguments: &ImportArguments, log: &Log) {
        let stay = "what the destination has of them stays there";
        for (refusal, count) in &self.refused {
            log.error(format!("{count} keys are not mirrored: {refusal}; {stay}"));
        }
        let outside = format!(
            "do not begin with --s3-prefix {} or are not in --range",
            arguments.run.s3_prefix
        );
        for (count, why) in [
            (self.long_keys, "are longer than keys of S3"),
            (self.outside, outside.as_str()),
            (self.folder_markers, "end in / and are no files"),
            (self.buckets, "are buckets in the bucket"),
        ] {
            if count > 0 {
                log.error(format!("{count} keys {why}; {stay}"));
            }
        }
    }

    /// What the cache can't tell.
    fn tell_unknown(&self, arguments: &ImportArguments, log: &Log) {
        if self.is_fallback {
            log.error(
                "a meta page of the cache is damaged: what the last run of yomins-sync did may be missing; \
                 --distrust takes nothing for synced",
            );
        }
        if self.damaged > 0 {
            log.error(format!(
                "{} records are damaged: those files are uploaded again, or deleted where the next listing \
                 has them not",
                self.damaged
            ));
        }
        let unclear = self.new + self.error;
        if unclear > 0 {
            log.info(format!(
                "{unclear} files were NEW or ERROR: nobody knows what the destination has of them, and the \
                 next run uploads them"
            ));
        }
        if self.synced > 0 && !arguments.distrust {
            log.info(format!(
                "{} files are taken for synced because the cache says so. yomins-sync says so too of files \
                 whose upload failed once, and of files that it sent empty when it tried again. --distrust \
                 takes none for synced; mirror run --adopt size then uploads only those that the destination \
                 has not, or has in another length",
                self.synced
            ));
        }
    }
}

/// The cache, locked against programs that write it.
#[derive(Debug)]
struct CacheFile {
    file: File,
    /// Since pages were given up.
    read_bytes: Cell<u64>,
}

impl CacheFile {
    fn open(path: &Path) -> Result<CacheFile> {
        let failed = || format!("open the cache {}", path.display());
        let file = File::open(path).with_context(failed)?;
        if !file.metadata().with_context(failed)?.is_file() {
            bail!("open the cache {}: it is no file", path.display());
        }
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "open the cache {}: another program has it open; end yomins-sync first",
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        Ok(CacheFile {
            file,
            read_bytes: Cell::new(0),
        })
    }
}

impl ReadAt for CacheFile {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        ReadAt::read_at(&self.file, bytes, at)?;
        let read = self.read_bytes.get() + bytes.len() as u64;
        self.read_bytes.set(read);
        if read >= READ_BYTES_MAX {
            self.read_bytes.set(0);
            // SAFETY: plain numbers and an open descriptor. Only advice: what it returns changes nothing
            // here. All of the file, as pages in the order of keys are all over it.
            unsafe {
                libc::posix_fadvise(self.file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
            }
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}
