//! A million entries, walked and changed in batches of at most 256 KiB, stopped in the middle and
//! continued: `cargo run --example batches`.

use std::collections::BTreeMap;

use plimsoll::Error;
use plimsoll::batches::{BatchLimits, walk_after};

fn main() -> Result<(), Error> {
    let mut store: BTreeMap<u64, String> =
        (0..1_000_000).map(|key| (key, "new".to_owned())).collect();
    let limits = BatchLimits {
        items: 10_000,
        bytes: 256 << 10,
    };

    // In a real store the resume key is saved in the transaction that writes the batch.
    let mut saved = None;
    let stopped = walk_after(&mut store, saved, limits, |store, batch| {
        if batch.resume_key() > Some(&500_000) {
            return Err("the power is out");
        }
        saved = batch.resume_key().copied();
        for (key, _) in batch.into_entries() {
            store.insert(key, "sent".to_owned());
        }
        Ok(())
    });
    if let Err(error) = stopped {
        println!("{error}; saved: {saved:?}");
    }

    let walked = walk_after(&mut store, saved, limits, |store, batch| {
        for (key, _) in batch.into_entries() {
            store.insert(key, "sent".to_owned());
        }
        Ok::<_, Error>(())
    })?;
    println!("continued: {walked:?}");
    let sent = store.values().filter(|state| *state == "sent").count();
    println!("{sent} of {} sent", store.len());
    Ok(())
}
