//! One run of the gallery: which files, and what was asked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// How many images, tags or neighbours an answer names.
pub const PAGE_LEN: usize = 5;

/// Where the data of a run is.
#[derive(Debug)]
pub struct Job {
    folder: PathBuf,
    requests: PathBuf,
}

/// What a visitor asked.
#[derive(Debug)]
pub enum Request {
    /// `search hat smile -rain`: images with all of these tags and none of those.
    Search {
        wanted: Vec<String>,
        unwanted: Vec<String>,
    },
    /// `complete re`: the tags of most images that begin so.
    Complete(String),
    /// `similar 17`: the images that look most like this one.
    Similar(u32),
}

impl Job {
    /// From the words `FOLDER REQUESTS` of the command line: a folder that [`generate`](crate::generate())
    /// filled, and the name of a file of requests in it.
    ///
    /// # Errors
    /// For other words.
    pub fn from_arguments(words: &[String]) -> Outcome<Job> {
        let [folder, requests] = words else {
            return Err(format!("expected FOLDER REQUESTS, got {words:?}").into());
        };
        let folder = PathBuf::from(folder);
        let requests = folder.join(requests);
        Ok(Job { folder, requests })
    }

    /// The store of all images, which is only read.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("gallery.db")
    }

    /// The copy of it that the run makes and changes.
    #[must_use]
    pub fn published(&self) -> PathBuf {
        self.folder.join("published.db")
    }

    /// The embeddings of all images.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.folder.join("model.f32")
    }

    /// All requests, in order.
    ///
    /// # Errors
    /// Where the file can't be read, or a line is no request.
    pub fn requests(&self) -> Outcome<Vec<Request>> {
        let text = read_text(&self.requests)?;
        let parsed = text.lines().map(|line| {
            parse(line).ok_or_else(|| {
                let path = self.requests.display();
                format!("read {path}: {line:?} is no search, complete or similar").into()
            })
        });
        parsed.collect()
    }
}

fn read_text(path: &Path) -> Outcome<String> {
    let text = fs::read_to_string(path);
    text.map_err(|error| format!("read {}: {error}", path.display()).into())
}

fn parse(line: &str) -> Option<Request> {
    let (verb, rest) = line.split_once(' ')?;
    match verb {
        "search" => {
            let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
                rest.split(' ').partition(|tag| tag.starts_with('-'));
            Some(Request::Search {
                wanted: wanted.into_iter().map(str::to_owned).collect(),
                unwanted: unwanted
                    .into_iter()
                    .map(|tag| tag[1..].to_owned())
                    .collect(),
            })
        }
        "complete" => Some(Request::Complete(rest.to_owned())),
        "similar" => rest.parse().ok().map(Request::Similar),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let Some(Request::Search { wanted, unwanted }) = parse("search hat -rain red_hair") else {
            panic!("a search");
        };
        assert_eq!(wanted, ["hat", "red_hair"]);
        assert_eq!(unwanted, ["rain"]);
        assert!(matches!(parse("similar 17"), Some(Request::Similar(17))));
        assert!(parse("similar x").is_none());
        assert!(parse("delete all").is_none());
    }
}
