//! Queries and what they ask in plain SQL: each is made with its text and with a condition over the
//! database, which knows nothing of our parser, catalog or postings.

#![allow(dead_code, reason = "each test takes what it needs")]

use plimsoll_booru::board::Board;
use plimsoll_booru::search::Page;
use rusqlite::Connection;

use crate::collection::{RATINGS, Random, SOURCES, ids};

/// A part of a query, as people write it and as a condition on `i`, a row of `images`.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) sql: String,
}

/// What queries are made of.
pub(crate) struct Maker<'a> {
    pub(crate) random: Random,
    pub(crate) connection: &'a Connection,
    /// Names that are tags, were tags, or never were.
    pub(crate) names: Vec<String>,
    /// Endings and ratings in one list mean any of them: once in a query, so that a list has one.
    endings_left: bool,
    ratings_left: bool,
}

/// Orders with their SQL, without and with the direction of ids.
const ORDERS: &[(&str, &str)] = &[
    ("", "ingested_at IS NULL, ingested_at DESC, id DESC"),
    (
        "order:new",
        "ingested_at IS NULL, ingested_at DESC, id DESC",
    ),
    (
        "order:oldest",
        "ingested_at IS NULL, ingested_at ASC, id ASC",
    ),
    ("order:score", "score IS NULL, score DESC, id DESC"),
    ("order:score_asc", "score IS NULL, score ASC, id ASC"),
    (
        "order:fav_desc",
        "fav_count IS NULL, fav_count DESC, id DESC",
    ),
    ("order:fav_asc", "fav_count IS NULL, fav_count ASC, id ASC"),
    (
        "order:width",
        "image_width IS NULL, image_width DESC, id DESC",
    ),
    (
        "order:height_asc",
        "image_height IS NULL, image_height ASC, id ASC",
    ),
    (
        "order:pixels",
        "image_width * image_height IS NULL, image_width * image_height DESC, id DESC",
    ),
    (
        "order:tagcount",
        "(SELECT count(*) FROM image_tags WHERE image_id = i.id) DESC, id DESC",
    ),
    ("order:id", "id DESC"),
    ("order:id_asc", "id ASC"),
];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn has_tag(condition: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM image_tags AS t JOIN tags AS g ON g.id = t.tag_id \
         WHERE t.image_id = i.id AND {condition})"
    )
}

/// A bracket that does not pair within a word would be one of a group.
fn written(word: &str) -> String {
    match word.matches('(').count() == word.matches(')').count() {
        true => word.to_owned(),
        false => word.replace('(', "\\(").replace(')', "\\)"),
    }
}

/// A pattern with `*` as GLOB takes it.
fn glob(pattern: &str) -> String {
    let escaped: String = pattern
        .chars()
        .map(|one| match one {
            '[' | ']' | '?' => format!("[{one}]"),
            one => one.to_string(),
        })
        .collect();
    quoted(&escaped)
}

