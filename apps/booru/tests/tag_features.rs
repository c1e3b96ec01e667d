//! Tags to look through, pools, favourites, ratings, relations, families and edits by hand, beside plain
//! SQL over the same database.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::collections::{BTreeMap, BTreeSet};

use collection::{Era, Folder, RATINGS, Random, SMALL, ids, make, open, tag_name};
use plimsoll_booru::board::Board;
use plimsoll_booru::browse::{Browse, TagFilter, TagOrder};
use plimsoll_booru::edit::Rating;
use plimsoll_booru::query::Category;
use plimsoll_booru::relations::{RelationKind, Role};
use plimsoll_booru::search::Page;
use rusqlite::Connection;

const ALL: Page = Page {
    number: 1,
    images: 500,
};

fn found(board: &Board, query: &str) -> Vec<u32> {
    board.all_matches(&query.parse().unwrap()).unwrap()
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn number(connection: &Connection, sql: &str) -> u64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Conditions and orders of a list, as they are asked for and as SQL.
const FILTERS: [(TagFilter, &str); 5] = [
    (TagFilter::All, "1"),
    (
        TagFilter::Uncategorized,
        "category IS NULL AND name NOT LIKE 'rating:%'",
    ),
    (
        TagFilter::NeedsExtended,
        "COALESCE(category, 'general') = 'general' AND extended_category IS NULL",
    ),
    (TagFilter::Orphaned, "c = 0"),
    (TagFilter::LowUsage, "c BETWEEN 1 AND 4"),
];
const ORDERS: [(TagOrder, &str); 4] = [
    (TagOrder::CountDescending, "c DESC, name"),
    (TagOrder::CountAscending, "c, name"),
    (TagOrder::NameAscending, "name"),
    (TagOrder::NameDescending, "name DESC"),
];

#[test]
fn lists_of_tags_are_those_of_sql_page_by_page() {
    let folder = Folder::new("browse");
    let path = make(&folder, Era::Now, SMALL, 41);
    let mut board = open(&path);
    let connection = Connection::open(&path).unwrap();
    board.create_tag("Orphan", Category::General).unwrap();
    board
        .add_tags(&[3, 5], &["little_used".to_owned()])
        .unwrap();
    let extended = "UPDATE tags SET extended_category = '02_Hair' WHERE name LIKE '%hair%'";
    connection.execute(extended, []).unwrap();
    board.refresh().unwrap();
    for (filter, condition) in FILTERS {
        for (order, by) in ORDERS {
            for search in ["", "HAIR", "o_", "nobody"] {
                let expected = names(
                    &connection,
                    &format!(
                        "SELECT name FROM (SELECT *, (SELECT count(*) FROM image_tags WHERE tag_id = tags.id) AS c \
                         FROM tags) WHERE {condition} AND instr(lower(name), lower('{search}')) > 0 ORDER BY {by}"
                    ),
                );
                let mut told = Vec::new();
                loop {
                    let asked = Browse {
                        filter,
                        order,
                        search,
                        offset: told.len(),
                        limit: 17,
                        ..Browse::default()
                    };
                    let page = board.browse_tags(&asked).unwrap();
                    assert_eq!(page.total, expected.len());
                    if page.tags.is_empty() {
                        break;
                    }
                    told.extend(page.tags.into_iter().map(|tag| tag.name));
                }
                assert_eq!(told, expected, "{filter:?} {order:?} {search:?}");
            }
        }
    }
    let asked = Browse {
        category: Some(Category::Artist),
        hides_orphaned: true,
        limit: 500,
        ..Browse::default()
    };
    let sql = "SELECT count(*) FROM tags WHERE category = 'artist' AND id IN (SELECT tag_id FROM image_tags)";
    let listed = board.browse_tags(&asked).unwrap();
    assert_eq!(listed.total as u64, number(&connection, sql));
    assert!(listed.tags.iter().all(|tag| tag.category == "artist"));
}

#[test]
fn the_overview_and_the_detail_of_a_tag_count_what_sql_counts() {
    let folder = Folder::new("detail");
    let path = make(&folder, Era::Now, SMALL, 42);
    let mut board = open(&path);
    let connection = Connection::open(&path).unwrap();
    board.create_tag("nobody_has_it", Category::Meta).unwrap();
    board.create_alias("sola", "solo").unwrap();
    board.create_rule("solo", "hair").unwrap();
    board.create_rule("long_hair", "solo").unwrap();
    board.reject_rule("hat", "solo").unwrap();
    board.apply_rules().unwrap();
    board.add_tags(&[3, 5, 7], &["solo".to_owned()]).unwrap();
    let overview = board.overview().unwrap();
    let count = |sql: &str| number(&connection, &format!("SELECT count(*) FROM {sql}"));
    assert_eq!(overview.images, count("images"));
    assert_eq!(overview.tags, count("tags"));
    assert_eq!(overview.pairs, count("image_tags"));
    let of = "(SELECT *, (SELECT count(*) FROM image_tags WHERE tag_id = tags.id) AS c FROM tags)";
    assert_eq!(overview.orphaned, count(&format!("{of} WHERE c = 0")));
    assert_eq!(
        overview.low_usage,
        count(&format!("{of} WHERE c BETWEEN 1 AND 4"))
    );
    assert_eq!(overview.uncategorized, count("tags WHERE category IS NULL"));
    assert_eq!((overview.aliases, overview.rules_active), (1, 2));
    assert_eq!(overview.rules_rejected, 1);
    let sum: u64 = overview.categories.iter().map(|one| one.tags).sum();
    assert_eq!(sum, overview.tags);

    let detail = board.tag_detail("SOLA").unwrap();
    assert_eq!(detail.tag.name, "solo");
    let by_source: BTreeMap<String, u64> = detail
        .sources
        .iter()
        .map(|one| (one.source.clone(), one.images))
        .collect();
    let id = detail.tag.id;
    for source in ["original", "user", "implication"] {
        let sql = format!("image_tags WHERE tag_id = {id} AND source = '{source}'");
        let counted = by_source.get(source).copied().unwrap_or(0);
        assert_eq!(counted, count(&sql), "{source}");
    }
    assert!(by_source.len() >= 2, "{by_source:?}");
    let newest = ids(
        &connection,
        &format!(
            "SELECT i.id FROM images AS i JOIN image_tags ON image_id = i.id WHERE tag_id = {id} \
             ORDER BY ingested_at IS NULL, ingested_at DESC, i.id DESC LIMIT 6"
        ),
    );
    assert_eq!(detail.samples, newest);
    assert_eq!(detail.aliases, ["sola"]);
    let pair = |rule: &plimsoll_booru::rules::Rule| {
        (rule.tag.clone(), rule.implied.clone(), rule.status.clone())
    };
    let own = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let implies: Vec<_> = detail.implies.iter().map(pair).collect();
    assert_eq!(implies, [own("solo", "hair", "active")]);
    let implied_by: BTreeSet<_> = detail.implied_by.iter().map(pair).collect();
    let expected = [
        own("long_hair", "solo", "active"),
        own("Hat", "solo", "rejected"),
    ];
    assert_eq!(implied_by, expected.into());
    assert!(board.tag_detail("nowhere").is_err());
}

#[test]
fn tags_in_common_are_counted_on_each_image_once() {
    let folder = Folder::new("shared");
    let path = make(&folder, Era::Reordered, SMALL, 43);
    let mut board = open(&path);
    let images = found(&board, "solo");
    assert!(images.len() > 5);
    board.add_tags(&images, &["everywhere".to_owned()]).unwrap();
    let twice = [images.as_slice(), images.as_slice()].concat();
    let common = board.common_tags(&twice, 10_000).unwrap();
    assert_eq!(common.images, images.len() as u64);
    let in_all: Vec<&str> = common
        .in_all
        .iter()
        .map(|one| one.tag.name.as_str())
        .collect();
    assert!(
        in_all.contains(&"everywhere") && in_all.contains(&"solo"),
        "{in_all:?}"
    );
    let connection = Connection::open(&path).unwrap();
    let list: Vec<String> = images.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT name FROM tags JOIN image_tags ON tag_id = tags.id WHERE image_id IN ({}) \
         GROUP BY tags.id HAVING count(*) < {} ORDER BY count(*) DESC, tags.id",
        list.join(", "),
        images.len()
    );
    let in_some: Vec<String> = common
        .in_some
        .iter()
        .map(|one| one.tag.name.clone())
        .collect();
    assert_eq!(in_some, names(&connection, &sql));
    assert_eq!(common.in_some_total as usize, in_some.len());
    assert!(
        common
            .in_some
            .iter()
            .all(|one| one.percentage < 100.0 && one.percentage > 0.0)
    );
    assert_eq!(board.common_tags(&images, 2).unwrap().in_some.len(), 2);
    assert!(board.common_tags(&[4], 2).is_err());
    assert!(board.common_tags(&[], 2).unwrap().in_all.is_empty());
}

