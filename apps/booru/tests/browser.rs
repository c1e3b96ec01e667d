//! The pages of the real server in a real headless browser, driven by keys and clicks as people do.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]
#![allow(unused_crate_dependencies, reason = "those of the package")]

mod collection;
mod served;
mod webdriver;

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::json;

use served::{Preparation, Served};
use webdriver::{Browser, Driver, key};

/// The browser's `fetch` of a path of the API, as JSON.
fn api(browser: &Browser<'_>, path: &str) -> serde_json::Value {
    browser.run(&format!(
        "return fetch({path:?}).then((answer) => answer.json())"
    ))
}

/// Every script of the page has run, and none of what it asks for is left to wait for but what is loaded on demand.
const LOADED: &str =
    "document.readyState === 'complete' && document.documentElement.classList.contains('js')";

#[test]
fn a_search_is_typed_with_suggestions_by_keys_alone() {
    let Some(driver) = Driver::start("a_search_is_typed_with_suggestions_by_keys_alone") else {
        return;
    };
    let board = Served::start("keys", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    browser.press(&['/']);
    browser.wait("document.activeElement.id === 'search'");
    browser.press(&['l', 'o', 'n', 'g']);
    browser.wait("document.querySelector('#search').getAttribute('aria-expanded') === 'true'");
    browser.press(&[key::DOWN]);
    let pointed = "return document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).querySelector('b').innerText";
    let first = browser.text(pointed);
    assert!(first.starts_with("long_hair"), "{first}");
    browser.press(&[key::ENTER]);
    let typed = "return document.querySelector('#search').value";
    assert_eq!(browser.text(typed), format!("{first} "));
    // The next word; Escape closes and leaves what is typed.
    let is_open = "document.querySelector('#search').getAttribute('aria-expanded') === 'true'";
    browser.press(&['-', 's', 'o', 'l']);
    browser.wait(is_open);
    browser.press(&[key::ESCAPE]);
    browser.wait(&format!("!({is_open})"));
    browser.press(&['o']);
    browser.wait(is_open);
    browser.press(&[key::TAB]);
    let query = browser.text(typed);
    assert!(
        query.starts_with(&format!("{first} -solo")) && query.ends_with(' '),
        "{query}"
    );
    browser.press(&[key::ENTER]);
    browser.wait("location.search.includes('long_hair') && document.querySelector('h1')");
    let query = query.trim().replace(' ', "%20");
    let total = api(&browser, &format!("/api/images?query={query}"))["total_results"].clone();
    let shown = browser.text("return document.querySelector('h1').innerText");
    assert_eq!(shown, format!("{total} images"));
    browser.check_console();
}

#[test]
fn an_endless_page_shows_each_image_once_and_holds_few() {
    let Some(driver) = Driver::start("an_endless_page_shows_each_image_once_and_holds_few") else {
        return;
    };
    let board = Served::start("scroll", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    let height = "return document.documentElement.scrollHeight";
    let whole = browser.number(height);
    let mut seen = BTreeSet::new();
    let mut places = BTreeSet::new();
    loop {
        browser.wait("document.querySelector('.grid').getAttribute('aria-busy') !== 'true'");
        let tiles = browser.run("return [...document.querySelectorAll('.tile')].map((tile) => [tile.dataset.id, tile.dataset.at])");
        let tiles: Vec<(String, String)> = serde_json::from_value(tiles).unwrap();
        assert!(tiles.len() <= 8 * 30, "{} tiles at once", tiles.len());
        let ids: BTreeSet<&String> = tiles.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), tiles.len(), "an image twice");
        for (id, at) in tiles {
            // The same image always has the same place, and no two have one.
            assert_eq!(places.insert((at.clone(), id.clone())), seen.insert(id));
        }
        let is_end = browser.run("scrollBy(0, innerHeight / 2); return scrollY + innerHeight >= document.documentElement.scrollHeight - 2");
        if is_end == json!(true) {
            break;
        }
    }
    browser.wait("document.querySelector('.grid').getAttribute('aria-busy') !== 'true'");
    assert_eq!(seen.len(), collection::SMALL.images);
    assert!(
        (browser.number(height) - whole).abs() < 1.0,
        "the page has grown"
    );
    browser.check_console();
}

