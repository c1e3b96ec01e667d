//! The only crate that opens /proc and cgroup files: a live process becomes a
//! [`plimsoll_model::Snapshot`] and a [`LiveTarget`] to ask more of it.
//!
//! Parsers are pure functions over bytes; files that do system calls are thin. Every call that
//! holds the target's mm lock is timed and paced, see `hold.rs`.

mod activity;
mod cache;
mod cgroup;
mod descendants;
mod elf;
mod error;
mod facilities;
mod hold;
mod images;
mod maps;
mod memory;
mod names;
mod pagemap;
mod pressure;
mod proc_file;
mod processes;
mod quick;
mod reader;
mod relatives;
mod smaps;
mod stat;
mod status;
mod system;
mod table;
mod target;
mod threads;
mod walk;

pub use cache::{Sharers, count_sharers, read_mapped_files};
pub use cgroup::{
    GroupFigures, GroupPlace, container_of, find_group_place, find_group_place_under, group_pids,
    has_memory_controller, memory_group, read_cgroup, read_cgroup_under, read_group_figures,
    read_group_limit,
};
pub use descendants::{all_descendants, descendants};
pub use elf::read_image;
pub use error::ProbeError;
pub use facilities::{Facilities, Facility};
pub use maps::{ParsedMappings, parse_maps};
pub use pressure::{Pressure, Stall, read_cgroup_pressure, read_system_pressure};
pub use processes::{find_by_name, list_pids};
pub use quick::{QuickSampler, read_status};
pub use reader::{
    FileDetail, MethodChoice, ReadOptions, SMAPS_MAPPINGS_MAX, SMAPS_RSS_MAX, process_info,
    read_rollup, read_snapshot,
};
pub use smaps::{Rollup, parse_rollup, parse_smaps};
pub use stat::{Stat, parse_stat};
pub use status::{Status, parse_status};
pub use system::read_system_memory;
pub use table::{Grouping, TableOptions, read_process_table};
pub use target::LiveTarget;
