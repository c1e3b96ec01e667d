//! Which image has which tag: by ids of tags, as postings, or by their names, as a board without tag ids
//! would hold it.
//!
//! Names are there so that what ids save can be measured with the same program and the same answers:
//! `TAG_ID_CACHE_ENABLED=false`, and `STRING_INTERNING_ENABLED=false` for a copy of each name at each image.
//!
//! Memory: by ids 1.4 to 2 bytes a pair of image and tag. By names 16 bytes a pair, 24 an image, and the bytes
//! of the name with malloc's own: at each pair, or once for each tag if they are interned. A search by names
//! reads all of them: O(pairs) for each tag of a query.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Result;
use plimsoll::dictionary::TermId;
use plimsoll::postings::{Matches, Postings, PostingsIndex, Query};

use super::Tags;

/// How a catalog holds who has which tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagsHeld {
    #[default]
    Ids,
    Names {
        /// Each name once, and not at each image.
        interned: bool,
    },
}

#[derive(Debug)]
pub(crate) enum Membership {
    Ids(PostingsIndex),
    Names(Names),
}

/// All tags of each image by name, and how many images have each tag.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// `None` where there is no image of this number.
    images: Vec<Option<Vec<Name>>>,
    counts: Vec<u64>,
    interned: Option<HashSet<Arc<str>>>,
}

#[derive(Debug)]
enum Name {
    Own(Box<str>),
    Shared(Arc<str>),
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Name::Own(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl Default for Membership {
    fn default() -> Membership {
        Membership::Ids(PostingsIndex::new())
    }
}

impl Membership {
    pub(crate) fn new(held: TagsHeld) -> Membership {
        match held {
            TagsHeld::Ids => Membership::default(),
            TagsHeld::Names { interned } => Membership::Names(Names {
                interned: interned.then(HashSet::new),
                ..Names::default()
            }),
        }
    }

    /// Puts in an image with its tags.
    pub(crate) fn insert_document(
        &mut self,
        tags: &Tags,
        image: u32,
        terms: impl IntoIterator<Item = TermId>,
    ) {
        match self {
            Membership::Ids(postings) => postings.insert_document(image, terms),
            Membership::Names(names) => {
                names.make_room(image);
                for term in terms {
                    names.insert(&tags.name(term), term, image);
                }
            }
        }
    }

    /// `false` if the image has the tag already.
    pub(crate) fn insert(&mut self, tags: &Tags, term: TermId, image: u32) -> bool {
        match self {
            Membership::Ids(postings) => postings.insert(term, image),
            Membership::Names(names) => names.insert(&tags.name(term), term, image),
        }
    }

    /// `false` if the image did not have the tag.
    pub(crate) fn remove(&mut self, tags: &Tags, term: TermId, image: u32) -> bool {
        match self {
            Membership::Ids(postings) => postings.remove(term, image),
            Membership::Names(names) => names.remove(&tags.name(term), term, image),
        }
    }

    /// Takes out an image that has no tags any more.
    pub(crate) fn remove_image(&mut self, image: u32) {
        match self {
            Membership::Ids(postings) => {
                postings.remove_document_of(image, []);
            }
            Membership::Names(names) => names.images[image as usize] = None,
        }
    }

    /// A tag has got another name.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        if let Membership::Names(names) = self {
            names.rename(old, new);
        }
    }

    pub(crate) fn count_of(&self, term: TermId) -> u64 {
        match self {
            Membership::Ids(postings) => postings.count_of(term),
            Membership::Names(names) => names.counts.get(term.index()).copied().unwrap_or(0),
        }
    }

    /// The images that have a tag. By names, they are searched for.
    pub(crate) fn images_of(&self, tags: &Tags, term: TermId) -> Cow<'_, Postings> {
        match self {
            Membership::Ids(postings) => {
                let images = postings.postings(term).map(Cow::Borrowed);
                images.unwrap_or_default()
            }
            Membership::Names(names) => Cow::Owned(names.having(&tags.name(term)).collect()),
        }
    }

    /// Calls `act` with each image that a query matches, ascending.
    ///
    /// # Errors
    /// A query that is nested too deeply.
    pub(crate) fn each_match(
        &self,
        tags: &Tags,
        query: &Query,
        act: impl FnMut(u32),
    ) -> Result<()> {
        match self {
            Membership::Ids(postings) => {
                let matches: Matches<'_> = postings.matches(query)?;
                matches.for_each(act);
            }
            Membership::Names(names) => {
                let query = Named::of(tags, query);
                let images = names.numbers();
                images
                    .filter(|image| query.matches(names, *image))
                    .for_each(act);
            }
        }
        Ok(())
    }

    pub(crate) fn compact(&mut self) {
        match self {
            Membership::Ids(postings) => postings.compact(),
            Membership::Names(names) => {
                let images = names.images.iter_mut().flatten();
                images.for_each(Vec::shrink_to_fit);
            }
        }
    }

    /// Bytes held; malloc's own are not in it.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Membership::Ids(postings) => postings.size_bytes(),
            Membership::Names(names) => names.size_bytes(),
        }
    }
}

