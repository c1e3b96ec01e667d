//! What a run leaves undone, and why it deletes nothing where it does not.

use crate::config::RunArguments;
use crate::report::Log;
use crate::run::{EQUAL, PARTIAL};
use crate::scan::ScanCounts;
use crate::work::Progress;

/// Why nothing may be deleted, if that is so. That the listing is whole was made sure of before.
pub(super) fn withheld(arguments: &RunArguments, counts: &ScanCounts) -> Option<String> {
    let wanted = counts.after.deleted_in_source;
    if arguments.allow_mass_delete {
        return None;
    }
    if counts.is_unordered {
        return Some(
            "the source does not list in order, so what it leaves out can't be told; \
             --allow-mass-delete to trust it"
                .to_owned(),
        );
    }
    if let Some(doubt) = &counts.doubt {
        return Some(format!("{doubt}; --allow-mass-delete to trust it"));
    }
    if counts.listed == 0 {
        return Some(
            "the bucket is empty, which is more often a mistake; --allow-mass-delete if it is none"
                .to_owned(),
        );
    }
    let known = counts.before.total();
    let allowed = arguments.deletions_max(known);
    (wanted > allowed).then(|| {
        format!(
            "{allowed} are allowed of {known} files known; look whether the bucket is right, then raise \
             --max-delete or give --allow-mass-delete"
        )
    })
}

/// What a run leaves undone.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) failed: u64,
    pub(super) waiting: u64,
    pub(super) skipped: u64,
    pub(super) refused: u64,
    pub(super) withheld: u64,
    pub(super) is_cancelled: bool,
}

impl Left {
    pub(super) fn cancelled() -> Left {
        Left {
            is_cancelled: true,
            ..Left::default()
        }
    }

    pub(super) fn add(&mut self, progress: &Progress) {
        self.failed += progress.failed;
        self.waiting += progress.waiting;
        self.skipped += progress.skipped;
    }

    pub(super) fn tell(&self, log: &Log) -> u8 {
        let all = self.failed + self.waiting + self.skipped + self.refused + self.withheld;
        if all == 0 && !self.is_cancelled {
            log.info("Synchronization run completed successfully");
            return EQUAL;
        }
        let ended = match self.is_cancelled {
            true => "was ended by a signal",
            false => "completed in part",
        };
        log.error(format!(
            "Synchronization run {ended}: failed={}, waiting={}, skipped={}, refused_keys={}, \
             withheld_deletions={}",
            self.failed, self.waiting, self.skipped, self.refused, self.withheld
        ));
        PARTIAL
    }
}
