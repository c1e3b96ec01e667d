//! Search against a plain SQL oracle: thousands of queries over a small collection.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod oracle;

use collection::{Era, Folder, Random, SMALL, make, open, open_holding, tag_name};
use oracle::{Maker, check};
use plimsoll_booru::board::Board;
use plimsoll_booru::catalog::TagsHeld;
use plimsoll_booru::search::Page;
use rusqlite::Connection;

const ALL: Page = Page {
    number: 1,
    images: 500,
};

fn names() -> Vec<String> {
    let tags = (0..SMALL.tags).map(tag_name);
    let others = [
        "air",
        "HAIR",
        "o_h",
        "nothing_has_this",
        "_p0",
        "miku_(",
        "0",
    ];
    tags.chain(others.map(str::to_owned)).collect()
}

fn total(board: &Board, query: &str) -> usize {
    board.search(&query.parse().unwrap(), ALL, 0).unwrap().total
}

#[test]
fn answers_are_those_of_plain_sql() {
    for (era, seed) in [(Era::Now, 1), (Era::Reordered, 2), (Era::Now, 3)] {
        check_answers(era, seed, TagsHeld::Ids, 1500);
    }
}

#[test]
fn answers_are_the_same_where_tags_are_held_by_name() {
    for (seed, interned) in [(5, false), (6, true)] {
        check_answers(Era::Now, seed, TagsHeld::Names { interned }, 500);
    }
}

fn check_answers(era: Era, seed: u64, held: TagsHeld, queries: usize) {
    let folder = Folder::new("oracle");
    let path = make(&folder, era, SMALL, seed);
    let board = open_holding(&path, held);
    let connection = Connection::open(&path).unwrap();
    let mut maker = Maker::new(&connection, names(), seed);
    let mut random = Random(seed);
    let (mut checked, mut with_answers) = (0, 0);
    for _ in 0..queries {
        let asked = maker.query();
        if check(&board, &connection, &asked, &mut random) {
            checked += 1;
            with_answers += usize::from(total(&board, &asked.text) > 0);
        }
    }
    assert!(
        checked > queries * 29 / 30 && with_answers > queries / 2,
        "{checked} checked, {with_answers} with answers"
    );
}

#[test]
fn an_old_database_is_searched_by_what_it_has() {
    let folder = Folder::new("old");
    let path = make(&folder, Era::Old, SMALL, 4);
    let board = open(&path);
    let connection = Connection::open(&path).unwrap();
    let count = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, usize>(0))
            .unwrap()
    };
    let of_tag =
        "SELECT count(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE name = 'solo'";
    assert_eq!(total(&board, "solo"), count(of_tag));
    assert!(total(&board, "solo") > 0);
    assert_eq!(total(&board, ""), SMALL.images);
    for nothing in [
        "score:>=-100",
        "date:>1970",
        "source:danbooru",
        "has:parent",
        "is:fav",
        "pool:a",
    ] {
        assert_eq!(total(&board, nothing), 0, "{nothing}");
    }
    // Nothing is known of any: by id.
    let found = board
        .search(&"order:score".parse().unwrap(), ALL, 0)
        .unwrap();
    assert!(found.ids.windows(2).all(|pair| pair[0] > pair[1]));
    // Without categories all tags are general.
    assert_eq!(total(&board, "general:solo"), total(&board, "solo"));
}

#[test]
fn repeated_terms_do_no_harm_and_lists_mean_any() {
    let folder = Folder::new("lists");
    let board = open(&make(&folder, Era::Now, SMALL, 5));
    let of = |query: &str| total(&board, query);
    assert!(of("solo") > 0);
    assert_eq!(of("solo solo"), of("solo"));
    assert_eq!(of("solo -solo"), 0);
    assert_eq!(of("solo or -solo"), SMALL.images);
    assert_eq!(of(".png .webm"), of(".png") + of(".webm"));
    assert_eq!(of(".png,webm"), of(".png .webm"));
    assert_eq!(of("has:video"), of(".webm,mp4"));
    assert_eq!(of("rating:general rating:explicit"), of("rating:g,e"));
    assert_eq!(of("rating_general"), of("rating:general"));
    assert_eq!(of("rating:*e*"), of("rating:g,s,q,e"));
    assert_eq!(of("source:*booru"), of("source:danbooru,gelbooru"));
    assert_eq!(
        of("source:danbooru source:e621"),
        of("source:e621 source:danbooru source:e621")
    );
    assert!(of("source:danbooru source:e621") < of("source:danbooru,e621"));
    assert_eq!(of("is:favourite"), of("is:favorite"));
    assert_eq!(of("*"), of("tagcount:>0"));
    assert_eq!(of("SOLO"), of("solo"));
    // A tag that has capitals in the database, and one that looks like a filter.
    assert!(of("hat") > 0 && of("re:zero") > 0);
}

