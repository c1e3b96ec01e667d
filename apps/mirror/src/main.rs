//! The `mirror` command.

use std::process::ExitCode;

use clap::Parser;
use plimsoll_mirror::config::Arguments;
use plimsoll_mirror::run;

fn main() -> ExitCode {
    // Each thread would keep an arena of its own, with what it has freed; two are as fast here.
    // SAFETY: it only sets a number, before any thread is started.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Also help and versions come so; 2 is the code of a run that is left in part.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match run::execute(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mirror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
