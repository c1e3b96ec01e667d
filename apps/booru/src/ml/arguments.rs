//! The commands that are about models.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::queue::Kind;
use crate::config::{BoardArguments, FormArguments, HelpArguments};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Have a model tag the images that match a query, and wait for it.
    ///
    /// Exit codes: 0 all are tagged, 1 some were set aside (`booru jobs` says why), 2 it could not be done.
    #[command(disable_help_flag = true)]
    TagImages {
        #[command(flatten)]
        board: BoardArguments,
        #[arg(allow_hyphen_values = true)]
        query: String,
        #[command(flatten)]
        work: WorkArguments,
        #[command(flatten)]
        form: FormArguments,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Have a model make the vectors of images that have none, for similarity; of all images, or of those
    /// that match a query.
    #[command(disable_help_flag = true)]
    Embed {
        #[command(flatten)]
        board: BoardArguments,
        #[arg(allow_hyphen_values = true, default_value = "")]
        query: String,
        /// Those that have one too.
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        work: WorkArguments,
        #[command(flatten)]
        form: FormArguments,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Have a model make images larger.
    Upscale {
        #[command(flatten)]
        board: BoardArguments,
        /// Ids of images.
        #[arg(required = true)]
        images: Vec<u32>,
        /// Those that have a larger form too.
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        work: WorkArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell which tags of a model wait for a review, accept or reject them.
    ///
    /// Accepted ones are edits by hand; rejected ones are not suggested again.
    Review {
        #[command(flatten)]
        board: BoardArguments,
        /// Of this image.
        #[arg(long, value_name = "ID")]
        image: Option<u32>,
        /// Of this name.
        #[arg(long, value_name = "NAME")]
        tag: Option<String>,
        /// That the model is at least so certain of, from 0 to 1.
        #[arg(long, value_name = "SHARE")]
        above: Option<f64>,
        /// Put them on their images.
        #[arg(long, conflicts_with = "reject")]
        accept: bool,
        /// Refuse them for good.
        #[arg(long)]
        reject: bool,
        /// With --accept or --reject: all that wait, where neither image, tag nor share is given.
        #[arg(long)]
        all: bool,
        /// Let what was rejected on --image be suggested again, by the next run.
        #[arg(long, requires = "image", conflicts_with_all = ["accept", "reject"])]
        forget_rejected: bool,
        /// By tag, with the number of images.
        #[arg(long)]
        by_tag: bool,
        /// Lines at most.
        #[arg(long, default_value_t = 100, value_name = "LINES")]
        limit: u32,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell what models have to do, have done and could not do.
    Jobs {
        #[command(flatten)]
        board: BoardArguments,
        /// Take out what is queued.
        #[arg(long, conflicts_with = "retry")]
        cancel: bool,
        /// Queue again what was set aside.
        #[arg(long)]
        retry: bool,
        /// Work off the queue, and wait for it.
        #[arg(long, conflicts_with = "cancel")]
        run: bool,
        /// upscale, tag or embed; all without it.
        #[arg(long)]
        kind: Option<Kind>,
        /// Jobs that were set aside, at most.
        #[arg(long, default_value_t = 20, value_name = "LINES")]
        limit: u32,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Choose what models run on: runs `booru-tagger setup` with what follows, as `--backend cpu --yes`.
    #[command(disable_help_flag = true)]
    Setup {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Tell how the process is that runs the models, or end it.
    Worker {
        #[command(subcommand)]
        act: WorkerCommand,
    },
}

#[derive(Debug, Args)]
pub struct WorkArguments {
    /// Only queue it: a running `booru serve` or the next command of this kind does it.
    #[arg(long)]
    pub queue_only: bool,
}

#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Whether it runs, and the memory it takes. Starts none.
    Status(WorkerArguments),
    /// End it, after what it does now. The next job starts another.
    Stop(WorkerArguments),
}

#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The board whose settings count, besides the environment.
    pub board: Option<PathBuf>,
    #[command(flatten)]
    pub form: FormArguments,
}
