//! A set of images as bits. Memory: a bit for each image there is, 25 KiB for 200,000.

use plimsoll::postings::Postings;

/// Images among `0..len`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: u32,
}

impl Bits {
    pub(crate) fn none(len: usize) -> Bits {
        Bits {
            words: vec![0; len.div_ceil(64)],
            len: len as u32,
        }
    }

    pub(crate) fn all(len: usize) -> Bits {
        let mut bits = Bits {
            words: vec![u64::MAX; len.div_ceil(64)],
            len: len as u32,
        };
        if !len.is_multiple_of(64)
            && let Some(last) = bits.words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        bits
    }

    pub(crate) fn insert(&mut self, image: u32) {
        self.words[image as usize / 64] |= 1 << (image % 64);
    }

    pub(crate) fn contains(&self, image: u32) -> bool {
        self.words[image as usize / 64] >> (image % 64) & 1 == 1
    }

    pub(crate) fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    pub(crate) fn add_all(&mut self, images: impl IntoIterator<Item = u32>) {
        images.into_iter().for_each(|image| self.insert(image));
    }

    pub(crate) fn add(&mut self, other: &Bits) {
        self.join(other, |own, other| own | other);
    }

    pub(crate) fn keep(&mut self, other: &Bits) {
        self.join(other, |own, other| own & other);
    }

    pub(crate) fn take_out(&mut self, other: &Bits) {
        self.join(other, |own, other| own & !other);
    }

    pub(crate) fn take_out_all(&mut self, images: &Postings) {
        for image in images {
            self.words[image as usize / 64] &= !(1 << (image % 64));
        }
    }

    fn join(&mut self, other: &Bits, of: impl Fn(u64, u64) -> u64) {
        for (own, other) in self.words.iter_mut().zip(&other.words) {
            *own = of(*own, *other);
        }
    }

    /// Keeps the images of a set. A few answers are asked for, else the set is read.
    pub(crate) fn keep_set(&mut self, set: &Postings) {
        if self.count() as u64 * ASKED_SHARE < set.len() {
            self.retain(|image| set.contains(image));
            return;
        }
        let mut other = Bits::none(self.len as usize);
        other.add_all(set);
        self.keep(&other);
    }

    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(u32) -> bool) {
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let place = left.trailing_zeros();
                left &= left - 1;
                if !is_kept(index as u32 * 64 + place) {
                    *word &= !(1 << place);
                }
            }
        }
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let place = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(index as u32 * 64 + place)
            })
        })
    }
}

/// Asking a set for one image decodes up to a block of 256 of it, on average a good half of these.
const ASKED_SHARE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_as_sets() {
        for len in [0, 1, 63, 64, 65, 200] {
            let all = Bits::all(len);
            assert_eq!(all.count(), len);
            let even: Postings = (0..len as u32).step_by(2).collect();
            let mut bits = all.clone();
            bits.keep_set(&even);
            assert_eq!(
                bits.iter().collect::<Vec<_>>(),
                even.iter().collect::<Vec<_>>()
            );
            let mut odd = all.clone();
            odd.take_out(&bits);
            odd.add(&bits);
            assert_eq!(odd, all);
            let mut none = all.clone();
            none.take_out_all(&even);
            none.take_out(&odd);
            assert_eq!(none.count(), 0);
            bits.retain(|image| image % 4 == 0);
            assert_eq!(bits.count(), len.div_ceil(4));
        }
    }
}
