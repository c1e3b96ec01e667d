//! Text for people: plain, readable without colour, never wider than asked.

mod breakdown;
mod cgroup;
mod chart;
mod check;
mod fit;
mod law;
mod leak;
mod page;
mod process_table;
mod published;
mod receipt;
mod recorded;
mod scale;
mod stages;
mod table;

pub(crate) use breakdown::breakdown;
pub(crate) use check::check;
pub(crate) use fit::fit;
pub(crate) use leak::leak;
pub(crate) use process_table::process_table;
pub(crate) use receipt::receipt;
pub(crate) use recorded::recorded;
pub(crate) use scale::scale;
