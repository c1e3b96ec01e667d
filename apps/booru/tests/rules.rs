//! Rules: previews, suggestions and decisions, beside plain counts over the same database.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::collections::{BTreeMap, BTreeSet};

use collection::{Era, Folder, Random, SMALL, make, open};
use plimsoll_booru::board::Board;
use plimsoll_booru::query::Category;
use plimsoll_booru::rules::{Reason, Rules, Side};
use rusqlite::Connection;

type Tagged = BTreeMap<String, BTreeSet<u32>>;

fn tagged(connection: &Connection) -> Tagged {
    let sql = "SELECT name, image_id FROM tags LEFT JOIN image_tags ON tag_id = tags.id";
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut all = Tagged::new();
    while let Some(row) = rows.next().unwrap() {
        let images = all.entry(row.get(0).unwrap()).or_default();
        images.extend(row.get::<_, Option<u32>>(1).unwrap());
    }
    all
}

fn statuses(connection: &Connection) -> Vec<(String, String, String, String)> {
    let sql = "SELECT a.name, b.name, inference_type, status FROM tag_implications \
               JOIN tags AS a ON a.id = source_tag_id JOIN tags AS b ON b.id = implied_tag_id ORDER BY 1, 2";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Characters with names and images that speak for rules, some of them just not.
fn fill(board: &mut Board, random: &mut Random, images: &[u32]) {
    let tags = [
        ("vocaloid", Category::Copyright),
        ("saga", Category::Copyright),
        ("unused", Category::Copyright),
        ("blue_hair", Category::General),
        ("green_eyes", Category::General),
        ("grey_eyes", Category::General),
        ("standing", Category::General),
        ("x", Category::General),
        ("miku_(vocaloid)", Category::Character),
        ("miku_(snow)_(vocaloid)", Category::Character),
        ("rin_(vocaloid)", Category::Character),
        ("rin_(x)", Category::Character),
        ("rin_((saga))", Category::Character),
        ("(saga)", Category::Character),
        ("hero", Category::Character),
        ("zelda_(unused)", Category::Character),
        ("an_artist_(saga)", Category::Artist),
    ];
    for (tag, category) in tags {
        board.create_tag(tag, category).unwrap();
    }
    let mut put = |tag: &str, count: usize, with: &[(&str, usize)]| {
        let mut picked = images.to_vec();
        let picked: Vec<u32> = (0..count)
            .map(|_| picked.remove(random.below(picked.len())))
            .collect();
        board.add_tags(&picked, &[tag.to_owned()]).unwrap();
        for (other, part) in with {
            board
                .add_tags(&picked[..*part], &[(*other).to_owned()])
                .unwrap();
        }
    };
    put(
        "miku_(vocaloid)",
        20,
        &[("vocaloid", 20), ("blue_hair", 17), ("standing", 20)],
    );
    put(
        "miku_(snow)_(vocaloid)",
        12,
        &[("vocaloid", 3), ("green_eyes", 10)],
    );
    put("rin_(vocaloid)", 2, &[("vocaloid", 2), ("blue_hair", 2)]);
    put("hero", 100, &[("saga", 85), ("grey_eyes", 84)]);
    put("rin_(x)", 3, &[("saga", 3), ("x", 3)]);
    put("rin_((saga))", 5, &[]);
    put("an_artist_(saga)", 5, &[("saga", 5)]);
}

/// All that should be suggested, by counting; by name first where both speak as loud.
fn expected(connection: &Connection) -> BTreeMap<(String, String), (Reason, f64)> {
    let images = tagged(connection);
    let kinds: BTreeMap<String, (Option<String>, Option<String>)> = connection
        .prepare("SELECT name, category, extended_category FROM tags")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let is = |name: &str, category: &str| {
        kinds
            .get(name)
            .is_some_and(|kind| kind.0.as_deref() == Some(category))
    };
    let mut all = BTreeMap::new();
    for tag in kinds.keys().filter(|name| is(name, "character")) {
        for (implied, (category, extended)) in &kinds {
            let trait_of = extended.as_deref().unwrap_or("").get(..3);
            let is_asked = match category.as_deref() {
                Some("copyright") => true,
                Some("general") | None => ["01_", "02_", "03_"].map(Some).contains(&trait_of),
                _ => false,
            };
            let both = images[tag].intersection(&images[implied]).count();
            let share = both as f64 / images[tag].len() as f64;
            if is_asked && images[tag].len() >= 3 && both * 20 >= images[tag].len() * 17 {
                all.insert((tag.clone(), implied.clone()), (Reason::Correlation, share));
            }
            let ends = tag.len() > implied.len() + 3
                && *tag
                    == format!(
                        "{}_({implied})",
                        &tag[..tag.len().saturating_sub(implied.len() + 3)]
                    );
            let by_name = if is(implied, "copyright") && ends && !implied.contains(['(', ')']) {
                Some(0.92)
            } else if is(implied, "character") && is_variant(tag, implied) {
                Some(0.95)
            } else {
                None
            };
            if let Some(confidence) = by_name {
                let entry = all.entry((tag.clone(), implied.clone()));
                let held = entry.or_insert((Reason::NamingPattern, confidence));
                if held.1 <= confidence {
                    *held = (Reason::NamingPattern, confidence);
                }
            }
        }
    }
    all
}

fn is_variant(tag: &str, base: &str) -> bool {
    let parts = |name: &str| -> Vec<String> {
        let inner = name.strip_suffix(')').unwrap_or("").split(")_(");
        let first = inner.map(str::to_owned).collect::<Vec<_>>().join("_(");
        first.split("_(").map(str::to_owned).collect()
    };
    let (tag, base) = (parts(tag), parts(base));
    tag.len() == 3 && base.len() == 2 && tag[0] == base[0] && tag[2] == base[1]
}

#[test]
fn suggestions_are_those_that_counting_finds() {
    let folder = Folder::new("suggest");
    let path = make(&folder, Era::Now, SMALL, 61);
    let mut board = open(&path);
    let images = board.all_matches(&"order:id_asc".parse().unwrap()).unwrap();
    fill(&mut board, &mut Random(61), &images);
    let connection = Connection::open(&path).unwrap();
    let sql = "UPDATE tags SET extended_category = '02_Hair' WHERE name IN ('blue_hair', 'long_hair', 'x'); \
               UPDATE tags SET extended_category = '03_Face' WHERE name IN ('green_eyes', 'grey_eyes'); \
               UPDATE tags SET extended_category = '05_Pose' WHERE name = 'standing';";
    connection.execute_batch(sql).unwrap();
    board.refresh().unwrap();
    let told = |board: &Board| {
        let found = board.suggest_rules(0, 1000).unwrap();
        assert_eq!(found.total as usize, found.suggestions.len());
        let order: Vec<_> = found
            .suggestions
            .iter()
            .map(|one| (-one.confidence, -(one.images as i64)))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
        found
    };
    let first = told(&board);
    let by_pair: BTreeMap<_, _> = first
        .suggestions
        .iter()
        .map(|one| {
            let pair = (one.tag.clone(), one.implied.clone());
            (pair, (one.reason, one.confidence))
        })
        .collect();
    let counted = expected(&connection);
    assert_eq!(by_pair, counted);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let said = |a: &str, b: &str| counted.get(&pair(a, b)).copied();
    assert_eq!(said("hero", "saga"), Some((Reason::Correlation, 0.85)));
    assert_eq!(said("hero", "grey_eyes"), None, "84 of 100");
    assert_eq!(
        said("miku_(vocaloid)", "vocaloid"),
        Some((Reason::Correlation, 1.0))
    );
    assert_eq!(said("miku_(vocaloid)", "standing"), None);
    let by_name = Some((Reason::NamingPattern, 0.95));
    assert_eq!(said("miku_(snow)_(vocaloid)", "miku_(vocaloid)"), by_name);
    assert_eq!(said("rin_(vocaloid)", "blue_hair"), None, "on 2 images");
    let sum = first.suggestions.iter().map(|one| one.gaining).sum::<u64>();
    let all = tagged(&connection);
    let gaining = counted
        .keys()
        .map(|(a, b)| all[a].difference(&all[b]).count() as u64);
    assert_eq!(sum, gaining.sum::<u64>());

    // Decided ones are not suggested again, whichever way.
    board.approve_rule("hero", "saga").unwrap();
    board.reject_rule("miku_(vocaloid)", "vocaloid").unwrap();
    assert!(board.approve_rule("hero", "grey_eyes").is_err());
    assert_eq!(told(&board).total, first.total - 2);
    let approved = board.approve_rules().unwrap();
    let sure = counted.iter().filter(|((tag, implied), (_, confidence))| {
        let is_decided = (tag.as_str(), implied.as_str()) == ("miku_(vocaloid)", "vocaloid");
        *confidence >= 0.95 && all[tag].len() >= 10 && !is_decided
    });
    let sure: BTreeSet<_> = sure.map(|(pair, _)| pair.clone()).collect();
    assert!(
        sure.contains(&pair("miku_(snow)_(vocaloid)", "miku_(vocaloid)")),
        "{sure:?}"
    );
    assert_eq!((approved.rules, approved.circular), (sure.len() as u64, 0));
    assert_eq!(told(&board).total, first.total - 2 - approved.rules);
    let kept = statuses(&connection);
    let active = kept.iter().filter(|rule| rule.3 == "active");
    let active: BTreeSet<_> = active.map(|rule| pair(&rule.0, &rule.1)).collect();
    let mut expected_active = sure;
    expected_active.insert(pair("hero", "saga"));
    assert_eq!(active, expected_active);
    let rejected: Vec<_> = kept.iter().filter(|rule| rule.3 == "rejected").collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].2, "correlation");
    // It never fires.
    board.apply_rules().unwrap();
    let now = tagged(&connection);
    assert!(now["hero"].is_subset(&now["saga"]));
    let lacking = now["miku_(vocaloid)"].difference(&now["vocaloid"]).count();
    assert!(lacking > 0, "12 of another form are one of it now");
    let preview = board.preview_rule("miku_(vocaloid)", "vocaloid").unwrap();
    assert_eq!(
        (preview.gaining, preview.status.as_deref()),
        (lacking as u64, Some("rejected"))
    );
}

