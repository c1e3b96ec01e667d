//! Counters that a JVM publishes in shared memory (hsperfdata, version 2.0; what jstat reads):
//! a prologue with a magic number and a list of named entries.

use std::collections::BTreeMap;

use super::words;

/// The area is 32 KiB unless -XX:PerfDataMemorySize says otherwise.
pub(crate) const SIZE_MAX: u64 = 1 << 20;

/// First bytes of the prologue, in this order on every machine.
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const PROLOGUE: usize = 32;
const ENTRY: usize = 20;
const TYPE_LONG: u8 = b'J';

/// The `long` counters by name; empty when `area` is not hsperfdata.
pub(crate) fn parse_counters(area: &[u8]) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    let is_native_order = area.get(4) == Some(&u8::from(cfg!(target_endian = "little")));
    if !area.starts_with(&MAGIC) || area.len() < PROLOGUE || !is_native_order || area[5] != 2 {
        return counters;
    }
    let mut at = words::u32_at(area, 24) as usize;
    for _ in 0..words::u32_at(area, 28) {
        let Some(entry) = area.get(at..).filter(|entry| entry.len() >= ENTRY) else {
            break;
        };
        let length = words::u32_at(entry, 0) as usize;
        if length < ENTRY || length > entry.len() {
            break;
        }
        let entry = &entry[..length];
        if let Some((name, value)) = parse_long(entry) {
            counters.insert(name, value);
        }
        at += length;
    }
    counters
}

fn parse_long(entry: &[u8]) -> Option<(String, u64)> {
    let name_at = words::u32_at(entry, 4) as usize;
    let data_at = words::u32_at(entry, 16) as usize;
    if words::u32_at(entry, 8) != 0 || entry[12] != TYPE_LONG {
        return None;
    }
    let name = entry.get(name_at..)?.split(|byte| *byte == 0).next()?;
    let data = entry.get(data_at..data_at.checked_add(8)?)?;
    Some((
        str::from_utf8(name).ok()?.to_owned(),
        words::u64_at(data, 0),
    ))
}

/// Bytes of objects in all spaces of all generations.
pub(crate) fn heap_used(counters: &BTreeMap<String, u64>) -> Option<u64> {
    let mut spaces = counters
        .iter()
        .filter(|(name, _)| name.starts_with("sun.gc.generation.") && name.ends_with(".used"))
        .map(|(_, used)| *used)
        .peekable();
    spaces.peek()?;
    Some(spaces.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: u64) -> Vec<u8> {
        let data_at = (ENTRY + name.len() + 1).next_multiple_of(8);
        let mut bytes = vec![0; data_at + 8];
        bytes[0..4].copy_from_slice(&((data_at + 8) as u32).to_ne_bytes());
        bytes[4..8].copy_from_slice(&(ENTRY as u32).to_ne_bytes());
        bytes[12] = TYPE_LONG;
        bytes[16..20].copy_from_slice(&(data_at as u32).to_ne_bytes());
        bytes[ENTRY..ENTRY + name.len()].copy_from_slice(name.as_bytes());
        bytes[data_at..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    fn area(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut area = vec![0; PROLOGUE];
        area[..4].copy_from_slice(&MAGIC);
        area[4] = u8::from(cfg!(target_endian = "little"));
        area[5] = 2;
        area[24..28].copy_from_slice(&(PROLOGUE as u32).to_ne_bytes());
        area[28..32].copy_from_slice(&(entries.len() as u32).to_ne_bytes());
        area.extend(entries.concat());
        area
    }

    #[test]
    fn sums_the_spaces_of_all_generations() {
        let counters = parse_counters(&area(&[
            entry("sun.gc.generation.0.space.0.used", 100),
            entry("sun.gc.generation.0.space.0.capacity", 1000),
            entry("sun.gc.generation.1.space.0.used", 23),
            entry("sun.gc.metaspace.used", 7),
        ]));
        assert_eq!(counters.len(), 4);
        assert_eq!(heap_used(&counters), Some(123));
        assert_eq!(heap_used(&BTreeMap::new()), None);
    }

    #[test]
    fn foreign_bytes_have_no_counters() {
        assert!(parse_counters(&[]).is_empty());
        assert!(parse_counters(&[0; 64]).is_empty());
        let mut broken = area(&[entry("a.used", 1)]);
        broken[PROLOGUE] = 0xff;
        broken[PROLOGUE + 1] = 0xff;
        assert!(parse_counters(&broken).is_empty());
        let whole = area(&[entry("sun.gc.generation.0.space.0.used", 1)]);
        for length in 0..whole.len() {
            assert!(parse_counters(&whole[..length]).is_empty(), "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(tail: Vec<u8>) {
            let mut bytes = area(&[]);
            bytes[28] = 9;
            bytes.extend(tail);
            parse_counters(&bytes);
        }
    }
}
