//! What is told of an image beside its tags, as lines with links.

use super::super::links;
use crate::image::Image;
use crate::query::{Expression, Pattern, Query, Term};

/// A line of what is told of an image.
pub(in crate::web::pages) struct Fact {
    pub(in crate::web::pages) name: &'static str,
    pub(in crate::web::pages) text: String,
    pub(in crate::web::pages) href: Option<String>,
    /// Leads away from the board.
    pub(in crate::web::pages) is_outside: bool,
}

pub(super) fn facts(image: &Image) -> Vec<Fact> {
    let plain = |name, text: String| Fact {
        name,
        text,
        href: None,
        is_outside: false,
    };
    let found = |name, text: &String, term| Fact {
        name,
        text: text.clone(),
        href: Some(search(term)),
        is_outside: false,
    };
    let mut facts = vec![plain("Id", image.link.id.to_string())];
    if let Some((width, height)) = size(image) {
        facts.push(plain("Size", format!("{width} × {height}")));
    }
    facts.extend(
        image
            .ingested_at
            .as_ref()
            .map(|at| plain("Added", format!("{at} UTC"))),
    );
    facts.extend(image.score.map(|score| plain("Score", score.to_string())));
    facts.extend(
        image
            .fav_count
            .map(|count| plain("Liked there by", count.to_string())),
    );
    facts.extend(post_link(image));
    for source in &image.sources {
        let term = Term::Source(vec![Pattern::literal(&source.to_lowercase())]);
        facts.push(found("Source", source, term));
    }
    for pool in &image.pools {
        let term = Term::Pool(Pattern::literal(&pool.name.to_lowercase()));
        facts.push(found("Pool", &pool.name, term));
    }
    facts.push(plain("File", image.filepath.clone()));
    facts.push(plain("MD5", image.md5.clone()));
    facts
}

/// Width and height, where both are known.
pub(super) fn size(image: &Image) -> Option<(i64, i64)> {
    both(image.width, image.height)
}

/// Two sides that there are.
pub(super) fn both(width: Option<i64>, height: Option<i64>) -> Option<(i64, i64)> {
    let known = |side: Option<i64>| side.filter(|side| *side > 0);
    known(width).zip(known(height))
}

fn search(term: Term) -> String {
    let query = Query {
        expression: Expression::Term(term),
        ..Query::default()
    };
    links::results(&query.to_string(), 1)
}

/// Where the image was found, by the number of its post there. Only addresses that are made here are
/// linked to.
fn post_link(image: &Image) -> Option<Fact> {
    let post = image.post_id.filter(|post| *post > 0)?;
    let (site, href) = match image.active_source.as_deref()? {
        "danbooru" => (
            "Danbooru",
            format!("https://danbooru.donmai.us/posts/{post}"),
        ),
        "e621" => ("e621", format!("https://e621.net/posts/{post}")),
        "gelbooru" => (
            "Gelbooru",
            format!("https://gelbooru.com/index.php?page=post&s=view&id={post}"),
        ),
        "yandere" => ("yande.re", format!("https://yande.re/post/show/{post}")),
        "pixiv" => ("Pixiv", format!("https://www.pixiv.net/artworks/{post}")),
        _ => return None,
    };
    Some(Fact {
        name: "Found at",
        text: format!("{site} {post}"),
        href: Some(href),
        is_outside: true,
    })
}