/// Pools and favourites by plain lists, and what search says of them, in any order of edits.
#[test]
fn pools_and_favourites_are_what_was_put_in_and_search_follows() {
    for (era, seed) in [(Era::Now, 44), (Era::Reordered, 45), (Era::Old, 46)] {
        let folder = Folder::new("pools");
        let path = make(&folder, era, SMALL, seed);
        let mut board = open(&path);
        let mut random = Random(seed);
        let images = found(&board, "order:id_asc");
        let mut pools: BTreeMap<i64, (String, Vec<u32>)> = BTreeMap::new();
        for pool in board.pools(0, 500).unwrap().items {
            let inside = board.images_of_pool(pool.id, 0, 500).unwrap().items;
            pools.insert(pool.id, (pool.name, inside));
        }
        let mut marked: BTreeSet<u32> = found(&board, "is:favourite").into_iter().collect();
        for step in 0..80 {
            let picked: Vec<u32> = (0..1 + random.below(6))
                .map(|_| *random.pick(&images))
                .collect();
            let known: Vec<i64> = pools.keys().copied().collect();
            match random.below(8) {
                0 => {
                    let name = format!("Pool {step} it's \"%_\\");
                    let id = board.create_pool(&name, "of no worth").unwrap();
                    assert!(board.create_pool(&name, "").is_err());
                    pools.insert(id, (name, Vec::new()));
                }
                1 | 2 if !known.is_empty() => {
                    let id = *random.pick(&known);
                    let inside = &mut pools.get_mut(&id).unwrap().1;
                    let mut new: Vec<u32> = Vec::new();
                    for image in &picked {
                        if !inside.contains(image) && !new.contains(image) {
                            new.push(*image);
                        }
                    }
                    assert_eq!(board.add_to_pool(id, &picked).unwrap(), new.len() as u64);
                    inside.extend(new);
                }
                3 if !known.is_empty() => {
                    let id = *random.pick(&known);
                    board.remove_from_pool(id, &picked).unwrap();
                    let inside = &mut pools.get_mut(&id).unwrap().1;
                    inside.retain(|image| !picked.contains(image));
                }
                4 if !known.is_empty() && era != Era::Reordered => {
                    let id = *random.pick(&known);
                    let inside = &mut pools.get_mut(&id).unwrap().1;
                    inside.reverse();
                    let first: Vec<u32> = inside.iter().take(4).copied().collect();
                    let mut rest = board.images_of_pool(id, 0, 500).unwrap().items;
                    rest.retain(|image| !first.contains(image));
                    board.reorder_pool(id, &first).unwrap();
                    *inside = [first, rest].concat();
                }
                5 if !known.is_empty() => {
                    let id = *random.pick(&known);
                    let name = format!("Renamed {step}");
                    board.rename_pool(id, &name).unwrap();
                    pools.get_mut(&id).unwrap().0 = name;
                }
                6 if known.len() > 2 => {
                    let id = *random.pick(&known);
                    board.delete_pool(id).unwrap();
                    pools.remove(&id);
                    assert!(board.delete_pool(id).is_err());
                }
                _ => {
                    let image = picked[0];
                    let is_now = board.toggle_favourite(image).unwrap();
                    assert_eq!(is_now, marked.insert(image));
                    if !is_now {
                        marked.remove(&image);
                    }
                    let new = picked.iter().collect::<BTreeSet<_>>();
                    let new = new.into_iter().filter(|one| !marked.contains(one)).count();
                    assert_eq!(board.add_favourites(&picked).unwrap(), new as u64);
                    board.remove_favourites(&picked[..1]).unwrap();
                    marked.extend(&picked);
                    marked.remove(&image);
                }
            }
        }
        for board in [&board, &open(&path)] {
            for (id, (name, inside)) in &pools {
                let info = board.pool(*id).unwrap();
                assert_eq!((&info.name, info.images), (name, inside.len() as u64));
                let mut told = board.images_of_pool(*id, 0, 500).unwrap().items;
                let mut expected = inside.clone();
                if era == Era::Reordered {
                    told.sort_unstable();
                    expected.sort_unstable();
                }
                assert_eq!(told, expected, "{era:?} {name}");
            }
            assert_eq!(board.pools(0, 500).unwrap().total, pools.len() as u64);
            let any: BTreeSet<u32> = pools.values().flat_map(|pool| pool.1.clone()).collect();
            assert_eq!(found(board, "has:pool order:id_asc"), Vec::from_iter(any));
            let image = *pools.values().flat_map(|pool| &pool.1).next().unwrap();
            let of: BTreeSet<i64> = board
                .pools_of(image)
                .unwrap()
                .iter()
                .map(|pool| pool.id)
                .collect();
            let expected = pools.iter().filter(|(_, pool)| pool.1.contains(&image));
            assert_eq!(of, expected.map(|(id, _)| *id).collect());
            assert_eq!(found(board, "is:favourite"), Vec::from_iter(marked.clone()));
            assert_eq!(board.count_favourites(), marked.len() as u64);
            assert_eq!(board.is_favourite(4), None);
        }
        assert!(!board.refresh().unwrap(), "nobody else has written");
    }
}

