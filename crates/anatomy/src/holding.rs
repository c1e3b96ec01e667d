//! A holding: the part of one mapping that one owner has, with its figures. Holdings of a
//! process sum to its RSS exactly.

use std::rc::Rc;

use plimsoll_model::{
    AddressRange, Bytes, Counters, CountersSource, Exactness, FileId, Gap, GapReason, Kind,
    Mapping, Usage, Used,
};

use crate::ground::Ground;
use crate::naming::Namer;
use crate::territory::{Owner, Territory};

#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) owner: Rc<Owner>,
    pub(crate) range: AddressRange,
    pub(crate) file: Option<FileId>,
    /// Offset in the file of `range.start`.
    pub(crate) offset: u64,
    pub(crate) counters: Counters,
    /// Resident bytes that no earlier holding has: see [`crate::distinct`].
    pub(crate) distinct: Bytes,
    pub(crate) exactness: Exactness,
    pub(crate) used: Option<Used>,
    /// Whether `used`, here or in an earlier holding of the same claim, covers this one.
    pub(crate) occupancy_known: bool,
    pub(crate) locked: bool,
    /// Pages of memory file systems and shared memory: only swap can take them.
    pub(crate) swap_backed: bool,
}

impl Holding {
    pub(crate) fn usage(&self) -> Usage {
        let counters = &self.counters;
        Usage {
            resident: counters.rss,
            distinct: self.distinct,
            proportional: counters.pss,
            private: counters.private(),
            dirty: counters.dirty(),
            swap: counters.swap,
            hugetlb: counters.hugetlb,
        }
    }
}

/// Cuts every mapping along the claims.
pub(crate) fn holdings(ground: &Ground<'_>, territory: &Territory) -> Vec<Holding> {
    let mut holdings = Vec::new();
    let mut moved = Bytes::ZERO;
    let mut namer = Namer::new(ground);
    for mapping in &ground.snapshot.mappings {
        let shares = shares(&mut namer, territory, mapping);
        match shares.as_slice() {
            [share] if !is_looked_at_again(ground, mapping, share) => {
                let exactness = exactness_of(ground);
                holdings.push(holding(ground, mapping, share, mapping.counters, exactness));
            }
            shares => moved += cut(ground, mapping, shares, &mut holdings),
        }
    }
    if !moved.is_zero() {
        ground.gap(Gap::new(
            "resident pages",
            GapReason::Changed,
            format!("{moved} came or went between the two readings; the later one is shown"),
        ));
    }
    holdings
}

/// From here on an unclaimed mapping is looked at again before it is called unattributed.
const LOOKED_AT_AGAIN: Bytes = Bytes::mib(1);

/// Whether the later reading decides about a mapping of one owner, as it does about one of several.
///
/// Memory that was given back between the two readings proves no owner any more: calling it
/// unattributed would be wrong, it is not there. And what is live in a heap was counted on the
/// pages of the later reading.
fn is_looked_at_again(ground: &Ground<'_>, mapping: &Mapping, share: &Share) -> bool {
    let rss = mapping.counters.rss;
    if share.occupancy_known {
        return ground
            .residency(mapping.range)
            .resident_within(mapping.range)
            != rss;
    }
    share.owner.kind == Kind::Unattributed && rss >= LOOKED_AT_AGAIN
}

/// An interval of one mapping with its owner.
struct Share {
    range: AddressRange,
    owner: Rc<Owner>,
    used: Option<Used>,
    occupancy_known: bool,
}

fn shares(namer: &mut Namer<'_>, territory: &Territory, mapping: &Mapping) -> Vec<Share> {
    let mut shares = Vec::new();
    let mut start = mapping.range.start;
    let rest = |namer: &mut Namer<'_>, start, end| Share {
        range: AddressRange::new(start, end),
        owner: namer.mapping_owner(mapping),
        used: None,
        occupancy_known: false,
    };
    for claim in territory.overlapping(mapping.range) {
        let range = claim.range.intersection(mapping.range);
        if start < range.start {
            shares.push(rest(namer, start, range.start));
        }
        // Occupancy belongs to the claim: it is told once, with its first mapping.
        let used = claim
            .used
            .clone()
            .filter(|_| mapping.range.contains(claim.range.start));
        shares.push(Share {
            range,
            owner: namer.claim_owner(claim),
            used,
            occupancy_known: claim.used.is_some(),
        });
        start = range.end;
    }
    if start < mapping.range.end {
        shares.push(rest(namer, start, mapping.range.end));
    }
    shares
}

