//! What earlier commits measured: one JSON file, committed with the program it is about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::output;

/// The shape of the file.
const VERSION: u32 = 1;
/// Baselines kept of each check: the first always stays, since slow drift is told against it.
const HISTORY_MAX: usize = 500;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    version: u32,
    /// By check, the oldest first.
    checks: BTreeMap<String, Vec<Entry>>,
    #[serde(skip)]
    path: PathBuf,
}

/// One accepted measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) rss_peak_median_bytes: f64,
    /// Relative standard deviation of one run.
    pub(crate) rss_peak_deviation: f64,
    pub(crate) runs: usize,
}

impl Baseline {
    /// A file that is not there yet is an empty baseline.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Baseline> {
        let mut baseline = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice::<Baseline>(&text).with_context(|| {
                format!(
                    "check: {} is no baseline; mend it, or delete it and use --update-baseline",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Baseline {
                version: VERSION,
                checks: BTreeMap::new(),
                path: PathBuf::new(),
            },
            Err(error) => {
                return Err(error).context(format!("check: can't read {}", path.display()));
            }
        };
        if baseline.version != VERSION {
            bail!(
                "check: {} is of version {}, this program reads {VERSION}",
                path.display(),
                baseline.version
            );
        }
        path.clone_into(&mut baseline.path);
        Ok(baseline)
    }

    pub(crate) fn history(&self, check: &str) -> &[Entry] {
        self.checks.get(check).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn add(&mut self, check: &str, entry: Entry) {
        let history = self.checks.entry(check.to_owned()).or_default();
        history.push(entry);
        if history.len() > HISTORY_MAX {
            history.remove(1);
        }
    }

    /// Writes it whole, or leaves the one that is there.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        output::to_file(&self.path, |w| {
            serde_json::to_writer_pretty(&mut *w, self)?;
            writeln!(w)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_newest_stay() {
        let mut baseline = Baseline {
            version: VERSION,
            checks: BTreeMap::new(),
            path: PathBuf::new(),
        };
        for count in 0..HISTORY_MAX + 20 {
            let entry = Entry {
                rss_peak_median_bytes: count as f64,
                rss_peak_deviation: 0.01,
                runs: 5,
            };
            baseline.add("a", entry);
        }
        let history = baseline.history("a");
        assert_eq!(history.len(), HISTORY_MAX);
        assert_eq!(history[0].rss_peak_median_bytes, 0.0);
        let newest = (HISTORY_MAX + 19) as f64;
        assert_eq!(history[HISTORY_MAX - 1].rss_peak_median_bytes, newest);
        assert!(baseline.history("b").is_empty());
    }
}