#[test]
fn hostile_names_of_pools_are_refused_and_strange_ones_kept() {
    let folder = Folder::new("pool-names");
    let path = make(&folder, Era::Now, SMALL, 47);
    let mut board = open(&path);
    for name in ["", "  ", "a\nb", "a\u{1b}[31m", "\u{0}", &"x".repeat(256)] {
        assert!(board.create_pool(name, "").is_err(), "{name:?}");
    }
    let long = "x".repeat((64 << 10) + 1);
    assert!(board.create_pool("fine", &long).is_err());
    for name in ["'; DROP TABLE pools; --", "ÄÖÜ 夏 🌊", "%", "1"] {
        let id = board.create_pool(name, "x'\"\0y").unwrap();
        assert_eq!(board.find_pool(name).unwrap(), id);
        assert_eq!(board.pool(id).unwrap().description, "x'\"\0y");
        board.add_to_pool(id, &[3]).unwrap();
    }
    assert!(board.add_to_pool(1, &[4]).is_err(), "no such image");
    assert!(board.add_to_pool(99, &[3]).is_err() && board.reorder_pool(99, &[]).is_err());
    assert!(board.reorder_pool(1, &[3, 3]).is_err());
    assert_eq!(found(&board, "pool:ÄÖÜ"), [3]);
}

