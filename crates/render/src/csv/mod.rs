//! CSV for spreadsheets and data frames (RFC 4180): one header, CRLF line ends, fields quoted
//! where needed. Sizes are integers of bytes, times decimal seconds, an unknown figure is empty.
//!
//! Names are foreign text: control characters are escaped, and a name that a spreadsheet would
//! run as a formula gets a leading apostrophe, which spreadsheets take as "this is text".

mod breakdown;
mod check;
mod compare;
mod fields;
mod fit;
mod leak;
mod process_table;
mod recorded;
mod scale;

pub(crate) use breakdown::breakdown;
pub(crate) use check::check;
pub(crate) use compare::compare;
pub(crate) use fit::fit;
pub(crate) use leak::leak;
pub(crate) use process_table::process_table;
pub(crate) use recorded::recorded;
pub(crate) use scale::scale;
