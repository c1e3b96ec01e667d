//! Where a setting comes from: a flag before its environment variable, that before the file of
//! settings, that before the default. What is lower is put before the flags that are given, as a flag of
//! its own, and the last one counts; so every value passes the same checks.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches};

use super::file::{self, Setting};
use super::{Arguments, Command};
use crate::memory::{Plan, Wishes};

/// How the command line ends before it begins.
#[derive(Debug)]
pub enum Refused {
    /// Help, a version, or a flag that is wrong.
    Flags(clap::Error),
    /// A variable or a file that is wrong, or settings that do not fit each other.
    Settings(anyhow::Error),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Refused {
        Refused::Flags(error)
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Refused {
        Refused::Settings(error)
    }
}

/// The arguments of a process, completed from its environment and its file of settings.
///
/// # Errors
/// What is wrong, where it stands and what is allowed.
pub fn read(
    given: Vec<OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Arguments, Refused> {
    let command = Arguments::command().args_override_self(true);
    let asks_help = given.iter().any(|one| one == "--help" || one == "-h");
    let verb = given.get(1).and_then(|name| name.to_str());
    let verb = verb.and_then(|name| command.find_subcommand(name)).cloned();
    let mut notices = Vec::new();
    let mut all: Vec<OsString> = given.iter().take(2).cloned().collect();
    if let (Some(verb), false) = (&verb, asks_help) {
        if let Some(path) = config_path(&given, environment) {
            let settings = file::read(&path)?;
            notices = settings.notices;
            all.extend(of_file(verb, &settings.all, &path, &given)?);
        }
        all.extend(of_environment(verb, environment, &given)?);
    }
    all.extend(given.iter().skip(2).cloned());
    // What is set, but empty, is not set.
    let command = command.mut_subcommands(|verb| {
        verb.mut_args(|arg| match arg.get_env() {
            Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
                arg.env(None::<&str>)
            }
            _ => arg,
        })
    });
    let matches = command.try_get_matches_from(all)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    // The one verb that reads what the original has kept.
    let is_import = matches!(arguments.command, Command::ImportBbolt(_));
    if let (Some(run), Some((_, of_verb))) = (arguments.command.run_mut(), matches.subcommand()) {
        let plan = Plan::new(run.memory_budget, wishes(of_verb))?;
        run.source_workers = plan.source_workers;
        run.dest_workers = plan.dest_workers;
        run.source_max_queue_size = plan.keys_ahead;
        run.plan = plan;
        if !is_import {
            notices.extend(run.gone.notices(of_verb));
        }
        run.notices = notices;
    }
    Ok(arguments)
}

/// What was asked for by flag, variable or file; the rest is left to the budget.
fn wishes(matches: &ArgMatches) -> Wishes {
    let given = |name: &str| {
        let source = matches.value_source(name);
        source.is_some_and(|source| source != clap::parser::ValueSource::DefaultValue)
    };
    Wishes {
        source_workers: given("source_workers")
            .then(|| matches.get_one::<u32>("source_workers").copied())
            .flatten(),
        dest_workers: given("dest_workers")
            .then(|| matches.get_one::<u32>("dest_workers").copied())
            .flatten(),
        keys_ahead: given("source_max_queue_size")
            .then(|| matches.get_one::<usize>("source_max_queue_size").copied())
            .flatten(),
    }
}

/// The last `--config` that is given, or the variable.
fn config_path(
    given: &[OsString],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let mut path = environment("MIRROR_CONFIG").filter(|value| !value.is_empty());
    for (at, one) in given.iter().enumerate() {
        if one == "--config" {
            path = given.get(at + 1).cloned().or(path);
        } else if let Some(value) = one.to_str().and_then(|one| one.strip_prefix("--config=")) {
            path = Some(value.into());
        }
    }
    path.map(PathBuf::from)
}

fn of_file(
    verb: &clap::Command,
    settings: &[Setting],
    path: &Path,
    given: &[OsString],
) -> Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for setting in settings {
        // Verbs that need the state alone pass by the rest.
        let Some(arg) = argument(verb, setting.flag) else {
            continue;
        };
        if is_given(arg, given) {
            continue;
        }
        if let Err(why) = check(arg, OsStr::new(&setting.value)) {
            bail!("{}: {}: {why}", path.display(), setting.key);
        }
        flags.push(flag(arg, OsStr::new(&setting.value)));
    }
    Ok(flags)
}

fn of_environment(
    verb: &clap::Command,
    environment: &dyn Fn(&str) -> Option<OsString>,
    given: &[OsString],
) -> Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for arg in verb.get_arguments() {
        let Some(name) = arg.get_env().and_then(OsStr::to_str) else {
            continue;
        };
        let Some(value) = environment(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        if is_given(arg, given) {
            continue;
        }
        if let Err(why) = check(arg, &value) {
            bail!("environment variable {name}: {why}");
        }
        flags.push(flag(arg, &value));
    }
    Ok(flags)
}

fn argument<'a>(verb: &'a clap::Command, name: &str) -> Option<&'a Arg> {
    verb.get_arguments().find(|arg| arg.get_id() == name)
}

/// Whether it is among the flags: what is below it does not count then, right or wrong.
fn is_given(arg: &Arg, given: &[OsString]) -> bool {
    let names = arg.get_long_and_visible_aliases().unwrap_or_default();
    let names = names
        .into_iter()
        .chain(arg.get_all_aliases().unwrap_or_default());
    let names: Vec<String> = names.map(|name| format!("--{name}")).collect();
    given.iter().filter_map(|one| one.to_str()).any(|one| {
        let name = one.split_once('=').map_or(one, |(name, _)| name);
        names.iter().any(|known| known == name)
    })
}

/// `--name=value`.
fn flag(arg: &Arg, value: &OsStr) -> OsString {
    let mut flag = OsString::from(format!("--{}=", arg.get_long().unwrap_or_default()));
    flag.push(value);
    flag
}

/// Why an argument does not take a value.
fn check(arg: &Arg, value: &OsStr) -> Result<(), String> {
    let alone = arg.clone().required(false).env(None::<&str>);
    let command = clap::Command::new("mirror")
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(alone);
    let Err(error) = command.try_get_matches_from([flag(arg, value)]) else {
        return Ok(());
    };
    let text = error.to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("For more"));
    let lines: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Err(lines.join(" ").trim_start_matches("error: ").to_owned())
}

impl Command {
    fn run_mut(&mut self) -> Option<&mut super::RunArguments> {
        match self {
            Command::Run(run) | Command::Plan(run) => Some(run),
            Command::ImportBbolt(import) => Some(&mut import.run),
            _ => None,
        }
    }
}
