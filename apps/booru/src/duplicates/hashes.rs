//! The perceptual hashes of a board, close together: 36 bytes an image of 256 bits, 12 of 64.

use anyhow::Result;
use plimsoll_booru_picture::phash::Phash;

use crate::store::Store;

/// Hashes of one size, with the images that they are of. Only hashes of one size can be compared.
#[derive(Debug, Default)]
pub(crate) struct HashesOf<const WORDS: usize> {
    pub(crate) ids: Vec<u32>,
    pub(crate) words: Vec<[u64; WORDS]>,
}

/// All hashes, in no order.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    pub(crate) long: HashesOf<4>,
    pub(crate) short: HashesOf<1>,
    /// Images with something else in their column.
    pub(crate) unreadable: u64,
}

impl Hashes {
    /// Reads them row by row. O(images).
    pub(crate) fn read(store: &Store) -> Result<Hashes> {
        let mut hashes = Hashes::default();
        if !store.schema.has("images", "phash") {
            return Ok(hashes);
        }
        hashes.reserve(store)?;
        let sql = "SELECT id, phash FROM images WHERE phash IS NOT NULL";
        store.each_row("read perceptual hashes", sql, &[], |row| {
            let text = row.text(1)?.unwrap_or_default();
            match (row.id(0)?, text.parse()) {
                (Some(id), Ok(Phash::Bits256(words))) => hashes.long.push(id, words),
                (Some(id), Ok(Phash::Bits64(word))) => hashes.short.push(id, [word]),
                _ => hashes.unreadable += 1,
            }
            Ok(())
        })?;
        Ok(hashes)
    }

    pub(crate) fn len(&self) -> usize {
        self.long.ids.len() + self.short.ids.len()
    }

    /// Room for exactly what is there, so that no list grows by doubling.
    fn reserve(&mut self, store: &Store) -> Result<()> {
        let sql = "SELECT length(phash), count(*) FROM images WHERE phash IS NOT NULL \
                   GROUP BY length(phash)";
        store.each_row("count perceptual hashes", sql, &[], |row| {
            let count = row
                .integer(1)?
                .and_then(|count| usize::try_from(count).ok());
            match row.integer(0)? {
                Some(64) => self.long.reserve(count.unwrap_or(0)),
                Some(16) => self.short.reserve(count.unwrap_or(0)),
                _ => {}
            }
            Ok(())
        })
    }
}

impl<const WORDS: usize> HashesOf<WORDS> {
    pub(crate) fn push(&mut self, id: u32, words: [u64; WORDS]) {
        self.ids.push(id);
        self.words.push(words);
    }

    fn reserve(&mut self, count: usize) {
        self.ids.reserve_exact(count);
        self.words.reserve_exact(count);
    }
}

/// Bits that differ.
pub(crate) fn distance<const WORDS: usize>(a: &[u64; WORDS], b: &[u64; WORDS]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}
