//! The lines of a run whose words and keys are the original's.

use crate::report::Log;
use crate::scan::ScanCounts;
use crate::work::Progress;

pub(super) fn tell_scan(log: &Log, counts: &ScanCounts) {
    let before = &counts.before;
    log.info(format!(
        "PrepareForScan: processed={}, SYNCED→TEMP_DELETED={}, NEW={}, DELETED_ON_S3={}, TEMP_DELETED=0, \
         ERROR={}",
        before.total(),
        before.synced,
        before.new,
        before.deleted_in_source,
        before.error
    ));
    log.info(format!(
        "ProcessSource: total={}, new={}, TEMP_DELETED→SYNCED={}, TEMP_DELETED→NEW={}, \
         DELETED_ON_S3→NEW={}, DELETED_ON_S3→SYNCED={}, NEW(updated)={}",
        counts.listed,
        counts.new,
        counts.synced_to_synced,
        counts.synced_to_new,
        counts.deleted_to_new,
        counts.deleted_to_synced,
        counts.new_again
    ));
    log.info(format!(
        "FinalizeStates: TEMP_DELETED→DELETED_ON_S3={}, dropped={}; {}",
        counts.to_deleted,
        counts.dropped,
        counts.after.line()
    ));
    if counts.folder_markers > 0 {
        log.info(format!(
            "{} folder markers (keys that end in /) are no files",
            counts.folder_markers
        ));
    }
    for (refusal, count) in &counts.refused {
        log.error(format!("{count} keys are not mirrored: {refusal}"));
    }
}

pub(super) fn tell_uploads(log: &Log, counts: &ScanCounts, uploaded: &Progress) {
    log.info(format!(
        "SyncNewFiles: scanned={}, NEW_files={}, synced={}, failed={}, waiting={}, total_size={}",
        uploaded.looked_at,
        counts.after.new + counts.after.error,
        uploaded.done,
        uploaded.failed,
        uploaded.waiting,
        uploaded.bytes
    ));
}
