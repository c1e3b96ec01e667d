//! Which objects a bucket has: a pure function of a few numbers. Memory: those numbers.
//!
//! Object `n` of `count` has two slots: itself, and a younger one beside it that some generations have
//! too. Slots are in the order of their keys, whether an object is there or not.

use anyhow::{Result, bail};
use md5::{Digest, Md5};

use crate::layout::{COUNT_MAX, Layout};
use crate::noise::{mix, put_hex};

/// What changes from one generation to the next, each in parts of ten thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    pub removed: u32,
    pub added: u32,
    pub changed: u32,
}

impl Default for Churn {
    fn default() -> Churn {
        Churn {
            removed: 100,
            added: 100,
            changed: 50,
        }
    }
}

/// What objects hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// So many bytes, from and to, with their MD5 as ETag; listing an object hashes all of it.
    Bodies(u64, u64),
    /// Up to 5 MB, with an ETag that is no hash of them, as objects have that a key service encrypts;
    /// nothing is hashed.
    Photos,
}

/// Longest body that is hashed when it is listed.
pub const BODY_BYTES_MAX: u64 = 1 << 20;

/// The bucket in one of its generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub seed: u64,
    /// Objects of generation 0.
    pub count: u64,
    pub layout: Layout,
    pub contents: Contents,
    pub churn: Churn,
    pub generation: u32,
}

/// What is told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub modified: u64,
    pub etag: [u8; 16],
    /// What its body follows from.
    noise: u64,
}

const PARTS: u64 = 10_000;

impl Bucket {
    /// `count` objects in albums, with bodies of up to 48 bytes.
    #[must_use]
    pub fn new(seed: u64, count: u64) -> Bucket {
        Bucket {
            seed,
            count,
            layout: Layout::default(),
            contents: Contents::Bodies(0, 48),
            churn: Churn::default(),
            generation: 0,
        }
    }

    /// # Errors
    /// Numbers that no bucket has: every change needs objects that were not changed before.
    pub fn check(&self) -> Result<()> {
        if self.count > COUNT_MAX {
            bail!("--count {}: at most {COUNT_MAX}", self.count);
        }
        let Churn {
            removed,
            added,
            changed,
        } = self.churn;
        let generation = u64::from(self.generation);
        let (gone, more) = (u64::from(removed) + u64::from(changed), u64::from(added));
        if gone.max(more) * generation > PARTS {
            bail!(
                "--generation {generation}: {removed}, {added} and {changed} of {PARTS} a generation \
                 leave none to change after {}",
                PARTS / gone.max(more)
            );
        }
        if let Contents::Bodies(least, most) = self.contents
            && (least > most || most > BODY_BYTES_MAX)
        {
            bail!("--bytes {least} {most}: a least and a most of at most {BODY_BYTES_MAX}");
        }
        Ok(())
    }

    /// Places for objects, whether there is one or not.
    #[must_use]
    pub fn slots(&self) -> u64 {
        2 * self.count
    }

    /// The same in another generation.
    #[must_use]
    pub fn in_generation(self, generation: u32) -> Bucket {
        Bucket { generation, ..self }
    }

    /// The key of a slot, in place of what `key` has. Keys of higher slots are higher. O(bytes).
    pub fn key(&self, slot: u64, key: &mut Vec<u8>) {
        key.clear();
        self.layout.put_key(self.seed, slot / 2, key);
        if slot % 2 == 1 {
            key.extend_from_slice(b"-new");
        }
    }

    /// Whether this generation has an object there. Of each 10,000 objects exactly the stated number are
    /// removed, added and changed by a generation.
    #[must_use]
    pub fn has(&self, slot: u64) -> bool {
        if self.generation == 0 {
            return slot.is_multiple_of(2);
        }
        let generation = u64::from(self.generation);
        let place = self.place(slot / 2);
        if slot.is_multiple_of(2) {
            place >= u64::from(self.churn.removed) * generation
        } else {
            (place + PARTS / 2) % PARTS < u64::from(self.churn.added) * generation
        }
    }

    /// Place of an object among ten thousand, another for each.
    fn place(&self, n: u64) -> u64 {
        // 7919 is prime: n goes through all places.
        (n % PARTS * 7919 + mix(self.seed ^ 2, n / PARTS) % PARTS) % PARTS
    }

    /// The generation that changed it last; 0 for none.
    fn version(&self, slot: u64) -> u64 {
        let changed = u64::from(self.churn.changed);
        if self.generation == 0 || changed == 0 || slot % 2 == 1 {
            return 0;
        }
        // From the top, as those that are removed come from the bottom.
        let version = 1 + (PARTS - 1 - self.place(slot / 2)) / changed;
        if version <= u64::from(self.generation) {
            version
        } else {
            0
        }
    }

    /// What is told of the object in a slot. O(1), or O(size) where bodies are hashed.
    #[must_use]
    pub fn object(&self, slot: u64) -> Object {
        let version = self.version(slot);
        let noise = mix(self.seed ^ 3 ^ version << 32, slot);
        let modified = 1_700_000_000 + noise % 10_000_000 + version * 10_000_000;
        match self.contents {
            Contents::Photos => {
                let etag = u128::from(noise) << 64 | u128::from(mix(noise, 1));
                Object {
                    size_bytes: mix(noise, 2) % 5_000_000,
                    modified,
                    etag: etag.to_be_bytes(),
                    noise,
                }
            }
            Contents::Bodies(least, most) => {
                let mut object = Object {
                    size_bytes: least + mix(noise, 2) % (most - least + 1),
                    modified,
                    etag: [0; 16],
                    noise,
                };
                object.etag = object.md5();
                object
            }
        }
    }

