//! Looks up a few symbols in tables of any size without loading them.
//!
//! First the string table is streamed for the places where a wanted name ends with its NUL; a
//! linker may store `free` as the tail of `cfree`, so every such place is a candidate. Then the
//! symbol table is streamed for entries whose name lies at one of those places. Hash sections
//! are not used: they cover exported symbols alone, and the interesting ones are often static.

use std::collections::BTreeMap;

use plimsoll_model::Symbol;

use super::{ReadAt, u16_at, u32_at, u64_at};

/// Where one symbol table and its strings lie in the file.
pub(crate) struct Table {
    pub(crate) symbols_offset: u64,
    pub(crate) symbols_size: u64,
    pub(crate) strings_offset: u64,
    pub(crate) strings_size: u64,
}

/// Streamed at a time: large enough that system calls do not count, small against our budget.
/// A multiple of the size of a symbol entry.
const CHUNK_BYTES: usize = ENTRY_BYTES * 8192;
const ENTRY_BYTES: usize = 24;
/// Places where wanted names were seen, over all names. A real table has one or two of each;
/// a file made to have more is not worth more memory.
const CANDIDATES_MAX: usize = 16 * 1024;
/// The largest real tables (browsers with all symbols) are some hundred MiB; a table that says
/// it is larger than this is damaged, and reading it would only cost time.
const TABLE_BYTES_MAX: u64 = 2 << 30;

/// Those of `wanted` that the tables define, the first table preferred.
pub(crate) fn find<R: ReadAt + ?Sized>(
    source: &R,
    tables: &[Table],
    wanted: &[&str],
) -> BTreeMap<String, Symbol> {
    let mut found: BTreeMap<String, Symbol> = BTreeMap::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    for table in tables {
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|name| !name.is_empty() && !found.contains_key(**name))
            .copied()
            .collect();
        if missing.is_empty() {
            break;
        }
        let candidates = name_places(source, table, &missing, &mut buffer);
        if candidates.is_empty() {
            continue;
        }
        let definitions = definitions(source, table, &candidates, missing.len(), &mut buffer);
        for (name, definition) in missing.iter().zip(definitions) {
            if let Definition::One { symbol, .. } = definition {
                found.insert((*name).to_owned(), symbol);
            }
        }
    }
    found
}

/// Offset in the string table where a wanted name stands, and the name's index.
type Place = (u32, usize);

/// All places of `names` in the string table, ascending.
fn name_places<R: ReadAt + ?Sized>(
    source: &R,
    table: &Table,
    names: &[&str],
    buffer: &mut [u8],
) -> Vec<Place> {
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut places = Vec::new();
    if longest >= buffer.len() / 2 {
        return places;
    }
    let end = table.strings_size.min(TABLE_BYTES_MAX);
    // The buffer holds the tail of the chunk before, so that no name is cut in two.
    let mut carried = 0;
    let mut next = 0_u64;
    while next < end && places.len() < CANDIDATES_MAX {
        let room = (buffer.len() - carried).min(usize::try_from(end - next).unwrap_or(usize::MAX));
        let Some(at) = table.strings_offset.checked_add(next) else {
            break;
        };
        let read = match source.read_at(at, &mut buffer[carried..carried + room]) {
            None | Some(0) => break,
            Some(read) => read,
        };
        let filled = carried + read;
        let base = next - carried as u64;
        collect_places(&buffer[..filled], carried, base, names, &mut places);
        next += read as u64;
        carried = filled.min(longest);
        buffer.copy_within(filled - carried..filled, 0);
    }
    places.sort_unstable();
    places
}

/// Looks at every NUL in `window` from index `fresh` on; `base` is the window's place in the table.
fn collect_places(window: &[u8], fresh: usize, base: u64, names: &[&str], places: &mut Vec<Place>) {
    let mut from = fresh;
    while let Some(distance) = window[from..].iter().position(|byte| *byte == 0) {
        let nul = from + distance;
        for (index, name) in names.iter().enumerate() {
            if window[..nul].ends_with(name.as_bytes()) && places.len() < CANDIDATES_MAX {
                let place = base + (nul - name.len()) as u64;
                if let Ok(place) = u32::try_from(place) {
                    places.push((place, index));
                }
            }
        }
        from = nul + 1;
    }
}

/// What a table says of one name.
#[derive(Clone, Copy)]
enum Definition {
    None,
    One {
        symbol: Symbol,
        local: bool,
    },
    /// Several static symbols of that name at different addresses: none of them is *the* one.
    Ambiguous,
}

impl Definition {
    /// A global symbol beats static ones; the first of equals stays.
    fn with(self, symbol: Symbol, local: bool) -> Definition {
        let new = Definition::One { symbol, local };
        match self {
            Definition::None => new,
            Definition::One { local: true, .. } | Definition::Ambiguous if !local => new,
            Definition::One {
                symbol: old,
                local: true,
            } if old.address != symbol.address => Definition::Ambiguous,
            kept => kept,
        }
    }
}

fn definitions<R: ReadAt + ?Sized>(
    source: &R,
    table: &Table,
    places: &[Place],
    names: usize,
    buffer: &mut [u8],
) -> Vec<Definition> {
    let mut definitions = vec![Definition::None; names];
    let end = table.symbols_size.min(TABLE_BYTES_MAX);
    let mut next = 0_u64;
    while next < end {
        let wanted = buffer
            .len()
            .min(usize::try_from(end - next).unwrap_or(usize::MAX));
        let read = table
            .symbols_offset
            .checked_add(next)
            .and_then(|at| source.read_at(at, &mut buffer[..wanted]))
            .unwrap_or(0);
        for entry in buffer[..read].chunks_exact(ENTRY_BYTES) {
            note_definition(entry, places, &mut definitions);
        }
        if read < wanted {
            break;
        }
        next += read as u64;
    }
    definitions
}

fn note_definition(entry: &[u8], places: &[Place], definitions: &mut [Definition]) {
    let Some(name) = u32_at(entry, 0) else { return };
    let first = places.partition_point(|place| place.0 < name);
    if places.get(first).is_none_or(|place| place.0 != name) {
        return;
    }
    let Some((symbol, local)) = parse_definition(entry) else {
        return;
    };
    for (_, index) in places[first..].iter().take_while(|place| place.0 == name) {
        definitions[*index] = definitions[*index].with(symbol, local);
    }
}

/// A symbol that stands for an address in the image. Thread-local symbols (their value is an
/// offset in the thread's block), undefined and absolute ones do not.
fn parse_definition(entry: &[u8]) -> Option<(Symbol, bool)> {
    let info = *entry.get(4)?;
    let section = u16_at(entry, 6)?;
    let (no_type, object, function, indirect_function) = (0, 1, 2, 10);
    let kind = info & 0xf;
    let addressed = [no_type, object, function, indirect_function].contains(&kind);
    // 0 is SHN_UNDEF; from 0xff00 on are SHN_ABS, SHN_COMMON; 0xffff (SHN_XINDEX) is a real one.
    let defined = section != 0 && (section < 0xff00 || section == 0xffff);
    let symbol = Symbol {
        address: u64_at(entry, 8)?,
        size: u64_at(entry, 16)?,
    };
    (addressed && defined).then_some((symbol, info >> 4 == 0))
}
