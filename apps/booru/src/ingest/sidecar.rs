//! Files beside a picture that say something of it: `name.ext.txt` with tags, `name.ext.json` with the post of
//! a site, or several in the form of the original's raw metadata.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::post::{Post, Sources, choose};
use super::settings::Settings;
use crate::edit::{CategorizedTags, NewImage, check_name, hex};
use crate::query::Category;

/// Bytes of a sidecar file: posts with all their comments have some 100 KiB.
const SIDECAR_BYTES_MAX: u64 = 4 << 20;

/// What stands beside a picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Sidecars {
    /// The files themselves.
    pub(super) paths: Vec<PathBuf>,
    posts: Vec<Post>,
    /// Posts as they came, by site.
    raw: Map<String, Value>,
    /// Of the text file.
    tags: CategorizedTags,
    text: Option<String>,
    left_out: usize,
}

/// The file that a sidecar is beside, if the name is that of one.
pub(super) fn beside(path: &Path) -> Option<PathBuf> {
    let ending = path.extension()?.to_str()?;
    let picture = path.with_extension("");
    let name = picture.file_name()?.to_str()?;
    let is_one = matches!(ending, "txt" | "json") && super::content::has_known_ending(name);
    is_one.then_some(picture)
}

impl Sidecars {
    /// # Errors
    /// A file that can't be read, is too long, or is no JSON.
    pub(super) fn read(picture: &Path) -> Result<Sidecars> {
        let mut sidecars = Sidecars::default();
        if let Some((path, text)) = read_one(picture, ".txt")? {
            sidecars.take_text(text);
            sidecars.paths.push(path);
        }
        if let Some((path, text)) = read_one(picture, ".json")? {
            let value = serde_json::from_str(&text)
                .with_context(|| format!("read {}: it is no JSON", path.display()))?;
            sidecars.take_json(value);
            sidecars.paths.push(path);
        }
        Ok(sidecars)
    }

    fn take_text(&mut self, text: String) {
        for word in text.split_whitespace() {
            let (category, name) = match word.split_once(':') {
                Some((prefix, name)) if !name.is_empty() && Category::of(prefix).is_some() => {
                    (Category::of(prefix).unwrap_or(Category::General), name)
                }
                _ => (Category::General, word),
            };
            match check_name(name) {
                Ok(name) => self.tags.entry(category).or_default().push(name),
                Err(_) => self.left_out += 1,
            }
        }
        self.text = Some(text);
    }

    fn take_json(&mut self, value: Value) {
        // As the original keeps it: posts by site.
        if let Some(Value::Object(sources)) = value.get("sources") {
            for (name, post) in sources {
                self.take_post(Some(name), post.clone());
            }
            return;
        }
        self.take_post(None, value);
    }

