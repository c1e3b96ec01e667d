//! Keeps `--children N` short-lived children alive, each for `--milliseconds M`, until told to end.
//!
//! A child that ends is replaced at once, so that a reader of the tree meets processes that appear
//! and vanish under its hands. Its last line is `{"spawned":…}`.

use std::io;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::children;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

/// How long it waits for its input before it looks for ended children.
const TURN_MILLISECONDS: libc::c_int = 1;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["children", "milliseconds"])?;
    let count = arguments.number("children", 8)?;
    let milliseconds = i32::try_from(arguments.number("milliseconds", 10)?)?;
    let mut alive = Vec::with_capacity(count);
    let mut spawned = 0_u64;
    stage::ready(&json!({ "children": count, "lifetime_milliseconds": milliseconds }))?;
    while !input_arrived()? {
        while let Some(pid) = children::reap_any()? {
            alive.retain(|other| *other != pid);
        }
        while alive.len() < count {
            alive.push(children::fork_for(milliseconds)?);
            spawned += 1;
        }
    }
    stage::say(&json!({ "spawned": spawned }))?;
    Ok(())
}

fn input_arrived() -> io::Result<bool> {
    let mut input = libc::pollfd {
        fd: libc::STDIN_FILENO,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd is passed, with the count 1.
    match unsafe { libc::poll(&raw mut input, 1, TURN_MILLISECONDS) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}
