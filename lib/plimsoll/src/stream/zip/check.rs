//! What hostile archives do, found before anything is unpacked. Memory: 8 bytes an entry, and a run
//! (at most 40 bytes) for each stretch of entries that lie side by side in the file.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::entry::{ZipMethod, ZipPlace, shown};
use super::header::LOCAL_BYTES;
use super::{ZipArchive, ZipFigures};
use crate::amount::Amount;
use crate::error::{Error, ErrorKind};

/// Contents below this are no bomb, however well they compress.
const RATIO_FROM_BYTES: u64 = 1 << 20;

/// What an archive may be, by what its directory says; [`super::ZipReader`] holds it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipLimits {
    /// Entries; 1,048,576 by default.
    pub entries: u64,
    /// Bytes that one entry holds; 4 GiB by default.
    pub entry_bytes: u64,
    /// Bytes that all hold together; 64 GiB by default.
    pub total_bytes: u64,
    /// How many times as long as it is stored an entry of 1 MiB or more may be, and all together; 200
    /// by default. Deflate reaches 1,032.
    pub ratio: u64,
    /// Bytes of a name; 4,096 by default, which is as long as a path can be.
    pub name_bytes: usize,
}

impl Default for ZipLimits {
    fn default() -> ZipLimits {
        ZipLimits {
            entries: 1 << 20,
            entry_bytes: 4 << 30,
            total_bytes: 64 << 30,
            ratio: 200,
            name_bytes: 4096,
        }
    }
}

impl ZipLimits {
    /// Takes everything that the format can say.
    pub const NONE: ZipLimits = ZipLimits {
        entries: u64::MAX,
        entry_bytes: u64::MAX,
        total_bytes: u64::MAX,
        ratio: u64::MAX,
        name_bytes: usize::MAX,
    };

    /// Refuses an entry beyond the limits.
    pub(super) fn admit(
        &self,
        archive: &ZipArchive,
        place: &ZipPlace,
        name: &[u8],
    ) -> Result<(), Error> {
        let (content, stored) = (place.content_bytes, place.stored_bytes);
        let why = if name.len() > self.name_bytes {
            format!(
                "the name {} has {} bytes, {} are allowed",
                shown(name),
                name.len(),
                self.name_bytes
            )
        } else if content > self.entry_bytes {
            format!(
                "{} holds {}, {} are allowed",
                shown(name),
                Amount(content),
                Amount(self.entry_bytes)
            )
        } else if self.is_bomb(content, stored) {
            format!(
                "{} holds {} in {}, more than {} times as much",
                shown(name),
                Amount(content),
                Amount(stored),
                self.ratio
            )
        } else {
            return Ok(());
        };
        Err(beyond(archive, &why))
    }

    fn is_bomb(&self, content_bytes: u64, stored_bytes: u64) -> bool {
        content_bytes >= RATIO_FROM_BYTES && content_bytes / self.ratio.max(1) > stored_bytes
    }

    fn admit_all(&self, archive: &ZipArchive, figures: &ZipFigures) -> Result<(), Error> {
        let why = if figures.entries > self.entries {
            format!("it has more than {} entries", self.entries)
        } else if figures.content_bytes > self.total_bytes {
            format!("it holds more than {}", Amount(self.total_bytes))
        } else {
            return Ok(());
        };
        Err(beyond(archive, &why))
    }
}

fn beyond(archive: &ZipArchive, why: &str) -> Error {
    let message = format!(
        "check the archive {}: {why}; raise the limit if you trust it",
        archive.path.display()
    );
    Error::new(ErrorKind::Exhausted, message)
}

