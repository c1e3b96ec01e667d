//! Holds `--mib N` and ends when told, or `--after-ms T` milliseconds after its ready line.

use std::io;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "after-ms"])?;
    let bytes = arguments.mebibytes("mib", 64)?;
    let region = Region::anonymous_in_small_pages(bytes)?;
    region.write_pages(0..bytes, 1);
    let limit = if arguments.has("after-ms") {
        i32::try_from(arguments.number("after-ms", 0)?)?
    } else {
        -1
    };
    stage::ready(&json!({ "address": region.address(), "anon_bytes": bytes }))?;
    let mut input = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd is passed, with the count 1.
    if unsafe { libc::poll(&raw mut input, 1, limit) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}
