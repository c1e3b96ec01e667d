//! Where ranges may begin, told ahead: by what is known from before, or by the folders of the bucket.
//! Only hints: a wrong one costs a request. Memory: a frame for each level of an index, or the folders of
//! one page for each level.

use std::collections::VecDeque;

use anyhow::Result;
use plimsoll::runs::FrameStarts;

use super::{Ask, Lister};
use crate::s3::Page;

/// What came of looking for a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    Split(Vec<u8>),
    /// None yet.
    Later,
    /// There are no more.
    End,
}

/// Splits of the key space, in rising order.
pub trait Hints: Send {
    /// The next split: about `keys_each` keys are between it and the one before, if this is known. Makes
    /// one request at most, so that those in vain can be bounded.
    ///
    /// # Errors
    /// Of what is read or asked.
    fn next(&mut self, lister: &dyn Lister, keys_each: u64) -> Result<Hint>;

    /// Requests that it made since it was asked this.
    fn take_requests(&mut self) -> u64 {
        0
    }
}

/// Splits at frames of a run of what is known, so that a range has just below so many entries. It reads
/// the index of the run alone.
#[derive(Debug)]
pub struct KnownHints {
    starts: FrameStarts,
    /// Entries at or before the last split.
    split_at: u64,
    /// A frame that may be the next split, and how many entries are up to its first.
    frame: Option<(Vec<u8>, u64)>,
    entries: u64,
}

impl KnownHints {
    #[must_use]
    pub fn new(starts: FrameStarts, entries: u64) -> KnownHints {
        KnownHints {
            starts,
            split_at: 0,
            frame: None,
            entries,
        }
    }
}

impl Hints for KnownHints {
    fn next(&mut self, _: &dyn Lister, keys_each: u64) -> Result<Hint> {
        loop {
            let has_more = self.starts.advance()?;
            let up_to = match has_more {
                true => self.starts.ordinal() + 1,
                false => self.entries,
            };
            let is_over = up_to - self.split_at > keys_each;
            let next = has_more.then(|| (self.starts.key().to_vec(), up_to));
            // A frame alone may be over as well; the very first key splits nothing.
            let before = std::mem::replace(&mut self.frame, next.filter(|(_, up_to)| *up_to > 1));
            if let Some((key, up_to)) = before.filter(|_| is_over) {
                self.split_at = up_to;
                return Ok(Hint::Split(key));
            }
            if !has_more {
                return Ok(Hint::End);
            }
        }
    }
}

/// The most levels that are gone down: each holds the folders of a page.
pub const LEVEL_MAX: u32 = 16;

/// Folders of a level, found from above by a delimiter.
#[derive(Debug)]
pub struct FolderHints {
    level: usize,
    /// The folders that one is in, the uppermost first.
    path: Vec<Folder>,
    page: Page,
    requests: u64,
}

#[derive(Debug, Default)]
struct Folder {
    prefix: String,
    within: VecDeque<Vec<u8>>,
    token: Option<String>,
    is_asked: bool,
}

impl FolderHints {
    /// Folders with so many delimiters behind `prefix`.
    #[must_use]
    pub fn new(prefix: &str, level: u32) -> FolderHints {
        let top = Folder {
            prefix: prefix.to_owned(),
            ..Folder::default()
        };
        FolderHints {
            level: level as usize,
            path: vec![top],
            page: Page::default(),
            requests: 0,
        }
    }

    fn ask(&mut self, lister: &dyn Lister) -> Result<()> {
        let Some(folder) = self.path.last_mut() else {
            return Ok(());
        };
        let ask = Ask {
            prefix: &folder.prefix,
            token: folder.token.as_deref(),
            has_delimiter: true,
            ..Ask::default()
        };
        self.requests += 1;
        lister.list(&ask, &mut self.page)?;
        let token = self.page.next_token().filter(|_| self.page.is_truncated());
        // A page that comes again has no more hints.
        let token = token.filter(|token| folder.token.as_deref() != Some(token));
        folder.token = token.map(str::to_owned);
        folder.is_asked = true;
        folder.within.extend(self.page.folders().iter().cloned());
        Ok(())
    }
}

