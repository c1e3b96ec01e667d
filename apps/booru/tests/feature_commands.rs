//! The commands for tags, rules, pools, favourites, ratings, relations and edits by hand: each answers in
//! words and as JSON, and says in one line what it can't do.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::process::{Command, Output};

use collection::{Era, Folder, SMALL, make};
use rusqlite::Connection;
use serde_json::{Value, json};

struct Booru(String);

impl Booru {
    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_booru"))
            .args([command, &self.0])
            .args(arguments)
            .env_remove("IMAGES_PER_PAGE")
            .env_remove("DB_CACHE_SIZE_MB")
            .output()
            .unwrap()
    }

    fn text(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert!(
            output.status.success(),
            "{command} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let text = self.text(command, &[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn failure(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(2), 1),
            "{said}"
        );
        said
    }
}

fn board(folder: &Folder, seed: u64) -> (Booru, Connection) {
    let path = make(folder, Era::Now, SMALL, seed);
    let connection = Connection::open(&path).unwrap();
    (Booru(path.to_str().unwrap().to_owned()), connection)
}

#[test]
fn tags_and_rules_are_looked_through_and_decided() {
    let folder = Folder::new("command-tags");
    let (booru, connection) = board(&folder, 71);
    let total: u64 = connection
        .query_row("SELECT count(*) FROM tags", [], |row| row.get(0))
        .unwrap();
    let asked = [
        "browse",
        "--sort",
        "alpha_asc",
        "--limit",
        "3",
        "--offset",
        "2",
    ];
    let page = booru.json("tags", &asked);
    assert_eq!(
        (&page["total"], page["tags"].as_array().unwrap().len()),
        (&json!(total), 3)
    );
    let text = booru.text("tags", &asked);
    assert!(
        text.contains(page["tags"][0]["name"].as_str().unwrap()),
        "{text}"
    );
    assert!(text.ends_with(&format!("{total} tags in all\n")), "{text}");
    assert!(
        booru
            .failure("tags", &["browse", "--category", "y"])
            .contains("character")
    );
    assert_eq!(booru.json("tags", &["overview"])["tags"], json!(total));
    booru.text("rules", &["reject", "solo", "hair"]);
    booru.text("tag", &["imply", "solo", "ai"]);
    let preview = booru.json("rules", &["preview", "solo", "ai"]);
    assert_eq!(preview["status"], "active");
    let gaining = preview["gaining"].as_u64().unwrap();
    let done = booru.json("rules", &["apply", "solo", "ai"]);
    assert_eq!(
        (&done["added"], &done["removed"]),
        (&json!(gaining), &json!(0))
    );
    assert!(
        booru
            .failure("rules", &["apply", "solo", "hair"])
            .contains("no active rule")
    );
    assert_eq!(booru.json("rules", &["reapply"])["removed"], 0);
    let detail = booru.json("tags", &["detail", "solo"]);
    assert_eq!(detail["implies"].as_array().unwrap().len(), 2);
    assert!(
        booru
            .text("tags", &["detail", "ai"])
            .contains("by implication")
    );
    let listed = booru.json("rules", &["list", "--status", "rejected"]);
    assert_eq!(
        (&listed["total"], &listed["rules"][0]["implied"]),
        (&json!(1), &json!("hair"))
    );
    for command in [&["suggest"][..], &["auto-approve"], &["list"], &["apply"]] {
        assert!(!booru.text("rules", command).is_empty());
        assert!(booru.json("rules", command).is_object());
    }
    let common = booru.json("tags", &["common", "solo ai", "--limit", "2"]);
    assert_eq!(common["in_some"].as_array().unwrap().len(), 2);
    assert!(
        booru
            .text("tags", &["common", "-solo"])
            .contains(" tags on all, ")
    );
    let edited = booru.json("tag", &["create", "made_here"]);
    assert_eq!(
        edited,
        json!({"images": 0, "tags": 1, "added": 0, "removed": 0})
    );
}