impl ZipArchive {
    /// Looks for what hostile and broken archives do, without unpacking: contents beyond `limits`,
    /// entries that overlap or leave the file, headers that name another file than the directory does,
    /// sizes that contradict each other, two entries of one name. O(entries × log entries) and one read
    /// of some 100 bytes an entry. Names may still lead out of a folder: [`super::ZipEntry::safe_path`].
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] beyond the limits, [`ErrorKind::Malformed`] for the others,
    /// [`ErrorKind::Io`].
    pub fn check(&self, limits: &ZipLimits) -> Result<ZipFigures, Error> {
        let mut figures = ZipFigures {
            file_bytes: self.opened.length,
            ..ZipFigures::default()
        };
        let hasher = RandomState::new();
        let mut hashes = Vec::new();
        let mut used = Runs::default();
        let mut own_name = Vec::new();
        self.walk(|entry| {
            let place = entry.place();
            figures.entries += 1;
            figures.content_bytes = figures.content_bytes.saturating_add(place.content_bytes);
            figures.stored_bytes = figures.stored_bytes.saturating_add(place.stored_bytes);
            limits.admit_all(self, &figures)?;
            limits.admit(self, &place, entry.name())?;
            let extent = self.extent(&place, &mut own_name)?;
            let why = if own_name != entry.name() {
                format!("its own header calls it {}", shown(&own_name))
            } else if place.method == ZipMethod::Stored
                && !place.is_encrypted
                && place.stored_bytes != place.content_bytes
            {
                "it is stored as it is, and its two sizes differ".to_owned()
            } else if !used.insert(extent.header_at, extent.end) {
                "it lies where another entry is".to_owned()
            } else {
                hashes.push(hasher.hash_one(entry.name()));
                return Ok(());
            };
            let why = format!("the entry {}: {why}", entry.shown());
            Err(self.malformed("check", &why))
        })?;
        if limits.is_bomb(figures.content_bytes, figures.stored_bytes) {
            let why = format!(
                "all together holds more than {} times as much",
                limits.ratio
            );
            return Err(beyond(self, &why));
        }
        self.check_names(&hasher, hashes)?;
        Ok(figures)
    }

    /// Refuses a name that is there twice. Equal hashes are only a hint: the names are read again.
    fn check_names(&self, hasher: &RandomState, mut hashes: Vec<u64>) -> Result<(), Error> {
        hashes.sort_unstable();
        let mut at = 0;
        while let Some(pair) = hashes[at..].windows(2).position(|pair| pair[0] == pair[1]) {
            let hash = hashes[at + pair];
            let mut first: Option<Vec<u8>> = None;
            self.walk(|entry| {
                if hasher.hash_one(entry.name()) != hash {
                    return Ok(());
                }
                if first.as_deref() == Some(entry.name()) {
                    let why = format!("two entries are called {}", entry.shown());
                    return Err(self.malformed("check", &why));
                }
                first.get_or_insert_with(|| entry.name().to_vec());
                Ok(())
            })?;
            at += pair + 1;
        }
        Ok(())
    }
}

/// Stretches of the file that entries lie in, by where they begin.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// False where something is already.
    fn insert(&mut self, mut start: u64, mut end: u64) -> bool {
        // No entry is shorter than its header, so none can lie in a smaller gap.
        const GAP: u64 = LOCAL_BYTES as u64;
        let before = self.0.range(..=start).next_back();
        let after = self.0.range(start..).next();
        let (before, after) = (before.map(|(s, e)| (*s, *e)), after.map(|(s, e)| (*s, *e)));
        if before.is_some_and(|(_, e)| e > start) || after.is_some_and(|(s, _)| s < end) {
            return false;
        }
        if let Some((s, e)) = after
            && s - end < GAP
        {
            self.0.remove(&s);
            end = e;
        }
        if let Some((s, e)) = before
            && start - e < GAP
        {
            start = s;
        }
        self.0.insert(start, end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_overlaps_are_found() {
        let mut runs = Runs::default();
        assert!(runs.insert(0, 100));
        assert!(runs.insert(200, 300));
        assert!(!runs.insert(99, 150));
        assert!(!runs.insert(150, 201));
        assert!(!runs.insert(0, 100));
        assert!(!runs.insert(250, 260));
        assert!(!runs.insert(150, 400));
        assert_eq!(runs.0.len(), 2);
        // Gaps of less than a header are closed, on both sides.
        assert!(runs.insert(129, 171));
        assert_eq!(runs.0, BTreeMap::from([(0, 300)]));
        assert!(runs.insert(330, 400));
        assert_eq!(runs.0.len(), 2);
        // Any order: the same.
        let mut backwards = Runs::default();
        for start in (0..1000_u64).rev() {
            assert!(backwards.insert(start * 40, start * 40 + 40));
        }
        assert_eq!(backwards.0, BTreeMap::from([(0, 40_000)]));
    }
}
