//! The commands and their flags, as they are typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{BoardArguments, FormArguments, HelpArguments, parse_per_page};
use crate::command::images::{EditsArguments, FavouriteArguments, RateArguments, RelateArguments};
use crate::command::pool::PoolArguments;
use crate::command::rules::RulesArguments;
use crate::command::tags::TagsArguments;
use crate::duplicates::DuplicatesCommand;
use crate::ingest::IngestArguments;
use crate::ml;
use crate::similarity::{By, SimilarityArguments};

/// An image board whose memory is its data.
#[derive(Debug, Parser)]
#[command(name = "booru", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new board: a folder with an empty database, or the tables in an empty one of PostgreSQL.
    Create {
        /// The folder, or an address postgres://USER@HOST/DATABASE.
        board: PathBuf,
    },
    /// Copy a whole board, from SQLite to PostgreSQL or back. It is compared row by row; all of it is
    /// copied or nothing.
    Copy {
        /// The folder of a board, its database, or an address.
        from: PathBuf,
        /// A folder where no board is yet, or the address of an empty database.
        to: PathBuf,
        /// How long to wait for another program that holds the database, in seconds.
        #[arg(long, default_value_t = 5, value_name = "SECONDS")]
        patience: u64,
    },
    /// Tell the images that match a query, newest first.
    ///
    /// Words are tags, and all must match; `or`, `-`, `~`, `( )` and `*` are understood, and filters as
    /// `score:>10` or `order:score`. docs/queries.md has them all.
    #[command(disable_help_flag = true)]
    Search {
        #[command(flatten)]
        board: BoardArguments,
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// Which page, from 1.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        page: u32,
        /// Images a page, 1 to 500; 150 if nothing else is set.
        #[arg(long, env = "IMAGES_PER_PAGE", value_parser = parse_per_page)]
        images_per_page: Option<usize>,
        #[command(flatten)]
        form: FormArguments,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Tell what may be meant by the last word of a query.
    #[command(disable_help_flag = true)]
    Suggest {
        #[command(flatten)]
        board: BoardArguments,
        #[arg(allow_hyphen_values = true)]
        text: String,
        #[command(flatten)]
        form: FormArguments,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Tell how much there is of what.
    Stats {
        #[command(flatten)]
        board: BoardArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell which part holds how many bytes, once a board is loaded.
    Memory {
        #[command(flatten)]
        board: BoardArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Look for tags without a valid id, names that are there twice and rows that lead nowhere; with `--deep`
    /// also for text columns that do not say what the tables say, and damage.
    ///
    /// Exit codes: 0 all is well, 1 something is not, 2 it could not be looked at.
    Doctor {
        #[command(flatten)]
        board: BoardArguments,
        /// Also read every page of the file and compare all indexes; takes minutes where it is large.
        #[arg(long)]
        deep: bool,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Find images that look alike, and say what they are to each other.
    Duplicates {
        #[command(flatten)]
        board: BoardArguments,
        #[command(subcommand)]
        act: DuplicatesCommand,
    },
    /// Serve a board to browsers until it is told to end.
    Serve(crate::web::ServeArguments),
    /// Make small pictures for a server, which starts this itself.
    #[command(hide = true)]
    Thumbnailer(crate::web::ThumbnailerArguments),
    /// Set the password of a board that is served, asked for or read from the first line of the input.
    Passwd {
        /// The folder of the board.
        board: PathBuf,
        /// Take the password away.
        #[arg(long)]
        remove: bool,
    },
    /// Tell the images that are most like one.
    Similar {
        #[command(flatten)]
        board: BoardArguments,
        /// Its id, or the path of its file in the folder of images.
        image: String,
        /// In what way they are to be alike.
        #[arg(long, value_enum, default_value_t = By::Blend)]
        by: By,
        /// How many, at most 1,000.
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        similarity: SimilarityArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Tell of embeddings, or make the file by which they are searched anew.
    Embeddings {
        #[command(flatten)]
        board: BoardArguments,
        act: EmbeddingsAct,
        /// The board that vectors are copied from.
        #[arg(long, value_name = "BOARD", required_if_eq("act", "copy"))]
        from: Option<PathBuf>,
        #[command(flatten)]
        similarity: SimilarityArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Take in files, and those below folders: hash them, make small pictures, put them in place.
    ///
    /// Files are copied; what can't be taken in is set aside and told. Tags come from files beside a picture:
    /// `name.ext.txt`, and `name.ext.json` as gallery-dl writes it. Exit codes: 0 done, 1 something was set
    /// aside, 2 it could not be done.
    Import {
        #[command(flatten)]
        board: BoardArguments,
        /// Files and folders.
        #[arg(required_unless_present = "list_set_aside")]
        paths: Vec<PathBuf>,
        /// Files go from where they are once they are stored; so do duplicates whose stored file is whole.
        #[arg(long = "move")]
        moves: bool,
        /// Try again what was set aside, though it has not changed: a file beside it or a setting may have.
        #[arg(long)]
        retry_set_aside: bool,
        /// Tell which files were set aside, and why.
        #[arg(long)]
        list_set_aside: bool,
        #[command(flatten)]
        ingest: IngestArguments,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Take in what is put into the folder for new files, until it is told to end.
    Watch {
        #[command(flatten)]
        board: BoardArguments,
        #[command(flatten)]
        ingest: IngestArguments,
    },
    /// Delete images that match a query; their files go to the folder `trash`.
    #[command(disable_help_flag = true)]
    Delete {
        #[command(flatten)]
        board: BoardArguments,
        #[arg(allow_hyphen_values = true, required_unless_present = "id")]
        query: Option<String>,
        /// By id instead.
        #[arg(long, value_delimiter = ',', conflicts_with = "query")]
        id: Vec<u32>,
        /// Delete the files too.
        #[arg(long)]
        permanently: bool,
        #[command(flatten)]
        ingest: IngestArguments,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Change tags and who has them.
    Tag {
        #[command(flatten)]
        board: BoardArguments,
        /// Refuse to change anything.
        #[arg(long)]
        read_only: bool,
        #[command(subcommand)]
        act: TagCommand,
        #[command(flatten)]
        form: FormArguments,
    },
    /// Look through tags.
    Tags(TagsArguments),
    /// Look at rules that one tag implies another, and decide on suggested ones.
    Rules(RulesArguments),
    /// Put images together in an order.
    Pool(PoolArguments),
    /// Mark images.
    Favourite(FavouriteArguments),
    /// Give all images that match a query a rating, in place of any that they have.
    Rate(RateArguments),
    /// Say how two images are related, or tell the relatives of one.
    Relate(RelateArguments),
    /// Tell the edits by hand of an image, or take the last one back.
    Edits(EditsArguments),
    #[command(flatten)]
    Ml(ml::arguments::Command),
}

#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// Make a tag that no image has.
    Create {
        name: String,
        #[arg(long, default_value = "general")]
        category: String,
    },
    /// Give a tag another name; its id, images and rules stay.
    Rename {
        old: String,
        new: String,
        /// Keep the old name as another name of it.
        #[arg(long)]
        alias: bool,
    },
    /// Give all images of some tags another one instead, and delete those.
    Merge {
        /// The tag that stays.
        #[arg(long)]
        into: String,
        #[arg(required = true)]
        tags: Vec<String>,
        /// Keep their names as other names of it.
        #[arg(long)]
        alias: bool,
    },
    /// Delete tags and take them off all images. Unknown ones are skipped.
    Delete {
        #[arg(required = true)]
        tags: Vec<String>,
    },
    /// Put tags into another category.
    Categorize {
        category: String,
        #[arg(required = true)]
        tags: Vec<String>,
    },
    /// Put a tag on all images that match a query.
    #[command(disable_help_flag = true)]
    Add {
        tag: String,
        #[arg(allow_hyphen_values = true)]
        query: String,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Take a tag off all images that match a query.
    #[command(disable_help_flag = true)]
    Remove {
        tag: String,
        #[arg(allow_hyphen_values = true)]
        query: String,
        #[command(flatten)]
        help: HelpArguments,
    },
    /// Give a tag another name by which it is found.
    Alias { alias: String, tag: String },
    /// Take away such a name.
    Unalias { alias: String },
    /// Make a rule: who has the one tag is to have the other.
    Imply { tag: String, implied: String },
    /// Take away a rule; images keep their tags.
    Unimply { tag: String, implied: String },
    /// Put implied tags on all images that lack them.
    ApplyRules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EmbeddingsAct {
    /// How many there are, and of which images.
    Status,
    /// Read all of them anew; then the same.
    Build,
    /// Put in those of another board, each to the image of the same MD5.
    Copy,
}
