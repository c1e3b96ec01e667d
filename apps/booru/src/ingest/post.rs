//! What a site says of an image: a post as danbooru, e621, gelbooru or another returned it, or as gallery-dl
//! writes it. Pure: JSON in, tags and numbers out.

use serde_json::Value;

use crate::edit::{CategorizedTags, check_name};
use crate::query::Category;

/// Tags of a post that are taken at most; what a person tags has some hundred.
const TAGS_MAX: usize = 4000;

/// Sites whose posts say more than what a model of ours says.
const BOORUS: [&str; 4] = ["danbooru", "e621", "gelbooru", "yandere"];

/// One post.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Post {
    /// In lower case; no more than letters, digits, `_` and `-`.
    pub(super) source: String,
    pub(super) id: Option<i64>,
    pub(super) parent: Option<i64>,
    pub(super) has_children: Option<bool>,
    pub(super) score: Option<i64>,
    pub(super) favourites: Option<i64>,
    pub(super) tags: CategorizedTags,
    /// Names that are none of a tag.
    pub(super) left_out: usize,
}

impl Post {
    /// `None` for JSON that is no post of a site.
    pub(super) fn of(source: Option<&str>, post: &Value) -> Option<Post> {
        let source = match source {
            Some(source) => named(source)?,
            None => source_of(post)?,
        };
        let score = post.get("score");
        let mut read = Post {
            source,
            id: post.get("id").and_then(number).filter(|id| *id > 0),
            parent: parent_of(post).filter(|id| *id > 0),
            has_children: post.get("has_children").and_then(Value::as_bool),
            // e621 has it in parts.
            score: score.and_then(|score| score.as_i64().or_else(|| score.get("total")?.as_i64())),
            favourites: post.get("fav_count").and_then(number),
            ..Post::default()
        };
        read.read_tags(post);
        if let Some(rating) = post.get("rating").and_then(Value::as_str).and_then(rating) {
            read.tags
                .entry(Category::Meta)
                .or_default()
                .push(format!("rating:{rating}"));
        }
        Some(read)
    }

    fn read_tags(&mut self, post: &Value) {
        for category in Category::ALL {
            let name = category.name();
            // Danbooru's own; gallery-dl splits them.
            for key in [format!("tag_string_{name}"), format!("tags_{name}")] {
                if let Some(tags) = post.get(&key) {
                    self.take(category, tags);
                }
            }
        }
        match post.get("tags") {
            Some(Value::Object(by_category)) => {
                for (name, tags) in by_category {
                    // e621 has lore, invalid and others besides.
                    let category = Category::of(name).unwrap_or(Category::General);
                    if name != "invalid" {
                        self.take(category, tags);
                    }
                }
            }
            Some(tags) if self.tags.is_empty() => self.take(Category::General, tags),
            _ => {}
        }
    }

    /// A list, or a text with blanks between.
    fn take(&mut self, category: Category, tags: &Value) {
        match tags {
            Value::String(tags) => tags
                .split_whitespace()
                .for_each(|tag| self.take_one(category, tag)),
            Value::Array(tags) => {
                for tag in tags.iter().filter_map(Value::as_str) {
                    self.take_one(category, tag);
                }
            }
            _ => {}
        }
    }

    fn take_one(&mut self, category: Category, tag: &str) {
        let count: usize = self.tags.values().map(Vec::len).sum();
        match check_name(&tag.trim().replace(' ', "_")) {
            Ok(name) if count < TAGS_MAX => {
                let names = self.tags.entry(category).or_default();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            _ => self.left_out += 1,
        }
    }

    pub(super) fn is_of_booru(&self) -> bool {
        BOORUS.contains(&self.source.as_str())
    }
}

fn parent_of(post: &Value) -> Option<i64> {
    let own = post.get("parent_id").and_then(number);
    own.or_else(|| number(post.get("relationships")?.get("parent_id")?))
}

/// Gelbooru writes some as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The letter that the original goes by, or a word that begins with it.
fn rating(text: &str) -> Option<&'static str> {
    match text.chars().next()?.to_ascii_lowercase() {
        'g' => Some("general"),
        's' => Some("sensitive"),
        'q' => Some("questionable"),
        'e' => Some("explicit"),
        _ => None,
    }
}

/// gallery-dl says it; the sites' own posts are told by their shape.
fn source_of(post: &Value) -> Option<String> {
    if let Some(category) = post.get("category").and_then(Value::as_str) {
        return named(category);
    }
    if post.get("tag_string_general").is_some() {
        return Some("danbooru".to_owned());
    }
    post.get("tags")?
        .is_object()
        .then(|| "e621".to_owned())
        .filter(|_| post.get("relationships").is_some() || post.get("rating").is_some())
}

/// Bytes of the name of a site.
const SOURCE_BYTES_MAX: usize = 32;

fn named(source: &str) -> Option<String> {
    let source = source.to_lowercase();
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let fits = (1..=SOURCE_BYTES_MAX).contains(&source.len()) && source.bytes().all(is_plain);
    fits.then_some(source)
}

/// What counts where several sites know an image.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// `merged` where tags are of several.
    pub(super) active_source: Option<String>,
    /// The first one by priority, for ids and numbers.
    pub(super) primary: Option<usize>,
    pub(super) tags: CategorizedTags,
}

/// Categories by how much they say; a tag keeps the first that any site puts it in.
const SPECIFIC_FIRST: [Category; 6] = [
    Category::Character,
    Category::Species,
    Category::Copyright,
    Category::Artist,
    Category::Meta,
    Category::General,
];

/// Whether tags of several boorus become one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    Merged,
    FirstAlone,
}

