//! What is searched, in memory: tags with the images that have them, and what images are sorted and
//! filtered by. The database stays the truth; this is read from it row by row and follows each edit.
//!
//! Memory: [`Catalog::components`] says it by part. At 200,000 images, 120,000 tags and 9.6 million pairs
//! of both, tags take 21 MiB and images 17 (`README.md` has the measured figures).

mod column;
mod facets;
mod images;
mod load;
mod membership;
mod room;
mod tags;
mod texts;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use plimsoll::dictionary::TermId;
use plimsoll::postings::Postings;

pub use facets::Facets;
pub(crate) use facets::{LOCAL_TAGGER, PoolChange};
pub(crate) use images::Numbers;
pub use images::{ImageBytes, Images};
pub(crate) use membership::Membership;
pub use membership::TagsHeld;
pub(crate) use tags::RATING;
pub use tags::{Kind, TagBytes, Tags};

/// Tags, images, and which image has which tag.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(crate) tags: Tags,
    pub(crate) postings: Membership,
    pub(crate) images: Images,
    pub(crate) facets: Facets,
    /// What could not be taken from the database.
    pub(crate) skipped: Skipped,
    /// Another with each load and each edit, of this process: what is made of a catalog is told from it.
    generation: u64,
}

/// Rows that say nothing: they are left where they are, and told by `booru doctor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Of `image_tags`, of an image or a tag that is not there.
    pub pairs: u64,
    /// Of other tables, of an image that is not there.
    pub others: u64,
}

/// One line of what a catalog holds.
#[derive(Clone, Copy, Debug)]
pub struct ComponentBytes {
    pub name: &'static str,
    pub bytes: usize,
    /// Whether it grows with tags and who has them, and not with images alone.
    pub is_of_tags: bool,
}

/// What an edit has done to the database, for the catalog to follow.
#[derive(Debug)]
pub(crate) enum Change {
    Created {
        tag: u32,
        name: String,
        kind: Kind,
    },
    Renamed {
        tag: u32,
        name: String,
    },
    Recategorized {
        tag: u32,
        kind: Kind,
    },
    Deleted {
        tag: u32,
    },
    /// Images by number.
    Added {
        tag: u32,
        images: Postings,
    },
    Removed {
        tag: u32,
        images: Postings,
    },
    Alias {
        name: String,
        tag: u32,
    },
    AliasGone {
        name: String,
    },
    /// An image behind all others, without tags so far.
    ImageAdded(Box<ImageAdded>),
    /// Images by number, whose tags are taken off by other changes.
    ImagesDeleted {
        images: Postings,
    },
    /// By number: whether another image says that this is its parent.
    Child {
        image: u32,
        is: bool,
    },
    /// By number: there is an upscaled file of it.
    Upscaled {
        image: u32,
        is: bool,
    },
    /// By its id.
    Pool {
        pool: i64,
        change: PoolChange,
    },
    /// Images by number.
    Favourites {
        images: Vec<u32>,
        are_now: bool,
    },
}

/// A row of `images` that is new.
#[derive(Debug)]
pub(crate) struct ImageAdded {
    pub(crate) id: u32,
    pub(crate) path: String,
    pub(crate) numbers: Numbers,
    pub(crate) sources: Vec<String>,
    pub(crate) has_parent: bool,
}

impl Catalog {
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// How many images have a tag.
    #[must_use]
    pub fn count_of(&self, term: TermId) -> u64 {
        self.postings.count_of(term)
    }

    /// Bytes held, by part, exact but for the nodes of small maps.
    #[must_use]
    pub fn components(&self) -> Vec<ComponentBytes> {
        let tags = self.tags.bytes();
        let images = self.images.bytes();
        [
            ("tags: who has them", self.postings.size_bytes(), true),
            ("tags: names", tags.dictionary, true),
            ("tags: names by count", tags.by_count, true),
            ("tags: ids, categories, aliases", tags.rest, true),
            ("images: paths", images.paths, false),
            ("images: orders", images.orders, false),
            ("images: ids and numbers", images.rest, false),
            (
                "images: sources, pools, endings, relations",
                self.facets.size_bytes(),
                false,
            ),
        ]
        .map(|(name, bytes, is_of_tags)| ComponentBytes {
            name,
            bytes,
            is_of_tags,
        })
        .into()
    }

