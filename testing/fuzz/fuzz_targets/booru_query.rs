//! Queries of the image board: one that is printed reads as itself, an error is about one of its
//! characters, and what is read is within its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_booru::query::{DEPTH_MAX, Expression, QUERY_BYTES_MAX, Query, TERMS_MAX};

fuzz_target!(|text: &str| {
    let query = match text.parse::<Query>() {
        Ok(query) => query,
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.character));
            return;
        }
    };
    assert!(terms(&query.expression) <= TERMS_MAX);
    // Lists of any and of all take turns, each with a sign at most.
    assert!(depth(&query.expression) <= 3 * (DEPTH_MAX + 1));
    let printed = query.to_string();
    if printed.len() <= QUERY_BYTES_MAX {
        assert_eq!(printed.parse::<Query>().as_ref(), Ok(&query));
    }
});

fn terms(expression: &Expression) -> usize {
    match expression {
        Expression::Term(_) => 1,
        Expression::Not(inner) => terms(inner),
        Expression::All(parts) | Expression::Any(parts) => parts.iter().map(terms).sum(),
    }
}

fn depth(expression: &Expression) -> usize {
    match expression {
        Expression::Term(_) => 1,
        Expression::Not(inner) => 1 + depth(inner),
        Expression::All(parts) | Expression::Any(parts) => {
            1 + parts.iter().map(depth).max().unwrap_or(0)
        }
    }
}
