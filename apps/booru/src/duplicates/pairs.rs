//! All pairs of hashes that differ in few bits.
//!
//! Two hashes that differ in at most `d` bits are equal in at least one of any `d + 1` parts of them (multi-index
//! hashing: Norouzi, Punjani and Fleet, 2012). So images are put into 65,536 boxes by 16 bits of their hash, for
//! each of `d + 1` such parts, and only those in one box are compared. That is exact. Above 15 bits (3 of a short
//! hash) there are too few parts, and all pairs are compared.
//!
//! **Cost.** For each part O(images + pairs in a box): 4 bytes an image and 256 KiB. 12 bytes for each pair that is found.

use anyhow::{Result, bail};

use super::hashes::{Hashes, HashesOf, distance};

/// Pairs that are found at most: 12 MiB. More means that the distance is too large to tell pictures apart.
pub const PAIRS_MAX: usize = 1_000_000;

/// Two images, by id, the lesser one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) a: u32,
    pub(crate) b: u32,
    /// Bits in which their hashes differ.
    pub(crate) distance: u32,
}

/// The pairs within a distance, by their ids.
///
/// # Errors
/// More than [`PAIRS_MAX`].
pub(crate) fn find_pairs(hashes: &Hashes, distance_max: u32) -> Result<Vec<Pair>> {
    let mut found = Found {
        pairs: Vec::new(),
        distance_max,
    };
    found.search(&hashes.long)?;
    found.search(&hashes.short)?;
    found.pairs.sort_unstable();
    Ok(found.pairs)
}

struct Found {
    pairs: Vec<Pair>,
    distance_max: u32,
}

/// Bits of a part.
const PART_BITS: u32 = 16;
const BOXES: usize = 1 << PART_BITS;

impl Found {
    fn search<const WORDS: usize>(&mut self, hashes: &HashesOf<WORDS>) -> Result<()> {
        let parts_needed = self.distance_max as usize + 1;
        let parts = WORDS * (64 / PART_BITS) as usize;
        match parts_needed <= parts {
            true => (0..parts_needed).try_for_each(|part| self.search_part(hashes, part)),
            false => self.compare_all(hashes),
        }
    }

    /// Compares what is equal in one part, and in none of those before it.
    fn search_part<const WORDS: usize>(
        &mut self,
        hashes: &HashesOf<WORDS>,
        part: usize,
    ) -> Result<()> {
        let (order, ends) = sort_into_boxes(hashes, part);
        let mut start = 0;
        for end in ends {
            let members = &order[start..end as usize];
            start = end as usize;
            for (place, &i) in members.iter().enumerate() {
                for &j in &members[place + 1..] {
                    let (a, b) = (&hashes.words[i as usize], &hashes.words[j as usize]);
                    let distance = distance(a, b);
                    let was_found = || (0..part).any(|part| key(a, part) == key(b, part));
                    if distance <= self.distance_max && !was_found() {
                        self.push(hashes.ids[i as usize], hashes.ids[j as usize], distance)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn compare_all<const WORDS: usize>(&mut self, hashes: &HashesOf<WORDS>) -> Result<()> {
        for (i, a) in hashes.words.iter().enumerate() {
            for (b, id) in hashes.words[i + 1..].iter().zip(&hashes.ids[i + 1..]) {
                let distance = distance(a, b);
                if distance <= self.distance_max {
                    self.push(hashes.ids[i], *id, distance)?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, a: u32, b: u32, distance: u32) -> Result<()> {
        if self.pairs.len() >= PAIRS_MAX {
            bail!(
                "more than {PAIRS_MAX} pairs differ in at most {} bits; ask for a smaller distance",
                self.distance_max
            );
        }
        self.pairs.push(Pair {
            a: a.min(b),
            b: a.max(b),
            distance,
        });
        Ok(())
    }
}

fn key<const WORDS: usize>(words: &[u64; WORDS], part: usize) -> usize {
    let shift = PART_BITS * (part % 4) as u32;
    (words[part / 4] >> shift) as usize & (BOXES - 1)
}

/// Places of hashes, box by box, and where each box ends.
fn sort_into_boxes<const WORDS: usize>(
    hashes: &HashesOf<WORDS>,
    part: usize,
) -> (Vec<u32>, Vec<u32>) {
    let mut next = vec![0_u32; BOXES];
    for words in &hashes.words {
        next[key(words, part)] += 1;
    }
    let mut start = 0;
    for count in &mut next {
        start += std::mem::replace(count, start);
    }
    let mut order = vec![0; hashes.words.len()];
    for (place, words) in hashes.words.iter().enumerate() {
        let next = &mut next[key(words, part)];
        order[*next as usize] = place as u32;
        *next += 1;
    }
    // Each box's next place is its end now.
    (order, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brute(hashes: &Hashes, distance_max: u32) -> Vec<Pair> {
        let mut found = Found {
            pairs: Vec::new(),
            distance_max,
        };
        found.compare_all(&hashes.long).unwrap();
        found.compare_all(&hashes.short).unwrap();
        found.pairs.sort_unstable();
        found.pairs
    }

    /// Few kinds of pictures, each many times with some bits turned.
    fn hashes() -> impl Strategy<Value = Hashes> {
        let one = (0..4_u64, prop::collection::vec(0..256_usize, 0..20));
        let ids = Just((1..200_u32).collect::<Vec<_>>()).prop_shuffle();
        (prop::collection::vec(one, 0..120), ids).prop_map(|(made, ids)| {
            let mut hashes = Hashes::default();
            for ((kind, turned), id) in made.into_iter().zip(ids) {
                let mut words = [1, 2, 3, 4]
                    .map(|word: u64| word.wrapping_mul((kind << 60) | (kind * 0x1234_5678_9ABC)));
                for bit in turned {
                    words[bit / 64] ^= 1 << (bit % 64);
                }
                match id % 5 {
                    0 => hashes.short.push(id, [words[0]]),
                    _ => hashes.long.push(id, words),
                }
            }
            hashes
        })
    }

    proptest! {
        #[test]
        fn boxes_find_what_comparing_all_does(hashes in hashes(), distance_max in 0..40_u32) {
            prop_assert_eq!(find_pairs(&hashes, distance_max).unwrap(), brute(&hashes, distance_max));
        }
    }

    #[test]
    fn what_is_all_alike_is_refused() {
        let mut hashes = Hashes::default();
        for id in 1..1500 {
            hashes.long.push(id, [7; 4]);
        }
        let error = find_pairs(&hashes, 3).unwrap_err().to_string();
        assert!(error.contains("1000000 pairs"), "{error}");
        hashes.long.ids.truncate(1000);
        hashes.long.words.truncate(1000);
        assert_eq!(find_pairs(&hashes, 3).unwrap().len(), 1000 * 999 / 2);
    }
}
