//! `beacon::Records`: any text of a slot is read or refused, and says no more than it has records.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use plimsoll_anatomy::beacon::Records;

fuzz_target!(|text: &[u8]| {
    let Some(records) = Records::parse(text, Duration::from_secs(9)) else {
        return;
    };
    let consumers = records.budgets.iter().map(|budget| budget.consumers.len());
    let entries = records.tags.len()
        + records.stages.len()
        + records.budgets.len()
        + consumers.sum::<usize>();
    assert!(entries <= text.len() / 4);
    // What was read is what a cut text lacks: no record is taken from behind the end.
    for end in 0..text.len().min(64) {
        if let Some(part) = Records::parse(&text[..end], Duration::ZERO) {
            assert!(part.tags.len() <= records.tags.len());
        }
    }
});
