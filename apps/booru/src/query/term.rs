//! What a word means: tokens behind a prefix, lists, orders, intervals.

use super::failure::fail;
use super::moment;
use super::word::{Pattern, Word};
use super::{Category, Direction, Field, Has, Interval, Order, QueryError, SortKey, Term};

pub(super) const RATINGS: &[&str] = &["general", "sensitive", "questionable", "explicit"];

/// Names that mean something before a `:`. Other words with a `:` are tags, as `re:zero`.
pub(super) const KNOWN: &[&str] = &[
    "source",
    "filename",
    "pool",
    "metadata",
    "order",
    "has",
    "is",
    "rating",
    "character",
    "copyright",
    "artist",
    "species",
    "meta",
    "general",
    "id",
    "score",
    "favcount",
    "width",
    "height",
    "tagcount",
    "date",
    "md5",
];

/// Whether a word would be read as something else than a tag if its first character were not escaped.
pub(super) fn is_special(word: &str) -> bool {
    let rating = word
        .strip_prefix("rating_")
        .is_some_and(|name| RATINGS.contains(&name));
    let prefix = word
        .split_once(':')
        .is_some_and(|(name, _)| KNOWN.contains(&name));
    rating || prefix || word == "or" || word.starts_with(['-', '~', '(', ')', '"', '.', '\\'])
}

/// `.png` or `.png,.jpg`: what begins with a dot and goes on with letters and digits.
pub(super) fn extensions(word: &Word) -> Option<Vec<String>> {
    word.characters.first().filter(|first| first.is('.'))?;
    let entries = word.entries();
    let mut extensions = Vec::new();
    for entry in &entries {
        let text = entry.text();
        let name = text.strip_prefix('.').unwrap_or(&text);
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || entry.characters.iter().any(|one| one.is_escaped) {
            return None;
        }
        extensions.push(name.to_owned());
    }
    Some(extensions)
}

pub(super) fn typed(name: &str, value: &Word) -> Result<Term, QueryError> {
    if let Some(category) = Category::of(name) {
        return Ok(Term::Tag(category, Pattern::of(&value.characters)));
    }
    if let Some((_, field)) = Field::ALL.iter().find(|(known, _)| *known == name) {
        let entries = value.entries();
        let intervals = entries.iter().map(|entry| interval(*field, entry));
        return Ok(Term::Number(*field, intervals.collect::<Result<_, _>>()?));
    }
    match name {
        "filename" => Ok(Term::Path(Pattern::of(&value.characters))),
        "pool" => Ok(Term::Pool(Pattern::of(&value.characters))),
        "source" => patterns(value).map(Term::Source),
        "rating" => {
            let ratings = patterns(value)?;
            Ok(Term::Rating(ratings.into_iter().map(rating).collect()))
        }
        "md5" => {
            let entries = value.entries();
            let sums = entries.iter().map(md5);
            Ok(Term::Md5(sums.collect::<Result<_, _>>()?))
        }
        "has" => match Has::ALL.iter().find(|(known, _)| value.is(known)) {
            Some((_, has)) => Ok(Term::Has(*has)),
            None => unknown("has", value, Has::ALL.iter().map(|(name, _)| *name)),
        },
        "is" if ["favourite", "favorite", "fav"]
            .iter()
            .any(|known| value.is(known)) =>
        {
            Ok(Term::Favourite)
        }
        "is" => unknown("is", value, ["favourite"]),
        "metadata" if value.is("missing") => Ok(Term::MetadataMissing),
        _ => unknown(name, value, ["missing"]),
    }
}

fn unknown<'a, T>(
    prefix: &str,
    value: &Word,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<T, QueryError> {
    let known: Vec<&str> = known.into_iter().collect();
    let message = format!(
        "`{prefix}:{}` is not known; known are {}; write `\\` before it for a tag of that name",
        value.text(),
        known.join(", ")
    );
    fail(value.at, message)
}

fn patterns(value: &Word) -> Result<Vec<Pattern>, QueryError> {
    let mut patterns = Vec::new();
    for entry in value.entries() {
        if entry.characters.is_empty() {
            return fail(entry.at, "this entry of the list is empty");
        }
        patterns.push(Pattern::of(&entry.characters));
    }
    Ok(patterns)
}

/// Sites shorten them to a letter.
fn rating(pattern: Pattern) -> Pattern {
    let letter = pattern.as_literal().filter(|text| text.len() == 1);
    let known = letter.and_then(|letter| RATINGS.iter().find(|name| name.starts_with(letter)));
    known.map_or_else(|| pattern.clone(), |name| Pattern::literal(name))
}

