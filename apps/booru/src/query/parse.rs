//! Text to a query. One pass; calls itself once for each group.

use super::failure::fail;
use super::term::{KNOWN, RATINGS, extensions, order, typed};
use super::word::{Character, Pattern, Word, text_of};
use super::{DEPTH_MAX, Expression, Order, QUERY_BYTES_MAX, Query, QueryError, TERMS_MAX, Term};

pub(super) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!(
            "it has {} bytes, and {QUERY_BYTES_MAX} are the most: ask for less at once",
            text.len()
        );
        return fail(0, message);
    }
    let mut parser = Parser {
        characters: text.chars().collect(),
        next: 0,
        terms: 0,
        order: None,
    };
    let expression = parser.read_any(0)?;
    debug_assert_eq!(parser.next, parser.characters.len());
    Ok(Query {
        expression: expression.unwrap_or(Expression::All(Vec::new())),
        order: parser.order.unwrap_or_default(),
    })
}

struct Parser {
    characters: Vec<char>,
    next: usize,
    terms: usize,
    order: Option<Order>,
}

/// What stands in a list.
enum Item {
    Term(Expression),
    /// With a `~` before it.
    Optional(Expression),
    /// Says nothing about images.
    Order,
    Or,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.next).copied()
    }

    /// Lists with `or` between them; `None` if there is no term.
    fn read_any(&mut self, depth: usize) -> Result<Option<Expression>, QueryError> {
        let mut lists = Vec::new();
        loop {
            let start = self.next;
            let (list, or_at) = self.read_all(depth)?;
            let is_part = or_at.is_some() || !lists.is_empty();
            match (list, is_part) {
                (Some(Expression::Any(parts)), true) => lists.extend(parts),
                (Some(list), true) => lists.push(list),
                (None, true) => {
                    let message =
                        "`or` needs a term on either side; write `\\or` for a tag of that name";
                    return fail(or_at.unwrap_or(start.saturating_sub(2)), message);
                }
                (list, false) => return Ok(list),
            }
            if or_at.is_none() {
                return Ok(Some(Expression::Any(lists)));
            }
        }
    }

    /// One list, up to its end or an `or`, and where that was.
    fn read_all(
        &mut self,
        depth: usize,
    ) -> Result<(Option<Expression>, Option<usize>), QueryError> {
        let mut parts = Vec::new();
        let mut optional = Vec::new();
        let mut or_at = None;
        loop {
            while self.peek().is_some_and(char::is_whitespace) {
                self.next += 1;
            }
            let at = self.next;
            match self.peek() {
                None => break,
                Some(')') if depth > 0 => break,
                Some(')') => {
                    return fail(at, "`)` closes no group; write `\\)` for the character");
                }
                Some(_) => {}
            }
            match self.read_item(depth)? {
                Item::Term(Expression::All(more)) => parts.extend(more),
                Item::Term(one) => parts.push(one),
                Item::Optional(Expression::Any(more)) => optional.extend(more),
                Item::Optional(one) => optional.push(one),
                Item::Order => {}
                Item::Or => {
                    or_at = Some(at);
                    break;
                }
            }
        }
        match optional.len() {
            0 => {}
            1 => match optional.remove(0) {
                Expression::All(more) => parts.extend(more),
                one => parts.push(one),
            },
            _ => parts.push(Expression::Any(optional)),
        }
        let mut parts = merge_lists(parts);
        let list = match parts.len() {
            0 => None,
            1 => Some(parts.remove(0)),
            _ => Some(Expression::All(parts)),
        };
        Ok((list, or_at))
    }

    fn read_item(&mut self, depth: usize) -> Result<Item, QueryError> {
        let start = self.next;
        let is_optional = self.peek() == Some('~');
        if is_optional {
            self.next += 1;
            // It is a group, and printed as one.
            self.check_depth(start, depth + 1)?;
        }
        let mut is_negated = false;
        while self.peek() == Some('-') {
            self.next += 1;
            is_negated = !is_negated;
        }
        let prefix = &self.characters[start..self.next];
        let is_bare = prefix.is_empty();
        match self.peek() {
            None => return fail(start, nothing_behind(prefix)),
            Some(c) if c.is_whitespace() || (c == ')' && depth > 0) => {
                return fail(start, nothing_behind(prefix));
            }
            Some('~') => {
                return fail(
                    self.next,
                    "`~` comes first: `~-word`, once; write `\\~` for the character",
                );
            }
            Some(_) => {}
        }
        let expression = match self.peek() {
            Some('(') => self.read_group(depth)?,
            Some('"') => self.read_quoted()?,
            _ => {
                let word = self.read_word(depth)?;
                if is_bare && word.is("or") {
                    return Ok(Item::Or);
                }
                match self.term(&word)? {
                    Some(term) => {
                        self.count(word.at, list_len(&term))?;
                        Expression::Term(term)
                    }
                    None if !is_bare => {
                        return fail(start, "an order can't be negated or chosen from");
                    }
                    None if depth > 0 => {
                        return fail(
                            start,
                            "an order is of the whole query: write it outside of `( )`",
                        );
                    }
                    None => return Ok(Item::Order),
                }
            }
        };
        let expression = match (is_negated, expression) {
            (false, expression) => expression,
            (true, Expression::Not(inner)) => *inner,
            (true, expression) => Expression::Not(Box::new(expression)),
        };
        Ok(match is_optional {
            true => Item::Optional(expression),
            false => Item::Term(expression),
        })
    }

    fn check_depth(&self, at: usize, depth: usize) -> Result<(), QueryError> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        fail(
            at,
            format!("groups lie within each other {depth} times, and {DEPTH_MAX} are the most"),
        )
    }

    fn count(&mut self, at: usize, terms: usize) -> Result<(), QueryError> {
        self.terms += terms;
        if self.terms <= TERMS_MAX {
            return Ok(());
        }
        fail(
            at,
            format!("this is more than the {TERMS_MAX} terms that one query may have"),
        )
    }

    fn read_group(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let start = self.next;
        self.check_depth(start, depth + 1)?;
        self.next += 1;
        let inner = self.read_any(depth + 1)?;
        if self.peek() != Some(')') {
            return fail(
                start,
                "this `(` is never closed; write `\\(` for the character",
            );
        }
        self.next += 1;
        match inner {
            Some(inner) => Ok(inner),
            None => fail(
                start,
                "there is no term in this `( )`; write `\\(\\)` for the characters",
            ),
        }
    }

    /// Text in quotes, behind which the item ends.
    fn read_quoted(&mut self) -> Result<Expression, QueryError> {
        let start = self.next;
        let characters = self.read_quotes()?;
        let text = text_of(&characters);
        if text.is_empty() {
            return fail(start, "there is nothing in these quotes");
        }
        self.count(start, 1)?;
        Ok(Expression::Term(Term::Text(text)))
    }

    fn read_quotes(&mut self) -> Result<Vec<Character>, QueryError> {
        let start = self.next;
        self.next += 1;
        let mut characters = Vec::new();
        loop {
            let value = match self.peek() {
                Some('"') => break,
                Some('\\') => {
                    self.next += 1;
                    self.peek()
                }
                other => other,
            };
            let Some(value) = value else {
                return fail(
                    start,
                    "this quote is never closed; write `\\\"` for the character",
                );
            };
            check_character(self.next, value)?;
            characters.push(Character {
                value,
                is_escaped: true,
                at: self.next,
            });
            self.next += 1;
        }
        self.next += 1;
        Ok(characters)
    }

    fn read_word(&mut self, depth: usize) -> Result<Word, QueryError> {
        let at = self.next;
        let mut characters: Vec<Character> = Vec::new();
        let mut open = 0_usize;
        while let Some(value) = self.peek() {
            let mut is_escaped = false;
            let mut value = value;
            match value {
                '\\' => {
                    self.next += 1;
                    is_escaped = true;
                    value = match self.peek() {
                        Some(value) => value,
                        None => {
                            return fail(
                                self.next - 1,
                                "`\\` takes the next character, and there is none; write `\\\\`",
                            );
                        }
                    };
                }
                // The value behind a prefix may be in quotes.
                '"' if characters.last().is_some_and(|last| last.is(':'))
                    && is_prefix(&characters) =>
                {
                    characters.extend(self.read_quotes()?);
                    break;
                }
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' if depth > 0 => break,
                value if value.is_whitespace() => break,
                _ => {}
            }
            check_character(self.next, value)?;
            characters.push(Character {
                value,
                is_escaped,
                at: self.next,
            });
            self.next += 1;
        }
        Ok(Word { at, characters })
    }

    /// What a word asks; `None` for an order, which is kept.
    fn term(&mut self, word: &Word) -> Result<Option<Term>, QueryError> {
        if let Some(extensions) = extensions(word) {
            return Ok(Some(Term::Extension(extensions)));
        }
        if let Some((name, value)) = word.prefix()
            && KNOWN.contains(&name.as_str())
        {
            if value.characters.is_empty() {
                return fail(
                    word.at,
                    format!(
                        "nothing follows `{name}:`; write `\\` before it for a tag of that name"
                    ),
                );
            }
            if name == "order" {
                self.order = Some(order(&value)?);
                return Ok(None);
            }
            return typed(&name, &value).map(Some);
        }
        let text = word.text();
        let rating = text
            .strip_prefix("rating_")
            .filter(|name| RATINGS.contains(name));
        if let Some(rating) = rating
            && word.is(&text)
        {
            return Ok(Some(Term::Rating(vec![Pattern::literal(rating)])));
        }
        Ok(Some(Term::Word(Pattern::of(&word.characters))))
    }
}

