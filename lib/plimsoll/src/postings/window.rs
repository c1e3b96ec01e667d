//! Which documents of a stretch of 16,384 are in a set, as bits: where sets are dense, 64 documents
//! are decided by one operation. 2 KiB.

const WORDS: usize = 256;
const SPAN: u32 = WORDS as u32 * 64;

#[derive(Debug)]
pub(crate) struct Window {
    start: u32,
    words: Box<[u64; WORDS]>,
}

impl Window {
    /// The one that `document` lies in, without any set.
    pub(crate) fn around(document: u32) -> Window {
        Window {
            start: document / SPAN * SPAN,
            words: Box::new([0; WORDS]),
        }
    }

    /// Moves to the stretch that `document` lies in and empties it.
    pub(crate) fn move_to(&mut self, document: u32) {
        self.start = document / SPAN * SPAN;
        self.words.fill(0);
    }

    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    /// The last document of it.
    pub(crate) fn end(&self) -> u32 {
        self.start + (SPAN - 1)
    }

    /// Sets a document not behind the end; one before the start is ignored.
    #[inline]
    pub(crate) fn set(&mut self, document: u32) {
        debug_assert!(document <= self.end());
        if let Some(bit) = document.checked_sub(self.start) {
            // The remainder tells the compiler that it lies inside.
            self.words[bit as usize / 64 % WORDS] |= 1 << (bit % 64);
        }
    }

    /// Sets the documents from `first` on that `eights`, and `last` behind them, have as bits. `false`,
    /// and nothing is set, where not all of their bits have a place.
    pub(crate) fn set_words(&mut self, first: u32, eights: &[[u8; 8]], last: u64) -> bool {
        let Some(bit) = first.checked_sub(self.start) else {
            return false;
        };
        let (index, shift) = (bit as usize / 64, bit % 64);
        // One place more for what the shift moves out of the last word.
        let Some(places) = self.words.get_mut(index..index + eights.len() + 2) else {
            return false;
        };
        let (places, behind) = places.split_at_mut(eights.len());
        let mut carry = 0;
        let mut or = |place: &mut u64, word: u64| {
            *place |= word << shift | carry;
            // In two steps: a shift by 64 is none.
            carry = word >> 1 >> (63 - shift);
        };
        for (place, eight) in places.iter_mut().zip(eights) {
            or(place, u64::from_le_bytes(*eight));
        }
        for (place, word) in behind.iter_mut().zip([last, 0]) {
            or(place, word);
        }
        true
    }

    /// Sets up to 64 documents from `first` on; those outside are ignored.
    pub(crate) fn set_word(&mut self, first: i64, word: u64) {
        let bit = first - i64::from(self.start);
        let shift = (bit & 63) as u32;
        let index = bit >> 6;
        let mut or = |index: i64, bits: u64| {
            let place = usize::try_from(index).ok();
            if let Some(place) = place.and_then(|place| self.words.get_mut(place)) {
                *place |= bits;
            }
        };
        or(index, word << shift);
        if shift > 0 {
            or(index + 1, word >> (64 - shift));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// Whether there are more documents than `limit`; stops counting where that is clear.
    pub(crate) fn has_more_than(&self, limit: u32) -> bool {
        let mut left = limit;
        !self.words.iter().all(|word| {
            let rest = left.checked_sub(word.count_ones());
            left = rest.unwrap_or(0);
            rest.is_some()
        })
    }

    /// Both must be of one stretch.
    pub(crate) fn add(&mut self, other: &Window) {
        self.join(other, |own, other| own | other);
    }

    pub(crate) fn keep(&mut self, other: &Window) {
        self.join(other, |own, other| own & other);
    }

    pub(crate) fn take_out(&mut self, other: &Window) {
        self.join(other, |own, other| own & !other);
    }

    fn join(&mut self, other: &Window, both: impl Fn(u64, u64) -> u64) {
        for (own, other) in self.words.iter_mut().zip(other.words.iter()) {
            *own = both(*own, *other);
        }
    }

    /// Takes out every document that `is_in` does not know; asks for them in order.
    pub(crate) fn retain(&mut self, mut is_in: impl FnMut(u32) -> bool) {
        for (index, word) in (0..).zip(self.words.iter_mut()) {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !is_in(self.start + index * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// Takes out what lies before `first` or behind `last`.
    pub(crate) fn cut(&mut self, first: u32, last: u32) {
        if first <= self.start && last >= self.end() {
            return;
        }
        for (at, word) in (self.start..=self.end())
            .step_by(64)
            .zip(self.words.iter_mut())
        {
            if first > at {
                *word &= u64::MAX.checked_shl(first - at).unwrap_or(0);
            }
            if last < at {
                *word = 0;
            } else if last - at < 63 {
                *word &= (1 << (last - at + 1)) - 1;
            }
        }
    }

    /// The first document set from `target` on, which is not before the start.
    pub(crate) fn seek(&self, target: u32) -> Option<u32> {
        if target > self.end() {
            return None;
        }
        let bit = target - self.start;
        let mut index = bit as usize / 64;
        let mut word = self.words[index] & (u64::MAX << (bit % 64));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(self.start + index as u32 * 64 + word.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_cuts_stay_inside() {
        for start in [0, SPAN, u32::MAX / SPAN * SPAN] {
            let check = |first: i64, cut: (u32, u32), expected: &[u32]| {
                let mut window = Window::around(start);
                window.set_word(i64::from(start) + first, u64::MAX);
                window.cut(start + cut.0, start + cut.1);
                let mut found = Vec::new();
                let mut next = window.seek(start);
                while let Some(document) = next {
                    found.push(document - start);
                    next = document.checked_add(1).and_then(|next| window.seek(next));
                }
                assert_eq!(found, expected, "{start} {first} {cut:?}");
                assert_eq!(window.count(), expected.len() as u64);
                assert_eq!(window.is_empty(), expected.is_empty());
            };
            let all = (0, SPAN - 1);
            check(-64, all, &[]);
            check(-62, all, &[0, 1]);
            check(i64::from(SPAN), all, &[]);
            check(i64::from(SPAN) - 2, all, &[SPAN - 2, SPAN - 1]);
            check(60, all, &(60..124).collect::<Vec<_>>());
            check(60, (63, 65), &[63, 64, 65]);
            check(0, (63, 63), &[63]);
            check(0, (64, 100), &[]);
            check(64, (0, 64), &[64]);
        }
    }
}