    fn take_post(&mut self, source: Option<&str>, value: Value) {
        let Some(post) = Post::of(source, &value) else {
            // Kept as it is, though nothing is taken from it.
            self.raw.insert("unknown".to_owned(), value);
            return;
        };
        self.left_out += post.left_out;
        self.raw.insert(post.source.clone(), value);
        self.posts.push(post);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// What is worth telling: names that are none.
    pub(super) fn note(&self) -> Option<String> {
        (self.left_out > 0)
            .then(|| format!("{} names that are none of a tag left out", self.left_out))
    }

    /// Puts what is known on an image.
    pub(super) fn describe(&self, image: &mut NewImage, settings: &Settings) {
        let sources = match settings.merges_sources {
            true => Sources::Merged,
            false => Sources::FirstAlone,
        };
        let chosen = choose(&self.posts, &settings.booru_priority, sources);
        image.active_source = chosen.active_source;
        image.tags = chosen.tags;
        for (category, names) in &self.tags {
            let own = image.tags.entry(*category).or_default();
            own.extend(names.iter().cloned());
        }
        keep_one_rating(&mut image.tags);
        image.sources = self.posts.iter().map(|post| post.source.clone()).collect();
        if let Some(post) = chosen.primary.map(|primary| &self.posts[primary]) {
            image.post_id = post.id;
            image.parent_id = post.parent;
            image.has_children = post.has_children;
            image.score = post.score;
            image.favourites = post.favourites;
        }
    }

    /// What the original keeps, from which it makes all tags anew where its priorities change; `None` where there
    /// was no sidecar.
    pub(super) fn raw_metadata(&self, md5: &[u8; 16], path: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut metadata = json!({
            "md5": hex(md5),
            "relative_path": path,
            "saucenao_lookup": false,
            "local_tagger_lookup": false,
            "sources": self.raw,
        });
        if let (Some(text), Some(metadata)) = (&self.text, metadata.as_object_mut()) {
            metadata.insert("sidecar_tags".to_owned(), json!(text));
        }
        Some(metadata.to_string())
    }
}

/// The last one counts: what a person wrote stands behind what a site says.
fn keep_one_rating(tags: &mut CategorizedTags) {
    let is_rating = |name: &String| name.starts_with("rating:");
    let ratings: Vec<String> = tags
        .values()
        .flatten()
        .filter(|name| is_rating(name))
        .cloned()
        .collect();
    let mut own = tags.get(&Category::General).into_iter().flatten();
    let last = own
        .rfind(|name| is_rating(name))
        .or(ratings.last())
        .cloned();
    if let Some(last) = last
        && ratings.len() > 1
    {
        for names in tags.values_mut() {
            names.retain(|name| !is_rating(name));
        }
        tags.entry(Category::Meta).or_default().push(last);
    }
}

fn read_one(picture: &Path, ending: &str) -> Result<Option<(PathBuf, String)>> {
    let mut name = picture.as_os_str().to_owned();
    name.push(ending);
    let path = PathBuf::from(name);
    let reading = || format!("read {}", path.display());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(reading),
    };
    let mut text = String::new();
    file.take(SIDECAR_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(reading)?;
    if text.len() as u64 > SIDECAR_BYTES_MAX {
        bail!(
            "read {}: it has more than {} MiB",
            path.display(),
            SIDECAR_BYTES_MAX >> 20
        );
    }
    Ok(Some((path, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_pictures_are_sidecars() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(
                beside(Path::new(name)),
                expected.map(PathBuf::from),
                "{name}"
            );
        };
        check("a/b.png.txt", Some("a/b.png"));
        check("a/b.JPG.json", Some("a/b.JPG"));
        check("a/b.txt", None);
        check("a/b.png", None);
        check("a/b.png.text", None);
    }

    #[test]
    fn tags_of_a_text_stand_beside_those_of_a_site() {
        let mut sidecars = Sidecars::default();
        sidecars.take_text("Solo character:Miku\nrating:explicit re:zero\n".to_owned());
        sidecars.take_json(json!({
            "sources": {"danbooru": {"id": 1, "rating": "g", "tag_string_general": "hat"}, "?": {"a": 1}}
        }));
        sidecars.paths.push(PathBuf::from("x"));
        let mut image = NewImage::default();
        sidecars.describe(&mut image, &Settings::default());
        let general = &image.tags[&Category::General];
        assert_eq!(general, &["hat", "solo", "re:zero"]);
        assert_eq!(image.tags[&Category::Character], ["miku"]);
        assert_eq!(image.tags[&Category::Meta], ["rating:explicit"]);
        assert_eq!(
            (image.post_id, image.active_source.as_deref()),
            (Some(1), Some("danbooru"))
        );
        let raw = sidecars.raw_metadata(&[1; 16], "a/b").unwrap();
        let raw: Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(raw["sources"]["danbooru"]["id"], 1);
        assert_eq!(raw["sources"]["unknown"]["a"], 1);
        assert!(raw["sidecar_tags"].as_str().unwrap().contains("re:zero"));
    }
}
