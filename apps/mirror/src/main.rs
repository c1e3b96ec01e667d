//! The `mirror` command.

use std::process::ExitCode;

use plimsoll::ledger::Ledger;
use plimsoll_mirror::config::{self, Refused};
use plimsoll_mirror::run;

/// Counts what is live by what it is for, which `plimsoll watch` and the log show.
#[global_allocator]
static LEDGER: Ledger = Ledger::system();

fn main() -> ExitCode {
    // Each thread would keep an arena of its own, with what it has freed; two are as fast here.
    // SAFETY: it only sets a number, before any thread is started.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    let given = std::env::args_os().collect();
    let arguments = match config::read(given, &|name| std::env::var_os(name)) {
        Ok(arguments) => arguments,
        Err(Refused::Flags(error)) => {
            // Also help and versions come so; 2 is the code of a run that is left in part.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
        Err(Refused::Settings(error)) => {
            eprintln!("mirror: {error:#}");
            return ExitCode::FAILURE;
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
