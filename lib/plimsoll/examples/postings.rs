//! Search in a picture collection: tags as ids, images by tag, pages, autocomplete.
//!
//! `cargo run -p plimsoll --example postings`

use plimsoll::dictionary::Dictionary;
use plimsoll::postings::{PostingsIndex, Query};

fn main() -> Result<(), plimsoll::Error> {
    let tags = Dictionary::new();
    let mut index = PostingsIndex::new();
    for image in 0..10_000_u32 {
        let mut of_image = vec![tags.insert("highres")?];
        if image % 2 == 0 {
            of_image.push(tags.insert("long_hair")?);
        }
        if image % 3 == 0 {
            of_image.push(tags.insert("looking_at_viewer")?);
        }
        if image % 500 == 0 {
            of_image.push(tags.insert("lighthouse")?);
        }
        index.insert_document(image, of_image);
    }
    println!(
        "{} images, {} tags: {} bytes",
        index.documents().len(),
        tags.len(),
        index.size_bytes() + tags.size_bytes()
    );

    // long_hair -looking_at_viewer, among the images from 4,000 on. What no image has matches nothing.
    let term = |tag: &str| tags.id(tag).map_or(Query::Any(vec![]), Query::Term);
    let query = Query::All(vec![
        term("long_hair"),
        term("looking_at_viewer").negated(),
        Query::Range(4_000..=u32::MAX),
    ]);
    println!("{} images match", index.count(&query)?);

    // Pages: the key of the last image is all that is kept between two of them.
    let mut page = index.matches(&query)?;
    println!(
        "first page: {:?}",
        page.by_ref().take(5).collect::<Vec<_>>()
    );
    let key = page.resume_key();
    let page = index.matches_after(&query, key)?;
    println!("next page: {:?}", page.take(5).collect::<Vec<_>>());

    // Autocomplete: the tags that start so, those of most images first.
    let view = tags.view();
    for (id, count) in index.top_terms(view.walk("l"), 5) {
        println!("l… -> {} ({count})", view.term(id).unwrap_or_default());
    }
    Ok(())
}
