//! The `plimsoll` command: arguments → readings → breakdown → renderer → exit code.

mod arguments;
mod cap;
mod examiner;
mod experiments;
mod facilities;
mod inspect;
mod keeper;
mod line_pattern;
mod mark;
mod output;
mod ps;
mod record;
mod report;
mod stage_line;
mod status_line;
mod subject;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Verb};

/// Could not run: bad arguments, no such process, no permission.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plimsoll: {}", output::explain(&error));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn run(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Inspect(arguments) => inspect::inspect(arguments),
        Verb::Ps(arguments) => ps::ps(arguments),
        Verb::Run(arguments) => record::run(arguments),
        Verb::Fit(arguments) => experiments::fit::fit(arguments),
        Verb::Record(arguments) => record::record(arguments),
        Verb::Watch(arguments) => watch::watch(arguments),
        Verb::Report(arguments) => report::report(arguments),
        Verb::Scale(arguments) => experiments::scale::scale(arguments),
        Verb::Compare(arguments) => experiments::compare::compare(arguments),
        Verb::Leak(arguments) => experiments::leak::leak(arguments),
        Verb::Check(arguments) => experiments::check::check(arguments),
        Verb::Ballast(arguments) => experiments::ballast::ballast(arguments),
        Verb::Mark(arguments) => mark::mark(arguments),
        Verb::Facilities => facilities::facilities(),
    }
}
