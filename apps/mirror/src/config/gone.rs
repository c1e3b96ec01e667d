//! Flags and variables of the original that choose between what there is one of now: accepted, and said
//! once where somebody gives them.

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

/// The kind of cache that the original has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheType {
    Bbolt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceType {
    S3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DestinationType {
    Ftp,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Of the original, without effect")]
pub struct GoneArguments {
    #[arg(long, env = "CACHE_TYPE", default_value = "bbolt")]
    pub cache_type: CacheType,
    /// Bucket of the original's cache: only import-bbolt reads it.
    #[arg(long, env = "CACHE_BBOLT_BUCKET", default_value = "files")]
    pub cache_bucket: String,
    #[arg(long, env = "CACHE_BBOLT_NO_SYNC", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value_t = false, action = ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub cache_no_sync: bool,
    #[arg(long, env = "SOURCE_TYPE", default_value = "s3")]
    pub source_type: SourceType,
    #[arg(long, env = "DESTINATION_TYPE", default_value = "ftp")]
    pub dest_type: DestinationType,
}

impl GoneArguments {
    /// A line for what was given and means nothing any more.
    pub(super) fn notices(&self, matches: &ArgMatches) -> Vec<String> {
        let given = |name: &str| {
            matches
                .value_source(name)
                .is_some_and(|source| source != ValueSource::DefaultValue)
        };
        let mut notices = Vec::new();
        if given("cache_type") || given("cache_bucket") {
            notices.push(
                "--cache-type and --cache-bucket have no meaning any more: the state is a folder of its own \
                 kind"
                    .to_owned(),
            );
        }
        if self.cache_no_sync {
            notices.push(
                "--cache-no-sync has no meaning any more: what a crash must not forget is always made \
                 durable, at little cost"
                    .to_owned(),
            );
        }
        notices
    }
}
