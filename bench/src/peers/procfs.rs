//! The procfs crate: `Process::smaps()`, which parses every field of every mapping into a map of
//! names to numbers. It does no attribution and reads nothing else.

use anyhow::Context;
use procfs::process::Process;

use crate::cost::Cost;
use crate::race::Turn;

pub(crate) fn read(pid: u32) -> anyhow::Result<Turn> {
    let pid = i32::try_from(pid).context("a pid fits i32")?;
    let (maps, cost) = Cost::of(|| Process::new(pid).and_then(|process| process.smaps()));
    let maps = maps.with_context(|| format!("the procfs crate failed to read process {pid}"))?;
    let known = maps
        .iter()
        .filter(|map| map.extension.map.contains_key("Rss"));
    anyhow::ensure!(
        known.count() > 0,
        "the procfs crate found no Rss in process {pid}"
    );
    Ok(Turn::from(cost))
}