#[test]
fn an_image_has_the_rating_that_was_given_last_and_no_other() {
    for (era, seed) in [(Era::Now, 48), (Era::Reordered, 49), (Era::Old, 50)] {
        let folder = Folder::new("rate");
        let path = make(&folder, era, SMALL, seed);
        let mut board = open(&path);
        let images = found(&board, "order:id_asc");
        let mut random = Random(seed);
        let mut given: BTreeMap<u32, Rating> = BTreeMap::new();
        for _ in 0..30 {
            let picked: Vec<u32> = (0..1 + random.below(30))
                .map(|_| *random.pick(&images))
                .collect();
            let rating = *random.pick(&Rating::ALL);
            board.rate_images(&picked, rating).unwrap();
            given.extend(picked.into_iter().map(|image| (image, rating)));
        }
        let connection = Connection::open(&path).unwrap();
        for (image, rating) in &given {
            let sql = format!(
                "SELECT name FROM tags JOIN image_tags ON tag_id = tags.id \
                 WHERE image_id = {image} AND name LIKE 'rating:%'"
            );
            assert_eq!(
                names(&connection, &sql),
                [format!("rating:{}", rating.name())]
            );
        }
        if era == Era::Now {
            let sql = "SELECT count(*) FROM image_tags JOIN tags ON tags.id = tag_id WHERE source = 'user' \
                       AND name LIKE 'rating:%'";
            assert_eq!(number(&connection, sql), given.len() as u64);
        }
        for rating in RATINGS {
            let expected = given.iter().filter(|(_, one)| one.name() == rating);
            let expected: Vec<u32> = expected.map(|(image, _)| *image).collect();
            let told = found(&board, &format!("rating:{rating}"));
            assert!(
                expected.iter().all(|image| told.contains(image)),
                "{rating}"
            );
            assert_eq!(told, found(&open(&path), &format!("rating:{rating}")));
        }
    }
}