    /// The first slot whose key is not before what is sought: `is_before` holds for all keys up to some
    /// slot, and for none after it. O(log count).
    pub fn seek(&self, from: u64, is_before: impl Fn(&[u8]) -> bool) -> u64 {
        let mut key = Vec::with_capacity(128);
        let mut holds = |slot: u64| {
            self.key(slot, &mut key);
            is_before(&key)
        };
        let slots = self.slots();
        // In growing steps first: what is sought is often near.
        let (mut low, mut step) = (from, 1);
        while low + step <= slots && holds(low + step - 1) {
            low += step;
            step *= 2;
        }
        let mut high = slots.min(low + step);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The slot of a key, if this generation has it.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<u64> {
        let slot = self.seek(0, |other| other < key);
        let mut found = Vec::new();
        if slot < self.slots() {
            self.key(slot, &mut found);
        }
        (found == key && self.has(slot)).then_some(slot)
    }

    /// All objects, with their keys. O(count).
    pub fn for_each(&self, mut act: impl FnMut(&[u8], &Object)) {
        let mut key = Vec::new();
        for slot in (0..self.slots()).filter(|slot| self.has(*slot)) {
            self.key(slot, &mut key);
            act(&key, &self.object(slot));
        }
    }
}

impl Object {
    /// Bytes of the body from a place on, which is a multiple of 8, as many as fit.
    pub fn body(&self, from: u64, bytes: &mut [u8]) {
        debug_assert!(from.is_multiple_of(8));
        for (word, chunk) in (from / 8..).zip(bytes.chunks_mut(8)) {
            let noise = mix(self.noise, word).to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }

    /// The MD5 of the body. O(size).
    fn md5(&self) -> [u8; 16] {
        let mut digest = Md5::new();
        self.body_in_parts(|part| digest.update(part));
        digest.finalize().into()
    }

    /// Gives the body in parts of at most 512 bytes.
    pub fn body_in_parts(&self, mut take: impl FnMut(&[u8])) {
        const PART: u64 = 512;
        let mut part = [0; PART as usize];
        let mut at = 0;
        while at < self.size_bytes {
            let length = (self.size_bytes - at).min(PART);
            let part = &mut part[..length as usize];
            self.body(at, part);
            take(part);
            at += length;
        }
    }

    /// Appends the ETag without quotes.
    pub(crate) fn put_etag(&self, out: &mut Vec<u8>) {
        let etag = u128::from_be_bytes(self.etag);
        put_hex(out, (etag >> 64) as u64, 16);
        put_hex(out, etag as u64, 16);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all(bucket: Bucket) -> BTreeMap<Vec<u8>, Object> {
        let mut objects = BTreeMap::new();
        bucket.for_each(|key, object| {
            objects.insert(key.to_vec(), *object);
        });
        objects
    }

    #[test]
    fn a_generation_changes_exactly_what_is_stated() {
        let bucket = Bucket::new(3, 20_000);
        let mut before = all(bucket);
        assert_eq!(before.len(), 20_000);
        for generation in 1..4 {
            let after = all(bucket.in_generation(generation));
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            let new = after.keys().filter(|key| !before.contains_key(*key));
            let changed = after
                .iter()
                .filter(|(key, object)| before.get(*key).is_some_and(|old| old != *object));
            assert_eq!(
                (gone.count(), new.count(), changed.count()),
                (200, 200, 100)
            );
            before = after;
        }
    }

    #[test]
    fn every_key_finds_its_slot() {
        for generation in [0, 2] {
            let bucket = Bucket::new(9, 1_003).in_generation(generation);
            let mut key = Vec::new();
            for slot in 0..bucket.slots() {
                bucket.key(slot, &mut key);
                assert_eq!(bucket.find(&key), bucket.has(slot).then_some(slot));
                key.push(b'!');
                assert_eq!(bucket.find(&key), None);
                assert_eq!(bucket.seek(slot / 2, |other| other < &key[..]), slot + 1);
            }
            assert_eq!(bucket.find(b""), None);
            assert_eq!(bucket.find(b"~"), None);
        }
    }

    #[test]
    fn an_etag_is_the_md5_of_the_body() {
        let mut bucket = Bucket::new(1, 50);
        for bytes in [(0, 0), (0, 48), (9_000, 20_001)] {
            bucket.contents = Contents::Bodies(bytes.0, bytes.1);
            bucket.for_each(|_, object| {
                assert!((bytes.0..=bytes.1).contains(&object.size_bytes));
                let mut whole = vec![0; object.size_bytes as usize];
                object.body(0, &mut whole);
                let mut parts = Vec::new();
                object.body_in_parts(|part| parts.extend_from_slice(part));
                assert_eq!(whole, parts);
                assert_eq!(object.etag, <[u8; 16]>::from(Md5::digest(&whole)));
            });
        }
    }

    #[test]
    fn numbers_that_no_bucket_has() {
        let bucket = Bucket::new(1, 10);
        assert!(bucket.in_generation(66).check().is_ok());
        assert!(bucket.in_generation(67).check().is_err());
        assert!(Bucket::new(1, COUNT_MAX + 1).check().is_err());
        let contents = Contents::Bodies(2, 1);
        assert!(Bucket { contents, ..bucket }.check().is_err());
    }
}
