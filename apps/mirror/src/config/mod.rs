//! Settings: flags, for each the original's environment variable, and its keys in a file. [`read`] puts
//! them together: a flag before the variable, that before the file, that before the default.

mod amount;
mod file;
mod gone;
mod layers;
mod secret;
#[cfg(test)]
mod tests;
mod time_format;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::adopt::Adopt;
use crate::import::ImportArguments;
use crate::listing::{self, KeyRange, Strategy};
use crate::memory::Plan;
use crate::state::Pair;
use crate::{ftp, s3};

pub use gone::GoneArguments;
pub use layers::{Refused, read};
pub use secret::Secret;
pub use time_format::TimeFormat;

/// Makes an FTP server hold what an S3 bucket holds, and transfers only what changed.
#[derive(Debug, Parser)]
#[command(name = "mirror", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the bucket, upload what is new or changed, delete what is gone.
    ///
    /// Exit codes: 0 both sides are equal, 2 something is left (failures, refused keys, withheld
    /// deletions), 1 the run failed.
    Run(RunArguments),
    /// List the bucket and say what a run would do; changes nothing.
    Plan(RunArguments),
    /// Say how many keys have which status, from the state alone.
    Status(StateArguments),
    /// Say all that is known of one key, and what will become of it.
    Explain {
        key: String,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Write all that is known, a line of JSON a key, in the order of keys.
    Export(StateArguments),
    /// Fold what has changed into the base of the state.
    Compact(StateArguments),
    /// Read every byte of the state and say of each file whether it is whole. `--state` may also be one
    /// file.
    Check(CheckArguments),
    /// Make a state of the cache of yomins-sync; takes the flags of a run.
    ///
    /// Exit codes: 0 all of it was taken, 2 something was left out or is damaged, 1 it failed.
    ImportBbolt(ImportArguments),
    /// Print ranges of keys of about as many files, for `--range`: the same wherever the state is the same.
    Ranges(SplitArguments),
    /// Cut a state into new ones of such ranges, which go on from it.
    Split {
        #[command(flatten)]
        split: SplitArguments,
        /// Folder for the new states: 1, 2, … in it.
        #[arg(long)]
        into: PathBuf,
    },
    /// Make one new state of those of neighbouring ranges.
    Join(JoinArguments),
}

#[derive(Debug, Args)]
pub struct SplitArguments {
    /// How many.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub parts: u32,
    #[command(flatten)]
    pub state: StateArguments,
}

#[derive(Debug, Args)]
pub struct JoinArguments {
    /// Folders of the states.
    #[arg(required = true)]
    pub from: Vec<PathBuf>,
    /// Folder of the new state.
    #[arg(long)]
    pub into: PathBuf,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(flatten)]
    pub state: StateArguments,
    /// Keep what is known of a damaged state, and have the rest uploaded again; the old files stay beside
    /// it.
    #[arg(long)]
    pub repair: bool,
    /// What the state is of, where no manifest is left: as `mirror status` shows it.
    #[arg(long, requires = "pair_destination")]
    pub pair_source: Option<String>,
    #[arg(long, requires = "pair_source")]
    pub pair_destination: Option<String>,
}

