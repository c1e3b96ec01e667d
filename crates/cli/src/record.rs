//! `plimsoll run` and `plimsoll record`: follow a command or a process, then report.

use std::process::ExitCode;

use anyhow::bail;
use plimsoll_recording::read_recorded;
use plimsoll_render::{Format, render_recorded};
use plimsoll_runner::{End, Launch, Options, Outcome, RunnerError, Streams};

use crate::arguments::{Record, Run, Sampling};
use crate::cap;
use crate::examiner::breakdown_reader;
use crate::keeper::{Finished, Keeper, StageTalk};
use crate::line_pattern::LinePattern;
use crate::output::{self, Stream};
use crate::report::SAMPLES_MAX;
use crate::subject;

pub(crate) fn run(arguments: &Run) -> anyhow::Result<ExitCode> {
    if arguments.output.format != Format::Text && arguments.report.is_none() {
        bail!(
            "--format {} needs --report FILE: standard output belongs to the command",
            arguments.output.format
        );
    }
    let options = options(&arguments.sampling)?;
    let command: Vec<String> = arguments
        .command
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let program = command[0].rsplit('/').next().unwrap_or_default().to_owned();
    let mut keeper = Keeper::open(&arguments.sampling, command, &program, None)?;
    keeper.follow_stages(StageTalk {
        pattern: arguments.stage_from_log.as_ref().map(LinePattern::as_str),
        lines: arguments.stage_lines,
    });
    let launch = Launch {
        streams: match &arguments.stage_from_log {
            Some(pattern) => Streams::Watched(pattern.matcher()),
            None => Streams::Inherited,
        },
        limit: arguments.limit,
        mechanism: arguments.mechanism.wanted(),
        ..Launch::new(arguments.command.clone())
    };
    let followed = plimsoll_runner::run(&options, &launch, breakdown_reader(), &mut keeper);
    let outcome = match followed {
        Ok(outcome) => outcome,
        Err(error) => {
            keeper.discard();
            return Ok(could_not_run(&error));
        }
    };
    let finished = keeper.finish(&outcome);
    cap::tell_end(&outcome);
    // Whatever becomes of the report, the command's own exit code is passed through.
    if let Err(error) = report_run(arguments, &finished) {
        eprintln!("plimsoll: {}", output::explain(&error));
    }
    finished.announce();
    Ok(exit_code(&outcome))
}

pub(crate) fn record(arguments: &Record) -> anyhow::Result<ExitCode> {
    let options = options(&arguments.sampling)?;
    let pid = subject::find(&arguments.subject)?;
    let process = plimsoll_probe::process_info(pid)?;
    let name = format!("{}-{pid}", process.application());
    let mut keeper = Keeper::open(&arguments.sampling, Vec::new(), &name, arguments.duration)?;
    let outcome = match plimsoll_runner::record(&options, pid, breakdown_reader(), &mut keeper) {
        Ok(outcome) => outcome,
        Err(error) => {
            keeper.discard();
            return Err(error.into());
        }
    };
    let finished = keeper.finish(&outcome);
    let recorded = read_recorded(finished.path(), SAMPLES_MAX)?;
    let text = output::text_options(&arguments.output, Stream::Stdout);
    let written =
        output::to_stdout(|w| render_recorded(&recorded, arguments.output.format, &text, w));
    finished.announce();
    written?;
    Ok(ExitCode::SUCCESS)
}

fn options(sampling: &Sampling) -> Result<Options, RunnerError> {
    Options::new(sampling.interval, sampling.breakdown_interval)
}

fn report_run(arguments: &Run, finished: &Finished) -> anyhow::Result<()> {
    let recorded = read_recorded(finished.path(), SAMPLES_MAX)?;
    let format = arguments.output.format;
    match &arguments.report {
        Some(path) => {
            let text = output::text_options(&arguments.output, Stream::File);
            output::to_file(path, |w| render_recorded(&recorded, format, &text, w))?;
            eprintln!("plimsoll: report written to {}", path.display());
            Ok(())
        }
        None => {
            let text = output::text_options(&arguments.output, Stream::Stderr);
            output::to_stderr(|w| render_recorded(&recorded, format, &text, w))
        }
    }
}

fn could_not_run(error: &RunnerError) -> ExitCode {
    eprintln!("plimsoll: {error}");
    ExitCode::from(error.exit_status())
}

/// The command's own, as shells report it.
fn exit_code(outcome: &Outcome) -> ExitCode {
    let code = match outcome.end {
        End::Exited(code) => code,
        End::Killed(signal) => 128 + signal,
        End::Gone | End::StillRunning => 0,
    };
    // exit(3): the low eight bits are all that a parent sees.
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