fn exactness_of(ground: &Ground<'_>) -> Exactness {
    match ground.snapshot.counters_source {
        CountersSource::Smaps => Exactness::Exact,
        CountersSource::Walk { pss } => pss,
    }
}

fn holding(
    ground: &Ground<'_>,
    mapping: &Mapping,
    share: &Share,
    counters: Counters,
    exactness: Exactness,
) -> Holding {
    let file = mapping.file.and_then(|id| ground.snapshot.files.get(&id));
    let in_memory = file.is_some_and(|file| file.in_memory_filesystem);
    Holding {
        owner: Rc::clone(&share.owner),
        range: share.range,
        file: mapping.file,
        offset: mapping.offset + (share.range.start - mapping.range.start),
        counters,
        distinct: counters.rss,
        exactness,
        used: share.used.clone(),
        occupancy_known: share.occupancy_known,
        locked: mapping.flags.locked,
        swap_backed: in_memory || share.owner.kind == Kind::Shared,
    }
}

/// Splits a mapping's counters among its shares by resident pages. Returns by how many bytes
/// the mapping's RSS had moved since its counters were read.
fn cut(
    ground: &Ground<'_>,
    mapping: &Mapping,
    shares: &[Share],
    holdings: &mut Vec<Holding>,
) -> Bytes {
    let mut total = mapping.counters;
    if total.rss.is_zero() && total.swap.is_zero() {
        for share in shares {
            holdings.push(holding(
                ground,
                mapping,
                share,
                Counters::default(),
                Exactness::Exact,
            ));
        }
        return Bytes::ZERO;
    }
    let residency = ground.residency(mapping.range);
    let resident: Vec<u64> = shares
        .iter()
        .map(|share| residency.resident_within(share.range).0)
        .collect();
    let swapped: Vec<u64> = shares
        .iter()
        .map(|share| residency.swapped_within(share.range).0)
        .collect();
    let seen = Bytes(resident.iter().sum());
    let moved = Bytes(seen.0.abs_diff(total.rss.0));
    total = at_residency(total, seen);
    // One owner for every page, or no page shared with another process: each share's figures
    // are its own. Otherwise who shares which page is not told, only how many.
    let exact = total.pss == total.rss || resident.iter().filter(|bytes| **bytes > 0).count() == 1;
    let exactness = if exact {
        exactness_of(ground)
    } else {
        Exactness::Estimated
    };
    for (share, counters) in shares.iter().zip(split(&total, &resident, &swapped)) {
        holdings.push(holding(ground, mapping, share, counters, exactness));
    }
    moved
}

/// `counters` as if the mapping had `seen` resident bytes: what came is private and dirty (new
/// anonymous pages are), what went is taken from where there was some.
fn at_residency(mut counters: Counters, seen: Bytes) -> Counters {
    if seen >= counters.rss {
        let grown = seen - counters.rss;
        counters.private_dirty += grown;
        counters.anonymous += grown;
        counters.pss += grown;
    } else {
        let mut gone = counters.rss - seen;
        for field in [
            &mut counters.private_dirty,
            &mut counters.private_clean,
            &mut counters.shared_dirty,
            &mut counters.shared_clean,
        ] {
            let taken = gone.min(*field);
            *field -= taken;
            gone -= taken;
        }
        counters.anonymous = counters.anonymous.min(seen);
        counters.lazy_free = counters.lazy_free.min(seen);
        counters.pss = counters.pss.min(seen);
    }
    counters.rss = seen;
    counters
}

