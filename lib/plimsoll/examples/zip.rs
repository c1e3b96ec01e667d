//! An archive made, checked, read and edited without unpacking it:
//! `cargo run --example zip --features zip`.

use std::error::Error as StdError;
use std::io::Read;
use std::path::Path;

use plimsoll::stream::CopyOptions;
use plimsoll::stream::zip::{ZipArchive, ZipLimits, ZipMethod, ZipNew, ZipWriter};

fn main() -> Result<(), Box<dyn StdError>> {
    let folder = std::env::temp_dir().join(format!("plimsoll-zip-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let result = run(&folder.join("comic.cbz"));
    std::fs::remove_dir_all(&folder)?;
    result
}

fn run(path: &Path) -> Result<(), Box<dyn StdError>> {
    let mut made = ZipWriter::create(path, CopyOptions::default())?;
    for page in 1..=12 {
        let name = format!("page {page}.jpg");
        let pixels = std::io::repeat(page).take(1 << 20);
        made.add(&ZipNew::new(name.as_bytes(), ZipMethod::Deflated), pixels)?;
    }
    made.add(&ZipNew::new(b"thumbs.db", ZipMethod::Stored), &b"-"[..])?;
    println!("made: {:?}", made.commit()?);

    let archive = ZipArchive::open(path)?;
    if let Err(error) = archive.check(&ZipLimits::default()) {
        // Twelve pages of one colour each are what a bomb looks like.
        println!("{error}");
    }
    let limits = ZipLimits {
        ratio: 2000,
        ..ZipLimits::default()
    };
    println!("verified: {:?}", archive.verify(&limits)?);

    let place = archive.find(b"page 3.jpg")?.ok_or("it is there")?;
    let mut first = [0; 4];
    archive.read(place, &limits)?.read_exact(&mut first)?;
    println!("page 3 begins with {first:?}");

    // Padded numbers, no thumbnails; every page is copied as it is.
    let mut edited = ZipWriter::create(path, CopyOptions::default())?;
    archive.walk(|entry| {
        let name = String::from_utf8_lossy(entry.name()).into_owned();
        let number = name
            .strip_prefix("page ")
            .and_then(|rest| rest.strip_suffix(".jpg"));
        match number.and_then(|number| number.parse::<u32>().ok()) {
            Some(number) => edited.copy_as(entry, format!("page {number:03}.jpg").as_bytes()),
            None if name == "thumbs.db" => Ok(()),
            None => edited.copy(entry),
        }
    })?;
    println!("edited: {:?}", edited.commit()?);
    Ok(())
}