#[test]
fn md5_and_id_lead_to_one_image() {
    let folder = Folder::new("md5");
    let path = make(&folder, Era::Now, SMALL, 6);
    let board = open(&path);
    let connection = Connection::open(&path).unwrap();
    let sql = "SELECT id, md5 FROM images LIMIT 1 OFFSET 20";
    let (id, md5) = connection
        .query_row(sql, [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
        })
        .unwrap();
    for query in [
        format!("md5:{md5}"),
        format!("id:{id}"),
        format!("md5:{} id:1..", md5.to_uppercase()),
    ] {
        let found = board.search(&query.parse().unwrap(), ALL, 0).unwrap();
        assert_eq!(found.ids, [id], "{query}");
    }
    let none = format!("md5:{}", "0".repeat(32));
    assert_eq!(total(&board, &none), 0);
    assert_eq!(total(&board, &format!("-{none}")), SMALL.images);
}

#[test]
fn a_random_order_is_the_same_for_its_seed_and_has_each_image_once() {
    let folder = Folder::new("random");
    let board = open(&make(&folder, Era::Now, SMALL, 7));
    let walk = |query: &str, seed: u64| -> Vec<u32> {
        let query = query.parse().unwrap();
        let pages = 1 + SMALL.images / 33;
        let page = |number| Page { number, images: 33 };
        let ids =
            (1..=pages).flat_map(|number| board.search(&query, page(number), seed).unwrap().ids);
        ids.collect()
    };
    let one = walk("order:random:1", 9);
    assert_eq!(walk("order:random", 1), one, "the searcher's seed");
    assert_ne!(walk("order:random:2", 9), one);
    let mut sorted = one.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), SMALL.images);
    assert_ne!(sorted, one);
}

#[test]
fn a_query_reads_names_and_paths_a_few_times_only() {
    let folder = Folder::new("scans");
    let board = open(&make(&folder, Era::Now, SMALL, 8));
    let query = |terms: usize| {
        let terms: Vec<String> = (0..terms).map(|term| format!("*{term}*")).collect();
        board.search(&terms.join(" ").parse().unwrap(), ALL, 0)
    };
    assert!(query(16).is_ok());
    let error = query(17).unwrap_err().to_string();
    assert!(
        error.contains("more than 16 terms look for parts"),
        "{error}"
    );
}

#[test]
fn an_image_has_its_place_among_the_answers() {
    let folder = Folder::new("place");
    let board = open(&make(&folder, Era::Now, SMALL, 4));
    for text in [
        "",
        "solo",
        "-solo order:score",
        "order:random:5",
        "order:width_asc",
        "hat or hair order:id_asc",
    ] {
        let query = text.parse().unwrap();
        let all = board.window(&query, 0, SMALL.images, 0).unwrap().ids;
        assert_eq!(all.len(), total(&board, text));
        for (position, id) in all.iter().enumerate() {
            let place = board.place(&query, *id, 0).unwrap().unwrap();
            assert_eq!(
                (place.position, place.total),
                (position, all.len()),
                "{text}"
            );
            let before = position.checked_sub(1).map(|before| all[before]);
            assert_eq!(
                (place.previous, place.next),
                (before, all.get(position + 1).copied())
            );
        }
        assert_eq!(board.window(&query, 3, 4, 0).unwrap().ids, all[3..7]);
        assert_eq!(board.place(&query, 1, 0).unwrap(), None);
    }
    let of_one = board.search(&"solo".parse().unwrap(), ALL, 0).unwrap().ids[0];
    assert_eq!(
        board.place(&"-solo".parse().unwrap(), of_one, 0).unwrap(),
        None
    );
}