/// Counters in proportion to resident (and swapped) bytes, summing to `total` exactly.
fn split(total: &Counters, resident: &[u64], swapped: &[u64]) -> Vec<Counters> {
    let mut parts = vec![Counters::default(); resident.len()];
    let mut spread = |value: Bytes, weights: &[u64], set: fn(&mut Counters, Bytes)| {
        for (part, bytes) in parts.iter_mut().zip(apportion(value, weights)) {
            set(part, bytes);
        }
    };
    spread(total.rss, resident, |part, bytes| part.rss = bytes);
    spread(total.pss, resident, |part, bytes| part.pss = bytes);
    spread(total.anonymous, resident, |part, bytes| {
        part.anonymous = bytes
    });
    spread(total.lazy_free, resident, |part, bytes| {
        part.lazy_free = bytes
    });
    spread(total.anon_huge, resident, |part, bytes| {
        part.anon_huge = bytes
    });
    spread(total.locked, resident, |part, bytes| part.locked = bytes);
    spread(total.referenced, resident, |part, bytes| {
        part.referenced = bytes
    });
    spread(total.swap, swapped, |part, bytes| part.swap = bytes);
    spread(total.swap_pss, swapped, |part, bytes| part.swap_pss = bytes);
    spread(total.private_clean, resident, |part, bytes| {
        part.private_clean = bytes
    });
    spread(total.shared_clean, resident, |part, bytes| {
        part.shared_clean = bytes
    });
    spread(total.shared_dirty, resident, |part, bytes| {
        part.shared_dirty = bytes
    });
    // The four classes sum to RSS in the whole; the last one takes what rounding left over.
    for part in &mut parts {
        let others = part.private_clean + part.shared_clean + part.shared_dirty;
        part.private_dirty = part.rss.saturating_sub(others);
    }
    parts
}

/// `value` in proportion to `weights` by the largest-remainder method: sums to `value` exactly.
/// All of it goes to the first part when every weight is zero.
pub(crate) fn apportion(value: Bytes, weights: &[u64]) -> Vec<Bytes> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        let first = std::iter::once(value);
        return first
            .chain(std::iter::repeat(Bytes::ZERO))
            .take(weights.len())
            .collect();
    }
    let exact = |weight: u64| u128::from(value.0) * u128::from(weight);
    let mut parts: Vec<Bytes> = weights
        .iter()
        .map(|weight| Bytes(u64::try_from(exact(*weight) / total).unwrap_or(u64::MAX)))
        .collect();
    let left = value - parts.iter().copied().sum();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(exact(weights[*index]) % total));
    for index in order.into_iter().take(usize::try_from(left.0).unwrap_or(0)) {
        parts[index] += Bytes(1);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn apportion_known_answers() {
        let check = |value: u64, weights: &[u64], expected: &[u64]| {
            let parts: Vec<u64> = apportion(Bytes(value), weights)
                .iter()
                .map(|b| b.0)
                .collect();
            assert_eq!(parts, expected, "{value} over {weights:?}");
        };
        check(10, &[1, 1], &[5, 5]);
        check(10, &[1, 1, 1], &[4, 3, 3]);
        check(10, &[0, 0], &[10, 0]);
        check(0, &[3, 4], &[0, 0]);
        check(7, &[0, 5], &[0, 7]);
    }

    proptest! {
        #[test]
        fn apportion_sums_exactly(
            value in 0_u64..1 << 50,
            weights in proptest::collection::vec(0_u64..1 << 45, 1..20),
        ) {
            let parts = apportion(Bytes(value), &weights);
            prop_assert_eq!(parts.iter().copied().sum::<Bytes>(), Bytes(value));
        }

        #[test]
        fn moved_counters_keep_their_sum(
            private in 0_u64..1000, clean in 0_u64..1000, shared in 0_u64..1000, seen in 0_u64..4000,
        ) {
            let rss = Bytes::kib(4 * (private + clean + shared));
            let counters = Counters {
                rss,
                pss: rss,
                private_dirty: Bytes::kib(4 * private),
                private_clean: Bytes::kib(4 * clean),
                shared_clean: Bytes::kib(4 * shared),
                ..Counters::default()
            };
            let moved = at_residency(counters, Bytes::kib(4 * seen));
            prop_assert_eq!(moved.rss, Bytes::kib(4 * seen));
            prop_assert_eq!(moved.private() + moved.shared(), moved.rss);
        }
    }
}
