//! tcmalloc of gperftools, as far as its brk area goes: it takes memory with sbrk first.
//!
//! Its span map differs from build to build and is not read, so memory that it mapped apart
//! stays unattributed, and occupancy is unknown.

use plimsoll_model::{Backing, Kind};

use super::words;
use crate::ground::Ground;
use crate::territory::{Owner, Territory};

/// Exported by every libtcmalloc.
pub(crate) const SYMBOLS: &[&str] = &["tc_malloc"];

/// Data of the library searched for pointers: 2 MiB in 2.10.
const DATA_MAX: u64 = 16 << 20;

/// Pointers from its data into the brk area that show that it works there. One could be a block
/// that someone else allocated.
const POINTERS_MIN: usize = 8;

/// Who besides glibc uses the brk area of this process.
pub(crate) fn brk_owner(ground: &Ground<'_>) -> Option<&'static str> {
    let (_, image) = ground.symbol(SYMBOLS)?;
    let mut pointers = 0;
    for data in words::image_data(ground, image) {
        words::for_each_word(ground, data, DATA_MAX, |_, word| {
            let mapping = ground.mapping_at(word);
            pointers += usize::from(mapping.is_some_and(|it| it.backing == Backing::Heap));
        });
    }
    (pointers >= POINTERS_MIN).then_some("tcmalloc")
}

/// Claims what is still free of the brk area; to be asked after glibc's own chunk walk.
pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let Some(component) = brk_owner(ground) else {
        return;
    };
    for mapping in &ground.snapshot.mappings {
        if mapping.backing != Backing::Heap {
            continue;
        }
        for free in territory.unclaimed_within(mapping.range) {
            territory.claim(
                free,
                Owner {
                    kind: Kind::Heap,
                    component: component.into(),
                    part: "brk area".into(),
                    evidence: "tcmalloc's data points into the brk area",
                },
            );
        }
    }
}

#[cfg(test)]
mod tests;