/// Chooses among posts of different sites.
pub(super) fn choose(posts: &[Post], priority: &[String], sources: Sources) -> Chosen {
    let rank = |post: &Post| {
        let place = priority.iter().position(|source| *source == post.source);
        place.unwrap_or(priority.len())
    };
    let Some(primary) = (0..posts.len()).min_by_key(|at| (rank(&posts[*at]), *at)) else {
        return Chosen::default();
    };
    let boorus: Vec<&Post> = posts.iter().filter(|post| post.is_of_booru()).collect();
    if sources == Sources::FirstAlone || boorus.len() < 2 {
        return Chosen {
            active_source: Some(posts[primary].source.clone()),
            primary: Some(primary),
            tags: posts[primary].tags.clone(),
        };
    }
    let mut tags = CategorizedTags::new();
    for category in SPECIFIC_FIRST {
        for post in &boorus {
            for name in post.tags.get(&category).into_iter().flatten() {
                let is_known = tags
                    .values()
                    .any(|names: &Vec<String>| names.contains(name));
                // Of two ratings the one of the first site.
                let is_second_rating = name.starts_with("rating:")
                    && tags
                        .values()
                        .flatten()
                        .any(|name: &String| name.starts_with("rating:"));
                if !is_known && !is_second_rating {
                    tags.entry(category).or_default().push(name.clone());
                }
            }
        }
    }
    Chosen {
        active_source: Some("merged".to_owned()),
        primary: Some(primary),
        tags,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(tags: &CategorizedTags, category: Category) -> Vec<&str> {
        let names = tags.get(&category).into_iter().flatten();
        names.map(String::as_str).collect()
    }

    #[test]
    fn posts_of_the_sites_are_read() {
        let danbooru = json!({
            "id": 5, "parent_id": 4, "score": 7, "fav_count": 9, "rating": "s", "has_children": true,
            "tag_string_general": "Solo long_hair", "tag_string_character": "miku", "tag_string_meta": ""
        });
        let post = Post::of(None, &danbooru).unwrap();
        assert_eq!(post.source, "danbooru");
        assert_eq!(
            (post.id, post.parent, post.score),
            (Some(5), Some(4), Some(7))
        );
        assert_eq!(names(&post.tags, Category::General), ["solo", "long_hair"]);
        assert_eq!(names(&post.tags, Category::Character), ["miku"]);
        assert_eq!(names(&post.tags, Category::Meta), ["rating:sensitive"]);

        let e621 = json!({
            "id": 6, "score": {"up": 3, "total": 2}, "relationships": {"parent_id": 1}, "rating": "q",
            "tags": {"general": ["solo"], "species": ["cat", "a b"], "lore": ["x_(lore)"], "invalid": ["y"]}
        });
        let post = Post::of(None, &e621).unwrap();
        assert_eq!(post.source, "e621");
        assert_eq!((post.parent, post.score), (Some(1), Some(2)));
        assert_eq!(names(&post.tags, Category::Species), ["cat", "a_b"]);
        assert_eq!(names(&post.tags, Category::General), ["solo", "x_(lore)"]);

        let gelbooru =
            json!({"category": "gelbooru", "tags": "a b", "rating": "explicit", "id": "12"});
        let post = Post::of(None, &gelbooru).unwrap();
        assert_eq!(post.id, Some(12));
        assert_eq!(names(&post.tags, Category::General), ["a", "b"]);
        assert_eq!(names(&post.tags, Category::Meta), ["rating:explicit"]);

        let long = json!({"category": "danbooru", "tags_artist": ["x".repeat(300), "y"]});
        let post = Post::of(None, &long).unwrap();
        assert_eq!(
            (post.left_out, names(&post.tags, Category::Artist)),
            (1, vec!["y"])
        );
        for none in [
            json!(null),
            json!([1]),
            json!({"tags": "a"}),
            json!({"category": "../x"}),
        ] {
            assert_eq!(Post::of(None, &none), None, "{none}");
        }
    }

    #[test]
    fn several_sites_are_merged_by_what_says_most() {
        let post = |source: &str, tags: &[(Category, &str)], score| {
            let mut post = Post {
                source: source.to_owned(),
                score: Some(score),
                ..Post::default()
            };
            for (category, name) in tags {
                post.tags
                    .entry(*category)
                    .or_default()
                    .push((*name).to_owned());
            }
            post
        };
        let posts = [
            post(
                "e621",
                &[
                    (Category::General, "miku"),
                    (Category::Species, "cat"),
                    (Category::Meta, "rating:sensitive"),
                ],
                1,
            ),
            post(
                "danbooru",
                &[
                    (Category::Character, "miku"),
                    (Category::Meta, "rating:general"),
                ],
                2,
            ),
        ];
        let priority = ["danbooru", "e621"].map(str::to_owned);
        let chosen = choose(&posts, &priority, Sources::Merged);
        assert_eq!(chosen.active_source.as_deref(), Some("merged"));
        assert_eq!(chosen.primary, Some(1));
        assert_eq!(names(&chosen.tags, Category::Character), ["miku"]);
        assert_eq!(names(&chosen.tags, Category::Species), ["cat"]);
        assert!(names(&chosen.tags, Category::General).is_empty());
        assert_eq!(names(&chosen.tags, Category::Meta), ["rating:sensitive"]);
        let chosen = choose(&posts, &priority, Sources::FirstAlone);
        assert_eq!(chosen.active_source.as_deref(), Some("danbooru"));
        assert!(names(&chosen.tags, Category::Species).is_empty());
        assert!(choose(&[], &priority, Sources::Merged).primary.is_none());
    }
}