#[test]
fn a_preview_counts_and_tells_chains_and_circles() {
    let folder = Folder::new("preview");
    let path = make(&folder, Era::Now, SMALL, 62);
    let mut board = open(&path);
    for (tag, implied) in [
        ("hair", "solo"),
        ("solo", "hat"),
        ("hat", "ai"),
        ("long_hair", "hair"),
    ] {
        board.create_rule(tag, implied).unwrap();
    }
    board.create_rule("solo", "1girl").unwrap();
    board.reject_rule("solo", "1girl").unwrap();
    let connection = Connection::open(&path).unwrap();
    let images = tagged(&connection);
    let lacking = |a: &str, b: &str| images[a].difference(&images[b]).count() as u64;
    let preview = board.preview_rule("1girl", "HAIR").unwrap();
    let (a, b) = ("1girl", "hair");
    assert_eq!(preview.images, images[a].len() as u64);
    assert_eq!(
        (preview.having, preview.gaining),
        (preview.images - lacking(a, b), lacking(a, b))
    );
    let chain: Vec<_> = preview
        .chain
        .iter()
        .map(|link| (link.tag.as_str(), link.because_of.as_str(), link.gaining))
        .collect();
    assert_eq!(
        chain,
        [
            ("solo", "hair", lacking(a, "solo")),
            ("Hat", "solo", lacking(a, "Hat")),
            ("ai", "Hat", lacking(a, "ai"))
        ]
    );
    assert!(preview.circle.is_empty() && preview.status.is_none());
    let circle = board.preview_rule("ai", "long_hair").unwrap();
    assert_eq!(circle.circle, ["long_hair", "hair", "solo", "Hat", "ai"]);
    assert!(board.preview_rule("ai", "ai").is_err() && board.preview_rule("ai", "nobody").is_err());
    let list = |tag, status| {
        let asked = Rules {
            tag,
            status,
            limit: 500,
            ..Rules::default()
        };
        board.rules(&asked).unwrap().total
    };
    assert_eq!((list(None, None), list(None, Some("rejected"))), (5, 1));
    assert_eq!(list(Some((Side::Implying, "solo")), None), 2);
    assert_eq!(list(Some((Side::Implied, "solo")), None), 1);
    assert_eq!(list(Some((Side::Either, "solo")), Some("active")), 2);
    // A circle is harmless: all that are on it imply each other.
    board.create_rule("ai", "long_hair").unwrap();
    board.apply_rules().unwrap();
    let now = tagged(&connection);
    assert!(
        ["hair", "solo", "Hat", "ai"]
            .iter()
            .all(|tag| now[*tag] == now["long_hair"])
    );
    assert_eq!(
        board.reapply_rules().unwrap(),
        Default::default(),
        "nothing differs"
    );
    board.delete_rule("ai", "long_hair").unwrap();
    let edited = board.reapply_rules().unwrap();
    assert!(edited.removed > 0 && edited.added == 0, "{edited:?}");
    let now = tagged(&connection);
    assert_eq!(now["long_hair"], images["long_hair"]);
}

