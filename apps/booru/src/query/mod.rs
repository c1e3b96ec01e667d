//! What a query says, as a tree: pure, knows no database. Memory: a few hundred bytes a term, at most
//! [`TERMS_MAX`] terms.
//!
//! ```
//! use plimsoll_booru::query::Query;
//!
//! let query: Query = "long_hair -hat (1girl or 2girls) score:>10 order:score".parse()?;
//! assert_eq!(query.to_string(), "long_hair -hat (1girl or 2girls) score:>=11 order:score_desc");
//! assert!("(a or b".parse::<Query>().is_err());
//! # Ok::<(), plimsoll_booru::query::QueryError>(())
//! ```
//!
//! Grammar (`docs/queries.md` has it as a table for people):
//! - Terms side by side must all match; `or` between them binds weaker. `~a ~b` in one list: any of them.
//! - `( )` groups where a term could begin. Inside a word brackets that pair belong to the word, as in
//!   `miku_(vocaloid)`.
//! - `-` negates what follows it directly. `*` in a word stands for any characters, or none.
//! - `\` takes the next character as it is. Upper case is lower case.

mod failure;
pub(crate) mod moment;
mod parse;
mod print;
mod term;
mod word;

use std::fmt;
use std::str::FromStr;

pub use word::Pattern;

/// The longest query, in bytes. A page of tags is a tenth of it.
pub const QUERY_BYTES_MAX: usize = 8192;
/// Terms of a query, each entry of a list counted.
pub const TERMS_MAX: usize = 100;
/// Groups within groups; the parser and the search call themselves once for each.
pub const DEPTH_MAX: usize = 16;

/// A whole query: which images, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub expression: Expression,
    pub order: Order,
}

/// Which images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    Term(Term),
    /// No `Not` in a `Not`.
    Not(Box<Expression>),
    /// Those that match all of these: all images if there is none. Never one alone, never an `All` in it.
    All(Vec<Expression>),
    /// Two or more, never an `Any` among them.
    Any(Vec<Expression>),
}

/// A single condition. Texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A tag where one has this name, or all of this pattern; a word without `*` that is no tag is
    /// looked for as [`Term::Text`].
    Word(Pattern),
    /// Part of the path or of the name of a tag.
    Text(String),
    /// Tags of one category.
    Tag(Category, Pattern),
    /// Any of these ratings.
    Rating(Vec<Pattern>),
    /// Any of these sources.
    Source(Vec<Pattern>),
    /// Part of the path.
    Path(Pattern),
    /// In a pool whose name has this part.
    Pool(Pattern),
    /// No source but the local tagger.
    MetadataMissing,
    /// Any of these endings of the file name, without the dot.
    Extension(Vec<String>),
    Has(Has),
    Favourite,
    /// Any of these MD5 sums.
    Md5(Vec<[u8; 16]>),
    /// In any of these intervals.
    Number(Field, Vec<Interval>),
}

/// Categories of tags that have a prefix of their own and a column of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    Character,
    Copyright,
    Artist,
    Species,
    Meta,
    General,
}

impl Category {
    /// In the order in which suggestions come.
    pub const ALL: [Category; 6] = [
        Category::Character,
        Category::Copyright,
        Category::Artist,
        Category::Species,
        Category::General,
        Category::Meta,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Category::Character => "character",
            Category::Copyright => "copyright",
            Category::Artist => "artist",
            Category::Species => "species",
            Category::Meta => "meta",
            Category::General => "general",
        }
    }

    #[must_use]
    pub fn of(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// What `has:` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    Parent,
    Child,
    /// A parent or a child.
    Relationship,
    Pool,
    Upscaled,
    Video,
}

impl Has {
    pub(crate) const ALL: &[(&'static str, Has)] = &[
        ("parent", Has::Parent),
        ("child", Has::Child),
        ("relationship", Has::Relationship),
        ("pool", Has::Pool),
        ("upscaled", Has::Upscaled),
        ("upscale", Has::Upscaled),
        ("video", Has::Video),
    ];
}

/// A number of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Of the row in `images`.
    Id,
    Score,
    Favourites,
    Width,
    Height,
    TagCount,
    /// When it came in, in seconds since 1970.
    Date,
}

impl Field {
    pub(crate) const ALL: &[(&'static str, Field)] = &[
        ("id", Field::Id),
        ("score", Field::Score),
        ("favcount", Field::Favourites),
        ("width", Field::Width),
        ("height", Field::Height),
        ("tagcount", Field::TagCount),
        ("date", Field::Date),
    ];
}

/// Both ends belong to it; the least and the greatest number there are stand for no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub min: i64,
    pub max: i64,
}

impl Interval {
    #[must_use]
    pub fn contains(self, number: i64) -> bool {
        self.min <= number && number <= self.max
    }
}

/// What images are sorted by. Images of which it is not known come last either way; equal ones come
/// by their id, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    Ingested,
    Score,
    Favourites,
    Width,
    Height,
    /// Width times height.
    Pixels,
    TagCount,
    Id,
}

impl SortKey {
    /// Its name in `order:NAME_desc`.
    pub(crate) const ALL: &[(&'static str, SortKey)] = &[
        ("score", SortKey::Score),
        ("fav", SortKey::Favourites),
        ("width", SortKey::Width),
        ("height", SortKey::Height),
        ("pixels", SortKey::Pixels),
        ("tagcount", SortKey::TagCount),
        ("id", SortKey::Id),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Descending,
    Ascending,
}

/// In which order images come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    By(SortKey, Direction),
    /// Shuffled, the same for the same seed; without one the searcher takes one.
    Random(Option<u64>),
}

impl Default for Query {
    /// All images.
    fn default() -> Query {
        Query {
            expression: Expression::All(Vec::new()),
            order: Order::default(),
        }
    }
}

impl Default for Order {
    /// Newest first.
    fn default() -> Order {
        Order::By(SortKey::Ingested, Direction::Descending)
    }
}

/// Why a text is no query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The character it is about, from 1.
    pub character: usize,
    pub message: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query, character {}: {}", self.character, self.message)
    }
}

impl std::error::Error for QueryError {}

impl FromStr for Query {
    type Err = QueryError;

    /// Takes the time and the bytes of the text, at most [`QUERY_BYTES_MAX`].
    fn from_str(text: &str) -> Result<Query, QueryError> {
        parse::parse(text)
    }
}
