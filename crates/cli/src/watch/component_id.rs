//! Identity of a component across readings: its kind and name, and those of all above it.
//!
//! A hash of 64 bits, so that histories hold no names. Two siblings of the same kind and name
//! have the same identity; figures over time are not shown for those, see `changes.rs`.

use std::hash::{DefaultHasher, Hash, Hasher};

use plimsoll_model::Component;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ComponentId(u64);

impl ComponentId {
    pub(super) fn top(component: &Component) -> ComponentId {
        ComponentId::hashed(0, component)
    }

    pub(super) fn part(self, component: &Component) -> ComponentId {
        ComponentId::hashed(self.0, component)
    }

    fn hashed(above: u64, component: &Component) -> ComponentId {
        // DefaultHasher::new() has fixed keys, so identities stay the same for the whole watch.
        let mut hasher = DefaultHasher::new();
        (above, component.kind, &component.name).hash(&mut hasher);
        ComponentId(hasher.finish())
    }
}