    /// Follows an edit that the database has taken.
    ///
    /// # Errors
    /// A change that does not fit what is here, which is then wrong and has to be read anew.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        self.renew();
        for change in changes {
            self.apply_one(change)?;
        }
        if self.tags.is_stale() {
            self.tags.rank(&self.postings)?;
        }
        Ok(())
    }

    /// Says that this is another catalog than before.
    pub(crate) fn renew(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.generation = NEXT.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    fn apply_one(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Created { tag, name, kind } => {
                let term = self.tags.push(tag, &name, kind)?;
                self.tags.touch(term);
            }
            Change::Renamed { tag, name } => {
                let term = self.term(tag)?;
                self.postings.rename(&self.tags.name(term), &name);
                self.tags.rename(term, &name)?;
            }
            Change::Recategorized { tag, kind } => self.tags.set_kind(self.term(tag)?, kind),
            Change::Deleted { tag } => {
                let term = self.term(tag)?;
                let images = self.images_of(term).into_owned();
                self.remove(term, &images);
                self.tags.remove(term)?;
            }
            Change::Added { tag, images } => {
                let term = self.term(tag)?;
                for image in &images {
                    if self.postings.insert(&self.tags, term, image) {
                        self.count_tags(image, 1);
                    }
                }
                self.tags.touch(term);
            }
            Change::Removed { tag, images } => {
                let term = self.term(tag)?;
                self.remove(term, &images);
                self.tags.touch(term);
            }
            Change::Alias { name, tag } => self.tags.set_alias(&name, self.term(tag)?),
            Change::AliasGone { name } => self.tags.remove_alias(&name),
            Change::ImageAdded(added) => self.add_image(&added)?,
            Change::ImagesDeleted { images } => {
                for image in &images {
                    self.postings.remove_image(image);
                    self.images.remove(image);
                    self.facets.remove(image);
                }
            }
            Change::Child { image, is } => facets::set(&mut self.facets.children, image, is),
            Change::Upscaled { image, is } => facets::set(&mut self.facets.upscaled, image, is),
            Change::Pool { pool, change } => self.facets.change_pool(pool, change)?,
            Change::Favourites { images, are_now } => {
                for image in images {
                    match are_now {
                        true => self.facets.favourites.insert(image),
                        false => self.facets.favourites.remove(image),
                    };
                }
            }
        }
        Ok(())
    }

    fn add_image(&mut self, added: &ImageAdded) -> Result<()> {
        let image = self.images.add(added.id, &added.path, added.numbers)?;
        self.postings.insert_document(&self.tags, image, []);
        self.facets.add_path(image, &added.path);
        for source in &added.sources {
            self.facets.add_source(image, source);
        }
        facets::set(&mut self.facets.parents, image, added.has_parent);
        Ok(())
    }

    fn term(&self, tag: u32) -> Result<TermId> {
        let term = self.tags.term_of_id(tag);
        term.ok_or_else(|| anyhow::anyhow!("follow an edit: tag {tag} is not known"))
    }

    pub(crate) fn images_of(&self, term: TermId) -> Cow<'_, Postings> {
        self.postings.images_of(&self.tags, term)
    }

    fn remove(&mut self, term: TermId, images: &Postings) {
        for image in images {
            if self.postings.remove(&self.tags, term, image) {
                self.count_tags(image, -1);
            }
        }
    }

    fn count_tags(&mut self, image: u32, difference: i64) {
        let count = self.images.number(crate::query::Field::TagCount, image);
        self.images
            .set_tag_count(image, count.unwrap_or(0) + difference);
    }
}
