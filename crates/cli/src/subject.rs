//! Which process is meant: a pid, or a name that fits exactly one.

use anyhow::bail;
use plimsoll_model::ProcessInfo;
use plimsoll_render::printable;

/// Names shown when one fits several processes.
const CANDIDATES_SHOWN: usize = 10;

/// Characters shown of a command line: with its pid it fits a line of 80 columns.
const COMMAND_CHARS_SHOWN: usize = 56;

/// The pid that `subject` means.
pub(crate) fn find(subject: &str) -> anyhow::Result<u32> {
    if let Ok(pid) = subject.parse::<u32>() {
        return Ok(pid);
    }
    if !subject.is_empty() && subject.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("{subject} is too large for a process id");
    }
    let found = plimsoll_probe::find_by_name(subject)?;
    match found.as_slice() {
        [] => bail!("no process is called {subject:?}; `plimsoll ps` lists them"),
        [only] => Ok(only.id.pid),
        several => match only_root(several) {
            Some(pid) => bail!(
                "{} processes are called {subject:?}, all of them below {pid}: give {pid}, with \
                 --tree to take in the others",
                several.len()
            ),
            None => bail!(
                "{} processes are called {subject:?}: give one by its id:\n{}",
                several.len(),
                listed(several)
            ),
        },
    }
}

/// The one process of `found` that is an ancestor of all others, as with a server's workers.
fn only_root(found: &[ProcessInfo]) -> Option<u32> {
    let pids: Vec<u32> = found.iter().map(|process| process.id.pid).collect();
    let mut roots = found
        .iter()
        .filter(|process| !pids.contains(&process.parent));
    match (roots.next(), roots.next()) {
        (Some(root), None) => Some(root.id.pid),
        _ => None,
    }
}

fn listed(found: &[ProcessInfo]) -> String {
    let mut lines: Vec<String> = found
        .iter()
        .take(CANDIDATES_SHOWN)
        .map(|process| {
            let command = process.command.join(" ");
            let command: String = printable(&command)
                .chars()
                .take(COMMAND_CHARS_SHOWN)
                .collect();
            format!("  {:>8}  {}", process.id.pid, command)
        })
        .collect();
    if found.len() > CANDIDATES_SHOWN {
        lines.push(format!("  … and {} more", found.len() - CANDIDATES_SHOWN));
    }
    lines.join("\n")
}
