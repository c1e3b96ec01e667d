//! Leaves one child a zombie: it has ended, and nobody has asked how.

use plimsoll_subjects::children::Children;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let children = Children::fork_to_end(1)?;
    let zombie = children.pids()[0];
    stage::ready(&json!({ "zombie": zombie }))?;
    stage::wait()?;
    children.end()?;
    Ok(())
}
