//! Programs and libraries for the tests of rules: writable data and symbols, mapped where the
//! test wants them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plimsoll_model::{AddressRange, Bytes, Image, Segment, Snapshot, Symbol, Target};

use crate::fake::{anonymous, file, guard, snapshot};
use crate::ground::Ground;
use crate::territory::Territory;

/// A process with these plain mappings, readable and writable.
pub(crate) fn process(mappings: &[AddressRange]) -> Snapshot {
    snapshot(
        mappings
            .iter()
            .map(|range| anonymous(*range, Bytes::ZERO))
            .collect(),
    )
}

/// Reserves `range` without access.
pub(crate) fn reserve(snapshot: &mut Snapshot, range: AddressRange) {
    snapshot.mappings.push(guard(range));
    snapshot.mappings.sort_by_key(|mapping| mapping.range.start);
}

/// Maps an image whose data is `data` and whose link-time addresses are its run-time ones.
pub(crate) fn add_image(
    snapshot: &mut Snapshot,
    path: &str,
    data: AddressRange,
    symbols: &[(&str, AddressRange)],
) {
    let mut mapping = file(data, 0, 77, Bytes::ZERO);
    mapping.permissions.shared = false;
    mapping.permissions.write = true;
    mapping.backing = plimsoll_model::Backing::File {
        path: PathBuf::from(path),
        deleted: false,
    };
    snapshot.mappings.push(mapping);
    snapshot.mappings.sort_by_key(|mapping| mapping.range.start);
    let symbols: BTreeMap<String, Symbol> = symbols
        .iter()
        .map(|(name, range)| {
            let symbol = Symbol {
                address: range.start,
                size: range.size().0,
            };
            ((*name).to_owned(), symbol)
        })
        .collect();
    let image = Image {
        segments: vec![Segment {
            offset: 0,
            address: data.start,
            file_size: data.size().0,
            memory_size: data.size().0,
            writable: true,
            executable: false,
        }],
        symbols,
        ..Image::default()
    };
    snapshot.images.insert(PathBuf::from(path), image);
}

/// What a rule claims: range, part, live bytes.
pub(crate) fn claims(
    snapshot: &Snapshot,
    target: &dyn Target,
    rule: fn(&Ground<'_>, &mut Territory),
) -> Vec<(AddressRange, String, Option<u64>)> {
    let ground = Ground::new(snapshot, target);
    let mut territory = Territory::default();
    rule(&ground, &mut territory);
    territory
        .overlapping(AddressRange::new(0, u64::MAX))
        .map(|claim| {
            (
                claim.range,
                claim.owner.part.clone(),
                claim.used.as_ref().map(|used| used.live.0),
            )
        })
        .collect()
}
