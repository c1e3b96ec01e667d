//! What else images can be asked for, as one set of images each: sources, pools, endings, relations,
//! favourites. Memory: 1 to 2 bytes an image and set, a bit where a set has most images.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use plimsoll::postings::Postings;

/// Sets of images by what they have.
#[derive(Debug, Default)]
pub struct Facets {
    /// By name in lower case.
    pub(crate) sources: BTreeMap<Box<str>, Postings>,
    pub(crate) pools: Vec<Pool>,
    /// By the end of the file name behind its last dot, in lower case.
    pub(crate) extensions: BTreeMap<Box<str>, Postings>,
    pub(crate) parents: Postings,
    pub(crate) children: Postings,
    pub(crate) upscaled: Postings,
    pub(crate) favourites: Postings,
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// Of the database.
    pub(crate) id: i64,
    /// In lower case.
    pub(crate) name: Box<str>,
    pub(crate) images: Postings,
}

/// What an edit has done to a pool; images by number.
#[derive(Debug)]
pub(crate) enum PoolChange {
    Created(String),
    Renamed(String),
    Deleted,
    Added(Vec<u32>),
    Removed(Vec<u32>),
}

/// The source that is none: what our own models said.
pub(crate) const LOCAL_TAGGER: &str = "local_tagger";

/// What is behind the last dot of a file name.
pub(crate) fn extension(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(extension.to_lowercase())
}

/// Puts an image into a set, or takes it out.
pub(crate) fn set(images: &mut Postings, image: u32, is: bool) {
    match is {
        true => images.insert(image),
        false => images.remove(image),
    };
}

impl Facets {
    pub(crate) fn add_path(&mut self, image: u32, path: &str) {
        if let Some(extension) = extension(path) {
            match self.extensions.get_mut(extension.as_str()) {
                Some(images) => images.insert(image),
                None => {
                    let images = self.extensions.entry(extension.into()).or_default();
                    images.insert(image)
                }
            };
        }
    }

    pub(crate) fn add_source(&mut self, image: u32, name: &str) {
        let name = name.to_lowercase();
        self.sources.entry(name.into()).or_default().insert(image);
    }

    /// Takes an image out of every set. O(sets · log), and what it costs to take it out of those it is in.
    pub(crate) fn remove(&mut self, image: u32) {
        self.sets_mut()
            .filter(|images| images.contains(image))
            .for_each(|images| {
                images.remove(image);
            });
    }

    /// # Errors
    /// A pool that is not known.
    pub(crate) fn change_pool(&mut self, id: i64, change: PoolChange) -> Result<()> {
        if let PoolChange::Created(name) = change {
            let name = name.to_lowercase().into();
            let images = Postings::new();
            self.pools.push(Pool { id, name, images });
            return Ok(());
        }
        let place = self.pools.iter().position(|pool| pool.id == id);
        let Some(place) = place else {
            bail!("follow an edit: pool {id} is not known");
        };
        let pool = &mut self.pools[place];
        match change {
            PoolChange::Created(_) => {}
            PoolChange::Renamed(name) => pool.name = name.to_lowercase().into(),
            PoolChange::Deleted => {
                self.pools.remove(place);
            }
            PoolChange::Added(images) => pool.images.extend(images),
            PoolChange::Removed(images) => images.into_iter().for_each(|image| {
                pool.images.remove(image);
            }),
        }
        Ok(())
    }

    pub(crate) fn compact(&mut self) {
        self.sets_mut().for_each(Postings::compact);
    }

    fn sets_mut(&mut self) -> impl Iterator<Item = &mut Postings> {
        let single = [
            &mut self.parents,
            &mut self.children,
            &mut self.upscaled,
            &mut self.favourites,
        ];
        let sources = self
            .sources
            .values_mut()
            .chain(self.extensions.values_mut());
        let pools = self.pools.iter_mut().map(|pool| &mut pool.images);
        single.into_iter().chain(sources).chain(pools)
    }

    /// Bytes held, without the nodes of the two small maps.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let single = [
            &self.parents,
            &self.children,
            &self.upscaled,
            &self.favourites,
        ];
        let named = self.sources.iter().chain(&self.extensions);
        let named = named.map(|(name, images)| name.len() + 16 + images.size_bytes());
        let pools = self
            .pools
            .iter()
            .map(|pool| pool.name.len() + 16 + pool.images.size_bytes());
        let single = single.into_iter().map(Postings::size_bytes);
        single.sum::<usize>() + named.sum::<usize>() + pools.sum::<usize>()
    }
}
