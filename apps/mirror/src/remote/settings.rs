//! Where a state on S3 is asked for, and by whom: by flags of its own, else as the source is.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::StateArguments;
use crate::s3::{Credentials, Settings};

/// Longest time without a byte, and tries, where no source tells them.
const IDLE: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// The settings of the service that has the state; `source` are those of the source, for the verbs that have
/// one, and `variable` gives the environment's, for the others.
///
/// # Errors
/// Nobody says where it is, or who asks.
pub(crate) fn settings(
    arguments: &StateArguments,
    bucket: &str,
    source: Option<Settings>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings> {
    let one = |own: Option<&str>, of_source: Option<&str>, name: &str, flag: &str| {
        let found = own.or(of_source).map(str::to_owned);
        let found = found.or_else(|| variable(name).filter(|value| !value.is_empty()));
        found.with_context(|| {
            format!(
                "--state {}: give {flag}, or set {name}",
                arguments.state.display()
            )
        })
    };
    let of = source.as_ref();
    let who = of.map(|source| &source.credentials);
    let region = arguments.state_s3_region.clone();
    let region = region.or_else(|| who.map(|who| who.region.clone()));
    let region = region.or_else(|| variable("S3_REGION"));
    Ok(Settings {
        endpoint: one(
            arguments.state_s3_endpoint.as_deref(),
            of.map(|source| source.endpoint.as_str()),
            "S3_ENDPOINT",
            "--state-s3-endpoint",
        )?,
        bucket: bucket.to_owned(),
        credentials: Credentials {
            access_key_id: one(
                arguments.state_s3_access_key.as_deref(),
                who.map(|who| who.access_key_id.as_str()),
                "S3_ACCESS_KEY_ID",
                "--state-s3-access-key",
            )?,
            secret_access_key: one(
                arguments
                    .state_s3_secret_key
                    .as_ref()
                    .map(|key| key.expose()),
                who.map(|who| who.secret_access_key.as_str()),
                "S3_SECRET_ACCESS_KEY",
                "--state-s3-secret-key",
            )?,
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        },
        idle: of.map_or(IDLE, |source| source.idle),
        tries: of.map_or(TRIES, |source| source.tries),
        requests_per_second: 0,
        connections: 2,
        certificates: source.map_or_else(Vec::new, |source| source.certificates),
    })
}
