//! The parser of queries: what is said of bad ones, and that a query that is printed reads as itself.

use plimsoll_booru::query::{
    DEPTH_MAX, Expression, QUERY_BYTES_MAX, Query, QueryError, TERMS_MAX, Term,
};
use proptest::prelude::*;

fn parse(text: &str) -> Query {
    text.parse()
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a query reads as, printed.
fn check(text: &str, printed: &str) {
    let query = parse(text);
    assert_eq!(query.to_string(), printed, "{text}");
    assert_eq!(parse(printed), query, "{text}");
}

fn error(text: &str) -> QueryError {
    match text.parse::<Query>() {
        Ok(query) => panic!("{text} reads as {query}"),
        Err(error) => error,
    }
}

#[test]
fn each_token_is_understood() {
    for (text, printed) in [
        ("", ""),
        ("  1girl \t solo ", "1girl solo"),
        ("Long_Hair", "long_hair"),
        ("a or b c", "a or b c"),
        ("(a or b) c", "(a or b) c"),
        ("((a)) ((b c))", "a b c"),
        ("~a ~b c", "c (a or b)"),
        ("~a c", "c a"),
        ("-a -(b c) -(b or c)", "-a -(b c) -(b or c)"),
        ("--a -(-a)", "a a"),
        ("~-a ~(b c)", "-a or b c"),
        ("source:Danbooru,E621", "source:danbooru,e621"),
        ("-source:pixiv", "-source:pixiv"),
        ("filename:a*B", "filename:a*b"),
        ("filename:\"a b, c\"", "filename:a\\ b\\,\\ c"),
        ("pool:summer", "pool:summer"),
        ("metadata:missing", "metadata:missing"),
        (".png .JPG", ".png,jpg"),
        (".png,.jpg", ".png,jpg"),
        ("-.png", "-.png"),
        (
            "has:parent has:upscale -has:video",
            "has:parent has:upscaled -has:video",
        ),
        ("is:fav", "is:favourite"),
        ("rating:g rating_explicit", "rating:general,explicit"),
        ("rating_system", "rating_system"),
        (
            "rating:*able,s source:*booru",
            "rating:*able,sensitive source:*booru",
        ),
        ("character:miku artist:a*", "character:miku artist:a*"),
        ("score:>10 score:..5", "score:>=11 score:<=5"),
        ("id:5,7..9", "id:5,7..9"),
        ("width:>=1000 tagcount:<3", "width:>=1000 tagcount:<=2"),
        ("score:-5", "score:-5"),
        (
            "date:2025-06-01",
            "date:2025-06-01T00:00:00..2025-06-01T23:59:59",
        ),
        ("date:<2025", "date:<=2024-12-31T23:59:59"),
        ("order:score a", "a order:score_desc"),
        ("order:new", ""),
        ("order:random order:random:7", "order:random:7"),
        ("\"Two Words\" -\"a\\\"b\"", "\"two words\" -\"a\\\"b\""),
        ("re:zero", "re:zero"),
        ("miku_(song)", "miku_(song)"),
        ("(miku_(song) or b)", "miku_(song) or b"),
        (":)", ":\\)"),
        ("\\(o)", "\\(o\\)"),
        (
            "\\-a \\or \\.png \\rating:a \\*a a\\*b",
            "\\-a \\or \\.png \\rating:a \\*a a\\*b",
        ),
        (".hack//sign", "\\.hack//sign"),
        ("a**b * *", "a*b * *"),
    ] {
        check(text, printed);
    }
    let sum = "0123456789abcdef0123456789ABCDEF";
    check(
        &format!("md5:{sum}"),
        &format!("md5:{}", sum.to_lowercase()),
    );
}

#[test]
fn an_error_says_where_and_what_to_do() {
    for (text, character, part) in [
        ("a (b", 3, "never closed"),
        ("a )", 3, "closes no group"),
        ("a ()", 3, "no term in this"),
        ("a or", 3, "`or` needs a term"),
        ("or a", 1, "`or` needs a term"),
        ("(a or) b", 4, "`or` needs a term"),
        ("a -", 3, "no term follows `-`"),
        ("~ a", 1, "no term follows `~`"),
        ("-~a", 2, "comes first"),
        ("a source:", 3, "nothing follows `source:`"),
        ("source:a,,b", 10, "empty"),
        ("source:\\a\\b,,c", 13, "empty"),
        ("source:a,", 10, "empty"),
        ("a id:1,\\x,2", 8, "no whole number"),
        ("id:1,2,\\3,x", 11, "no whole number"),
        ("order:scor", 7, "known are new, old, random, score"),
        ("a (order:new b)", 4, "outside of"),
        ("-order:new", 1, "can't be negated"),
        ("order:random:x", 7, "no seed"),
        ("has:hat", 5, "known are parent, child"),
        ("is:it", 4, "known are favourite"),
        ("metadata:all", 10, "known are missing"),
        ("score:abc", 7, "no whole number"),
        ("score:99999999999999999999", 7, "no whole number"),
        ("score:5..3", 7, "nothing can lie in"),
        ("score:>9223372036854775807", 7, "nothing can lie in"),
        ("score:..", 7, "one end of `..`"),
        ("date:2025-13", 6, "no date"),
        ("date:>9999", 6, "outside of the years"),
        ("md5:abc", 5, "no MD5 sum"),
        ("ä \"b", 3, "quote is never closed"),
        ("\"\"", 1, "nothing in these quotes"),
        ("a\\", 2, "takes the next character"),
        ("a\u{0}b", 2, "control character"),
    ] {
        let error = error(text);
        assert_eq!(error.character, character, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn length_depth_and_terms_are_bounded() {
    let words = |count: usize| vec!["a"; count].join(" ");
    parse(&words(TERMS_MAX));
    assert!(error(&words(TERMS_MAX + 1)).message.contains("terms"));
    let list = format!("id:{}", vec!["1"; TERMS_MAX + 1].join(","));
    assert!(error(&list).message.contains("terms"));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    parse(&nested(DEPTH_MAX));
    assert!(
        error(&nested(DEPTH_MAX + 1))
            .message
            .contains("within each other")
    );
    parse(&"a".repeat(QUERY_BYTES_MAX));
    assert!(
        error(&"a".repeat(QUERY_BYTES_MAX + 1))
            .message
            .contains("bytes")
    );
    // Hostile ones end at once: signs, brackets and quotes without end.
    for one in [
        "-", "~", "(", ")", "\"", "\\", "*", ",", ".", "(-", "~(", "a:",
    ] {
        let _ = one.repeat(QUERY_BYTES_MAX / one.len()).parse::<Query>();
        let _ = format!("{}a", one.repeat(QUERY_BYTES_MAX / one.len() - 1)).parse::<Query>();
    }
}

/// As the type says: see its documentation.
fn assert_canonical(expression: &Expression, is_top: bool) {
    match expression {
        Expression::Term(Term::Rating(list) | Term::Source(list)) => assert!(!list.is_empty()),
        Expression::Term(Term::Extension(list)) => assert!(!list.is_empty()),
        Expression::Term(_) => {}
        Expression::Not(inner) => {
            assert!(!matches!(**inner, Expression::Not(_)));
            assert_canonical(inner, false);
        }
        Expression::All(parts) => {
            assert!(parts.len() > 1 || (is_top && parts.is_empty()));
            for part in parts {
                assert!(!matches!(part, Expression::All(_)));
                assert_canonical(part, false);
            }
        }
        Expression::Any(parts) => {
            assert!(parts.len() > 1);
            for part in parts {
                assert!(!matches!(part, Expression::Any(_)));
                assert_canonical(part, false);
            }
        }
    }
}

fn any_query() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => "[ab_:.,*()\\\\\"~-]{1,6}",
        4 => prop::sample::select(vec![
            "a", "or", "OR", "(", ")", "-", "~", "\"", "\\", "*", ".png", ".jpg,gif", "source:a,b", "rating:g",
            "rating_explicit", "has:pool", "is:fav", "order:score_asc", "order:random:5", "score:>5",
            "score:1..9,20", "date:2024", "date:>=2024-02-29", "id:<7", "filename:a*b", "pool:\"x y\"",
            "character:b*", "metadata:missing", "md5:00112233445566778899aabbccddeeff", "general:(", "x:y",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ΣİßK\u{3000}é]{1,3}",
    ];
    let between = prop_oneof![3 => Just(" "), 1 => Just("")];
    prop::collection::vec((token, between), 0..12).prop_map(|tokens| {
        tokens
            .into_iter()
            .map(|(token, between)| token + between)
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_printed_query_reads_as_itself(text in any_query()) {
        if let Ok(query) = text.parse::<Query>() {
            assert_canonical(&query.expression, true);
            let printed = query.to_string();
            let again = printed.parse::<Query>();
            prop_assert_eq!(again.as_ref(), Ok(&query), "{} -> {}", text, printed);
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    #[test]
    fn an_error_is_about_a_character_of_the_query(text in any_query()) {
        if let Err(error) = text.parse::<Query>() {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.character), "{}", error);
        }
    }
}
