//! A file of settings in YAML, with the keys of the original: read into values of flags, nothing else.
//! Memory: the file, which is small.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// More than any file of settings has.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is a flag, by the name of its argument.
    Flag(&'static str),
    /// Nothing follows it any more: why.
    Gone(&'static str),
}

use Meaning::{Flag, Gone};

/// Every key, those of the original first.
pub(crate) const KEYS: [(&str, Meaning); 48] = [
    ("dry_run", Flag("dry_run")),
    ("logger.level", Flag("log_level")),
    ("logger.time_format", Flag("log_time_format")),
    (
        "logger.add_source",
        Gone("lines of the log name no place in the source"),
    ),
    ("cache.type", Flag("cache_type")),
    ("cache.bbolt.path", Flag("state")),
    ("cache.bbolt.bucket", Flag("cache_bucket")),
    (
        "cache.bbolt.mode",
        Gone("files of the state have mode 0600"),
    ),
    ("cache.bbolt.no_sync", Flag("cache_no_sync")),
    ("source.type", Flag("source_type")),
    ("source.common.worker_count", Flag("source_workers")),
    (
        "source.common.max_queue_size",
        Flag("source_max_queue_size"),
    ),
    ("source.common.timeout_seconds", Flag("source_timeout")),
    ("source.common.max_retries", Flag("source_max_retries")),
    ("source.common.max_rps", Flag("source_max_rps")),
    ("source.common.listing_strategy", Flag("listing_strategy")),
    ("source.common.listing_level", Flag("listing_level")),
    ("source.s3.region", Flag("s3_region")),
    ("source.s3.bucket", Flag("s3_bucket")),
    ("source.s3.access_key_id", Flag("s3_access_key")),
    ("source.s3.secret_access_key", Flag("s3_secret_key")),
    ("source.s3.endpoint", Flag("s3_endpoint")),
    ("destination.type", Flag("dest_type")),
    ("destination.common.worker_count", Flag("dest_workers")),
    ("destination.common.timeout_seconds", Flag("dest_timeout")),
    ("destination.common.max_retries", Flag("dest_max_retries")),
    ("destination.ftp.host", Flag("ftp_host")),
    ("destination.ftp.port", Flag("ftp_port")),
    ("destination.ftp.username", Flag("ftp_username")),
    ("destination.ftp.password", Flag("ftp_password")),
    ("destination.ftp.base_path", Flag("ftp_base_path")),
    ("destination.ftp.use_tls", Flag("ftp_use_tls")),
    // Beyond the original.
    ("logger.format", Flag("log_format")),
    ("source.s3.prefix", Flag("s3_prefix")),
    ("mirror.state", Flag("state")),
    ("mirror.memory_budget", Flag("memory_budget")),
    ("mirror.bwlimit", Flag("bwlimit")),
    ("mirror.ca_file", Flag("ca_file")),
    ("mirror.max_delete", Flag("max_delete")),
    ("mirror.max_delete_percent", Flag("max_delete_percent")),
    ("mirror.allow_mass_delete", Flag("allow_mass_delete")),
    ("mirror.metrics_file", Flag("metrics_file")),
    ("mirror.metrics_addr", Flag("metrics_addr")),
    // Names of groups, which a file may leave empty.
    ("logger", Gone("")),
    ("cache", Gone("")),
    ("source", Gone("")),
    ("destination", Gone("")),
    ("mirror", Gone("")),
];

/// Secrets, which not everybody may read.
const SECRETS: [&str; 2] = ["source.s3.secret_access_key", "destination.ftp.password"];

/// One setting of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) flag: &'static str,
    pub(crate) value: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) all: Vec<Setting>,
    /// What has no meaning any more, and what is dangerous: a line each.
    pub(crate) notices: Vec<String>,
}

/// # Errors
/// It can't be read, is no YAML, or has a key that is not known: the message says which are.
pub(crate) fn read(path: &Path) -> Result<Settings> {
    let failed = || format!("read the settings in {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let mode = file.metadata().with_context(failed)?.permissions().mode();
    let mut text = String::new();
    let length = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(failed)?;
    if length as u64 > FILE_BYTES_MAX {
        bail!("{}: it has more than {FILE_BYTES_MAX} bytes", failed());
    }
    let mut settings = parse(&text).with_context(failed)?;
    let is_secret = |setting: &Setting| SECRETS.contains(&setting.key);
    if mode & 0o004 != 0 && settings.all.iter().any(is_secret) {
        settings.notices.push(format!(
            "{} holds a secret, and everybody may read it: chmod 600 {}",
            path.display(),
            path.display()
        ));
    }
    Ok(settings)
}

fn parse(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    if text.trim().is_empty() {
        return Ok(settings);
    }
    // The message of the parser may show lines of the file, and so a secret: only its place is told.
    let value: Value = match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => match error.location() {
            Some(place) => bail!(
                "line {}, column {}: it is no YAML",
                place.line(),
                place.column()
            ),
            None => bail!("it is no YAML"),
        },
    };
    gather(&value, "", &mut settings)?;
    Ok(settings)
}