#[test]
fn the_way_back_leads_to_where_one_was() {
    let Some(driver) = Driver::start("the_way_back_leads_to_where_one_was") else {
        return;
    };
    let board = Served::start("back", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    browser.run("scrollTo(0, 4321)");
    let middle = "document.elementFromPoint(400, 500)?.closest('.tile')";
    browser.wait(middle);
    let id = browser.text(&format!("return {middle}.dataset.id"));
    browser.run(&format!("{middle}.querySelector('a').click()"));
    browser.wait("document.querySelector('.view')");
    assert_eq!(
        browser.text("return document.querySelector('.view').dataset.id"),
        id
    );
    browser.back();
    browser.wait(&format!("{middle}?.dataset.id === '{id}'"));
    assert!((browser.number("return scrollY") - 4321.0).abs() < 2.0);
    browser.check_console();
}

#[test]
fn one_walks_through_images_by_keys() {
    let Some(driver) = Driver::start("one_walks_through_images_by_keys") else {
        return;
    };
    let board = Served::start("walk", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/?query=order:score"));
    browser.wait(LOADED);
    let found = api(&browser, "/api/images?query=order%3Ascore&per_page=40");
    let ids: Vec<String> = found["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["id"].to_string())
        .collect();
    browser.press(&[key::RIGHT]);
    browser.wait("document.activeElement.closest('.tile')");
    browser.press(&[key::RIGHT, key::RIGHT, key::ENTER]);
    browser.wait("document.querySelector('.view')");
    let shown = "return document.querySelector('.view').dataset.id";
    assert_eq!(browser.text(shown), ids[2]);
    for expected in &ids[3..6] {
        browser.wait(LOADED);
        browser.press(&[key::RIGHT]);
        browser.wait(&format!(
            "document.querySelector('.view')?.dataset.id === '{expected}'"
        ));
    }
    browser.wait(LOADED);
    browser.press(&[key::LEFT]);
    browser.wait(&format!(
        "document.querySelector('.view')?.dataset.id === '{}'",
        ids[4]
    ));
    browser.wait(LOADED);
    let was =
        browser.text("return document.querySelector('#favourite').getAttribute('aria-pressed')");
    let is = if was == "true" { "false" } else { "true" };
    browser.press(&['f', '2']);
    browser.wait("document.querySelector('.toasts').innerText.includes('sensitive')");
    browser.reload();
    browser.wait(&format!(
        "document.querySelector('#favourite')?.getAttribute('aria-pressed') === '{is}'"
    ));
    browser.wait(
        "document.querySelector('button[value=sensitive]').getAttribute('aria-pressed') === 'true'",
    );
    browser.wait(LOADED);
    browser.press(&['u']);
    browser.wait("document.querySelector('.grid') && location.search.includes('order')");
    browser.check_console();
}

#[test]
fn two_who_edit_the_same_image_lose_nothing() {
    let Some(driver) = Driver::start("two_who_edit_the_same_image_lose_nothing") else {
        return;
    };
    let board = Served::start("two", &Preparation::usual());
    let (one, other) = (driver.open(), driver.open());
    for browser in [&one, &other] {
        browser.open(&board.at("/view/3"));
        browser.wait(LOADED);
        browser.press(&['e']);
        browser.wait("document.activeElement.id === 'words'");
    }
    let save = |browser: &Browser<'_>, word: &str| {
        browser.fill("#words", &format!(" {word}"));
        browser.press(&[key::ESCAPE]);
        browser.wait("document.querySelector('#words').getAttribute('aria-expanded') === 'false'");
        browser.run("document.querySelector('#edit').requestSubmit()");
        browser.wait(&format!(
            "document.querySelector('.tags')?.innerText.includes('{}')",
            word.rsplit(':').next().unwrap()
        ));
    };
    save(&one, "character:first_of_two");
    save(&other, "second_of_two");
    one.reload();
    one.wait("document.querySelector('.tags ul.character')?.innerText.includes('first_of_two')");
    one.wait("document.querySelector('.tags ul.general')?.innerText.includes('second_of_two')");
    // Taking one away leaves the other.
    one.wait(LOADED);
    one.press(&['e']);
    one.run("const words = document.querySelector('#words'); words.value = words.value.replace('first_of_two', '')");
    one.run("document.querySelector('#edit').requestSubmit()");
    one.wait("document.querySelector('.tags') && !document.querySelector('.tags').innerText.includes('first_of_two')");
    let names = "SELECT name FROM tags JOIN image_tags ON tag_id = tags.id WHERE image_id = 3 AND name LIKE '%_of_two'";
    let name: String = board
        .database()
        .query_row(names, [], |row| row.get(0))
        .unwrap();
    assert_eq!(name, "second_of_two");
    one.check_console();
    other.check_console();
}

#[test]
fn a_selection_is_tagged_at_once() {
    let Some(driver) = Driver::start("a_selection_is_tagged_at_once") else {
        return;
    };
    let board = Served::start("bulk", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    browser.press(&[key::RIGHT]);
    browser.wait("document.activeElement.closest('.tile')");
    browser.press(&['x', key::RIGHT, key::RIGHT, key::RIGHT]);
    browser.press_with(&[key::SHIFT], &['X']);
    browser.wait("document.querySelector('.bulk output').innerText === '4 selected'");
    browser.fill("#bulk-tags", "brand_new_tag -solo");
    browser.press(&[key::ESCAPE]);
    browser.click(".bulk form .primary");
    browser.wait("document.querySelector('.toasts').innerText.includes('4 images')");
    assert_eq!(
        api(&browser, "/api/images?query=brand_new_tag")["total_results"],
        4
    );
    assert_eq!(
        api(&browser, "/api/images?query=brand_new_tag%20solo")["total_results"],
        0
    );
    // All of a search, also what is not loaded.
    browser.run("document.activeElement.blur()");
    browser.press_with(&[key::CONTROL], &['a']);
    browser.wait("document.querySelector('.bulk output').innerText === '400 selected'");
    browser.press(&[key::ESCAPE]);
    browser.wait("document.querySelector('.bulk').hidden");
    browser.check_console();
}

#[test]
fn a_pool_is_made_filled_and_put_in_order() {
    let Some(driver) = Driver::start("a_pool_is_made_filled_and_put_in_order") else {
        return;
    };
    // More than the server tells of at once.
    let many =
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1001)
        INSERT INTO pools (name) SELECT printf('Many %04d', n) FROM number";
    let filled = Preparation {
        fill: &|connection| connection.execute_batch(many).unwrap(),
        ..Preparation::usual()
    };
    let board = Served::start("pool", &filled);
    let browser = driver.open();
    browser.open(&board.at("/pools"));
    browser.click("summary");
    browser.fill("main input[name=name]", "Aaa first");
    browser.click("main form .primary");
    browser.wait("location.pathname.startsWith('/pool/')");
    let pool = browser.text("return location.pathname");
    browser.open(&board.at("/?query=order:id_asc"));
    browser.wait(LOADED);
    browser.press(&[key::RIGHT]);
    browser.wait("document.activeElement.closest('.tile')");
    browser.press(&['x', key::RIGHT, 'x', key::RIGHT, 'x']);
    browser.click(".bulk [data-act=pool]");
    browser.wait(
        "document.querySelector('#pool').open && document.querySelector('#pool select').value",
    );
    let offered = browser.number("return document.querySelectorAll('#pool option').length");
    let pools = "SELECT COUNT(*) FROM pools";
    let pools: u32 = board
        .database()
        .query_row(pools, [], |row| row.get(0))
        .unwrap();
    assert!(
        pools > 1000 && offered == f64::from(pools),
        "{offered} of {pools}"
    );
    browser.click("#pool [value=yes]");
    browser.wait("document.querySelector('.toasts').innerText.includes('Aaa first')");
    browser.open(&board.at(&pool));
    browser.wait("document.querySelectorAll('.tile[draggable=true]').length === 3");
    let order =
        "return [...document.querySelectorAll('.tile')].map((tile) => tile.dataset.id).join()";
    let before = browser.text(order);
    browser.run("document.querySelectorAll('.tile a')[2].focus()");
    browser.press_with(&[key::ALT], &[key::LEFT, key::LEFT]);
    browser.click("#save-order");
    browser.wait("document.querySelector('#save-order').hidden");
    browser.reload();
    let ids: Vec<&str> = before.split(',').collect();
    let expected = [ids[2], ids[0], ids[1]].join(",");
    browser.wait("document.querySelectorAll('.tile').length === 3");
    assert_eq!(browser.text(order), expected);
    browser.check_console();
}

#[test]
fn tags_are_renamed_merged_and_deleted_after_a_question() {
    let Some(driver) = Driver::start("tags_are_renamed_merged_and_deleted_after_a_question") else {
        return;
    };
    let board = Served::start("tags", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/tag?name=solo"));
    browser.wait(LOADED);
    let count = |name: &str| {
        api(&browser, &format!("/api/images?query={name}"))["total_results"]
            .as_u64()
            .unwrap()
    };
    let alone = count("solo");
    assert!(alone > 0);
    let renamed = "form:has([value=rename]) [name=value]";
    browser.clear(renamed);
    browser.fill(renamed, "alone");
    browser.click("form:has([value=rename]) button");
    browser.wait("document.querySelector('h1')?.innerText === 'alone'");
    // The old name goes on leading to it.
    assert_eq!((count("alone"), count("solo")), (alone, alone));
    let both = count("alone%20or%20red_eyes");
    browser.fill("form:has([value=merge]) [name=value]", "red_eyes");
    browser.press(&[key::ESCAPE]);
    browser.click("form:has([value=merge]) button");
    browser.wait("document.querySelector('h1')?.innerText.includes('Merge')");
    browser.click("form .danger");
    browser.wait("document.querySelector('h1')?.innerText === 'red_eyes'");
    assert_eq!(count("red_eyes"), both);
    browser.click("form:has([value=delete]) button");
    browser.wait("document.querySelector('h1')?.innerText.includes('Delete')");
    // Nothing is gone until it is confirmed.
    assert_eq!(count("red_eyes"), both);
    browser.click("form .danger");
    browser.wait("location.pathname === '/tags'");
    browser.open(&board.at("/tags?search=red_eyes"));
    browser.wait("document.querySelector('h1') && ![...document.querySelectorAll('td a')].some((link) => link.innerText === 'red_eyes')");
    browser.check_console();
}

fn have_pairs_and_suggestions(connection: &Connection) {
    let statements = "
        INSERT INTO duplicate_pairs (image_id_a, image_id_b, distance, threshold) VALUES (3, 5, 1, 15), (7, 9, 2, 15);
        CREATE TABLE booru_jobs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL,
            image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE, state TEXT NOT NULL,
            tries INTEGER NOT NULL, cut_off INTEGER NOT NULL, reason TEXT, queued_at TEXT NOT NULL, ended_at TEXT,
            UNIQUE (kind, image_id));
        CREATE TABLE booru_reviews (image_id INTEGER NOT NULL REFERENCES images(id) ON DELETE CASCADE,
            tag_name TEXT NOT NULL, category TEXT, confidence REAL NOT NULL, state TEXT NOT NULL,
            changed_at TEXT NOT NULL, PRIMARY KEY (image_id, tag_name));
        INSERT INTO booru_reviews VALUES
            (11, 'surely_new', 'general', 0.69, 'pending', '2026-01-01 00:00:00'),
            (11, 'hardly_new', 'character', 0.41, 'pending', '2026-01-01 00:00:00'),
            (13, 'other_new', 'general', 0.35, 'pending', '2026-01-01 00:00:00');";
    connection.execute_batch(statements).unwrap();
}

#[test]
fn pairs_that_look_alike_are_decided_by_keys() {
    let Some(driver) = Driver::start("pairs_that_look_alike_are_decided_by_keys") else {
        return;
    };
    let filled = Preparation {
        fill: &have_pairs_and_suggestions,
        ..Preparation::usual()
    };
    let board = Served::start("pairs", &filled);
    let browser = driver.open();
    browser.open(&board.at("/duplicates"));
    browser.wait("document.querySelector('.sides')?.dataset.a === '3'");
    browser.wait(LOADED);
    browser.press(&['n']);
    browser.wait("document.querySelector('.sides')?.dataset.a === '7'");
    let said = "SELECT relation_type FROM image_relations WHERE image_id_a = 3 AND image_id_b = 5";
    let said: String = board
        .database()
        .query_row(said, [], |row| row.get(0))
        .unwrap();
    assert_eq!(said, "non_duplicate");
    browser.wait("!document.querySelector('[data-delete=b]').hidden");
    browser.press(&['2']);
    browser.wait("document.querySelector('#delete').open");
    browser.click("#delete [value=no]");
    assert_eq!(api(&browser, "/api/image/9")["success"], true);
    browser.press(&['2']);
    browser.wait("document.querySelector('#delete').open");
    browser.click("#delete [value=yes]");
    browser.wait("document.querySelector('.empty') && !document.querySelector('.sides')");
    browser.check_console();
    assert_eq!(api(&browser, "/api/image/9")["success"], false);
    assert_eq!(api(&browser, "/api/image/7")["success"], true);
}

#[test]
fn suggestions_of_a_model_are_decided_by_keys() {
    let Some(driver) = Driver::start("suggestions_of_a_model_are_decided_by_keys") else {
        return;
    };
    let filled = Preparation {
        fill: &have_pairs_and_suggestions,
        ..Preparation::usual()
    };
    let board = Served::start("review", &filled);
    let browser = driver.open();
    browser.open(&board.at("/review"));
    browser.wait("document.querySelectorAll('.reviewed li').length === 3");
    browser.wait(LOADED);
    browser.press(&['j', 'a']);
    browser.wait("document.querySelectorAll('.reviewed li').length === 2");
    browser.press(&['r']);
    browser.wait("document.querySelectorAll('.reviewed li').length === 1");
    assert_eq!(
        api(&browser, "/api/images?query=surely_new")["total_results"],
        1
    );
    assert_eq!(
        api(&browser, "/api/images?query=hardly_new")["total_results"],
        0
    );
    // On the page of the image too.
    browser.open(&board.at("/view/13"));
    browser.click("[aria-label='Accept other_new']");
    browser.wait("document.querySelector('.tags')?.innerText.includes('other_new')");
    browser.check_console();
}

#[test]
fn all_suggestions_of_an_image_that_are_shown_are_decided_at_once() {
    let test = "all_suggestions_of_an_image_that_are_shown_are_decided_at_once";
    let Some(driver) = Driver::start(test) else {
        return;
    };
    let filled = Preparation {
        fill: &have_pairs_and_suggestions,
        ..Preparation::usual()
    };
    let board = Served::start("whole_image", &filled);
    let browser = driver.open();
    browser.open(&board.at("/review"));
    browser.wait("document.querySelectorAll('.reviewed').length === 2");
    browser.wait(LOADED);
    // A third one comes after the page.
    let later = "INSERT INTO booru_reviews VALUES (11, 'later_new', 'general', 0.5, 'pending', '2026-01-01 00:00:00')";
    board.database().execute(later, []).unwrap();
    browser.click(".reviewed[data-image='11'] .primary");
    browser.wait("document.querySelectorAll('.reviewed').length === 1");
    let total =
        |query: &str| api(&browser, &format!("/api/images?query={query}"))["total_results"].clone();
    assert_eq!(
        (total("surely_new%20hardly_new"), total("later_new")),
        (json!(1), json!(0))
    );
    browser.reload();
    browser.wait("document.querySelector('[data-tag=later_new]')");
    browser.check_console();
}

/// A tagger that can't be loaded: what is asked of it stays in the queue.
fn have_a_model(connection: &Connection) {
    let folder = std::path::Path::new(connection.path().unwrap());
    let folder = folder.parent().unwrap();
    std::fs::create_dir_all(folder.join("models/Tagger")).unwrap();
    std::fs::write(folder.join("models/Tagger/model.onnx"), "").unwrap();
    std::fs::write(folder.join("booru.toml"), "ml_worker_socket = 'ml.sock'\n").unwrap();
}

#[test]
fn a_model_is_asked_by_a_button() {
    let Some(driver) = Driver::start("a_model_is_asked_by_a_button") else {
        return;
    };
    let filled = Preparation {
        fill: &have_a_model,
        ..Preparation::usual()
    };
    let board = Served::start("model", &filled);
    let browser = driver.open();
    browser.be_phone();
    browser.open(&board.at("/view/3?query=order%3Aold"));
    browser.wait(LOADED);
    browser.wait("document.querySelectorAll('button[name=kind]').length === 1");
    browser.click("button[name=kind][value=tag]");
    browser.wait("document.querySelector('button[value=tag]')?.disabled");
    assert_eq!(browser.text("return location.search"), "?query=order%3Aold");
    let said = browser
        .text("return document.querySelector('button[value=tag]').closest('section').innerText");
    assert!(said.contains("Tag: "), "{said}");
    let width = browser.number("return document.documentElement.scrollWidth");
    assert!(width <= 360.0, "{width}");
    let job = "SELECT image_id FROM booru_jobs WHERE kind = 'tag'";
    let image: u32 = board
        .database()
        .query_row(job, [], |row| row.get(0))
        .unwrap();
    assert_eq!(image, 3);
    browser.check_console();
}

const HOSTILE_TAG: &str = "<img/src=x/onerror=document.title=66>";
const HOSTILE_POOL: &str = "\"><svg onload=document.title=66>";
const HOSTILE_PATH: &str = "00f/'\"><script>document.title=66<script> &amp;#.png";

fn be_hostile(connection: &Connection) {
    connection
        .execute(
            "UPDATE images SET filepath = ?1 WHERE id = 3",
            [HOSTILE_PATH],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO tags (id, name, category) VALUES (200001, ?1, 'character')",
            [HOSTILE_TAG],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO image_tags (image_id, tag_id) VALUES (3, 200001)",
            [],
        )
        .unwrap();
    connection
        .execute(
            "UPDATE images SET tags_character = ?1 WHERE id = 3",
            [HOSTILE_TAG],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO pools (id, name, description) VALUES (77, ?1, ?1)",
            [HOSTILE_POOL],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO pool_images (pool_id, image_id, sort_order) VALUES (77, 3, 1)",
            [],
        )
        .unwrap();
}

#[test]
fn names_are_text_and_never_markup() {
    let Some(driver) = Driver::start("names_are_text_and_never_markup") else {
        return;
    };
    let hostile = Preparation {
        fill: &be_hostile,
        ..Preparation::usual()
    };
    let board = Served::start("hostile", &hostile);
    let browser = driver.open();
    let tag = "%3Cimg%2Fsrc%3Dx%2Fonerror%3Ddocument.title%3D66%3E";
    let pages = [
        ("/?query=id:3", ""),
        ("/view/3", HOSTILE_TAG),
        (
            "/view/3?query=%22%3E%3Cscript%3Edocument.title%3D66%3C%2Fscript%3E",
            HOSTILE_PATH,
        ),
        ("/tags?search=onerror", HOSTILE_TAG),
        (&format!("/tag?name={tag}"), HOSTILE_TAG),
        ("/pools", HOSTILE_POOL),
        ("/pool/77", HOSTILE_POOL),
        (
            "/?query=(%3Cimg+src%3Dx+onerror%3Ddocument.title%3D66%3E",
            "(<img src=x onerror=document.title=66>",
        ),
        ("/view/%3Cb%3Ex", "<b>x"),
    ];
    for (path, text) in pages {
        browser.open(&board.at(path));
        browser.wait(LOADED);
        let shown = browser.text("return document.body.innerText");
        assert!(shown.contains(text), "{path}: {shown}");
        let made = browser.number("return document.querySelectorAll('img[src=x], svg[onload], script:not([src]), main b').length");
        assert!(made < 0.5, "{path}: markup of a name");
        assert_ne!(browser.text("return document.title"), "66", "{path}");
    }
    // Suggestions are made by a script.
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    browser.fill("#search", "onerror");
    browser.wait("document.querySelector('.search [role=option]')");
    assert!(
        browser
            .text("return document.querySelector('.search [role=option]').innerText")
            .contains(HOSTILE_TAG)
    );
    let made = "return document.querySelectorAll('img[src=x]').length";
    assert!(browser.number(made) < 0.5);
}

/// Pages that there are on every board.
const PAGES: [&str; 14] = [
    "/",
    "/?query=hair%20-solo",
    "/?query=nothing_has_this",
    "/?query=(broken",
    "/view/3",
    "/tags",
    "/tag?name=solo",
    "/pools",
    "/pool/1",
    "/implications",
    "/review",
    "/duplicates",
    "/upload",
    "/system",
];

#[test]
fn nothing_is_wider_than_a_phone_and_all_can_be_touched() {
    let Some(driver) = Driver::start("nothing_is_wider_than_a_phone_and_all_can_be_touched") else {
        return;
    };
    let board = Served::start("phone", &Preparation::usual());
    let browser = driver.open();
    browser.be_phone();
    for path in PAGES {
        browser.open(&board.at(path));
        browser.wait(LOADED);
        let width = browser.number("return document.documentElement.scrollWidth");
        assert!(width <= 360.0, "{path}: {width}");
        // WCAG 2.2, 2.5.8: 24 by 24, but for links within text.
        let small = browser.run(
            "return [...document.querySelectorAll('button, .button, .chip, select, .refine, [role=option]')]
                .filter((element) => element.checkVisibility())
                .map((element) => [element.outerHTML.slice(0, 120), element.getBoundingClientRect()])
                .filter(([, box]) => box.width < 24 || box.height < 24)",
        );
        assert_eq!(small, json!([]), "{path}");
    }
    // The menu is behind a button.
    browser.click(".menu-button");
    browser.wait("document.querySelector('#menu a').checkVisibility()");
    browser.check_console();
}

#[test]
fn light_and_dark_are_both_readable() {
    let Some(driver) = Driver::start("light_and_dark_are_both_readable") else {
        return;
    };
    let board = Served::start("colours", &Preparation::usual());
    let browser = driver.open();
    let mut backgrounds = BTreeSet::new();
    for scheme in ["light", "dark"] {
        browser.set_scheme(scheme);
        for path in PAGES {
            browser.open(&board.at(path));
            browser.wait(LOADED);
            let faint = browser.run(&format!("{CONTRAST} return faint()"));
            assert_eq!(faint, json!([]), "{path} in {scheme}");
        }
        backgrounds.insert(browser.text("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_eq!(backgrounds.len(), 2, "{backgrounds:?}");
    // What is chosen by hand goes before what the system wants, also on the next page.
    let background = "return getComputedStyle(document.body).backgroundColor";
    let dark = browser.text(background);
    browser.click("#theme");
    browser.wait("document.documentElement.dataset.theme === 'light'");
    browser.open(&board.at("/tags"));
    assert_ne!(browser.text(background), dark);
    browser.check_console();
}

/// Texts with less than 4.5 to 1 on what is behind them (WCAG 2.2, 1.4.3), pictures left out.
const CONTRAST: &str = r"
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((one) => one / 255)
            .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const faint = () => {
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (texts.nextNode()) {
            const element = texts.currentNode.parentElement;
            if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('.mark, .unseen, .skip, option')) continue;
            const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push([texts.currentNode.data.trim(), ratio]);
        }
        return found;
    };";

#[test]
fn files_are_sent_and_followed_to_their_end() {
    let Some(driver) = Driver::start("files_are_sent_and_followed_to_their_end") else {
        return;
    };
    let board = Served::start("sent", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/upload"));
    browser.wait(LOADED);
    // The first question is answered as by a server that has too much to do.
    browser.run(
        "const real = fetch;
        window.asked = [];
        window.fetch = (path, options) => {
            if (!path.startsWith('/upload/fates')) return real(path, options);
            window.asked.push(path);
            return window.asked.length > 1 ? real(path, options)
                : Promise.resolve(new Response('', { status: 503, statusText: 'Service Unavailable' }));
        };
        const canvas = document.createElement('canvas');
        canvas.getContext('2d').fillRect(0, 0, 9, 9);
        return new Promise((done) => canvas.toBlob((blob) => {
            const files = new DataTransfer();
            files.items.add(new File([blob], 'drawn.png', { type: 'image/png' }));
            files.items.add(new File([blob.slice(0, 50)], 'broken.png', { type: 'image/png' }));
            const field = document.querySelector('#files');
            field.files = files.files;
            field.dispatchEvent(new Event('change'));
            done();
        }))",
    );
    browser.wait(
        "document.querySelectorAll('#uploads .outcome-good a[href^=\"/view/\"]').length === 1",
    );
    browser.wait(
        "document.querySelector('#uploads .outcome-bad')?.innerText.startsWith('Set aside: ')",
    );
    let asked = browser.run("return window.asked");
    let asked: Vec<String> = serde_json::from_value(asked).unwrap();
    assert!(asked.len() > 1, "asked again after the 503");
    assert!(
        asked
            .iter()
            .any(|path| path.contains("drawn.png") && path.contains("broken.png")),
        "one question for both: {asked:?}"
    );
    browser.check_console();
}

#[test]
fn a_file_chosen_before_the_script_has_come_is_sent() {
    let Some(driver) = Driver::start("a_file_chosen_before_the_script_has_come_is_sent") else {
        return;
    };
    let board = Served::start("early", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/upload"));
    browser.wait(LOADED);
    // The script comes a second time, as one that was slow would, and finds a file in the field.
    browser.run(
        "const late = new URL('drop.js?late', document.querySelector('script[src$=\"app.js\"]').src).href;
        const files = new DataTransfer();
        files.items.add(new File(['no picture'], 'early.png', { type: 'image/png' }));
        const field = document.querySelector('#files');
        field.files = files.files;
        return import(late).then(() => {})",
    );
    // What is in it is no picture, and the board says so: it has been sent.
    browser.wait("document.querySelectorAll('#uploads .outcome-bad').length === 1");
    assert_eq!(
        browser.number("return document.querySelector('#files').files.length"),
        0.0
    );
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let Some(driver) = Driver::start("a_refusal_is_told_with_its_reason") else {
        return;
    };
    let board = Served::start("reason", &Preparation::usual());
    let browser = driver.open();
    browser.open(&board.at("/"));
    browser.wait(LOADED);
    let reason = browser.text(
        "const http = new URL('http.js', document.querySelector('script[src$=\"app.js\"]').src).href;
        return import(http).then((http) => http.getText('/tiles?query=%28a')).then(() => '', (error) => error.message)",
    );
    let told = api(&browser, "/api/images?query=%28a");
    assert_eq!(json!(reason), told["error"]);
    assert!(!reason.contains("400"), "{reason}");
}

#[test]
fn it_works_without_scripts() {
    let Some(driver) = Driver::start("it_works_without_scripts") else {
        return;
    };
    let with_password = Preparation {
        password: Some("open sesame"),
        ..Preparation::usual()
    };
    let board = Served::start("plain", &with_password);
    let browser = driver.open();
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    browser.open(&board.at("/?query=order:id_asc"));
    let asks = |browser: &Browser<'_>, expression: &str| {
        // The tests' own scripts run all the same.
        browser.wait(expression);
        assert_eq!(browser.run(&format!("return {LOADED}")), json!(false));
    };
    asks(&browser, "location.pathname === '/login'");
    browser.fill("[name=password]", "open sesame");
    browser.click("main .primary");
    asks(&browser, "document.querySelectorAll('.tile').length === 30");
    let first = "return document.querySelector('.tile').dataset.id";
    let id = browser.text(first);
    browser.click(".pages [rel=next]");
    asks(
        &browser,
        "location.search.includes('page=2') && document.querySelectorAll('.tile').length === 30",
    );
    assert_ne!(browser.text(first), id);
    browser.clear("#search");
    browser.fill("#search", "solo");
    browser.press(&[key::ENTER]);
    asks(
        &browser,
        "location.search === '?query=solo' && document.querySelector('.tile')",
    );
    browser.click(".tile a");
    asks(&browser, "document.querySelector('.view')");
    browser.fill("#words", " without_scripts");
    browser.click("#edit .primary");
    asks(
        &browser,
        "document.querySelector('.tags')?.innerText.includes('without_scripts')",
    );
    let before = browser.text("return document.querySelector('#favourite').value");
    browser.click("#favourite");
    asks(
        &browser,
        &format!(
            "document.querySelector('#favourite') && document.querySelector('#favourite').value !== '{before}'"
        ),
    );
    let id = browser.text("return document.querySelector('.view').dataset.id");
    browser.click("#delete-image");
    asks(
        &browser,
        "document.querySelector('h1').innerText === 'Delete this image?'",
    );
    browser.click("main .danger");
    asks(
        &browser,
        "location.pathname === '/' && location.search === '?query=solo'",
    );
    let left = "SELECT COUNT(*) FROM images WHERE id = ?1";
    let left: u32 = board
        .database()
        .query_row(left, [id], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    browser.check_console();
}

#[test]
fn a_password_is_asked_for_and_leads_back() {
    let Some(driver) = Driver::start("a_password_is_asked_for_and_leads_back") else {
        return;
    };
    let with_password = Preparation {
        password: Some("open sesame"),
        ..Preparation::usual()
    };
    let board = Served::start("login", &with_password);
    let browser = driver.open();
    browser.open(&board.at("/view/3?query=order%3Aold"));
    browser.wait("location.pathname === '/login' && document.querySelector('[name=password]')");
    browser.fill("[name=password]", "open barley");
    browser.press(&[key::ENTER]);
    browser.wait("document.querySelector('[role=alert]')?.innerText.includes('not the password')");
    browser.fill("[name=password]", "open sesame");
    browser.press(&[key::ENTER]);
    browser.wait("document.querySelector('.view')?.dataset.id === '3' && location.search === '?query=order%3Aold'");
    browser.wait(LOADED);
    browser.run("document.querySelector('form[action=\"/logout\"]').requestSubmit()");
    browser.wait("location.pathname === '/login'");
    browser.open(&board.at("/tags"));
    browser.wait("location.pathname === '/login'");
}

/// axe-core (Deque) looks at each page, where it lies in `target/axe`: `npm pack axe-core` gets it.
#[test]
fn axe_finds_nothing_against_accessibility() {
    let test = "axe_finds_nothing_against_accessibility";
    let axe = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/axe/package/axe.min.js"
    );
    let Ok(axe) = std::fs::read_to_string(axe) else {
        eprintln!("SKIPPED {test}: {axe} is not there");
        return;
    };
    let Some(driver) = Driver::start(test) else {
        return;
    };
    let board = Served::start("axe", &Preparation::usual());
    let browser = driver.open();
    for scheme in ["light", "dark"] {
        browser.set_scheme(scheme);
        for path in PAGES {
            browser.open(&board.at(path));
            browser.wait(LOADED);
            browser.run(&axe);
            let found = browser.run(
                "return axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations
                    .map((one) => [one.id, one.help, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))]))",
            );
            assert_eq!(found, json!([]), "{path} in {scheme}");
        }
    }
}