#[test]
fn what_a_database_lacks_is_said() {
    let folder = Folder::new("lacking");
    let path = make(&folder, Era::Reordered, SMALL, 63);
    let connection = Connection::open(&path).unwrap();
    let sql = "DROP TABLE tag_implications; CREATE TABLE tag_implications (source_tag_id INTEGER, \
               implied_tag_id INTEGER, PRIMARY KEY (source_tag_id, implied_tag_id));";
    connection.execute_batch(sql).unwrap();
    let mut board = open(&path);
    let error = board.reject_rule("solo", "hair").unwrap_err();
    assert!(
        format!("{error:#}").contains("tag_implications.status"),
        "{error:#}"
    );
    board.create_rule("solo", "hair").unwrap();
    assert_eq!(
        board
            .rules(&Rules {
                limit: 9,
                ..Rules::default()
            })
            .unwrap()
            .rules[0]
            .status,
        "active"
    );
    assert!(board.apply_rule("solo", "hair").unwrap().added > 0);
    let old = Folder::new("lacking-old");
    let mut board = open(&make(&old, Era::Old, SMALL, 64));
    let error = board.reapply_rules().unwrap_err();
    assert!(
        format!("{error:#}").contains("image_tags.source"),
        "{error:#}"
    );
    assert_eq!(board.suggest_rules(0, 10).unwrap().total, 0);
    assert_eq!(board.overview().unwrap().rules_active, 0);
}
