//! HTML: one offline file.

use std::io::{self, Write};

use plimsoll_model::{Breakdown, ProcessTable, Recorded};

pub(crate) fn breakdown(_: &Breakdown, _: &mut dyn Write) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
pub(crate) fn process_table(_: &ProcessTable, _: &mut dyn Write) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
pub(crate) fn recorded(_: &Recorded, _: &mut dyn Write) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