impl<'a> Maker<'a> {
    pub(crate) fn new(connection: &'a Connection, names: Vec<String>, seed: u64) -> Maker<'a> {
        Maker {
            random: Random(seed),
            connection,
            names,
            endings_left: true,
            ratings_left: true,
        }
    }

    /// A whole query and the SQL of all its answers in order.
    pub(crate) fn query(&mut self) -> Asked {
        self.endings_left = true;
        self.ratings_left = true;
        let asked = match self.random.below(12) {
            0 => Asked {
                text: String::new(),
                sql: "1".to_owned(),
            },
            _ => self.any(0),
        };
        let (order, by) = *self.random.pick(ORDERS);
        Asked {
            text: format!("{} {order}", asked.text),
            sql: format!(
                "SELECT i.id FROM images AS i WHERE {} ORDER BY {by}",
                asked.sql
            ),
        }
    }

    fn any(&mut self, depth: usize) -> Asked {
        if !self.random.one_in(4) {
            return self.all(depth);
        }
        let parts: Vec<Asked> = (0..2 + self.random.below(2))
            .map(|_| self.all(depth))
            .collect();
        join(
            &parts,
            if self.random.one_in(3) {
                " OR "
            } else {
                " or "
            },
            " OR ",
        )
    }

    fn all(&mut self, depth: usize) -> Asked {
        let count = [1, 1, 1, 2, 2, 3, 4][self.random.below(7)];
        let mut parts: Vec<Asked> = (0..count).map(|_| self.item(depth)).collect();
        if self.random.one_in(8) {
            let some: Vec<Asked> = (0..2).map(|_| self.item(depth)).collect();
            let mut some = join(&some, " ~", " OR ");
            some.text = format!("~{}", some.text);
            parts.push(some);
        }
        join(&parts, " ", " AND ")
    }

    fn item(&mut self, depth: usize) -> Asked {
        let one = match depth < 3 && self.random.one_in(5) {
            true => {
                let inner = self.any(depth + 1);
                Asked {
                    text: format!("({})", inner.text),
                    sql: inner.sql,
                }
            }
            false => self.term(),
        };
        match self.random.one_in(4) {
            true => Asked {
                text: format!("-{}", one.text),
                sql: format!("NOT COALESCE({}, 0)", one.sql),
            },
            false => one,
        }
    }

    fn term(&mut self) -> Asked {
        match self.random.below(10) {
            0..=4 => self.word(),
            5 => self.pattern(),
            6 => self.number(),
            _ => self.filter(),
        }
    }

    fn name(&mut self) -> String {
        let names = &self.names;
        self.random.pick(names).clone()
    }

    fn word(&mut self) -> Asked {
        let name = self.name();
        let lower = name.to_lowercase();
        match self.named(&lower) {
            Some(condition) => Asked {
                text: written(&name),
                sql: has_tag(&condition),
            },
            None => self.text(&lower, written(&name)),
        }
    }

    /// The tag of a name, or the one that this is another name of, as a condition on `g`, a row of `tags`.
    fn named(&self, lower: &str) -> Option<String> {
        let count = |sql: &str| -> i64 {
            self.connection
                .query_row(sql, [lower], |row| row.get(0))
                .unwrap()
        };
        if count("SELECT count(*) FROM tags WHERE lower(name) = ?1") > 0 {
            return Some(format!("lower(g.name) = {}", quoted(lower)));
        }
        let has_aliases =
            "SELECT count(*) FROM sqlite_master WHERE name = 'booru_aliases' AND ?1 <> ''";
        if count(has_aliases) > 0
            && count("SELECT count(*) FROM booru_aliases WHERE lower(name) = ?1") > 0
        {
            return Some(format!(
                "g.id = (SELECT tag_id FROM booru_aliases WHERE lower(name) = {})",
                quoted(lower)
            ));
        }
        None
    }

    fn text(&self, lower: &str, text: String) -> Asked {
        let in_names = has_tag(&format!(
            "instr(lower(g.name), {}) > 0",
            quoted(&lower.replace(' ', "_"))
        ));
        Asked {
            text,
            sql: format!(
                "(instr(lower(i.filepath), {}) > 0 OR {in_names})",
                quoted(lower)
            ),
        }
    }

    fn pattern(&mut self) -> Asked {
        let name = self.name().to_lowercase();
        let at = self.random.below(name.len());
        let (head, tail) = name.split_at(if name.is_char_boundary(at) { at } else { 0 });
        let pattern = match self.random.below(4) {
            0 => format!("{head}*{tail}"),
            1 => format!("{head}*"),
            2 => format!("*{tail}"),
            _ => format!("*{}*", &tail[..tail.len().min(2)]),
        };
        // What begins so is something else; `ai*` and the like remain.
        let text = match pattern.starts_with(['-', '~', '(', '.']) {
            true => format!("\\{pattern}"),
            false => pattern.clone(),
        };
        let text = written(&text);
        Asked {
            text,
            sql: has_tag(&format!("lower(g.name) GLOB {}", glob(&pattern))),
        }
    }

    fn number(&mut self) -> Asked {
        let columns = [
            ("score", "i.score", 40),
            ("favcount", "i.fav_count", 30),
            ("width", "i.image_width", 2000),
            ("height", "i.image_height", 2000),
            ("id", "i.id", 800),
            (
                "tagcount",
                "(SELECT count(*) FROM image_tags WHERE image_id = i.id)",
                16,
            ),
        ];
        if self.random.one_in(4) {
            return self.date();
        }
        let (name, column, end) = *self.random.pick(&columns);
        let (a, b) = (self.random.below(end), self.random.below(end));
        let (low, high) = (a.min(b), a.max(b));
        let (text, sql) = match self.random.below(7) {
            0 => (format!(">{low}"), format!("{column} > {low}")),
            1 => (format!(">={low}"), format!("{column} >= {low}")),
            2 => (format!("<{high}"), format!("{column} < {high}")),
            3 => (format!("<={high}"), format!("{column} <= {high}")),
            4 => (
                format!("{low}..{high}"),
                format!("{column} BETWEEN {low} AND {high}"),
            ),
            5 => (
                format!("{low}..,{a}"),
                format!("({column} >= {low} OR {column} = {a})"),
            ),
            _ => (format!("{a},{b}"), format!("{column} IN ({a}, {b})")),
        };
        Asked {
            text: format!("{name}:{text}"),
            sql: format!("COALESCE({sql}, 0)"),
        }
    }

    fn date(&mut self) -> Asked {
        let (year, month) = (2022 + self.random.below(4), 1 + self.random.below(12));
        let (text, sql) = match self.random.below(4) {
            0 => (
                format!("{year}"),
                format!("strftime('%Y', i.ingested_at) = '{year}'"),
            ),
            1 => (
                format!("{year}-{month:02}"),
                format!("strftime('%Y-%m', i.ingested_at) = '{year}-{month:02}'"),
            ),
            2 => (
                format!(">{year}-{month:02}-15"),
                format!("date(i.ingested_at) > '{year}-{month:02}-15'"),
            ),
            _ => (
                format!("..{year}-{month:02}-01"),
                format!("date(i.ingested_at) <= '{year}-{month:02}-01'"),
            ),
        };
        Asked {
            text: format!("date:{text}"),
            sql: format!("COALESCE({sql}, 0)"),
        }
    }

    fn filter(&mut self) -> Asked {
        let asked = |text: &str, sql: &str| Asked {
            text: text.to_owned(),
            sql: sql.to_owned(),
        };
        let of_source = |names: &str| {
            format!(
                "i.id IN (SELECT image_id FROM image_sources WHERE source_id IN \
                 (SELECT id FROM sources WHERE name IN ({names})))"
            )
        };
        let parent = "i.parent_id IS NOT NULL";
        let child = "EXISTS (SELECT 1 FROM images AS c WHERE c.parent_id = i.post_id)";
        match self.random.below(14) {
            0 => {
                let (a, b) = (*self.random.pick(&SOURCES), *self.random.pick(&SOURCES));
                asked(
                    &format!("source:{a},{b}"),
                    &of_source(&format!("'{a}', '{b}'")),
                )
            }
            1 => {
                let a = *self.random.pick(&SOURCES);
                asked(&format!("source:{a}"), &of_source(&format!("'{a}'")))
            }
            2 => asked("filename:solo_", "instr(lower(i.filepath), 'solo_') > 0"),
            3 => asked("filename:\"a b\"", "instr(lower(i.filepath), 'a b') > 0"),
            4 => asked("filename:1*p0", "lower(i.filepath) GLOB '*1*p0*'"),
            5 => asked(
                "pool:\"it's\"",
                "i.id IN (SELECT image_id FROM pool_images WHERE pool_id = 3)",
            ),
            6 => asked(
                "metadata:missing",
                "i.id NOT IN (SELECT image_id FROM image_sources WHERE source_id <> 6)",
            ),
            7 if self.endings_left => {
                self.endings_left = false;
                asked(".jpg", "lower(i.filepath) LIKE '%.jpg'")
            }
            8 if self.ratings_left => {
                self.ratings_left = false;
                let (a, b) = (*self.random.pick(&RATINGS), *self.random.pick(&RATINGS));
                let of = |rating: &str| self.named(&format!("rating:{rating}"));
                let either: Vec<String> = [of(a), of(b)]
                    .map(|found| found.unwrap_or_else(|| "0".to_owned()))
                    .into();
                asked(
                    &format!("rating:{a},{b}"),
                    &has_tag(&format!("({})", either.join(" OR "))),
                )
            }
            9 => asked("has:parent", parent),
            10 => asked("has:child", child),
            11 => asked("has:upscaled", "i.upscaled_width IS NOT NULL"),
            12 => asked("is:fav", "i.id IN (SELECT image_id FROM favourites)"),
            13 => asked("has:relationship", &format!("({parent} OR {child})")),
            _ => {
                let name = self.name().to_lowercase();
                let category = *self
                    .random
                    .pick(&["general", "character", "artist", "meta"]);
                let condition = format!(
                    "lower(g.name) = {} AND COALESCE(g.category, 'general') = '{category}'",
                    quoted(&name)
                );
                asked(
                    &format!("{category}:{}", written(&name)),
                    &has_tag(&condition),
                )
            }
        }
    }
}

fn join(parts: &[Asked], text: &str, sql: &str) -> Asked {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    let sqls: Vec<&str> = parts.iter().map(|part| part.sql.as_str()).collect();
    Asked {
        text: texts.join(text),
        sql: format!("({})", sqls.join(sql)),
    }
}

/// Asks the board and the database, and compares all that is told of some pages.
/// The few queries that look for too many parts have to say so; `false` for them.
pub(crate) fn check(
    board: &Board,
    connection: &Connection,
    asked: &Asked,
    random: &mut Random,
) -> bool {
    let expected = ids(connection, &asked.sql);
    let query = asked
        .text
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {}", asked.text));
    let len = 1 + random.below(60);
    let last = expected.len().div_ceil(len);
    for number in [1, 1 + random.below(last + 1), last.max(1), last + 1] {
        let page = Page {
            number,
            images: len,
        };
        let found = match board.search(&query, page, 0) {
            Ok(found) => found,
            Err(error) => {
                assert!(
                    error.to_string().contains("terms look for parts"),
                    "{error:#}"
                );
                return false;
            }
        };
        let behind = (number - 1) * len;
        let wanted: Vec<u32> = expected.iter().skip(behind).take(len).copied().collect();
        assert_eq!(
            found.ids, wanted,
            "page {number} of {len} of {}\n{}",
            asked.text, asked.sql
        );
        assert_eq!(
            (found.total, found.pages),
            (expected.len(), last),
            "{}",
            asked.text
        );
    }
    true
}
