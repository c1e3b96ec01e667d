//! Files beside a picture that say something of it: `name.ext.txt` with tags, `name.ext.json` with the post of
//! a site, or several in the form of the original's raw metadata.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::digest::{Stamp, open_regular};
use super::post::{Post, Sources, choose};
use super::settings::Settings;
use crate::edit::{CategorizedTags, NewImage, check_name, hex};
use crate::query::Category;

/// Bytes of a sidecar file: posts with all their comments have some 100 KiB.
const SIDECAR_BYTES_MAX: u64 = 4 << 20;

/// What stands beside a picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Sidecars {
    /// The files that may be, and what they were when they were read.
    files: Vec<(PathBuf, Option<Stamp>)>,
    posts: Vec<Post>,
    /// Posts as they came, by site.
    raw: Map<String, Value>,
    /// Of the text file.
    tags: CategorizedTags,
    text: Option<String>,
    /// A JSON file whose posts are not all that it says.
    json: Option<String>,
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
        if let Some(text) = sidecars.read_one(picture, ".txt")? {
            sidecars.take_text(text);
        }
        if let Some(text) = sidecars.read_one(picture, ".json")? {
            sidecars.take_json(text).with_context(|| {
                format!("read {}: it is no JSON", named(picture, ".json").display())
            })?;
        }
        Ok(sidecars)
    }

    fn read_one(&mut self, picture: &Path, ending: &str) -> Result<Option<String>> {
        let path = named(picture, ending);
        let (stamp, text) = read_text(&path)?.unzip();
        self.files.push((path, stamp));
        Ok(text)
    }

    /// The files themselves.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().filter(|(_, stamp)| stamp.is_some());
        files.map(|(path, _)| path.as_path())
    }

    /// Nobody has written to them, or put one there, since they were read.
    pub(super) fn have_not_changed(&self) -> bool {
        let mut files = self.files.iter();
        files.all(|(path, stamp)| match (path.symlink_metadata(), stamp) {
            (Ok(now), Some(stamp)) => Stamp::from(&now) == *stamp,
            (Err(error), None) => error.kind() == ErrorKind::NotFound,
            _ => false,
        })
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

    fn take_json(&mut self, text: String) -> Result<()> {
        let value: Value = serde_json::from_str(&text)?;
        // Of two fields of one name one is read, and of a long number its first digits.
        let mut is_whole = compact_length(&text) == value.to_string().len();
        // As the original keeps it: posts by site.
        match value.get("sources") {
            Some(Value::Object(sources)) => {
                for (name, post) in sources {
                    self.take_post(Some(name), post.clone());
                }
                let has_others = value.as_object().is_some_and(|fields| fields.len() > 1);
                is_whole &= !has_others && self.raw == *sources;
            }
            _ => self.take_post(None, value),
        }
        if !is_whole {
            self.json = Some(text);
        }
        Ok(())
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
        self.paths().next()?;
        let mut metadata = json!({
            "md5": hex(md5),
            "relative_path": path,
            "saucenao_lookup": false,
            "local_tagger_lookup": false,
            "sources": self.raw,
        });
        for (name, text) in [("sidecar_tags", &self.text), ("sidecar_json", &self.json)] {
            if let Some(text) = text {
                metadata[name] = json!(text);
            }
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

fn named(picture: &Path, ending: &str) -> PathBuf {
    let mut name = picture.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What a file says and what it was before it was read; `None` where there is none.
fn read_text(path: &Path) -> Result<Option<(Stamp, String)>> {
    let reading = || format!("read {}", path.display());
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(reading),
    };
    let stamp = Stamp::from(&file.metadata().with_context(reading)?);
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
    Ok(Some((stamp, text)))
}

/// Bytes of JSON without the blanks between its words. O(bytes).
fn compact_length(json: &str) -> usize {
    let (mut is_text, mut is_escaped) = (false, false);
    let counts = json.bytes().filter(|byte| {
        let is_blank = !is_text && byte.is_ascii_whitespace();
        match (is_escaped, byte) {
            (true, _) => is_escaped = false,
            (false, b'\\') => is_escaped = is_text,
            (false, b'"') => is_text = !is_text,
            _ => {}
        }
        !is_blank
    });
    counts.count()
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
        let json = json!({
            "sources": {"danbooru": {"id": 1, "rating": "g", "tag_string_general": "hat"}, "?": {"a": 1}}
        });
        sidecars.take_json(json.to_string()).unwrap();
        let stamp = Stamp::of(&std::env::current_exe().unwrap()).unwrap();
        sidecars.files.push((PathBuf::from("x"), Some(stamp)));
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
