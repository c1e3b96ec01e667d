//! Bytes of an import: what is decoded at once stays within the budget, whatever comes.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;

use std::fs;
use std::process::Command;

use gallery::{Gallery, picture};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

const MIB: u64 = 1 << 20;
const BUDGET_MIB: u64 = 160;
const SMALL: u32 = 1500;
const LARGE: u8 = 5;

#[test]
fn an_import_of_small_and_of_giant_files_stays_within_its_budget() {
    let gallery = Gallery::new("bytes");
    let from = gallery.folder.path("new");
    fs::create_dir(&from).unwrap();
    for number in 1..=SMALL {
        let path = from.join(format!("{number}.{}", gallery::ending(number)));
        fs::write(path, picture(number, 64, 48)).unwrap();
    }
    // 40 million pixels, 114 MiB: two of them at once would be more than the budget.
    let giant = RgbImage::from_pixel(7300, 5500, Rgb([90, 120, 200]));
    let mut bytes = Vec::new();
    giant
        .write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png)
        .unwrap();
    drop(giant);
    for number in 0..LARGE {
        // Behind its end a PNG may have anything.
        bytes.push(number);
        fs::write(from.join(format!("giant{number}.png")), &bytes).unwrap();
    }
    let import = |budget_mib: u64| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_booru"))
            .args(["import", "--json", "--max-workers", "4"])
            .args(["--ingest-memory-mb", &budget_mib.to_string()])
            .args([gallery.folder.root(), from.as_path()])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    // With less, they are set aside, and the others are taken in.
    let little = import(64);
    println!("{little}");
    assert_eq!(little["taken_in"], SMALL);
    assert_eq!(little["set_aside"], LARGE);
    assert!(little["rss_peak_bytes"].as_u64().unwrap() <= 96 * MIB);
    gallery
        .connection()
        .execute("DELETE FROM booru_set_aside", [])
        .unwrap();
    let imported = import(BUDGET_MIB);
    println!("{imported}");
    assert_eq!(imported["taken_in"], LARGE);
    let decoding = imported["decoding_peak_bytes"].as_u64().unwrap();
    assert!(
        decoding > 114 * MIB && decoding <= BUDGET_MIB * MIB,
        "{decoding}"
    );
    // Beside the budget: the program, the board, and what malloc keeps of freed memory.
    let rss = imported["rss_peak_bytes"].as_u64().unwrap();
    assert!(rss <= (BUDGET_MIB + 48) * MIB, "{rss}");
}
