//! What of a run is compared or fitted: one number a trial.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Trial;

/// One number of a [`Trial`], in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Measure {
    /// Highest RSS.
    RssPeak,
    /// Highest PSS of the full readings: each shared page divided by its sharers.
    PssPeak,
    /// Highest memory that no file backs.
    OwnPeak,
    /// RSS before the end.
    RssEnd,
    /// PSS before the end.
    PssEnd,
    /// Highest RSS inside the stage of this label; of several, the highest.
    Stage(String),
    /// Resident bytes of the owner of this name at the peak.
    Owner(String),
    /// RSS that one item more costs: the slope of the peaks over the sizes of one round.
    Marginal(String),
}

impl Measure {
    /// A full reading that saw less of the peak than this does not stand for it.
    pub const SHARE_MIN: f64 = 0.9;

    /// The measure of one trial; `None` if it was not read, or not near enough to what it stands
    /// for ([`Measure::SHARE_MIN`]). A marginal cost is of several trials and never here.
    #[must_use]
    pub fn of(&self, trial: &Trial) -> Option<f64> {
        let seen = |seen: &Option<crate::Seen>| {
            let seen = seen.filter(|seen| seen.share >= Measure::SHARE_MIN)?;
            Some(seen.bytes.0 as f64)
        };
        match self {
            Measure::RssPeak => Some(trial.rss_peak.0 as f64),
            Measure::OwnPeak => Some(trial.own_peak.0 as f64),
            Measure::RssEnd => Some(trial.at_end.rss.0 as f64),
            Measure::PssPeak => seen(&trial.pss_peak),
            Measure::PssEnd => seen(&trial.pss_end),
            Measure::Stage(label) => {
                let stages = trial.stages.iter().filter(|stage| stage.label == *label);
                let peak = stages.map(|stage| stage.peak).max()?;
                Some(peak.0 as f64)
            }
            Measure::Owner(name) => {
                trial
                    .peak_reading_share
                    .filter(|share| *share >= Measure::SHARE_MIN)?;
                let owner = trial.at_peak.iter().find(|owner| owner.name == *name);
                // It was looked for and not there.
                Some(owner.map_or(0.0, |owner| owner.resident.0 as f64))
            }
            Measure::Marginal(_) => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::RssPeak => f.pad("peak RSS"),
            Measure::PssPeak => f.pad("peak PSS"),
            Measure::OwnPeak => f.pad("peak of own memory"),
            Measure::RssEnd => f.pad("RSS at the end"),
            Measure::PssEnd => f.pad("PSS at the end"),
            Measure::Stage(label) => f.pad(&format!("peak in stage {label}")),
            Measure::Owner(name) => f.pad(name),
            Measure::Marginal(axis) => f.pad(&format!("RSS per {axis}")),
        }
    }
}
