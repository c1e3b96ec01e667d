//! `plimsoll report`: the report of a recording.

use std::process::ExitCode;

use plimsoll_render::render_recorded;

use crate::arguments::Report;
use crate::output::{self, Stream};

/// Points a report draws per recording; the reader keeps the peaks.
pub(crate) const SAMPLES_MAX: usize = 4000;

pub(crate) fn report(arguments: &Report) -> anyhow::Result<ExitCode> {
    let recorded = plimsoll_recording::read_recorded(&arguments.recording, SAMPLES_MAX)?;
    let options = output::text_options(&arguments.output, Stream::Stdout);
    output::to_stdout(|w| render_recorded(&recorded, arguments.output.format, &options, w))?;
    Ok(ExitCode::SUCCESS)
}
