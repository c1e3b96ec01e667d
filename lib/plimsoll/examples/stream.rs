//! A file copied, moved and replaced through one small buffer, temporary files within a limit, and a
//! pipeline: `cargo run --example stream`.

use std::error::Error as StdError;
use std::fs::{self, File};
use std::io::{Read, Write};

use plimsoll::stream::{
    AtomicFile, CopyOptions, Pipeline, Progress, TempSpace, copy_file, move_file,
};

fn main() -> Result<(), Box<dyn StdError>> {
    let folder = std::env::temp_dir().join(format!("plimsoll-example-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let result = run(&folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn run(folder: &std::path::Path) -> Result<(), Box<dyn StdError>> {
    let path = |name: &str| folder.join(name);
    File::create(path("large"))?.set_len(32 << 20)?;

    let mut buffers = 0;
    let mut progress = |_: Progress| buffers += 1;
    let options = CopyOptions {
        buffer_bytes: 64 << 10,
        progress: Some(&mut progress),
        ..CopyOptions::default()
    };
    let copied = copy_file(path("large"), path("copy"), options)?;
    println!("{copied:?}, {buffers} buffers, copied and read back");
    let moved = move_file(path("copy"), path("moved"), CopyOptions::default())?;
    println!("moved: {moved:?}");

    let mut file = AtomicFile::create(path("settings"))?;
    file.write_all(b"answer = 42\n")?;
    println!("there before commit: {}", path("settings").exists());
    file.commit()?;
    println!("there after commit: {}", path("settings").exists());

    let space = TempSpace::new(folder, 1 << 20)?;
    let mut runs = space.file()?;
    runs.write_all(&[0; 700_000])?;
    if let Err(error) = space.file()?.write_all(&[0; 700_000]) {
        println!("{error}");
    }
    println!("{:?}", space.figures());

    // Reads in one thread, counts in another, adds up here.
    let large = File::open(path("moved"))?;
    let mut zeros = 0;
    let figures = Pipeline::new(256 << 10, move |out| {
        loop {
            let mut chunk = Vec::with_capacity(64 << 10);
            let read = (&large).take(64 << 10).read_to_end(&mut chunk)?;
            if read == 0 {
                return Ok::<_, Box<dyn StdError + Send + Sync>>(());
            }
            out.send(chunk)?;
        }
    })?
    .step(|chunk: Vec<u8>, out| out.send(chunk.iter().filter(|byte| **byte == 0).count()))?
    .finish(|count| {
        zeros += count;
        Ok::<_, plimsoll::Error>(())
    })?;
    println!("{zeros} zeros; {:?}", figures.queues[0]);
    Ok(())
}