fn nothing_behind(prefix: &[char]) -> String {
    let prefix: String = prefix.iter().collect();
    format!("no term follows `{prefix}` directly; write `\\{prefix}` for a tag of that name")
}

fn is_prefix(characters: &[Character]) -> bool {
    let (name, _) = characters.split_at(characters.len() - 1);
    name.iter().all(|one| !one.is_escaped) && KNOWN.contains(&text_of(name).as_str())
}

fn check_character(at: usize, value: char) -> Result<(), QueryError> {
    match value.is_control() {
        true => fail(at, "a control character is in no name"),
        false => Ok(()),
    }
}

fn list_len(term: &Term) -> usize {
    match term {
        Term::Rating(list) | Term::Source(list) => list.len(),
        Term::Extension(list) => list.len(),
        Term::Md5(list) => list.len(),
        Term::Number(_, list) => list.len(),
        _ => 1,
    }
}

/// Endings, and ratings, that stand in one list mean any of them: no image has two.
fn merge_lists(parts: Vec<Expression>) -> Vec<Expression> {
    let mut merged: Vec<Expression> = Vec::new();
    for part in parts {
        let known = merged.iter_mut().find_map(|other| match (other, &part) {
            (Expression::Term(Term::Extension(known)), Expression::Term(Term::Extension(more))) => {
                known.extend_from_slice(more);
                Some(())
            }
            (Expression::Term(Term::Rating(known)), Expression::Term(Term::Rating(more))) => {
                known.extend_from_slice(more);
                Some(())
            }
            _ => None,
        });
        if known.is_none() {
            merged.push(part);
        }
    }
    merged
}
