//! The listing of a run, beside what is known: by the way that the source allows.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use plimsoll::runs::SortOptions;
use plimsoll::stream::TempSpace;

use crate::config::RunArguments;
use crate::listing::{
    BucketListing, Hints, IgnoresStartAfter, KnownHints, Lister, Options, SortedListing, Strategy,
    Unordered,
};
use crate::memory::{LISTER_BYTES, Memory, PAGE_BYTES};
use crate::report::Log;
use crate::s3::Client;
use crate::scan::{ScanCounts, UntilCancelled, scan};
use crate::state::{Generation, State};

/// What that may take on disk: more than the listing of any bucket.
const SORT_DISK_BYTES: u64 = 1 << 40;

/// The listing beside what is known. Where the source does not begin a listing where it is asked to, it
/// is listed once more without that; where it does not list in order, once more, and sorted.
pub(super) fn list(
    arguments: &RunArguments,
    log: &Log,
    client: &Arc<Client>,
    state: &State,
    cancel: &AtomicBool,
) -> Result<(ScanCounts, Generation)> {
    let memory = Memory::begin(&arguments.plan)?;
    let held = memory.listing.reserve(arguments.plan.listing_bytes())?;
    let mut options = arguments.listing()?;
    let lister: Arc<dyn Lister> = client.clone();
    let mut listed = list_ranges(&lister, &options, log, state, cancel);
    if let Err(error) = &listed
        && error.is::<IgnoresStartAfter>()
    {
        log.error(format!(
            "{error}: it is listed again, one page after the other"
        ));
        (options.strategy, options.is_from_start) = (Strategy::Flat, true);
        listed = list_ranges(&lister, &options, log, state, cancel);
    }
    let unordered = match listed {
        Err(error) if error.is::<Unordered>() => error,
        ended => return ended,
    };
    log.error(format!(
        "{unordered}: it is listed again and sorted, and deletes nothing"
    ));
    drop(held);
    let _page = memory.listing.reserve(LISTER_BYTES + PAGE_BYTES)?;
    let _held = memory.sort.reserve(arguments.plan.sort_bytes)?;
    let sort = SortOptions {
        memory_bytes: arguments.plan.sort_bytes as usize,
        space: TempSpace::new(&arguments.state.state, SORT_DISK_BYTES)?,
    };
    let mut listing = SortedListing::read(&**client, &options.prefix, &options.range, sort)?;
    let listing = &mut UntilCancelled {
        listing: &mut listing,
        cancel,
        listed: 0,
        each: &|batches| log.memory(&format!("AFTER_BATCH_{batches}")),
    };
    let mut next = state.next()?;
    let mut counts = scan(state.known()?, listing, &mut next)?;
    counts.is_unordered = true;
    Ok((counts, next))
}

fn list_ranges(
    lister: &Arc<dyn Lister>,
    options: &Options,
    log: &Log,
    state: &State,
    cancel: &AtomicBool,
) -> Result<(ScanCounts, Generation)> {
    let base = state.base();
    let known = KnownHints::new(base.frame_starts(), base.figures().entries);
    let known: Option<Box<dyn Hints>> = match base.figures().entries {
        0 => None,
        _ => Some(Box::new(known)),
    };
    let rate = *log;
    let tell = move |each| rate.info(format!("S3 listing: current RPS = {each} req/s"));
    let mut listing = BucketListing::start(lister, options, known, Box::new(tell))?;
    let mut next = state.next()?;
    let until = &mut UntilCancelled {
        listing: &mut listing,
        cancel,
        listed: 0,
        each: &|batches| log.memory(&format!("AFTER_BATCH_{batches}")),
    };
    let mut counts = scan(state.known()?, until, &mut next)?;
    counts.doubt = listing.doubt();
    if let Some(doubt) = &counts.doubt {
        log.error(format!(
            "{doubt}: what is missing may be there all the same"
        ));
    }
    log.debug(format!("{:?}", listing.figures()));
    Ok((counts, next))
}