impl Names {
    fn make_room(&mut self, image: u32) {
        let len = image as usize + 1;
        if self.images.len() < len {
            self.images.resize_with(len, || None);
        }
        self.images[image as usize].get_or_insert_default();
    }

    fn name(&mut self, name: &str) -> Name {
        let Some(interned) = &mut self.interned else {
            return Name::Own(name.into());
        };
        if let Some(known) = interned.get(name) {
            return Name::Shared(Arc::clone(known));
        }
        let shared: Arc<str> = name.into();
        interned.insert(Arc::clone(&shared));
        Name::Shared(shared)
    }

    fn insert(&mut self, name: &str, term: TermId, image: u32) -> bool {
        self.make_room(image);
        if self.has(image, name) {
            return false;
        }
        let held = self.name(name);
        self.images[image as usize]
            .get_or_insert_default()
            .push(held);
        if self.counts.len() <= term.index() {
            self.counts.resize(term.index() + 1, 0);
        }
        self.counts[term.index()] += 1;
        true
    }

    fn remove(&mut self, name: &str, term: TermId, image: u32) -> bool {
        let Some(Some(names)) = self.images.get_mut(image as usize) else {
            return false;
        };
        let Some(at) = names.iter().position(|held| held.as_str() == name) else {
            return false;
        };
        names.swap_remove(at);
        self.counts[term.index()] -= 1;
        true
    }

    fn rename(&mut self, old: &str, new: &str) {
        let held = self.name(new);
        let copy = || match &held {
            Name::Own(name) => Name::Own(name.clone()),
            Name::Shared(name) => Name::Shared(Arc::clone(name)),
        };
        let all = self.images.iter_mut().flatten().flatten();
        for name in all.filter(|name| name.as_str() == old) {
            *name = copy();
        }
        if let Some(interned) = &mut self.interned {
            interned.remove(old);
        }
    }

    fn has(&self, image: u32, name: &str) -> bool {
        let mut names = self.images.get(image as usize).into_iter().flatten();
        names.any(|names| names.iter().any(|held| held.as_str() == name))
    }

    /// Of all images there are.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        let there = self.images.iter().zip(0..);
        there.filter_map(|(names, image)| names.is_some().then_some(image))
    }

    fn having(&self, name: &str) -> impl Iterator<Item = u32> {
        self.numbers().filter(move |image| self.has(*image, name))
    }

    fn size_bytes(&self) -> usize {
        let of_image = |names: &Vec<Name>| {
            let own = names.iter().map(|name| match name {
                Name::Own(name) => name.len(),
                Name::Shared(_) => 0,
            });
            names.capacity() * size_of::<Name>() + own.sum::<usize>()
        };
        let images: usize = self.images.iter().flatten().map(of_image).sum();
        // Two counters stand before a shared name.
        let shared = |name: &Arc<str>| name.len() + 2 * size_of::<usize>();
        let interned = self.interned.as_ref().map_or(0, |interned| {
            interned.capacity() * (size_of::<Arc<str>>() + 1)
                + interned.iter().map(shared).sum::<usize>()
        });
        images
            + interned
            + self.images.capacity() * size_of::<Option<Vec<Name>>>()
            + self.counts.len() * 8
    }
}

/// A query with names in place of ids.
enum Named {
    Everything,
    Name(String),
    Range(std::ops::RangeInclusive<u32>),
    All(Vec<Named>),
    Any(Vec<Named>),
    Not(Box<Named>),
}

impl Named {
    fn of(tags: &Tags, query: &Query) -> Named {
        let parts = |parts: &[Query]| parts.iter().map(|part| Named::of(tags, part)).collect();
        match query {
            Query::Everything => Named::Everything,
            Query::Term(term) => Named::Name(tags.name(*term)),
            Query::Range(range) => Named::Range(range.clone()),
            Query::All(all) => Named::All(parts(all)),
            Query::Any(any) => Named::Any(parts(any)),
            Query::Not(not) => Named::Not(Box::new(Named::of(tags, not))),
        }
    }

    fn matches(&self, names: &Names, image: u32) -> bool {
        match self {
            Named::Everything => true,
            Named::Name(name) => names.has(image, name),
            Named::Range(range) => range.contains(&image),
            Named::All(all) => all.iter().all(|part| part.matches(names, image)),
            Named::Any(any) => any.iter().any(|part| part.matches(names, image)),
            Named::Not(not) => !not.matches(names, image),
        }
    }
}
