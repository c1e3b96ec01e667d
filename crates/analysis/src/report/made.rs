//! A made-up trial for the tests of reports.

use std::time::Duration;

use plimsoll_model::{Bytes, RssParts, Trial};

/// One that succeeded with this peak of RSS, half of it its own, and no full reading.
pub(crate) fn trial(rss: f64) -> Trial {
    Trial {
        exit_code: Some(0),
        exit_signal: None,
        length: Duration::from_secs(1),
        cpu: Duration::ZERO,
        major_faults: 0,
        rss_peak: Bytes(rss as u64),
        own_peak: Bytes(rss as u64 / 2),
        pss_peak: None,
        at_end: RssParts::default(),
        pss_end: None,
        at_peak: Vec::new(),
        peak_reading_share: None,
        stages: Vec::new(),
        cap: None,
        errors: String::new(),
    }
}
