//! Makes the data of the tutorial: `gallery_data FOLDER IMAGES`.

use std::path::Path;

use plimsoll_tutorial::{Outcome, generate};

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, images] = &words[..] else {
        return Err(format!("expected FOLDER IMAGES, got {words:?}").into());
    };
    let images = images
        .parse()
        .map_err(|error| format!("{images:?} is no number of images: {error}"))?;
    generate(Path::new(folder), images)
}
