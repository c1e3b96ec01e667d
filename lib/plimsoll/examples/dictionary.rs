//! Tags of a picture collection as ids: each string once, 4 bytes wherever it is said.
//!
//! `cargo run -p plimsoll --example dictionary`

use plimsoll::dictionary::Dictionary;

fn main() -> Result<(), plimsoll::Error> {
    let tags = Dictionary::new();
    let images = [
        "1girl solo long_hair looking_at_viewer",
        "1boy solo short_hair",
        "1girl long_hair hat",
    ];
    // What was a line of text for each image is a few numbers now.
    let mut of_image = Vec::new();
    for line in images {
        let ids: Result<Vec<_>, _> = line.split(' ').map(|tag| tags.insert(tag)).collect();
        of_image.push(ids?);
    }
    println!("{} tags in {} bytes", tags.len(), tags.size_bytes());

    // Autocomplete, in order.
    for (id, tag) in tags.prefix("lo", 10) {
        println!("lo… -> {tag} (id {})", id.get());
    }

    // A rename keeps the id, so no image has to change.
    let hat = tags.insert("hat")?;
    tags.rename(hat, "witch_hat")?;
    let names: Vec<String> = of_image[2].iter().filter_map(|id| tags.term(*id)).collect();
    println!("image 2: {}", names.join(" "));
    if let Err(error) = tags.rename(hat, "solo") {
        println!("{error}");
    }

    // To a file and back.
    let mut stored = Vec::new();
    tags.write_to(&mut stored)?;
    let again = Dictionary::read_from(stored.as_slice())?;
    println!("{} bytes stored, {} tags read", stored.len(), again.len());
    Ok(())
}
