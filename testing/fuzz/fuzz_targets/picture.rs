//! Picture files of the image board: any bytes are a picture within the limits or an error, also when they are
//! hashed and made small, and take no more bytes than was said before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::ledger::Ledger;

// What the decoder's own tests check of files that were changed.
#[path = "../../../apps/booru-picture/tests/any_bytes/mod.rs"]
mod any_bytes;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

fuzz_target!(|bytes: &[u8]| {
    any_bytes::check(bytes);
});
