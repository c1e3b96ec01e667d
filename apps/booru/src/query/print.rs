//! A query to text that reads as the same query, if it is not longer than [`super::QUERY_BYTES_MAX`].

use std::fmt::{self, Display, Formatter, Write};

use super::term::is_special;
use super::word::Pattern;
use super::{Direction, Expression, Field, Has, Interval, Order, Query, SortKey, Term, moment};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expression)?;
        if self.order == Order::default() {
            return Ok(());
        }
        match &self.expression {
            Expression::All(parts) if parts.is_empty() => write!(f, "{}", self.order),
            _ => write!(f, " {}", self.order),
        }
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (key, direction) = match *self {
            Order::Random(None) => return f.write_str("order:random"),
            Order::Random(Some(seed)) => return write!(f, "order:random:{seed}"),
            Order::By(key, direction) => (key, direction),
        };
        if key == SortKey::Ingested {
            return f.write_str(match direction {
                Direction::Descending => "order:new",
                Direction::Ascending => "order:old",
            });
        }
        let name = SortKey::ALL.iter().find(|(_, one)| *one == key);
        let suffix = match direction {
            Direction::Descending => "desc",
            Direction::Ascending => "asc",
        };
        write!(f, "order:{}_{suffix}", name.map_or("id", |(name, _)| name))
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Term(term) => write!(f, "{term}"),
            Expression::Not(inner) => match &**inner {
                Expression::Term(term) => write!(f, "-{term}"),
                other => write!(f, "-({other})"),
            },
            Expression::All(parts) => {
                write_list(f, parts, " ", |part| matches!(part, Expression::Any(_)))
            }
            Expression::Any(parts) => write_list(f, parts, " or ", |_| false),
        }
    }
}

fn write_list(
    f: &mut Formatter<'_>,
    parts: &[Expression],
    between: &str,
    in_brackets: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        match in_brackets(part) {
            true => write!(f, "({part})")?,
            false => write!(f, "{part}")?,
        }
    }
    Ok(())
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Term::Word(pattern) => write_word(f, pattern),
            Term::Text(text) => {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, "\"{text}\"")
            }
            Term::Tag(category, pattern) => {
                write!(f, "{}:", category.name())?;
                write_pattern(f, pattern)
            }
            Term::Path(pattern) => {
                f.write_str("filename:")?;
                write_pattern(f, pattern)
            }
            Term::Pool(pattern) => {
                f.write_str("pool:")?;
                write_pattern(f, pattern)
            }
            Term::Rating(list) => write_entries(f, "rating:", list),
            Term::Source(list) => write_entries(f, "source:", list),
            Term::MetadataMissing => f.write_str("metadata:missing"),
            Term::Extension(list) => write!(f, ".{}", list.join(",")),
            Term::Has(has) => {
                let known = Has::ALL.iter().find(|(_, one)| one == has);
                write!(f, "has:{}", known.map_or("pool", |(name, _)| name))
            }
            Term::Favourite => f.write_str("is:favourite"),
            Term::Md5(sums) => {
                f.write_str("md5:")?;
                write_between(f, sums, |f, sum| {
                    sum.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                })
            }
            Term::Number(field, intervals) => {
                let known = Field::ALL.iter().find(|(_, one)| one == field);
                write!(f, "{}:", known.map_or("id", |(name, _)| name))?;
                write_between(f, intervals, |f, interval| {
                    write_interval(f, *field, *interval)
                })
            }
        }
    }
}

fn write_between<T>(
    f: &mut Formatter<'_>,
    list: &[T],
    mut write: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, one) in list.iter().enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        write(f, one)?;
    }
    Ok(())
}

fn write_entries(f: &mut Formatter<'_>, prefix: &str, list: &[Pattern]) -> fmt::Result {
    f.write_str(prefix)?;
    write_between(f, list, write_pattern)
}

fn write_pattern(f: &mut Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    for (index, part) in pattern.parts().iter().enumerate() {
        if index > 0 {
            f.write_char('*')?;
        }
        write_value(f, part)?;
    }
    Ok(())
}

/// Whatever might mean something behind a prefix is escaped.
fn write_value(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        if character.is_whitespace() || "\\*,()\"".contains(character) {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    Ok(())
}

/// A word as people write it, escaped only where it would be read as something else.
fn write_word(f: &mut Formatter<'_>, pattern: &Pattern) -> fmt::Result {
    let parts = pattern.parts();
    let text = parts.join("*");
    let is_special = is_special(&text);
    let in_pairs = !text.starts_with('(') && brackets_pair(&text);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_char('*')?;
        }
        for (place, character) in part.chars().enumerate() {
            let is_first = index == 0 && place == 0;
            let is_bracket = character == '(' || character == ')';
            let is_escaped = (is_first && is_special)
                || (is_bracket && !in_pairs)
                || character.is_whitespace()
                || character == '\\'
                || character == '*';
            if is_escaped {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
    }
    Ok(())
}

fn brackets_pair(text: &str) -> bool {
    let mut open = 0_usize;
    for character in text.chars() {
        match character {
            '(' => open += 1,
            ')' if open == 0 => return false,
            ')' => open -= 1,
            _ => {}
        }
    }
    open == 0
}

fn write_interval(f: &mut Formatter<'_>, field: Field, interval: Interval) -> fmt::Result {
    let text = |end: i64| match field {
        Field::Date => moment::text_of(end).unwrap_or_default(),
        _ => end.to_string(),
    };
    let Interval { min, max } = interval;
    match (min, max) {
        _ if min == max => f.write_str(&text(min)),
        (min, i64::MAX) => write!(f, ">={}", text(min)),
        (i64::MIN, max) => write!(f, "<={}", text(max)),
        _ => write!(f, "{}..{}", text(min), text(max)),
    }
}