/// What a rebuild by the original does: tags as they were at first, then the edits by hand in their order.
#[test]
fn edits_by_hand_outlive_a_rebuild() {
    let folder = Folder::new("rebuild");
    let path = make(&folder, Era::Now, SMALL, 51);
    let connection = Connection::open(&path).unwrap();
    let read = |connection: &Connection| -> BTreeSet<(String, String)> {
        let sql = "SELECT md5, name FROM images JOIN image_tags ON image_id = images.id \
                   JOIN tags ON tags.id = tag_id";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let first = read(&connection);
    let mut board = open(&path);
    let mut random = Random(51);
    let images = found(&board, "order:id_asc");
    for step in 0..150 {
        // Few images and tags, so that edits meet.
        let picked: Vec<u32> = (0..3).map(|_| images[random.below(8)]).collect();
        let tag = match random.one_in(6) {
            true => format!("new_{step}"),
            false => tag_name(random.below(6)),
        };
        match random.below(5) {
            0 | 1 => board.add_tags(&picked, &[tag]).unwrap(),
            2 | 3 => board.remove_tags(&picked, &[tag]).unwrap(),
            _ => board
                .rate_images(&picked, *random.pick(&Rating::ALL))
                .unwrap(),
        };
        if random.one_in(5) {
            // Undone or not: either way it has to hold.
            let _ = board.undo_hand_edit(picked[0]);
        }
    }
    let mut rebuilt = first;
    let sql = "SELECT image_md5, tag_name, operation FROM tag_deltas ORDER BY timestamp, id";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut edits = 0;
    while let Some(row) = rows.next().unwrap() {
        let pair: (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let operation: String = row.get(2).unwrap();
        match operation.as_str() {
            "add" => rebuilt.insert(pair),
            _ => rebuilt.remove(&pair),
        };
        edits += 1;
    }
    assert!(edits > 10);
    assert_eq!(rebuilt, read(&connection));
}

#[test]
fn the_last_edit_by_hand_is_taken_back_if_it_fits() {
    let folder = Folder::new("undo");
    let path = make(&folder, Era::Now, SMALL, 52);
    let mut board = open(&path);
    let image = found(&board, "solo -hair")[0];
    let add = |board: &mut Board, tag: &str| board.add_tags(&[image], &[tag.to_owned()]).unwrap();
    assert!(board.undo_hand_edit(image).is_err(), "there is none");
    add(&mut board, "hair");
    board.remove_tags(&[image], &["solo".to_owned()]).unwrap();
    add(&mut board, "brand_new");
    let told: Vec<(String, String)> = board
        .hand_edits(image)
        .unwrap()
        .into_iter()
        .map(|edit| (edit.operation, edit.tag))
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        told,
        [
            pair("add", "hair"),
            pair("remove", "solo"),
            pair("add", "brand_new")
        ]
    );
    assert_eq!(board.undo_hand_edit(image).unwrap().tag, "brand_new");
    assert_eq!(board.undo_hand_edit(image).unwrap().tag, "solo");
    let id = format!("id:{image}");
    assert_eq!(
        found(&board, &format!("{id} solo hair -brand_new")),
        [image]
    );
    // Another program has taken it off since.
    let connection = Connection::open(&path).unwrap();
    let sql = "DELETE FROM image_tags WHERE tag_id = (SELECT id FROM tags WHERE name = 'hair')";
    connection.execute(sql, []).unwrap();
    let error = board.undo_hand_edit(image).unwrap_err();
    assert!(format!("{error:#}").contains("does not fit"), "{error:#}");
    assert_eq!(board.hand_edits(image).unwrap().len(), 1);
    board
        .rename_tag("hair", "fur", plimsoll_booru::edit::OldName::BecomesAlias)
        .unwrap();
    assert_eq!(board.hand_edits(image).unwrap()[0].tag, "fur");
    assert!(board.hand_edits(4).is_err() && board.undo_hand_edit(4).is_err());
}

#[test]
fn relations_are_kept_in_the_order_of_their_kind() {
    let folder = Folder::new("relations");
    for (era, seed) in [(Era::Now, 53), (Era::Old, 54)] {
        let path = make(&folder, era, SMALL, seed);
        let mut board = open(&path);
        let (child, sibling) = (RelationKind::ParentChild, RelationKind::Sibling);
        assert!(board.create_relation(child, 9, 3).unwrap());
        assert!(!board.create_relation(child, 9, 3).unwrap(), "it is there");
        assert!(board.create_relation(child, 3, 9).is_err(), "a circle");
        assert!(board.create_relation(child, 9, 11).unwrap());
        assert!(board.create_relation(sibling, 7, 5).unwrap());
        assert!(!board.create_relation(sibling, 5, 7).unwrap());
        assert!(
            board
                .create_relation(RelationKind::NonDuplicate, 13, 3)
                .unwrap()
        );
        for (a, b) in [(3, 3), (3, 4), (4, 3)] {
            assert!(board.create_relation(sibling, a, b).is_err(), "{a} {b}");
        }
        let connection = Connection::open(&path).unwrap();
        let sql = "SELECT relation_type || ' ' || image_id_a || ' ' || image_id_b FROM image_relations ORDER BY id";
        assert_eq!(
            names(&connection, sql),
            [
                "parent_child 9 3",
                "parent_child 9 11",
                "sibling 5 7",
                "non_duplicate 3 13"
            ]
        );
        let told: Vec<(Role, u32)> = board
            .relations(3)
            .unwrap()
            .iter()
            .map(|one| (one.role, one.image))
            .collect();
        assert_eq!(told, [(Role::Parent, 9), (Role::NonDuplicate, 13)]);
        let family: Vec<(Role, u32)> = board
            .family(3)
            .unwrap()
            .relatives
            .iter()
            .map(|one| (one.role, one.image))
            .filter(|(_, image)| [9, 11, 13].contains(image))
            .collect();
        assert_eq!(family, [(Role::Parent, 9), (Role::Sibling, 11)]);
        board.delete_relation(sibling, 7, 5).unwrap();
        assert!(board.delete_relation(sibling, 7, 5).is_err());
        assert!(board.relations(7).unwrap().is_empty());
        drop(board);
        std::fs::remove_file(&path).unwrap();
        let _ = std::fs::remove_file(path.with_extension("db-wal"));
        let _ = std::fs::remove_file(path.with_extension("db-shm"));
    }
}

/// Posts of three sites whose ids are alike: only those of the same site are relatives.
#[test]
fn a_family_is_told_by_post_ids_of_the_same_site() {
    let folder = Folder::new("family");
    let path = make(&folder, Era::Now, SMALL, 55);
    let connection = Connection::open(&path).unwrap();
    let clear = "UPDATE images SET post_id = NULL, parent_id = NULL";
    connection.execute(clear, []).unwrap();
    let mut random = Random(55);
    let images = ids(&connection, "SELECT id FROM images ORDER BY id");
    // Image, site, post, parent; e621 has the parent a level deeper.
    let mut posts: Vec<(u32, &str, i64, Option<i64>)> = Vec::new();
    for image in &images {
        let mut sources = Vec::new();
        for site in ["danbooru", "e621", "pixiv", "yandere"] {
            if random.one_in(2) {
                continue;
            }
            let parent = random
                .one_in(2)
                .then(|| 1 + random.below(images.len()) as i64);
            let post = i64::from(*image) / 2;
            let parent_text = parent.map_or("null".to_owned(), |parent| parent.to_string());
            sources.push(match site {
                "e621" => format!(
                    "\"e621\": {{\"relationships\": {{\"parent_id\": {parent_text}}}, \"id\": {post}, \"x\": [[{{}}]]}}"
                ),
                _ => format!("\"{site}\": {{\"id\": \"{post}\", \"parent_id\": {parent_text}}}"),
            });
            if site != "pixiv" {
                posts.push((*image, site, post, parent));
            }
        }
        let data = match image % 50 {
            3 => "no JSON {".to_owned(),
            _ => format!("{{\"md5\": \"\", \"sources\": {{{}}}}}", sources.join(", ")),
        };
        if image % 50 == 3 {
            posts.retain(|post| post.0 != *image);
        }
        connection
            .execute("INSERT INTO raw_metadata VALUES (?1, ?2)", (image, data))
            .unwrap();
    }
    let mut board = open(&path);
    assert!(!board.family(images[0]).unwrap().is_complete);
    let mut unreadable = 0;
    loop {
        let read = board.read_post_ids().unwrap();
        unreadable += read.unreadable;
        if !read.is_more {
            break;
        }
    }
    assert_eq!(
        unreadable,
        images.iter().filter(|image| *image % 50 == 3).count() as u64
    );
    assert!(board.has_all_post_ids().unwrap());
    assert_eq!(board.read_post_ids().unwrap().images, 0);
    let mut relatives = 0;
    for image in &images {
        let mut expected: BTreeSet<(Role, u32)> = BTreeSet::new();
        for (_, site, post, parent) in posts.iter().filter(|own| own.0 == *image) {
            for (other, _, its_post, its_parent) in posts.iter().filter(|other| other.1 == *site) {
                if parent.is_some_and(|parent| parent == *its_post) {
                    expected.insert((Role::Parent, *other));
                }
                if its_parent.is_some_and(|parent| parent == *post) {
                    expected.insert((Role::Child, *other));
                }
                if parent.is_some() && parent == its_parent {
                    expected.insert((Role::Sibling, *other));
                }
            }
        }
        expected.retain(|(_, other)| other != image);
        let family = board.family(*image).unwrap();
        assert!(family.is_complete);
        let told: BTreeSet<_> = family
            .relatives
            .iter()
            .map(|one| (one.role, one.image))
            .collect();
        assert_eq!(told, expected, "{image}");
        relatives += told.len();
    }
    assert!(relatives > 100, "{relatives}");
    assert!(board.search(&"".parse().unwrap(), ALL, 0).unwrap().total > 0);
}
