//! Text for people: plain, readable without colour, never wider than asked.

mod breakdown;
mod cgroup;
mod fit;
mod page;
mod process_table;
mod recorded;
mod table;
mod time_line;

pub(crate) use breakdown::breakdown;
pub(crate) use fit::fit;
pub(crate) use process_table::process_table;
pub(crate) use recorded::recorded;
