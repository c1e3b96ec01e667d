//! State kept as a run beside a smaller run of changes, merged, sought, cut into ranges, and entries in
//! any order sorted within a mebibyte: `cargo run --example runs`.

use std::error::Error as StdError;
use std::fs;

use plimsoll::runs::{Merge, Run, RunOptions, RunWriter, SortOptions, SortedEntries, Sorter};
use plimsoll::stream::TempSpace;

fn main() -> Result<(), Box<dyn StdError>> {
    let folder = std::env::temp_dir().join(format!("plimsoll-example-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let result = run(&folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn run(folder: &std::path::Path) -> Result<(), Box<dyn StdError>> {
    let base = folder.join("base.run");
    let mut writer = RunWriter::create(&base, RunOptions::default())?;
    for n in 0..200_000_u32 {
        writer.push(format!("photos/{n:08}.jpeg").as_bytes(), &n.to_le_bytes())?;
    }
    let figures = writer.commit()?;
    println!(
        "{} entries in {} bytes, {} frames",
        figures.entries, figures.file_bytes, figures.frames
    );

    let changes = folder.join("changes.run");
    let mut writer = RunWriter::create(&changes, RunOptions::default())?;
    writer.push(b"photos/00000007.jpeg", b"seen")?;
    writer.push(b"photos/00000007b.jpeg", b"new")?;
    writer.commit()?;

    let (base, changes) = (Run::open(base)?, Run::open(changes)?);
    let from = b"photos/00000007.jpeg";
    let mut merge = Merge::new(vec![base.reader_from(from)?, changes.reader_from(from)?]);
    for _ in 0..3 {
        merge.advance()?;
        println!(
            "{} {}",
            merge.key().escape_ascii(),
            merge.value().escape_ascii()
        );
    }
    for key in base.split_keys(4)? {
        println!("a range begins at {}", key.escape_ascii());
    }
    // Where each frame begins, by the index alone.
    let mut starts = base.frame_starts();
    while starts.advance()? && starts.ordinal() < 20_000 {
        let key = starts.key().escape_ascii();
        println!("{} entries are before {key}", starts.ordinal());
    }
    let mut value = Vec::new();
    println!("there: {}", base.get(b"photos/00123456.jpeg", &mut value)?);

    let mut sorter = Sorter::new(SortOptions {
        memory_bytes: 1 << 20,
        space: TempSpace::new(folder, 64 << 20)?,
    })?;
    for n in 0..200_000_u32 {
        sorter.push(&n.wrapping_mul(0x9e37_79b1).to_be_bytes(), &n.to_le_bytes())?;
    }
    let mut sorted = sorter.finish()?;
    sorted.advance()?;
    println!("the least is {:?}; {:?}", sorted.key(), sorted.figures());
    Ok(())
}
