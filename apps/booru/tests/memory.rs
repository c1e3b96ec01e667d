//! Bytes: what a board of the seed's size holds in a process of its own, and what a request adds.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;

use std::process::Command;

use collection::{Era, Folder, Random, Size, make, open, tag_name};
use plimsoll::ledger::Ledger;
use plimsoll::stage::Stage;
use plimsoll_booru::browse::{Browse, TagOrder};
use plimsoll_booru::search::Page;
use serde_json::Value;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

const MIB: u64 = 1 << 20;

/// As many images and tags as the seed's collection, and about as many pairs.
const SEED: Size = Size {
    images: 13_028,
    tags: 21_000,
    each: 48,
};

#[test]
fn a_board_of_13_thousand_images_is_small_and_so_is_a_request() {
    let folder = Folder::new("memory");
    let path = make(&folder, Era::Reordered, SEED, 1);
    let output = Command::new(env!("CARGO_BIN_EXE_booru"))
        .args(["memory", path.to_str().unwrap(), "--json"])
        .output();
    let memory: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let bytes = |name: &str| memory[name].as_u64().unwrap();
    println!(
        "tags {} bytes, RSS {}, at its peak {}, SQLite {}",
        bytes("tags_bytes"),
        bytes("rss_bytes"),
        bytes("rss_peak_bytes"),
        bytes("sqlite_bytes")
    );
    assert!(bytes("tags_bytes") <= 6 * MIB);
    assert!(bytes("rss_bytes") <= 40 * MIB);
    assert!(bytes("rss_peak_bytes") <= 48 * MIB);
    // The account of the catalog is that of the allocator, but for nodes of maps and one byte a block.
    let sum = |list: &str| -> u64 {
        let parts = memory[list].as_array().unwrap().iter();
        let parts = parts.filter(|part| part["name"] != "untagged");
        parts.map(|part| part["bytes"].as_u64().unwrap()).sum()
    };
    let (own, counted) = (sum("components"), sum("ledger"));
    assert!(own.abs_diff(counted) * 50 < counted, "{own} and {counted}");

    let board = open(&path);
    let mut random = Random(1);
    let mut most = 0;
    for number in 0..200 {
        let tag = |random: &mut Random| tag_name(random.below(100));
        let (a, b) = (tag(&mut random), tag(&mut random));
        let query = match number % 8 {
            0 => String::new(),
            1 => format!("{a} {b} order:score"),
            2 => format!("{a} or {b} order:width"),
            3 => "*a* order:pixels".to_owned(),
            4 => format!("-({a} or -({b} or (solo -hair))) order:random"),
            5 => "filename:1*p order:tagcount".to_owned(),
            6 => "\"a b\" -\"o\"".to_owned(),
            _ => (0..100).map(tag_name).collect::<Vec<_>>().join(" or "),
        };
        let page = Page {
            number: 1 + random.below(20),
            images: 500,
        };
        let stage = Stage::begin("request");
        board.search(&query.parse().unwrap(), page, 0).unwrap();
        drop(board.suggest(&a[..2]));
        let live = stage.end().live.unwrap();
        most = most.max(live.peak_bytes.unwrap() - live.begin_bytes);
    }
    println!("a request adds at most {most} bytes");
    assert!(most <= MIB / 2, "{most} bytes for a request");

    let tell = |what: &str, limit: u64, act: &mut dyn FnMut()| {
        let stage = Stage::begin("request");
        act();
        let live = stage.end().live.unwrap();
        let added = live.peak_bytes.unwrap() - live.begin_bytes;
        println!("{what} adds {added} bytes");
        assert!(added <= limit, "{added} bytes for {what}");
    };
    // Some bytes a tag, whatever is asked for.
    tell("a page of tags", MIB, &mut || {
        let asked = Browse {
            order: TagOrder::CountAscending,
            limit: 500,
            ..Browse::default()
        };
        assert_eq!(board.browse_tags(&asked).unwrap().tags.len(), 500);
    });
    // 4 bytes an image and for each pair of a character that is looked at at once.
    tell("suggested rules", 3 * MIB / 2, &mut || {
        board.suggest_rules(0, 100).unwrap();
    });
    tell("the overview", MIB / 4, &mut || {
        drop(board.overview().unwrap())
    });
    let all = board.all_matches(&"".parse().unwrap()).unwrap();
    tell("common tags", MIB / 2, &mut || {
        assert_eq!(board.common_tags(&all[..2000], 100).unwrap().images, 2000);
    });
}
