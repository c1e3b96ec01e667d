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

/// Memory cost: 80 bytes, and 112 more for a part of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Holding<'a> {
    pub(crate) owner: Rc<Owner>,
    /// The mapping that it is of; or several neighbours that it holds whole, none of which has a
    /// file or a page that is shared.
    mappings: &'a [Mapping],
    /// From the first byte to the last.
    pub(crate) range: AddressRange,
    /// `None` when it has all of its mappings, whose own counters it then has.
    part: Option<Box<Counters>>,
    /// Resident bytes that no earlier holding has: see [`crate::distinct`].
    pub(crate) distinct: Bytes,
    pub(crate) exactness: Exactness,
    pub(crate) used: Option<Box<Used>>,
    /// Whether `used`, here or in an earlier holding of the same claim, covers this one.
    pub(crate) occupancy_known: bool,
    /// Pages of memory file systems and shared memory: only swap can take them.
    pub(crate) swap_backed: bool,
}

impl Holding<'_> {
    pub(crate) fn counters(&self) -> Counters {
        match (&self.part, self.mappings) {
            (Some(part), _) => **part,
            (None, [mapping]) => mapping.counters,
            (None, mappings) => mappings
                .iter()
                .fold(Counters::default(), |mut sum, mapping| {
                    sum += mapping.counters;
                    sum
                }),
        }
    }

    pub(crate) fn file(&self) -> Option<FileId> {
        self.first().file
    }

    /// Offset in the file of `range.start`.
    pub(crate) fn offset(&self) -> u64 {
        self.first().offset + (self.range.start - self.first().range.start)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.first().flags.locked
    }

    pub(crate) fn mapping_count(&self) -> u32 {
        u32::try_from(self.mappings.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn virtual_size(&self) -> Bytes {
        match self.mappings {
            [_] => self.range.size(),
            mappings => mappings.iter().map(|mapping| mapping.range.size()).sum(),
        }
    }

    pub(crate) fn usage(&self, counters: &Counters) -> Usage {
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

    fn first(&self) -> &Mapping {
        &self.mappings[0]
    }

    /// Whether figures of this holding stay as true when `next` is counted in: whole private
    /// mappings of the same owner, of which nothing but sums is ever asked.
    fn may_take_in(&self, next: &Holding<'_>) -> bool {
        let is_plain = |holding: &Holding<'_>| {
            holding.part.is_none()
                && holding.file().is_none()
                && !holding.occupancy_known
                && holding.counters().shared().is_zero()
        };
        Rc::ptr_eq(&self.owner, &next.owner)
            && self.is_locked() == next.is_locked()
            && is_plain(next)
            && (self.mappings.len() > 1 || is_plain(self))
    }
}

/// Cuts every mapping along the claims; whole neighbours of one owner are one holding.
pub(crate) fn holdings<'a>(ground: &Ground<'a>, territory: &Territory) -> Vec<Holding<'a>> {
    let mut holdings: Vec<Holding<'a>> = Vec::new();
    let mut moved = Bytes::ZERO;
    let mut namer = Namer::new(ground);
    let mappings = &ground.snapshot.mappings;
    // Where the mappings of the last holding begin.
    let mut start = 0;
    for (index, mapping) in mappings.iter().enumerate() {
        let shares = shares(&mut namer, territory, mapping);
        let alone = &mappings[index..=index];
        match shares.as_slice() {
            [share] if !is_looked_at_again(ground, mapping, share) => {
                let next = holding(ground, alone, share, None, exactness_of(ground));
                match holdings.last_mut() {
                    Some(last) if last.may_take_in(&next) => {
                        last.mappings = &mappings[start..=index];
                        last.range.end = next.range.end;
                        last.distinct += next.distinct;
                    }
                    _ => {
                        start = index;
                        holdings.push(next);
                    }
                }
            }
            shares => moved += cut(ground, alone, shares, &mut holdings),
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

/// What `share` has of `mapping` (a slice of one): `part` of its counters, or all of them.
fn holding<'a>(
    ground: &Ground<'_>,
    mapping: &'a [Mapping],
    share: &Share,
    part: Option<Counters>,
    exactness: Exactness,
) -> Holding<'a> {
    let file = mapping[0]
        .file
        .and_then(|id| ground.snapshot.files.get(&id));
    let in_memory = file.is_some_and(|file| file.in_memory_filesystem);
    Holding {
        owner: Rc::clone(&share.owner),
        mappings: mapping,
        range: share.range,
        distinct: part.as_ref().unwrap_or(&mapping[0].counters).rss,
        part: part.map(Box::new),
        exactness,
        used: share.used.clone().map(Box::new),
        occupancy_known: share.occupancy_known,
        swap_backed: in_memory || share.owner.kind == Kind::Shared,
    }
}

/// Splits a mapping's counters among its shares by resident pages. Returns by how many bytes
/// the mapping's RSS had moved since its counters were read.
///
/// `mapping` is a slice of one.
fn cut<'a>(
    ground: &Ground<'_>,
    mapping: &'a [Mapping],
    shares: &[Share],
    holdings: &mut Vec<Holding<'a>>,
) -> Bytes {
    let mut total = mapping[0].counters;
    if total.rss.is_zero() && total.swap.is_zero() {
        let nothing = Some(Counters::default());
        for share in shares {
            holdings.push(holding(ground, mapping, share, nothing, Exactness::Exact));
        }
        return Bytes::ZERO;
    }
    let residency = ground.residency(mapping[0].range);
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
        holdings.push(holding(ground, mapping, share, Some(counters), exactness));
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
    use crate::fake::{self, FakeTarget, PAGE};

    /// 65,499 mappings of nobody's are one holding, not as many.
    #[test]
    fn whole_neighbours_of_one_owner_are_one_holding() {
        let at = |index: u64| AddressRange::sized(0x7f00_0000_0000 + 4 * index * PAGE, 4 * PAGE);
        let plain = |index| fake::anonymous(at(index), Bytes(2 * PAGE));
        let mut shared = plain(3);
        shared.counters.shared_dirty = Bytes(PAGE);
        shared.counters.private_dirty = Bytes(PAGE);
        let mut locked = plain(5);
        locked.flags.locked = true;
        let file = fake::file(at(6), 0, 7, Bytes(PAGE));
        let apart = plain(9);
        let mappings = vec![
            plain(0),
            plain(1),
            plain(2),
            shared,
            plain(4),
            locked,
            file,
            apart,
        ];
        let snapshot = fake::snapshot(mappings);
        let target = FakeTarget::default();
        let ground = Ground::new(&snapshot, &target);
        let found = holdings(&ground, &Territory::default());
        let counts: Vec<u32> = found.iter().map(Holding::mapping_count).collect();
        assert_eq!(counts, [3, 1, 1, 1, 1, 1]);
        assert_eq!(found[0].range, AddressRange::new(at(0).start, at(2).end));
        assert_eq!(found[0].counters().rss, Bytes(6 * PAGE));
        assert_eq!(found[0].distinct, Bytes(6 * PAGE));
        assert_eq!(found[0].virtual_size(), Bytes(12 * PAGE));
    }

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
