//! A board: the database and what of it is in memory, kept equal.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use anyhow::{Context, Result};

use crate::catalog::{Catalog, TagsHeld};
use crate::query::Query;
use crate::search::{self, Found, Page};
use crate::store::{self, Access, Store, StoreOptions};
use crate::suggest::{self, Group};

/// An open board, of one thread at a time: its connection is. Its catalog is shared with its readers.
#[derive(Debug)]
pub struct Board {
    pub(crate) store: Store,
    catalog: Arc<RwLock<Catalog>>,
    options: StoreOptions,
    pub(crate) held: TagsHeld,
    /// Of the database when the catalog was read, or last followed it; `None` where it could not.
    pub(crate) data_version: Option<i64>,
}

impl Board {
    /// Opens a database, or the one of a folder, and reads the catalog: 3 to 5 s for 200,000 images.
    ///
    /// # Errors
    /// As [`Store::open`] and [`Catalog::load`] say.
    pub fn open(board: &Path, options: StoreOptions) -> Result<Board> {
        Board::open_holding(board, options, TagsHeld::Ids)
    }

    /// The same, with a choice of how the catalog holds who has which tag.
    ///
    /// # Errors
    /// As [`Board::open`] says.
    pub fn open_holding(board: &Path, options: StoreOptions, held: TagsHeld) -> Result<Board> {
        let store = Store::open(&store::find(board)?, options)?;
        let (catalog, data_version) = read_catalog(&store, held)?;
        Ok(Board {
            store,
            catalog: Arc::new(RwLock::new(catalog)),
            options,
            held,
            data_version: Some(data_version),
        })
    }

    /// Another connection to the same database, to be read only, with the same catalog: for another thread.
    /// It follows the edits of this board, and is not to be asked for a refresh of its own.
    ///
    /// # Errors
    /// As [`Store::open`] says.
    pub fn reader(&self) -> Result<Board> {
        self.reader_with(self.options.cache_bytes)
    }

    /// The same with a page cache of its own size.
    ///
    /// # Errors
    /// As [`Store::open`] says.
    pub fn reader_with(&self, cache_bytes: u64) -> Result<Board> {
        let options = StoreOptions {
            access: Access::ReadOnly,
            cache_bytes,
            ..self.options
        };
        Ok(Board {
            store: self.store.open_again(options)?,
            catalog: Arc::clone(&self.catalog),
            options,
            held: self.held,
            data_version: self.data_version,
        })
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The catalog as it is now. Edits wait until it is let go, and this thread must not ask for it twice.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the catalog, once no reader looks at it.
    pub(crate) fn change_catalog<T>(&self, act: impl FnOnce(&mut Catalog) -> T) -> T {
        act(&mut self.catalog.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the catalog anew if another program has changed the database; says whether.
    ///
    /// # Errors
    /// As [`Catalog::load`] says; the catalog stays as it was.
    pub fn refresh(&mut self) -> Result<bool> {
        if Some(self.store.data_version()?) == self.data_version {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }

    /// What is in memory may not be what the database has: it is read anew before it is used for an edit.
    pub(crate) fn distrust(&mut self) {
        self.data_version = None;
    }

    pub(crate) fn reload(&mut self) -> Result<()> {
        self.store.refresh_schema()?;
        let (catalog, data_version) = read_catalog(&self.store, self.held)?;
        self.change_catalog(|old| *old = catalog);
        self.data_version = Some(data_version);
        give_back();
        Ok(())
    }

    /// Images that match.
    ///
    /// # Errors
    /// As [`search::search`] says.
    pub fn search(&self, query: &Query, page: Page, seed: u64) -> Result<Found> {
        search::search(&self.catalog(), query, page, seed, &|sum| {
            self.id_of_md5(sum)
        })
    }

    /// The ids of all images that match, ascending.
    ///
    /// # Errors
    /// As [`search::search`] says.
    pub fn all_matches(&self, query: &Query) -> Result<Vec<u32>> {
        search::all_matches(&self.catalog(), query, &|sum| self.id_of_md5(sum))
    }

    /// What may be meant by the last word of `text`.
    #[must_use]
    pub fn suggest(&self, text: &str) -> Vec<Group> {
        suggest::suggest(&self.catalog(), text)
    }

    pub(crate) fn id_of_md5(&self, sum: &[u8; 16]) -> Result<Option<u32>> {
        let text: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        let what = format!("look for the image with MD5 {text}");
        let sql = "SELECT id FROM images WHERE md5 = ?1";
        let found = self
            .store
            .query_row(&what, sql, &[(&text).into()], |row| row.id(0))?;
        Ok(found.flatten())
    }

    /// Where the file of an image lies, relative to the folder of images.
    ///
    /// # Errors
    /// An image that is not there, and what the database says.
    pub fn path_of(&self, id: u32) -> Result<String> {
        let what = format!("read the path of image {id}");
        let sql = "SELECT filepath FROM images WHERE id = ?1";
        let path = self
            .store
            .query_row(&what, sql, &[id.into()], |row| row.text(0))?;
        path.flatten()
            .with_context(|| format!("{what}: there is no such image"))
    }
}

/// Both in one transaction, so that they are of one moment.
fn read_catalog(store: &Store, held: TagsHeld) -> Result<(Catalog, i64)> {
    let read = store.read_at_once(|| Ok((Catalog::load(store, held)?, store.data_version()?)))?;
    store.give_back()?;
    give_back();
    Ok(read)
}

/// What was only needed to read goes back to the system: glibc would keep it.
pub(crate) fn give_back() {
    // SAFETY: it takes a number and only looks after malloc's own free memory, under its locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
