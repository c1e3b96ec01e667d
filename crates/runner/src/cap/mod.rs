//! A hard cap on the memory of a command: the strongest mechanism that works here, from its setting
//! up before the command starts to the kernel's figures after it.
//!
//! The strongest is a memory cgroup of the command's own, version 2 ([`v2`]) or 1 ([`v1`]),
//! whichever accounts memory on this machine; all processes of the command share its limit. The
//! weakest is RLIMIT_DATA ([`data_limit`]). Why a stronger one was not used is kept.

mod data_limit;
mod group;
mod v1;
mod v2;

use std::io;
use std::process::Command;

use plimsoll_model::{Bytes, CapMechanism, CapRecord, Gap, GapReason};
use plimsoll_probe::{GroupPlace, find_group_place, group_pids, read_group_figures};

use crate::RunnerError;
use crate::launch::{Launch, Leftovers};
use group::Group;

/// A cap that is in place. Dropped, its group goes, unless processes are left in it.
#[derive(Debug)]
pub(crate) struct Cap {
    record: CapRecord,
    /// In words, for people: the group's path and what else is to be known.
    place: String,
    group: Option<Group>,
}

impl Cap {
    /// Sets up the cap that `launch` asks for, before anything is started.
    pub(crate) fn set(launch: &Launch) -> Result<Option<Cap>, RunnerError> {
        let Some(limit) = launch.limit else {
            return Ok(None);
        };
        let wanted = |mechanism| launch.mechanism.is_none_or(|only| only == mechanism);
        let mut refused = Vec::new();
        if wanted(CapMechanism::CgroupV2) || wanted(CapMechanism::CgroupV1) {
            let place = find_group_place(std::process::id()).map_err(|gap| gap.detail);
            for mechanism in [CapMechanism::CgroupV2, CapMechanism::CgroupV1] {
                if !wanted(mechanism) {
                    continue;
                }
                let made = place
                    .as_ref()
                    .map_err(Clone::clone)
                    .and_then(|place| Cap::in_group(mechanism, place, limit));
                match made {
                    Ok(mut cap) => {
                        cap.record.refused = refused;
                        return Ok(Some(cap));
                    }
                    Err(reason) => refused.push(format!("{}: {reason}", mechanism.name())),
                }
            }
        }
        if !wanted(CapMechanism::DataLimit) {
            return Err(RunnerError::Cap {
                limit,
                reasons: refused.join("; "),
            });
        }
        let limit = data_limit::possible(limit);
        Ok(Some(Cap {
            record: record(CapMechanism::DataLimit, limit, refused),
            place: data_limit::MEANING.to_owned(),
            group: None,
        }))
    }

    fn in_group(mechanism: CapMechanism, place: &GroupPlace, limit: Bytes) -> Result<Cap, String> {
        let made = match mechanism {
            CapMechanism::CgroupV2 => v2::make(place, limit)?,
            _ => v1::make(place, limit)?,
        };
        Ok(Cap {
            record: record(mechanism, made.limit, Vec::new()),
            place: made.words,
            group: Some(made.group),
        })
    }

    /// As it is before the command runs: without figures.
    pub(crate) fn record(&self) -> &CapRecord {
        &self.record
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Makes `command` enter the cap before its program is executed.
    pub(crate) fn prepare(&self, command: &mut Command) -> io::Result<()> {
        match &self.group {
            Some(group) => group.prepare(command),
            None => {
                data_limit::prepare(command, self.record.limit);
                Ok(())
            }
        }
    }

    /// The kernel's figures after the command, and what could not be cleaned up.
    pub(crate) fn finish(mut self, leftovers: Leftovers) -> (CapRecord, Option<Gap>) {
        let Some(group) = self.group.take() else {
            return (self.record, None);
        };
        if leftovers == Leftovers::Killed {
            group.kill_all();
        }
        let figures = read_group_figures(group.directory(), group.version());
        self.record.charge_peak = figures.charge_peak;
        self.record.limit_hits = figures.limit_hits;
        self.record.oom_kills = figures.oom_kills;
        let directory = group.directory().to_owned();
        let gap = group.remove().err().map(|error| {
            let left = group_pids(&directory).map_or(0, |pids| pids.len());
            let detail = format!(
                "{} stays ({error}): {left} processes that the command left behind are in it and \
                 keep its limit; remove it with rmdir when they have ended",
                directory.display()
            );
            Gap::new("the end of the cap", GapReason::Bounded, detail)
        });
        (self.record, gap)
    }
}

fn record(mechanism: CapMechanism, limit: Bytes, refused: Vec<String>) -> CapRecord {
    CapRecord {
        mechanism,
        limit,
        charge_peak: None,
        limit_hits: None,
        oom_kills: None,
        refused,
    }
}

/// A group that was made, the limit that the kernel took (it rounds to pages), and words on it.
#[derive(Debug)]
struct Made {
    group: Group,
    limit: Bytes,
    words: String,
}