fn gather(value: &Value, path: &str, settings: &mut Settings) -> Result<()> {
    let known = KEYS.iter().find(|(key, _)| *key == path);
    let text = match value {
        Value::Object(map) if path.is_empty() || is_group(path) => {
            for (name, value) in map {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                if !is_group(&path) && !KEYS.iter().any(|(key, _)| *key == path) {
                    bail!(
                        "key {path:?} is not known; allowed there: {}",
                        allowed(&path)
                    );
                }
                gather(value, &path, settings)?;
            }
            return Ok(());
        }
        // Left empty, as in the original's example: not set.
        Value::Null => return Ok(()),
        Value::String(text) if text.is_empty() => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        // As a number it would lose zeros in front, or its form.
        Value::Number(_) if is_text(path) => {
            bail!("key {path:?} takes a text: put it in quotes")
        }
        Value::Number(number) => number.to_string(),
        Value::Object(_) | Value::Array(_) => bail!("key {path:?} takes one value"),
    };
    match known {
        Some((key, Flag(flag))) => settings.all.push(Setting {
            key,
            flag,
            value: text,
        }),
        Some((key, Gone(why))) if !is_group(key) => {
            let is_default = match *key {
                "logger.add_source" => text == "false",
                // 0600, as number in YAML 1.1 and 1.2, or as text.
                _ => ["384", "600", "600.0", "0600", "0o600"].contains(&text.as_str()),
            };
            if !is_default {
                let note = format!("{key} of the settings is not followed: {why}");
                settings.notices.push(note);
            }
        }
        _ => bail!(
            "key {path:?} takes keys below it: {}",
            allowed(&format!("{path}."))
        ),
    }
    Ok(())
}

/// Whether a value may look like a number and is none.
fn is_text(path: &str) -> bool {
    let groups = ["source.s3.", "destination.ftp."];
    path != "destination.ftp.port" && groups.iter().any(|group| path.starts_with(group))
}

/// Whether keys are below it.
fn is_group(path: &str) -> bool {
    KEYS.iter().any(|(key, _)| {
        key.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The keys beside `path`.
fn allowed(path: &str) -> String {
    let group = path.rsplit_once('.').map_or("", |(group, _)| group);
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|(key, _)| match group {
            "" => Some(*key),
            _ => key.strip_prefix(group)?.strip_prefix('.'),
        })
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_original_is_read_whole() {
        let text = r#"
dry_run: false
logger: {level: info, add_source: false, time_format: "2006-01-02 15:04:05"}
cache: {type: bbolt, bbolt: {path: ./cache.db, bucket: files, mode: 0600, no_sync: false}}
source:
  type: s3
  common: {worker_count: 5, max_queue_size: 1000, timeout_seconds: 30, max_retries: 3, max_rps: 0, listing_strategy: recursive, listing_level: 0}
  s3: {region: "", bucket: "", access_key_id: "", secret_access_key: "", endpoint: ""}
destination:
  type: ftp
  common: {worker_count: 5, timeout_seconds: 30, max_retries: 3}
  ftp: {host: "", port: 21, username: "", password: "", base_path: /, use_tls: false}
"#;
        let settings = parse(text).unwrap();
        assert_eq!(settings.notices, Vec::<String>::new());
        // All but the ten that have no value, are of no meaning or both.
        assert_eq!(settings.all.len(), 32 - 2 - 8, "{:?}", settings.all);
        let level = settings.all.iter().find(|one| one.key == "logger.level");
        assert_eq!(level.unwrap().value, "info");
    }

    #[test]
    fn one_clear_error() {
        for (text, expected) in [
            (
                "sorce: {}",
                "key \"sorce\" is not known; allowed there: cache, destination, dry_run, logger, mirror, source",
            ),
            (
                "source: {common: {workers: 5}}",
                "key \"source.common.workers\" is not known; allowed there: listing_level, listing_strategy, max_queue_size",
            ),
            (
                "source: 5",
                "key \"source\" takes keys below it: common, s3, type",
            ),
            ("dry_run: [1]", "key \"dry_run\" takes one value"),
            ("dry_run: {a: 1}", "key \"dry_run\" takes one value"),
            ("a: [1, 2", "it is no YAML"),
            ("- 1", "takes one value"),
            (
                "destination: {ftp: {password: 0123}}",
                "\"destination.ftp.password\" takes a text: put it in quotes",
            ),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
        for empty in ["", "\n", "source:\n", "dry_run:\n"] {
            assert!(parse(empty).unwrap().all.is_empty(), "{empty}");
        }
        let error =
            parse("destination: {ftp: {password: marked-secret, password: \"marked-secret}")
                .unwrap_err();
        assert!(
            !format!("{error:#} {error:?}").contains("marked-secret"),
            "{error:#}"
        );
    }

    #[test]
    fn what_is_not_followed_is_said() {
        let settings = parse("logger: {add_source: true}\ncache: {bbolt: {mode: 0644}}").unwrap();
        assert!(settings.all.is_empty());
        let notices = settings.notices.join("\n");
        assert!(notices.contains("logger.add_source"), "{notices}");
        assert!(notices.contains("cache.bbolt.mode"), "{notices}");
    }
}
