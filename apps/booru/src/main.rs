//! The `booru` command.

use std::process::ExitCode;

use clap::Parser;
use plimsoll::ledger::Ledger;
use plimsoll_booru::command;
use plimsoll_booru::config::Arguments;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

fn main() -> ExitCode {
    match command::execute(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("booru: {error:#}");
            ExitCode::from(command::FAILED)
        }
    }
}
