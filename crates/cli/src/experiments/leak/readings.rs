//! What leak reads of a running process.

use std::time::Duration;

use anyhow::bail;
use plimsoll_model::{Breakdown, Bytes, Component, OwnerLevel, RssParts, Sample};
use plimsoll_probe::{QuickSampler, descendants};

use crate::status_line::time_left;

/// Quick figures of a process and all its descendants, added up. `None` when it has ended.
pub(super) fn read_tree(root: &mut QuickSampler) -> anyhow::Result<Option<RssParts>> {
    let Some(figures) = root.read()? else {
        return Ok(None);
    };
    let mut parts = RssParts::default();
    let sample = |figures: &plimsoll_model::StatusFigures| Sample {
        at: Duration::ZERO,
        process: root.id(),
        rss: figures.rss,
        anon: figures.anon,
        file: figures.file,
        shmem: figures.shmem,
        swap: figures.swap,
    };
    parts.add(&sample(&figures));
    for pid in descendants(root.id().pid) {
        // One that has just ended holds nothing any more.
        if let Ok(figures) = plimsoll_probe::read_status(pid) {
            parts.add(&sample(&figures));
        }
    }
    Ok(Some(parts))
}

pub(super) fn open(pid: u32) -> anyhow::Result<QuickSampler> {
    match QuickSampler::open(pid) {
        Ok(sampler) => Ok(sampler),
        Err(error) => bail!("leak: {error}"),
    }
}

/// The top owners of a full reading, with what is live and what is held in all their parts.
pub(super) fn owner_levels(breakdown: &Breakdown) -> Vec<OwnerLevel> {
    let components = breakdown.components.iter();
    components
        .map(|component| OwnerLevel {
            name: component.name.clone(),
            kind: component.kind,
            resident: component.usage.resident,
            live: used(component, |used| used.live),
            held_free: used(component, |used| used.held_free),
        })
        .collect()
}

/// The component's own figure, or the sum over its parts that have one.
fn used(component: &Component, of: fn(&plimsoll_model::Used) -> Bytes) -> Option<Bytes> {
    if let Some(used) = &component.used {
        return Some(of(used));
    }
    let parts = component.parts.iter().filter_map(|part| used(part, of));
    let parts: Vec<Bytes> = parts.collect();
    (!parts.is_empty()).then(|| parts.into_iter().sum())
}

/// "12/200  RSS 1.00 MiB, about 3 s left".
pub(super) fn progress_words(passed: Duration, done: usize, total: usize, rss: Bytes) -> String {
    format!(
        "{done}/{total}  RSS {rss}{}",
        time_left(passed, done, total)
    )
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Kind, Used};

    use super::*;

    #[test]
    fn live_bytes_are_summed_over_parts_unless_the_whole_tells() {
        let with = |live: u64| {
            let mut part = Component::new("part", Kind::Heap);
            part.used = Some(Used {
                live: Bytes(live),
                held_free: Bytes(1),
                method: String::new(),
            });
            part
        };
        let mut heap = Component::new("heap", Kind::Heap);
        assert_eq!(used(&heap, |used| used.live), None);
        heap.parts = vec![with(3), Component::new("other", Kind::Heap), with(4)];
        assert_eq!(used(&heap, |used| used.live), Some(Bytes(7)));
        assert_eq!(used(&heap, |used| used.held_free), Some(Bytes(2)));
        heap.used = with(9).used;
        assert_eq!(used(&heap, |used| used.live), Some(Bytes(9)));
    }
}
