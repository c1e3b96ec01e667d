//! Text for people: plain, readable without colour, never wider than asked.

mod breakdown;
mod cgroup;
mod law;
mod page;
mod plot;
mod process_table;
mod receipt;
mod recorded;
mod scale;
mod table;
mod time_line;

pub(crate) use breakdown::breakdown;
pub(crate) use process_table::process_table;
pub(crate) use receipt::receipt;
pub(crate) use recorded::recorded;
pub(crate) use scale::scale;
