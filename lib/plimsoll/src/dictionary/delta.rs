//! The part of a dictionary that changes: strings since the base was built, and strings of ids that
//! were renamed since then. It is small, so it is made for simple and cheap changes.
//!
//! Memory: the text, 12 bytes an entry by id and 4 by string, and at most an eighth of room to grow.
//! A change moves at most these arrays; a look-up is a binary search.

use std::cmp::Ordering;

use crate::grow;

/// One string. Texts are appended and stay in place until the next base is built, so equal places
/// are equal strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    start: u32,
    len: u32,
}

/// Strings by id and in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    text: String,
    by_id: Vec<Entry>,
    /// Places in `by_id`.
    by_text: Vec<u32>,
}

impl Delta {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes of text, those of names since replaced included.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity()
            + self.by_id.capacity() * size_of::<Entry>()
            + self.by_text.capacity() * size_of::<u32>()
    }

    fn text_of(&self, entry: Entry) -> &str {
        &self.text[entry.start as usize..(entry.start + entry.len) as usize]
    }

    pub(crate) fn term(&self, id: u32) -> Option<&str> {
        let place = self.by_id.binary_search_by_key(&id, |entry| entry.id);
        place.ok().map(|place| self.text_of(self.by_id[place]))
    }

    /// At once where no id of the base was renamed.
    pub(crate) fn has_id(&self, id: u32) -> bool {
        let mut first = self.by_id.first().into_iter();
        first.any(|first| first.id <= id)
            && self
                .by_id
                .binary_search_by_key(&id, |entry| entry.id)
                .is_ok()
    }

    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let place = self.search(text).ok()?;
        Some(self.at(place)?.0)
    }

    /// Where in the order `text` is, or would be.
    fn search(&self, text: &str) -> Result<usize, usize> {
        self.by_text
            .binary_search_by(|&place| self.text_of(self.by_id[place as usize]).cmp(text))
    }

    /// The place of the first string that is not less than `text`.
    pub(crate) fn lower_bound(&self, text: &str) -> usize {
        self.search(text).unwrap_or_else(|place| place)
    }

    /// Id and string at a place of the order.
    pub(crate) fn at(&self, place: usize) -> Option<(u32, &str)> {
        let entry = self.by_id[*self.by_text.get(place)? as usize];
        Some((entry.id, self.text_of(entry)))
    }

    /// Gives `id` the string `text`, which no id has, in place of what it has here. The text so far
    /// and `text` must fit a `u32`.
    pub(crate) fn set(&mut self, id: u32, text: &str) {
        let start = self.text.len() as u32;
        grow::string(&mut self.text, text.len());
        self.text.push_str(text);
        let entry = Entry {
            id,
            start,
            len: text.len() as u32,
        };
        let place = match self.by_id.binary_search_by_key(&id, |entry| entry.id) {
            Ok(place) => {
                let old = self.text_of(self.by_id[place]).to_owned();
                if let Ok(order) = self.search(&old) {
                    self.by_text.remove(order);
                }
                self.by_id[place] = entry;
                place
            }
            Err(place) => {
                let last = place == self.by_id.len();
                grow::vec(&mut self.by_id, 1);
                self.by_id.insert(place, entry);
                if !last {
                    let behind = |other: &&mut u32| **other as usize >= place;
                    self.by_text.iter_mut().filter(behind).for_each(|p| *p += 1);
                }
                place
            }
        };
        let order = self.by_text.partition_point(|&other| {
            self.text_of(self.by_id[other as usize]).cmp(text) == Ordering::Less
        });
        grow::vec(&mut self.by_text, 1);
        self.by_text.insert(order, place as u32);
    }

    /// What changed after `earlier`, a former state of this one.
    pub(crate) fn since(&self, earlier: &Delta) -> Delta {
        let mut rest = Delta::default();
        for &entry in &self.by_id {
            let known = earlier.by_id.binary_search_by_key(&entry.id, |e| e.id);
            if known.is_ok_and(|place| earlier.by_id[place] == entry) {
                continue;
            }
            rest.set(entry.id, self.text_of(entry));
        }
        rest
    }
}
