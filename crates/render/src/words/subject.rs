//! What was looked at, in words.

use plimsoll_model::{Breakdown, Scope};

use crate::words::number::count;

/// "pid 4121", "tree of pid 4121, 3 processes".
pub(crate) fn scope_words(breakdown: &Breakdown) -> String {
    let pid = breakdown.process.id.pid;
    match breakdown.scope {
        Scope::Process => format!("pid {pid}"),
        Scope::Tree => format!(
            "tree of pid {pid}, {}",
            count(breakdown.processes.len() as u64, "process", "processes")
        ),
    }
}