#[test]
fn pools_are_made_filled_put_in_order_and_deleted() {
    let folder = Folder::new("command-pools");
    let (booru, _connection) = board(&folder, 72);
    let made = booru.json(
        "pool",
        &["create", "Autumn \u{1f342}", "--description", "leaves"],
    );
    let id = made["id"].as_i64().unwrap().to_string();
    booru.text("pool", &["add", &id, "9", "3", "5"]);
    booru.text("pool", &["reorder", "Autumn \u{1f342}", "5"]);
    booru.text("pool", &["rename", &id, "Fall"]);
    booru.text("pool", &["describe", "Fall", "a\u{1b}b"]);
    let shown = booru.json("pool", &["show", "Fall"]);
    assert_eq!(shown["image_ids"], json!([5, 9, 3]));
    assert_eq!((&shown["cover"], &shown["images"]), (&json!(5), &json!(3)));
    assert!(booru.text("pool", &["show", "Fall"]).contains("a\\u{1b}b"));
    assert_eq!(booru.json("pool", &["remove", "Fall", "9"])["images"], 2);
    assert!(booru.text("pool", &["of", "3"]).contains("Fall"));
    assert_eq!(booru.json("pool", &["list"])["total"], 4);
    booru.text("pool", &["delete", "Fall"]);
    assert!(
        booru
            .failure("pool", &["show", "Fall"])
            .contains("no pool \"Fall\"")
    );
    assert!(
        booru
            .failure("pool", &["add", "1", "4"])
            .contains("no image 4")
    );
    assert!(
        booru
            .failure("pool", &["create", "winter"])
            .contains("already")
    );
}

#[test]
fn images_are_marked_rated_related_and_edits_taken_back() {
    let folder = Folder::new("command-images");
    let (booru, _connection) = board(&folder, 73);
    let count = |booru: &Booru| {
        booru.json("favourite", &["count"])["favourites"]
            .as_u64()
            .unwrap()
    };
    let before = count(&booru);
    let is = |booru: &Booru| booru.json("favourite", &["status", "3"])["is_favourite"].clone();
    let was = is(&booru);
    assert_ne!(
        booru.json("favourite", &["toggle", "3"])["is_favourite"],
        was
    );
    assert_ne!(is(&booru), was);
    booru.text("favourite", &["add", "3", "5", "7"]);
    booru.text("favourite", &["remove", "3", "5", "7"]);
    assert!(booru.text("favourite", &["status", "5"]).contains("is not"));
    assert!(count(&booru) <= before);
    booru.failure("favourite", &["status", "4"]);

    assert_eq!(booru.json("rate", &["e", "id:3,5"])["added"], 2);
    booru.text("rate", &["general", "id:3"]);
    assert!(
        booru
            .text("search", &["rating:general id:3,5"])
            .contains("1 images")
    );
    let refused = booru.run("rate", &["naughty", "id:3"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("general, sensitive"));

    booru.text("tag", &["add", "brand_new", "id:3"]);
    let edits = booru.json("edits", &["list", "3"]);
    let last = edits.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["tag"], &last["operation"]),
        (&json!("brand_new"), &json!("add"))
    );
    assert!(booru.text("edits", &["undo", "3"]).contains("brand_new"));
    assert!(
        booru
            .text("search", &["brand_new id:3"])
            .contains("0 images")
    );

    booru.text("relate", &["create", "parent_child", "9", "3"]);
    assert_eq!(
        booru.json("relate", &["list", "3"]),
        json!([{"image": 9, "role": "parent", "source": "manual"}])
    );
    assert_eq!(booru.json("relate", &["read-post-ids"])["images"], 0);
    assert_eq!(booru.json("relate", &["family", "9"])["is_complete"], true);
    assert!(
        booru
            .text("relate", &["family", "9"])
            .contains("Child by Relation")
    );
    booru.text("relate", &["delete", "parent_child", "9", "3"]);
    assert!(
        booru
            .failure("relate", &["delete", "sibling", "9", "3"])
            .contains("no relation")
    );
}

#[test]
fn a_board_that_is_not_there_says_what_to_do() {
    let folder = Folder::new("command-nowhere");
    let nowhere = folder.path("nope");
    let booru = Booru(nowhere.to_str().unwrap().to_owned());
    let said = booru.failure("search", &["q"]);
    for part in ["nope", "no folder or database", "booru create"] {
        assert!(said.contains(part), "{said}");
    }
}