#[derive(Debug, Args)]
pub struct StateArguments {
    /// Folder of the state, or s3://BUCKET/PREFIX.
    #[arg(
        long,
        env = "CACHE_BBOLT_PATH",
        default_value = "./mirror.state",
        alias = "cache-path"
    )]
    pub state: PathBuf,
    /// Folder on this machine for a state on S3; by default one in ./mirror.state-cache.
    #[arg(long, value_name = "DIR", env = "STATE_CACHE")]
    pub state_cache: Option<PathBuf>,
    /// Seconds without a sign of life after which another machine takes over a state on S3.
    #[arg(long, value_name = "SECONDS", env = "STATE_LEASE", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(3..=3600))]
    pub state_lease: u64,
    /// Service that a state on S3 is at; by default that of the source.
    #[arg(long, env = "STATE_S3_ENDPOINT")]
    pub state_s3_endpoint: Option<String>,
    #[arg(long, env = "STATE_S3_REGION")]
    pub state_s3_region: Option<String>,
    #[arg(long, env = "STATE_S3_ACCESS_KEY_ID", hide_env_values = true)]
    pub state_s3_access_key: Option<String>,
    /// Better given by the environment, as that of the source.
    #[arg(long, env = "STATE_S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub state_s3_secret_key: Option<Secret>,
    /// File of settings, in YAML with the keys of the original.
    #[arg(long, value_name = "FILE", env = "MIRROR_CONFIG")]
    pub config: Option<PathBuf>,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    Silent,
    Error,
    #[value(alias = "warn")]
    Info,
    Debug,
    /// Also each file.
    Verbose,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// How a bucket is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ListingStrategy {
    /// By how its keys are spaced.
    Recursive,
    /// At the folders of a level.
    #[value(alias = "by-level")]
    ByLevel,
    /// Not at all: one page after the other.
    Flat,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub state: StateArguments,
    /// Say what would be done, and change nothing.
    #[arg(long, env = "DRY_RUN", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    #[arg(long, env = "LOG_LEVEL", default_value = "info", ignore_case = true)]
    pub log_level: LogLevel,
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,
    /// Layout of times in the log, as Go writes them.
    #[arg(long, value_name = "LAYOUT", default_value = "2006-01-02 15:04:05", value_parser = time_format::parse_time_format)]
    pub log_time_format: TimeFormat,
    /// What the whole process may hold: a size such as 48M, or low (16M), balanced (32M), high (64M).
    ///
    /// It sizes workers, pages listed ahead and sorting; what is asked for by flag has to fit.
    #[arg(long, value_name = "SIZE", default_value = "balanced", value_parser = amount::parse_budget)]
    pub memory_budget: u64,
    /// Bytes a second of all transfers together, such as 10M; 0 is no limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = amount::parse_bytes)]
    pub bwlimit: u64,
    /// Figures as a Prometheus text file, written every 10 seconds and at the end.
    #[arg(long, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
    /// Figures for Prometheus at http://HOST:PORT/metrics while the run lasts.
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,

    /// Address of the service: `https://HOST[:PORT]`.
    #[arg(long, env = "S3_ENDPOINT")]
    pub s3_endpoint: String,
    #[arg(long, env = "S3_BUCKET")]
    pub s3_bucket: String,
    /// Only keys that begin so; they keep it at the destination.
    #[arg(long, env = "S3_PREFIX", default_value = "")]
    pub s3_prefix: String,
    /// Only keys FROM..TO, FROM included and TO not, either left out for no bound; in them %XX is a byte:
    /// %25 for %, %2E for a dot beside another.
    #[arg(long, default_value = "..", hide_default_value = true)]
    pub range: KeyRange,
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    #[arg(long, env = "S3_ACCESS_KEY_ID", hide_env_values = true)]
    pub s3_access_key: String,
    /// Better given by the environment: arguments can be seen by others.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_key: Secret,
    /// Longest time without a byte from the source, in seconds.
    #[arg(long, env = "SOURCE_TIMEOUT_SECONDS", default_value_t = 30, alias = "timeout",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub source_timeout: u64,
    /// Tries of a request before it has failed.
    #[arg(long, env = "SOURCE_MAX_RETRIES", default_value_t = 3, alias = "max-retries",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub source_max_retries: u32,
    /// Connections that list at once; by default as many as the memory budget has room for.
    #[arg(long, env = "SOURCE_WORKER_COUNT", default_value_t = 5, alias = "worker-count",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub source_workers: u32,
    /// Keys that are listed ahead of the comparison, at most, in whole pages of 1000; 0 is two pages a
    /// worker.
    #[arg(long, env = "SOURCE_MAX_QUEUE_SIZE", default_value_t = 0)]
    pub source_max_queue_size: usize,
    /// How a bucket is divided among the workers where the state does not tell it.
    #[arg(long, env = "SOURCE_LISTING_STRATEGY", default_value = "recursive")]
    pub listing_strategy: ListingStrategy,
    /// Level of the folders of by_level, 1 for those at the top.
    #[arg(long, env = "SOURCE_LISTING_LEVEL", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=i64::from(listing::LEVEL_MAX)))]
    pub listing_level: u32,
    /// Requests a second; 0 is no limit.
    #[arg(long, env = "SOURCE_MAX_RPS", default_value_t = 0, alias = "max-rps")]
    pub source_max_rps: u32,

    #[arg(long, env = "FTP_HOST")]
    pub ftp_host: String,
    #[arg(long, env = "FTP_PORT", default_value_t = 21)]
    pub ftp_port: u16,
    #[arg(long, env = "FTP_USERNAME")]
    pub ftp_username: String,
    /// Better given by the environment, as the secret key.
    #[arg(
        long,
        env = "FTP_PASSWORD",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub ftp_password: Secret,
    #[arg(long, env = "FTP_BASE_PATH", default_value = "/")]
    pub ftp_base_path: String,
    /// FTPS by AUTH TLS; certificates are checked.
    #[arg(long, env = "FTP_USE_TLS", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = ArgAction::Set,
          value_parser = BoolishValueParser::new())]
    pub ftp_use_tls: bool,
    /// Connections to the destination, each with one to the source; by default as many as the memory
    /// budget has room for.
    #[arg(long, env = "DESTINATION_WORKER_COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub dest_workers: u32,
    /// Longest time without a byte or a reply from the destination, in seconds.
    #[arg(long, env = "DESTINATION_TIMEOUT_SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub dest_timeout: u64,
    /// Tries of an upload or a deletion, each from the source, before it has failed in this run.
    #[arg(long, env = "DESTINATION_MAX_RETRIES", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub dest_max_retries: u32,

    /// Take files for synced that the destination has already, without an upload.
    ///
    /// Asked about are files of which it is not known what the destination has: those of a new, repaired
    /// or distrusted state. A file of the same length may have other bytes: that is not seen.
    #[arg(long, value_name = "BY")]
    pub adopt: Option<Adopt>,

    /// Certificates to trust instead of the usual ones, for both sides (PEM).
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// Deletions in one run that are always allowed.
    #[arg(long, default_value_t = 10)]
    pub max_delete: u64,
    /// Deletions in one run that are allowed, in percent of all files known.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub max_delete_percent: u64,
    /// Delete however many files, even all of them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub allow_mass_delete: bool,

    #[command(flatten)]
    pub gone: GoneArguments,
    /// How the memory budget is divided.
    #[arg(skip)]
    pub plan: Plan,
    /// What is to be said of the settings, once.
    #[arg(skip)]
    pub notices: Vec<String>,
}

