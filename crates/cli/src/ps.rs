//! `plimsoll ps`: all processes by the memory they really own.

use std::process::ExitCode;

use plimsoll_probe::{Grouping, TableOptions, read_process_table};
use plimsoll_render::render_process_table;

use crate::arguments::{Group, Ps};
use crate::output::{self, Stream};

pub(crate) fn ps(arguments: &Ps) -> anyhow::Result<ExitCode> {
    let grouping = match arguments.group {
        Group::Process => Grouping::Process,
        Group::Application => Grouping::Application,
        Group::Container => Grouping::Container,
    };
    let table = read_process_table(TableOptions { grouping })?;
    let options = output::text_options(&arguments.output, Stream::Stdout);
    output::to_stdout(|w| render_process_table(&table, arguments.output.format, &options, w))?;
    Ok(ExitCode::SUCCESS)
}
