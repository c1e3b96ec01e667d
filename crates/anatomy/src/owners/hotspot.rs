//! The table of its own structures that a HotSpot JVM carries for debuggers
//! (src/hotspot/share/runtime/vmStructs.cpp): field offsets and addresses by name, the same
//! since JDK 6. Cost: about 40 KiB for the table and as much for its names.

use std::collections::BTreeMap;

use super::words;
use crate::ground::Ground;

pub(crate) const SYMBOLS: &[&str] = &["gHotSpotVMStructs"];

/// Entries of the table; JDK 17 has 788.
const ENTRIES_MAX: usize = 8192;

/// `VMStructEntry`: type name, field name, type string, is static, offset, address.
const ENTRY: usize = 48;

/// Names are cut here; no name that is looked for is longer.
const NAME: usize = 64;

/// Fields of HotSpot's structures, by type and field name.
#[derive(Debug, Default)]
pub(crate) struct Structures {
    offsets: BTreeMap<(String, String), u64>,
    statics: BTreeMap<(String, String), u64>,
}

impl Structures {
    /// `None` when no JVM is mapped, or its table or names are not resident.
    pub(crate) fn read(ground: &Ground<'_>) -> Option<Structures> {
        let (symbol, _) = ground.symbol(SYMBOLS)?;
        let table = ground.target.read_word(symbol.start)?;
        let mut rows = Vec::new();
        let mut entry = [0; ENTRY];
        while rows.len() < ENTRIES_MAX {
            if !ground.target.read(
                table.saturating_add((rows.len() * ENTRY) as u64),
                &mut entry,
            ) {
                return None;
            }
            if words::u64_at(&entry, 0) == 0 {
                break;
            }
            rows.push(entry);
        }
        let names = read_names(ground, &rows);
        let mut structures = Structures::default();
        for row in &rows {
            let name = |at| names.get(&words::u64_at(row, at)).cloned();
            let (Some(of), Some(field)) = (name(0), name(8)) else {
                continue;
            };
            if words::u32_at(row, 24) == 0 {
                structures
                    .offsets
                    .insert((of, field), words::u64_at(row, 32));
            } else {
                structures
                    .statics
                    .insert((of, field), words::u64_at(row, 40));
            }
        }
        Some(structures)
    }

    /// Offset of a field.
    pub(crate) fn offset(&self, of: &str, field: &str) -> Option<u64> {
        self.offsets.get(&(of.into(), field.into())).copied()
    }

    /// Value of a static field.
    pub(crate) fn global(&self, ground: &Ground<'_>, of: &str, field: &str) -> Option<u64> {
        let address = self.statics.get(&(of.into(), field.into()))?;
        ground.target.read_word(*address)
    }

    /// Value of a field of the structure at `address`.
    pub(crate) fn field(
        &self,
        ground: &Ground<'_>,
        address: u64,
        of: &str,
        field: &str,
    ) -> Option<u64> {
        ground
            .target
            .read_word(address.checked_add(self.offset(of, field)?)?)
    }
}

fn read_names(ground: &Ground<'_>, rows: &[[u8; ENTRY]]) -> BTreeMap<u64, String> {
    let mut addresses: Vec<u64> = rows
        .iter()
        .flat_map(|row| [words::u64_at(row, 0), words::u64_at(row, 8)])
        .collect();
    let mut names = BTreeMap::new();
    words::for_each_structure(ground, &mut addresses, NAME, |address, bytes| {
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Ok(name) = str::from_utf8(name) {
            names.insert(address, name.to_owned());
        }
    });
    names
}
