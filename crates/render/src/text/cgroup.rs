//! The cgroup block of a breakdown: which limit bites first, and how far away it is.

use std::io;

use plimsoll_model::{Bytes, Cgroup, CgroupLevel};

use super::page::{Page, Tone};
use crate::words::number::{count, percent};

/// Prints the tightest level, then levels above or below it that have a limit of their own.
pub(super) fn write(page: &mut Page<'_>, cgroup: &Cgroup) -> io::Result<()> {
    page.blank()?;
    let Some(tightest) = cgroup.tightest() else {
        let own = cgroup.levels.first();
        let used = own.and_then(|level| level.current).map_or_else(
            || "usage not stated".to_owned(),
            |current| format!("{current} charged, page cache included"),
        );
        let path = own.map_or("/", |level| level.path.as_str());
        return page.paragraph(
            Tone::Plain,
            "",
            &format!("cgroup {path}: no limit up to the root; {used}"),
        );
    };
    level(page, "limit that bites first: ", tightest)?;
    for other in &cgroup.levels {
        if other.limit().is_some() && !std::ptr::eq(other, tightest) {
            level(page, "also limited: ", other)?;
        }
    }
    Ok(())
}

fn level(page: &mut Page<'_>, lead: &str, level: &CgroupLevel) -> io::Result<()> {
    page.paragraph(Tone::Plain, "", &format!("{lead}cgroup {}", level.path))?;
    let mut pieces = Vec::new();
    if let Some(limit) = level.limit() {
        // Above memory.high the group is throttled and reclaimed, above memory.max killed.
        let word = if level.max == Some(limit) {
            "hard cap"
        } else {
            "throttled above"
        };
        pieces.push(format!("{word} {limit}"));
        if let Some(current) = level.current {
            pieces.push(format!("{current} used ({})", percent(current, limit)));
        }
    }
    if let Some(headroom) = level.headroom() {
        pieces.push(format!("{headroom} left"));
    }
    if let Some(file) = level.file {
        pieces.push(format!(
            "{file} of the use is page cache{}",
            inactive(level)
        ));
    }
    if let Some(peak) = level.peak {
        pieces.push(format!("peak {peak}"));
    }
    if let Some(swap_max) = level.swap_max {
        pieces.push(if swap_max == Bytes::ZERO {
            "may not swap".to_owned()
        } else {
            format!("may swap {swap_max}")
        });
    }
    if let Some(kills) = level.oom_kills.filter(|kills| *kills > 0) {
        pieces.push(count(kills, "OOM kill so far", "OOM kills so far"));
    }
    page.pieces(Tone::Plain, 2, ",", &pieces)
}

fn inactive(level: &CgroupLevel) -> String {
    level
        .inactive_file
        .map(|inactive| format!(" ({inactive} inactive)"))
        .unwrap_or_default()
}
