//! Addresses within the board. Whatever stands in them is percent-encoded (RFC 3986, 2.3).

use std::fmt::Write as _;

use crate::query::{Category, Expression, Pattern, Query, Term};

/// A text as part of a query string, or as one segment of a path.
pub(super) fn encode(text: &str) -> String {
    encode_but(text, "")
}

fn encode_but(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        match character.is_ascii_alphanumeric()
            || "-._~".contains(character)
            || kept.contains(character)
        {
            true => encoded.push(character),
            false => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// All images that match; `page` from 1.
pub(super) fn results(query: &str, page: usize) -> String {
    match (query.is_empty(), page) {
        (true, 0 | 1) => "/".to_owned(),
        (true, page) => format!("/?page={page}"),
        (false, 0 | 1) => format!("/?query={}", encode(query)),
        (false, page) => format!("/?query={}&page={page}", encode(query)),
    }
}

/// The page of one image, which knows the search that it was found by.
pub(super) fn view(id: u32, query: &str) -> String {
    match query.is_empty() {
        true => format!("/view/{id}"),
        false => format!("/view/{id}?query={}", encode(query)),
    }
}

/// The file of an image, by its path in the database.
pub(super) fn file(path: &str) -> String {
    format!("/images/{}", encode_but(path, "/"))
}

/// The enlarged image, by the path of the image itself.
pub(super) fn upscaled(path: &str) -> String {
    format!("/upscaled/{}", encode_but(path, "/"))
}

/// The small picture of an image.
pub(super) fn thumbnail(path: &str) -> String {
    let path = crate::image::thumbnail(path);
    format!("/thumbnails/{}", encode_but(&path, "/"))
}

/// The term of a query that means exactly this tag.
pub(super) fn term_of_tag(name: &str) -> Term {
    match name.strip_prefix(crate::catalog::RATING) {
        Some(rating) => Term::Rating(vec![Pattern::literal(rating)]),
        None => Term::Word(Pattern::literal(name)),
    }
}

/// What matches both.
pub(super) fn and(query: &Query, expression: Expression) -> Query {
    let mut all = match query.expression.clone() {
        Expression::All(all) => all,
        other => vec![other],
    };
    if !all.contains(&expression) {
        all.push(expression);
    }
    Query {
        expression: one_or_all(all),
        order: query.order,
    }
}

/// `All` is never of one.
pub(super) fn one_or_all(mut all: Vec<Expression>) -> Expression {
    match all.len() {
        1 => all.remove(0),
        _ => Expression::All(all),
    }
}

/// The conditions of a query that must all hold.
pub(super) fn conditions(query: &Query) -> Vec<Expression> {
    match &query.expression {
        Expression::All(all) => all.clone(),
        other => vec![other.clone()],
    }
}

/// How a category is shown.
pub(super) fn heading(category: Category) -> &'static str {
    match category {
        Category::Character => "Characters",
        Category::Copyright => "Copyrights",
        Category::Artist => "Artists",
        Category::Species => "Species",
        Category::Meta => "Meta",
        Category::General => "General",
    }
}

/// A number with a comma before each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_an_address() {
        assert_eq!(encode("a b&c=<\"'>/é"), "a%20b%26c%3D%3C%22%27%3E%2F%C3%A9");
        assert_eq!(file("0a1/b c?#.png"), "/images/0a1/b%20c%3F%23.png");
        assert_eq!(thumbnail("0a1/b.c.png"), "/thumbnails/0a1/b.c.webp");
        assert_eq!(results("", 1), "/");
        assert_eq!(results("a b", 2), "/?query=a%20b&page=2");
    }

    #[test]
    fn digits_stand_in_threes() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_tag_added_to_a_query_is_read_as_that_tag() {
        for name in [
            "hat",
            "rating:general",
            "re:zero",
            "a*b",
            "(o)",
            "or",
            "source:x",
            ".png",
            "x'y",
            "-x",
            "~x",
        ] {
            let query: Query = "a or b".parse().unwrap();
            let more = and(&query, Expression::Term(term_of_tag(name)));
            let read: Query = more.to_string().parse().unwrap();
            assert_eq!(read, more, "{name}");
        }
    }
}
