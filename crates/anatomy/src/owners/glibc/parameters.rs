//! `mp_`, where malloc counts its large blocks: how many a search is to find, and when it may end.
//!
//! Source: struct malloc_par in malloc/malloc.c of glibc 2.26 to 2.41. The symbol is not exported: it is known by
//! where the brk area begins, which stands in it, and by counts and sizes that fit each other.

use super::main_arena;
use crate::ground::Ground;
use crate::owners::words;

/// `DEFAULT_MMAP_THRESHOLD_MAX`: mallopt(3) takes no larger one.
const THRESHOLD_MAX: u64 = 32 << 20;

/// Offsets in struct malloc_par, in words.
mod offset {
    pub(super) const TRIM_THRESHOLD: usize = 0;
    pub(super) const MMAP_THRESHOLD: usize = 2;
    /// `n_mmaps`, `n_mmaps_max`, `max_n_mmaps` and `no_dyn_threshold`, in the lower half of a word or, since the
    /// fields of huge pages came in 2.35, in the upper one: two of them a word.
    pub(super) const COUNTS: [(usize, bool); 2] = [(5, false), (7, true)];
    /// From there to `mmapped_mem`, which `max_mmapped_mem` and `sbrk_base` follow.
    pub(super) const SIZES: [usize; 2] = [7, 10];
    pub(super) const END: usize = 13;
}

/// How many blocks malloc holds that it has mapped on their own. `None` where `mp_` is not found, as in a process
/// without brk area.
pub(super) fn blocks_mapped(ground: &Ground<'_>) -> Option<u64> {
    let brk = main_arena::brk_area(ground)?;
    let path = main_arena::library(ground)?;
    let page = ground.page_size().0;
    let data = words::image_data(ground, path).into_iter();
    let mut found = data.filter_map(|data| {
        let words = words::read_words(ground, data, main_arena::DATA_MAX);
        let is_base = |base: u64| brk.contains(base);
        words
            .windows(offset::END)
            .find_map(|words| count_in(words, page, is_base))
    });
    found.next()
}

/// The count, if `words` begin like the struct.
fn count_in(words: &[u64], page: u64, is_base: impl Fn(u64) -> bool) -> Option<u64> {
    let layouts = offset::COUNTS.into_iter().zip(offset::SIZES);
    layouts
        .filter(|(_, sizes)| is_base(words[sizes + 2]))
        .find_map(|((at, is_upper), sizes)| {
            let halves = [words[at], words[at + 1], words[at + 2]];
            let halves: Vec<u64> = halves
                .iter()
                .flat_map(|word| [word & HALF, word >> 32])
                .collect();
            let [count, count_max, most, no_dynamic_threshold] =
                *halves.get(usize::from(is_upper)..)?.first_chunk()?;
            let (bytes, bytes_most) = (words[sizes], words[sizes + 1]);
            // By mallopt(3) the largest count may be 0: then there are no blocks, and nothing tells the struct from
            // a pointer behind zeros.
            let fits = count <= most
                && most <= count_max
                && count_max != 0
                && no_dynamic_threshold <= 1
                && bytes <= bytes_most
                && bytes.is_multiple_of(page)
                && bytes >= count * page
                && (bytes == 0) == (count == 0)
                && words[offset::TRIM_THRESHOLD] != 0
                && (1..=THRESHOLD_MAX).contains(&words[offset::MMAP_THRESHOLD]);
            fits.then_some(count)
        })
}

const HALF: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x5555_0000_0000;

    fn count(words: &[u64]) -> Option<u64> {
        count_in(words, 4096, |base| base == BASE)
    }

    /// Three blocks of 1 MiB, of five at most.
    fn before_2_35() -> [u64; offset::END] {
        let counts = [65_536 << 32 | 3, 5];
        let [a, b] = counts;
        [
            128 << 10,
            128 << 10,
            128 << 10,
            8,
            0,
            a,
            b,
            3 << 20,
            9 << 20,
            BASE,
            0,
            0,
            0,
        ]
    }

    fn since_2_35() -> [u64; offset::END] {
        [
            128 << 10,
            128 << 10,
            128 << 10,
            8,
            0,
            0,
            0,
            3 << 32,
            5 << 32 | 65_536,
            0,
            3 << 20,
            9 << 20,
            BASE,
        ]
    }

    #[test]
    fn both_layouts_are_known() {
        assert_eq!(count(&before_2_35()), Some(3));
        assert_eq!(count(&since_2_35()), Some(3));
    }

    #[test]
    fn what_does_not_fit_is_not_it() {
        let check = |at: usize, word: u64| {
            let mut words = since_2_35();
            words[at] = word;
            assert_eq!(count(&words), None, "{at}: {word:x}");
        };
        check(12, BASE + 16);
        check(2, 64 << 20);
        check(7, 6 << 32);
        check(7, 0);
        check(10, 10 << 20);
        check(10, 3 << 20 | 16);
        check(10, 0);
        check(8, 5 << 32 | 2);
        check(9, 2);
        check(0, 0);
        let mut zeros = [0; offset::END];
        zeros[12] = BASE;
        assert_eq!(count(&zeros), None);
        zeros = [0; offset::END];
        zeros[9] = BASE;
        assert_eq!(count(&zeros), None);
    }
}
