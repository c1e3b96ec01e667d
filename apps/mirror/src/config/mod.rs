//! Settings: flags, and for each the original's environment variable. A flag that is given overrides the
//! variable; one that is not does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::adopt::Adopt;
use crate::import::ImportArguments;
use crate::listing::{self, KeyRange, Strategy};
use crate::state::Pair;
use crate::{ftp, s3};

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
    /// Folder of the state.
    #[arg(
        long,
        env = "CACHE_PATH",
        default_value = "./mirror.state",
        alias = "cache-path"
    )]
    pub state: PathBuf,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    Silent,
    Error,
    Info,
    Debug,
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
          default_value_t = false, action = ArgAction::Set)]
    pub dry_run: bool,
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Address of the service: `https://HOST[:PORT]`.
    #[arg(long, env = "S3_ENDPOINT")]
    pub s3_endpoint: String,
    #[arg(long, env = "S3_BUCKET")]
    pub s3_bucket: String,
    /// Only keys that begin so; they keep it at the destination.
    #[arg(long, env = "S3_PREFIX", default_value = "")]
    pub s3_prefix: String,
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    #[arg(long, env = "S3_ACCESS_KEY_ID", hide_env_values = true)]
    pub s3_access_key: String,
    /// Better given by the environment: arguments can be seen by others.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_key: String,
    /// Longest time without a byte from the source, in seconds.
    #[arg(long, env = "SOURCE_TIMEOUT_SECONDS", default_value_t = 30, alias = "timeout",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub source_timeout: u64,
    /// Tries of a request before it has failed.
    #[arg(long, env = "SOURCE_MAX_RETRIES", default_value_t = 3, alias = "max-retries",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub source_max_retries: u32,
    /// Connections that list at once.
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
    #[arg(long, env = "FTP_PASSWORD", default_value = "", hide_env_values = true)]
    pub ftp_password: String,
    #[arg(long, env = "FTP_BASE_PATH", default_value = "/")]
    pub ftp_base_path: String,
    /// FTPS by AUTH TLS; certificates are checked.
    #[arg(long, env = "FTP_USE_TLS", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub ftp_use_tls: bool,
    /// Connections to the destination, each with one to the source.
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
    #[arg(long)]
    pub allow_mass_delete: bool,
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
        Ok(s3::Settings {
            endpoint: self.s3_endpoint.clone(),
            bucket: self.s3_bucket.clone(),
            credentials: s3::Credentials {
                access_key_id: self.s3_access_key.clone(),
                secret_access_key: self.s3_secret_key.clone(),
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
            range: KeyRange::default(),
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
            ("--ftp-base-path", &self.ftp_base_path),
            ("--ftp-username", &self.ftp_username),
            ("--ftp-password", &self.ftp_password),
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
            password: self.ftp_password.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> RunArguments {
        let base = [
            "mirror",
            "run",
            "--s3-endpoint=http://s:9000/",
            "--s3-bucket=b",
            "--s3-access-key=k",
            "--s3-secret-key=topsecret",
            "--ftp-host=h",
            "--ftp-username=u",
        ];
        let arguments = base.iter().chain(more);
        match Arguments::try_parse_from(arguments).unwrap().command {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_pair_has_no_secrets_and_no_double_slash() {
        let pair = parse(&[
            "--ftp-base-path=/a/b/",
            "--s3-prefix=p/",
            "--ftp-password=hidden",
        ])
        .pair();
        assert_eq!(pair.source, "http://s:9000/b/p/");
        assert_eq!(pair.destination, "ftp://h:21/a/b/");
    }

    #[test]
    fn flags_of_the_original_may_have_a_value() {
        assert!(parse(&["--dry-run"]).dry_run);
        assert!(parse(&["--dry-run=true"]).dry_run);
        assert!(!parse(&["--dry-run=false"]).dry_run);
        assert!(parse(&["--ftp-use-tls"]).ftp_use_tls);
        assert_eq!(parse(&["--max-rps=5", "--timeout=7"]).source_max_rps, 5);
    }

    #[test]
    fn strategies_have_the_names_of_the_original() {
        let strategy = |more: &[&str]| parse(more).listing().map(|options| options.strategy);
        assert_eq!(strategy(&[]).unwrap(), Strategy::Recursive);
        assert_eq!(
            strategy(&["--listing-strategy=flat"]).unwrap(),
            Strategy::Flat
        );
        for name in ["by_level", "by-level"] {
            let named = format!("--listing-strategy={name}");
            let level = strategy(&[&named, "--listing-level=2"]);
            assert_eq!(level.unwrap(), Strategy::ByLevel(2));
            let error = strategy(&[&named]).unwrap_err().to_string();
            assert!(error.contains("needs --listing-level"), "{error}");
        }
        let options = |more: &[&str]| parse(more).listing().unwrap();
        assert_eq!(options(&[]).pages_ahead(), 10);
        assert_eq!(options(&["--worker-count=20"]).pages_ahead(), 40);
        assert_eq!(options(&["--source-max-queue-size=1001"]).pages_ahead(), 2);
        assert_eq!(options(&["--listing-strategy=flat"]).pages_ahead(), 2);
    }

    #[test]
    fn deletions_are_held_back_above_both_limits() {
        let arguments = parse(&[]);
        assert_eq!(arguments.deletions_max(0), 10);
        assert_eq!(arguments.deletions_max(99), 10);
        assert_eq!(arguments.deletions_max(1000), 100);
        assert_eq!(
            parse(&["--max-delete=0", "--max-delete-percent=0"]).deletions_max(1 << 40),
            0
        );
    }

    #[test]
    fn what_ftp_can_not_be_told_is_refused() {
        let error = parse(&["--ftp-base-path=/a\r\nDELE x"])
            .destination()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("--ftp-base-path has a control character")
        );
        let mut arguments = parse(&[]);
        arguments.s3_bucket = "a/b".to_owned();
        let error = arguments.source().map(drop).unwrap_err();
        assert!(
            error.to_string().contains("is no name of a bucket"),
            "{error}"
        );
    }
}
