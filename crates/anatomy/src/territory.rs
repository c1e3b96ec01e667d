//! The map of claimed intervals: disjoint, in address order. First come, first served; a later
//! claim that would overlap is refused whole, so that no rule can swallow a neighbour's bytes.

use std::collections::BTreeMap;

use plimsoll_model::{AddressRange, Kind, Used};

/// Who owns an interval, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) kind: Kind,
    /// The component the interval adds to: "glibc malloc", "CPython objects".
    pub(crate) component: String,
    /// The part inside that component: "thread arena 0x7f…", "thread 1234 worker-3". Equal parts
    /// are summed.
    pub(crate) part: String,
    /// What proves it, in a few words.
    pub(crate) evidence: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) range: AddressRange,
    pub(crate) owner: Owner,
    /// Occupancy inside this interval, if its structures tell.
    pub(crate) used: Option<Used>,
}

#[derive(Debug, Default)]
pub(crate) struct Territory {
    claims: BTreeMap<u64, Claim>,
}

impl Territory {
    /// Takes `range` for `owner`. `false`, and nothing changes, when it is empty or any byte of
    /// it is claimed already.
    pub(crate) fn claim(&mut self, range: AddressRange, owner: Owner) -> bool {
        self.claim_with(Claim {
            range,
            owner,
            used: None,
        })
    }

    pub(crate) fn claim_with(&mut self, claim: Claim) -> bool {
        if claim.range.is_empty() || self.overlapping(claim.range).next().is_some() {
            return false;
        }
        self.claims.insert(claim.range.start, claim);
        true
    }

    /// Claims that share a byte with `range`, in address order.
    pub(crate) fn overlapping(&self, range: AddressRange) -> impl Iterator<Item = &Claim> {
        let first = self
            .claims
            .range(..=range.start)
            .next_back()
            .filter(|(_, claim)| claim.range.end > range.start)
            .map_or(range.start, |(start, _)| *start);
        self.claims
            .range(first..range.end.max(first))
            .map(|(_, claim)| claim)
            .filter(move |claim| claim.range.overlaps(range))
    }

    /// The unclaimed intervals of `range`, in address order.
    pub(crate) fn unclaimed_within(&self, range: AddressRange) -> Vec<AddressRange> {
        let mut free = Vec::new();
        let mut start = range.start;
        for claim in self.overlapping(range) {
            free.push(AddressRange::new(start, claim.range.start));
            start = claim.range.end;
        }
        free.push(AddressRange::new(start, range.end));
        free.retain(|interval| !interval.is_empty());
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(part: &str) -> Owner {
        Owner {
            kind: Kind::Heap,
            component: "heap".into(),
            part: part.into(),
            evidence: "test",
        }
    }

    #[test]
    fn a_claim_never_takes_claimed_bytes() {
        let mut territory = Territory::default();
        assert!(territory.claim(AddressRange::new(100, 200), owner("a")));
        for (start, end) in [
            (100, 200),
            (50, 101),
            (199, 300),
            (120, 130),
            (0, 1000),
            (5, 5),
        ] {
            assert!(
                !territory.claim(AddressRange::new(start, end), owner("b")),
                "{start}-{end}"
            );
        }
        assert!(territory.claim(AddressRange::new(200, 300), owner("b")));
        assert!(territory.claim(AddressRange::new(50, 100), owner("c")));
    }

    #[test]
    fn unclaimed_is_the_complement() {
        let mut territory = Territory::default();
        territory.claim(AddressRange::new(100, 200), owner("a"));
        territory.claim(AddressRange::new(300, 400), owner("b"));
        let check = |start, end, expected: &[(u64, u64)]| {
            let found: Vec<_> = territory
                .unclaimed_within(AddressRange::new(start, end))
                .iter()
                .map(|range| (range.start, range.end))
                .collect();
            assert_eq!(found, expected, "{start}-{end}");
        };
        check(0, 500, &[(0, 100), (200, 300), (400, 500)]);
        check(150, 350, &[(200, 300)]);
        check(100, 200, &[]);
        check(200, 300, &[(200, 300)]);
        check(190, 310, &[(200, 300)]);
    }
}
