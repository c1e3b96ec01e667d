//! Zeroed data (.bss) of programs and libraries: anonymous memory that the loader maps behind a
//! file's last bytes. The ELF program headers give the exact interval.

use std::path::Path;

use plimsoll_model::{AddressRange, Backing, Kind};

use crate::ground::Ground;
use crate::territory::{Owner, Territory};

/// Marks a claim as part of a file's own component; attribution replaces it by the file's group.
pub(crate) const COMPONENT: &str = "zeroed data";

pub(crate) fn claim(ground: &Ground<'_>, territory: &mut Territory) {
    let page = ground.page_size();
    for (path, image) in &ground.snapshot.images {
        let Some(bias) = ground.load_bias(path) else {
            continue;
        };
        for segment in image.segments.iter().filter(|segment| segment.writable) {
            let start = bias
                .wrapping_add(segment.address)
                .wrapping_add(segment.file_size);
            let end = bias
                .wrapping_add(segment.address)
                .wrapping_add(segment.memory_size);
            let zeroed = AddressRange::new(page.round_up(start), page.round_up(end));
            claim_anonymous_part(ground, territory, path, zeroed);
        }
    }
}

/// Claims the part of `zeroed` that really is anonymous memory.
fn claim_anonymous_part(
    ground: &Ground<'_>,
    territory: &mut Territory,
    path: &Path,
    zeroed: AddressRange,
) {
    for mapping in ground.mappings_within(zeroed) {
        if mapping.backing == Backing::Anonymous && !mapping.permissions.shared {
            territory.claim(
                mapping.range.intersection(zeroed),
                Owner {
                    kind: Kind::Code,
                    component: COMPONENT.to_owned(),
                    part: path.to_string_lossy().into_owned(),
                    evidence: "ELF program header",
                },
            );
        }
    }
}
