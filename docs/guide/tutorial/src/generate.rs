//! A gallery made up from numbers: the same files from the same arguments.
//!
//! Tags are as frequent as those of real galleries: a few on many images, most on few. An image has
//! 16 to 32 of them, a name and a caption of some 300 bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Outcome, open};

/// Columns of the model: those of a small picture embedding.
const COLUMNS: u32 = 256;

const COLORS: [&str; 16] = [
    "red", "blue", "green", "yellow", "purple", "pink", "orange", "brown", "black", "white",
    "grey", "aqua", "silver", "golden", "striped", "torn",
];
const NOUNS: [&str; 32] = [
    "hair",
    "eyes",
    "dress",
    "shirt",
    "skirt",
    "jacket",
    "coat",
    "hat",
    "ribbon",
    "gloves",
    "boots",
    "shoes",
    "scarf",
    "cape",
    "necktie",
    "sweater",
    "hoodie",
    "kimono",
    "armor",
    "helmet",
    "mask",
    "glasses",
    "earrings",
    "umbrella",
    "wings",
    "tail",
    "flower",
    "tree",
    "cloud",
    "background",
    "light",
    "shadow",
];

/// Fills a folder, made if it is not there: the store `gallery.db`, the model `model.f32`, requests
/// of a day `day.txt`, and `quiet.txt`, a day on which nobody asks for similar images.
///
/// # Errors
/// Where a file can't be written.
pub fn generate(folder: &Path, images: u32) -> Outcome {
    fs::create_dir_all(folder)?;
    let mut random = Random(1);
    write_store(&folder.join("gallery.db"), images, &mut random)?;
    write_model(&folder.join("model.f32"), images, &mut random)?;
    let quiet = quiet_day(images, &mut random)?;
    fs::write(folder.join("quiet.txt"), &quiet)?;
    let mut day = quiet;
    for _ in 0..12 {
        writeln!(day, "similar {}", random.below(images))?;
    }
    fs::write(folder.join("day.txt"), day)?;
    Ok(())
}

fn write_store(path: &Path, images: u32, random: &mut Random) -> Outcome {
    let _ = fs::remove_file(path);
    let mut connection = open(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE images (id INTEGER PRIMARY KEY, name TEXT, caption TEXT, tags TEXT);
         CREATE TABLE implications (tag TEXT PRIMARY KEY, implied TEXT);",
    )?;
    let mut imply = transaction.prepare("INSERT INTO implications VALUES (?1, ?2)")?;
    for noun in NOUNS {
        for color in &COLORS[..4] {
            imply.execute([format!("{color}_{noun}").as_str(), noun])?;
        }
    }
    drop(imply);
    let mut insert = transaction.prepare("INSERT INTO images VALUES (?1, ?2, ?3, ?4)")?;
    for id in 0..images {
        let name = format!("{:016x}{:016x}.jpg", random.next(), random.next());
        insert.execute((id, name, caption(random), tags_of_one(images, random)))?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(())
}

fn write_model(path: &Path, images: u32, random: &mut Random) -> Outcome {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&images.to_le_bytes())?;
    file.write_all(&COLUMNS.to_le_bytes())?;
    for _ in 0..u64::from(images) * u64::from(COLUMNS) {
        let number = random.share() - 0.5;
        file.write_all(&(number as f32).to_le_bytes())?;
    }
    file.flush()?;
    Ok(())
}

fn quiet_day(images: u32, random: &mut Random) -> Outcome<String> {
    let mut day = String::new();
    for _ in 0..60 {
        let [first, second, third] = [8.0, 24.0, 40.0].map(|few| {
            let number = random.share() * few;
            tag(number as u32)
        });
        writeln!(day, "search {first} {second} -{third}")?;
    }
    for _ in 0..20 {
        let tag = tag(rank(images, random));
        writeln!(day, "complete {}", &tag[..2])?;
    }
    Ok(day)
}

fn tags_of_one(images: u32, random: &mut Random) -> String {
    let count = 16 + random.below(17) as usize;
    let mut numbers = BTreeSet::new();
    while numbers.len() < count {
        numbers.insert(rank(images, random));
    }
    let tags: Vec<String> = numbers.into_iter().map(tag).collect();
    tags.join(" ")
}

/// A tag by its rank, low ones far more often.
fn rank(images: u32, random: &mut Random) -> u32 {
    let tags = 2_000 + images / 4;
    (f64::from(tags) * random.share().powi(4)) as u32
}

/// The tag of a rank: things, coloured things, then people.
fn tag(rank: u32) -> String {
    let (nouns, colors) = (NOUNS.len() as u32, COLORS.len() as u32);
    if rank < nouns {
        return NOUNS[rank as usize].to_owned();
    }
    let rank = rank - nouns;
    if rank < nouns * colors {
        let (color, noun) = (rank % colors, rank / colors);
        return format!("{}_{}", COLORS[color as usize], NOUNS[noun as usize]);
    }
    let (first, last) = (rank % 32, rank / 32);
    format!("{}_{last}_(series_{})", NOUNS[first as usize], rank % 97)
}

fn caption(random: &mut Random) -> String {
    let mut caption = String::from("Somebody");
    while caption.len() < 280 {
        let (color, noun) = (random.below(16) as usize, random.below(32) as usize);
        let _ = write!(caption, " with {} {},", COLORS[color], NOUNS[noun]);
    }
    caption
}

/// SplitMix64: any state is a good seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.share() * f64::from(end)) as u32
    }
}