impl Hints for FolderHints {
    fn next(&mut self, lister: &dyn Lister, _: u64) -> Result<Hint> {
        loop {
            let is_lowest = self.path.len() == self.level;
            let Some(folder) = self.path.last_mut() else {
                return Ok(Hint::End);
            };
            let within = folder.within.pop_front();
            let is_left = folder.token.is_some() || !folder.is_asked;
            match within {
                Some(found) if is_lowest => return Ok(Hint::Split(found)),
                Some(found) => {
                    // What is no text, or leads back up, is no folder to go down to.
                    let is_below = found.starts_with(folder.prefix.as_bytes());
                    if let (Ok(prefix), true) = (String::from_utf8(found), is_below) {
                        self.path.push(Folder {
                            prefix,
                            ..Folder::default()
                        });
                    }
                }
                None if is_left => {
                    self.ask(lister)?;
                    return Ok(Hint::Later);
                }
                None => {
                    self.path.pop();
                }
            }
        }
    }

    fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }
}

#[cfg(test)]
mod tests {
    use plimsoll::runs::{Run, RunOptions, RunWriter};

    use super::super::testing::{Scripted, keys};
    use super::*;
    use crate::testing::Folder as Temporary;

    fn all(hints: &mut dyn Hints, lister: &dyn Lister, each: u64) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match hints.next(lister, each).unwrap() {
                Hint::Split(key) => all.push(String::from_utf8(key).unwrap()),
                Hint::Later => {}
                Hint::End => return all,
            }
        }
    }

    /// No range has more than was asked for, and few have much less.
    #[test]
    fn known_keys_are_cut_just_below_what_is_asked_for() {
        let folder = Temporary::new("hints");
        let path = folder.path("run");
        let options = RunOptions::default().frame_bytes(16 << 10);
        let mut writer = RunWriter::create(&path, options).unwrap();
        const COUNT: usize = 50_000;
        let key = |n: usize| format!("tenant/album/{n:08}/{}", "x".repeat(70));
        for n in 0..COUNT {
            writer.push(key(n).as_bytes(), &[7; 29]).unwrap();
        }
        writer.commit().unwrap();
        let run = Run::open(&path).unwrap();
        let frame = COUNT as u64 / run.figures().frames + 1;
        for each in [frame, 999, 5_000] {
            let mut hints = KnownHints::new(run.frame_starts(), COUNT as u64);
            let splits = all(&mut hints, &Scripted::new(keys(&[])), each);
            let ends = splits
                .iter()
                .map(|split| split[13..21].parse::<u64>().unwrap() + 1);
            let ends: Vec<u64> = ends.chain([COUNT as u64]).collect();
            let mut before = 0;
            for (at, end) in ends.iter().enumerate() {
                let count = end - before;
                assert!(count <= each + 1, "{count} of {each}");
                let is_last = at + 1 == ends.len();
                assert!(is_last || count + 2 * frame > each, "{count} of {each}");
                before = *end;
            }
            let wanted = COUNT as u64 / each;
            println!("{} ranges of {each}, {wanted} at least", ends.len());
        }
        let mut hints = KnownHints::new(run.frame_starts(), COUNT as u64);
        assert!(all(&mut hints, &Scripted::new(keys(&[])), 1 << 40).is_empty());
    }

    #[test]
    fn folders_of_a_level_come_in_order() {
        let mut lister = Scripted::new(keys(&[
            "a/1/x",
            "a/2/x",
            "a/top",
            "b/1/deep/er",
            "b/z",
            "c/",
            "root",
            "z/9/y",
        ]));
        for page in [1, 2, 1000] {
            lister.page = page;
            let folders = |level| all(&mut FolderHints::new("", level), &lister, 0);
            assert_eq!(folders(1), ["a/", "b/", "c/", "z/"]);
            assert_eq!(folders(2), ["a/1/", "a/2/", "b/1/", "z/9/"]);
            assert_eq!(folders(3), ["b/1/deep/"]);
            assert!(folders(4).is_empty());
            let below = all(&mut FolderHints::new("b/", 1), &lister, 0);
            assert_eq!(below, ["b/1/"]);
        }
    }
}