fn md5(entry: &Word) -> Result<[u8; 16], QueryError> {
    let text = entry.text();
    let mut sum = [0; 16];
    let is_sum = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sum {
        return fail(
            entry.at,
            format!("`{text}` is no MD5 sum, which has 32 digits 0-9 and a-f"),
        );
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        let digits = &text[index * 2..index * 2 + 2];
        *byte = u8::from_str_radix(digits, 16).expect("all are hexadecimal digits");
    }
    Ok(sum)
}

pub(super) fn order(value: &Word) -> Result<Order, QueryError> {
    let text = value.text();
    match text.as_str() {
        "new" | "newest" | "recent" | "ingested" => return Ok(Order::default()),
        "old" | "oldest" => return Ok(Order::By(SortKey::Ingested, Direction::Ascending)),
        "random" => return Ok(Order::Random(None)),
        _ => {}
    }
    if let Some(seed) = text.strip_prefix("random:") {
        return match seed.parse() {
            Ok(seed) => Ok(Order::Random(Some(seed))),
            Err(_) => fail(
                value.at,
                format!(
                    "`{seed}` is no seed, which is a number from 0 to {}",
                    u64::MAX
                ),
            ),
        };
    }
    let (name, direction) = match text.strip_suffix("_asc") {
        Some(name) => (name, Direction::Ascending),
        None => (
            text.strip_suffix("_desc").unwrap_or(&text),
            Direction::Descending,
        ),
    };
    if let Some((_, key)) = SortKey::ALL.iter().find(|(known, _)| *known == name) {
        return Ok(Order::By(*key, direction));
    }
    let known = SortKey::ALL.iter().map(|(name, _)| *name);
    unknown(
        "order",
        value,
        ["new", "old", "random"].into_iter().chain(known),
    )
}

/// `5`, `>5`, `>=5`, `<5`, `<=5`, `5..9`, `5..`, `..9`.
fn interval(field: Field, entry: &Word) -> Result<Interval, QueryError> {
    let text = entry.text();
    let value = |text: &str| value_of(field, text, entry.at);
    let found = if let Some(rest) = text.strip_prefix(">=") {
        from(value(rest)?.min)
    } else if let Some(rest) = text.strip_prefix("<=") {
        up_to(value(rest)?.max)
    } else if let Some(rest) = text.strip_prefix('>') {
        value(rest)?.max.checked_add(1).map_or(NOTHING, from)
    } else if let Some(rest) = text.strip_prefix('<') {
        value(rest)?.min.checked_sub(1).map_or(NOTHING, up_to)
    } else if let Some((first, last)) = text.split_once("..") {
        let first = match first {
            "" => i64::MIN,
            first => value(first)?.min,
        };
        let last = match last {
            "" if first == i64::MIN => return fail(entry.at, "one end of `..` is needed"),
            "" => i64::MAX,
            last => value(last)?.max,
        };
        Interval {
            min: first,
            max: last,
        }
    } else {
        value(&text)?
    };
    if found.min > found.max {
        return fail(entry.at, format!("nothing can lie in `{text}`"));
    }
    let is_date = |end: i64, open: i64| end == open || moment::text_of(end).is_some();
    if field == Field::Date && !(is_date(found.min, i64::MIN) && is_date(found.max, i64::MAX)) {
        return fail(
            entry.at,
            format!("`{text}` lies outside of the years 0000 to 9999"),
        );
    }
    Ok(found)
}

const NOTHING: Interval = Interval { min: 1, max: 0 };

fn from(min: i64) -> Interval {
    Interval { min, max: i64::MAX }
}

fn up_to(max: i64) -> Interval {
    Interval { min: i64::MIN, max }
}

fn value_of(field: Field, text: &str, at: usize) -> Result<Interval, QueryError> {
    if field == Field::Date {
        return match moment::seconds_of(text) {
            Some(seconds) => Ok(seconds),
            None => fail(
                at,
                format!(
                    "`{text}` is no date: 2025, 2025-06, 2025-06-01 and 2025-06-01T12:30:00 are"
                ),
            ),
        };
    }
    match text.parse() {
        Ok(number) => Ok(Interval {
            min: number,
            max: number,
        }),
        Err(_) => fail(
            at,
            format!("`{text}` is no whole number of at most 19 digits"),
        ),
    }
}