impl RunArguments {
    /// What is mirrored where, without secrets.
    #[must_use]
    pub fn pair(&self) -> Pair {
        let endpoint = self.s3_endpoint.trim_end_matches('/');
        Pair {
            source: format!("{endpoint}/{}/{}", self.s3_bucket, self.s3_prefix),
            destination: format!(
                "ftp://{}:{}{}/",
                self.ftp_host,
                self.ftp_port,
                self.base_path()
            ),
        }
    }

    fn base_path(&self) -> &str {
        self.ftp_base_path.trim_end_matches('/')
    }

    fn certificates(&self) -> Result<Vec<Vec<u8>>> {
        match &self.ca_file {
            Some(path) => read_certificates(path),
            None => Ok(Vec::new()),
        }
    }

    /// # Errors
    /// A file of certificates that is none, a bucket that is no name.
    pub fn source(&self) -> Result<s3::Settings> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if self.s3_bucket.is_empty() || !self.s3_bucket.bytes().all(is_name) {
            bail!(
                "--s3-bucket {:?} is no name of a bucket: letters, digits, - . and _ are",
                self.s3_bucket
            );
        }
        let idle = self.source_timeout.min(self.dest_timeout);
        // Workers wait for their turn with connections open, which the other sides end when they idle.
        let least = u64::from(self.dest_workers) * ftp::BUFFER_BYTES as u64 * 2 / idle;
        if self.bwlimit > 0 && self.bwlimit < least {
            bail!(
                "--bwlimit {} is so slow that {} workers would wait beyond the time-out of {idle} seconds: \
                 give {least} bytes a second at least, or fewer --dest-workers",
                self.bwlimit,
                self.dest_workers
            );
        }
        Ok(s3::Settings {
            endpoint: self.s3_endpoint.clone(),
            bucket: self.s3_bucket.clone(),
            credentials: s3::Credentials {
                access_key_id: self.s3_access_key.clone(),
                secret_access_key: self.s3_secret_key.expose().to_owned(),
                region: self.s3_region.clone(),
            },
            idle: Duration::from_secs(self.source_timeout),
            tries: self.source_max_retries,
            requests_per_second: self.source_max_rps,
            connections: self.dest_workers.max(self.source_workers) as usize + 1,
            certificates: self.certificates()?,
        })
    }

    /// # Errors
    /// A strategy by level without a level.
    pub fn listing(&self) -> Result<listing::Options> {
        let strategy = match self.listing_strategy {
            ListingStrategy::Recursive => Strategy::Recursive,
            ListingStrategy::ByLevel if self.listing_level == 0 => bail!(
                "--listing-strategy by_level needs --listing-level: 1 for the folders at the top, 2 for \
                 those in them, …"
            ),
            ListingStrategy::ByLevel => Strategy::ByLevel(self.listing_level),
            ListingStrategy::Flat => Strategy::Flat,
        };
        Ok(listing::Options {
            prefix: self.s3_prefix.clone(),
            range: self.range.clone(),
            strategy,
            workers: self.source_workers as usize,
            keys_ahead: self.source_max_queue_size,
            is_from_start: false,
        })
    }

    /// # Errors
    /// A file of certificates that is none, a base path or a name that FTP can't be told.
    pub fn destination(&self) -> Result<ftp::Settings> {
        let texts = [
            ("--ftp-base-path", &*self.ftp_base_path),
            ("--ftp-username", &*self.ftp_username),
            ("--ftp-password", self.ftp_password.expose()),
        ];
        for (name, text) in texts {
            if text.chars().any(char::is_control) {
                bail!("{name} has a control character, which FTP can't be told");
            }
        }
        let tls = match self.ftp_use_tls {
            true => Some(ftp::tls_config(&self.certificates()?)?),
            false => None,
        };
        Ok(ftp::Settings {
            host: self.ftp_host.clone(),
            port: self.ftp_port,
            user: self.ftp_username.clone(),
            password: self.ftp_password.expose().to_owned(),
            base_path: self.base_path().to_owned(),
            tls,
            idle: Duration::from_secs(self.dest_timeout),
        })
    }

    /// How many deletions one run may do of so many files known.
    #[must_use]
    pub fn deletions_max(&self, known: u64) -> u64 {
        let part = u128::from(known) * u128::from(self.max_delete_percent) / 100;
        self.max_delete.max(part as u64)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let failed = || format!("read certificates from {}", path.display());
    let text = fs::read(path).with_context(failed)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.with_context(failed)?;
    if all.is_empty() {
        bail!("{}: none is in it", failed());
    }
    Ok(all.into_iter().map(|der| der.to_vec()).collect())
}
