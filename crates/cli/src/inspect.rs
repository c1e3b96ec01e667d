//! `plimsoll inspect`: who owns the resident bytes of a process or of a tree.

use std::process::ExitCode;

use plimsoll_render::render_breakdown;

use crate::arguments::Inspect;
use crate::examiner::{Examiner, Sharers};
use crate::output::{self, Stream};
use crate::subject;

pub(crate) fn inspect(arguments: &Inspect) -> anyhow::Result<ExitCode> {
    let pid = subject::find(&arguments.subject)?;
    let mut examiner = Examiner::new(arguments.method, Sharers::Counted);
    let found = if arguments.tree {
        examiner.tree(pid)?
    } else {
        examiner.process(pid)?
    };
    let options = output::text_options(&arguments.output, Stream::Stdout);
    output::to_stdout(|w| render_breakdown(&found, arguments.output.format, &options, w))?;
    Ok(ExitCode::SUCCESS)
}
