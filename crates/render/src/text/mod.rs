//! Text for people: plain, readable without colour, never wider than asked.

mod breakdown;
mod cgroup;
mod check;
mod fit;
mod leak;
mod page;
mod process_table;
mod recorded;
mod table;
mod time_line;
mod work_chart;

pub(crate) use breakdown::breakdown;
pub(crate) use check::check;
pub(crate) use fit::fit;
pub(crate) use leak::leak;
pub(crate) use process_table::process_table;
pub(crate) use recorded::recorded;
