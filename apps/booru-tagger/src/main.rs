//! The `booru-tagger` command.

use std::alloc::System;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use plimsoll::ledger::Ledger;
use plimsoll_booru_tagger::config::Config;
use plimsoll_booru_tagger::server::{self, End, Lifeline};
use plimsoll_booru_tagger::{env_file, setup};

/// What this program allocates, by tag, for `plimsoll watch`. ONNX Runtime has an allocator of its own.
#[global_allocator]
static LEDGER: Ledger = Ledger::new(System);

/// The ML worker of an image board: tags, embeddings and upscaled images by ONNX models.
#[derive(Parser)]
#[command(name = "booru-tagger", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves requests at ML_WORKER_SOCKET until nothing was asked for ML_WORKER_IDLE_TIMEOUT seconds
    Serve {
        /// End when standard input does: it is a pipe of the process that started this one
        #[arg(long)]
        end_with_stdin: bool,
        /// Settings of this file count where the environment has none
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
    },
    /// Finds hardware, runs a small model on what you choose, and remembers it
    Setup {
        /// cpu, cuda, xpu or mps, without the menu
        #[arg(long)]
        backend: Option<String>,
        /// Take what is recommended; ask nothing
        #[arg(long, short)]
        yes: bool,
        /// Where it is remembered; other lines are kept
        #[arg(long, value_name = "FILE", default_value = ".env")]
        env_file: PathBuf,
        /// auto, onnxruntime or tract
        #[arg(long, default_value = "auto")]
        runtime: String,
        /// ONNX Runtime's library
        #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
        library: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    // Each thread would keep an arena of its own, with what it has freed; models run one at a time.
    // SAFETY: it only sets a number, before any thread is started.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("booru-tagger: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Serve {
            end_with_stdin,
            env_file,
        } => {
            let settings = env_file.map(|path| env_file::read(&path)).transpose()?;
            let settings = settings.unwrap_or_default();
            let config = Config::read(|name| {
                std::env::var_os(name).or_else(|| env_file::value(&settings, name).map(Into::into))
            })?;
            let lifeline = match end_with_stdin {
                true => Lifeline::Stdin,
                false => Lifeline::None,
            };
            end(server::serve(&config, lifeline)?);
            Ok(())
        }
        Command::Setup {
            backend,
            yes,
            env_file,
            runtime,
            library,
        } => {
            let options = setup::Options {
                backend: backend.map(|name| name.parse()).transpose()?,
                answers: match yes {
                    true => setup::Answers::Recommended,
                    false => setup::Answers::Asked,
                },
                env_file,
                engine: runtime.parse()?,
                library,
            };
            setup::run(&options, io::stdin().lock(), io::stdout())
        }
    }
}

fn end(end: End) {
    let why = match end {
        End::Superfluous => "another worker has the socket",
        End::Idle => "nothing was asked for ML_WORKER_IDLE_TIMEOUT seconds",
        End::Asked => "it was asked to",
        End::AskedWhileBusy => "it was asked to, and a request that runs is cut off",
        End::Orphaned => "who started it has gone",
    };
    eprintln!("booru-tagger: ends: {why}");
    if matches!(end, End::AskedWhileBusy | End::Orphaned) {
        // A model may be running: its threads must not see the runtime taken down around them.
        // SAFETY: ends the process and returns to nobody.
        unsafe { libc::_exit(0) }
    }
}
