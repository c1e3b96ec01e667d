//! The `booru` command.

use std::process::ExitCode;

use clap::Parser;
use plimsoll::ledger::Ledger;
use plimsoll_booru::command;
use plimsoll_booru::config::Arguments;
use plimsoll_booru::store;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    store::hide_passwords();
    match command::execute(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("booru: {error:#}");
            ExitCode::from(command::FAILED)
        }
    }
}
