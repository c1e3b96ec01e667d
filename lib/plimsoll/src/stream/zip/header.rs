//! Headers of ZIP as bytes: what an entry's change of place or name changes in them, and nothing
//! else. Sections are those of PKWARE's APPNOTE.TXT 6.3.10. Pure; memory: one record, at most 192 KiB.

use super::entry::{ZipMethod, ZipPlace};

pub(super) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// Of the fixed part of a local header (4.3.7) and of a record of the directory (4.3.12).
pub(super) const LOCAL_BYTES: usize = 30;
pub(super) const CENTRAL_BYTES: usize = 46;
/// Signature, CRC and two sizes of 8 bytes (4.3.9).
pub(super) const DESCRIPTOR_BYTES_MAX: usize = 24;

/// CRC and sizes follow the data (4.4.4, bit 3).
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// Name and comment are UTF-8 (bit 11).
pub(super) const FLAG_UTF8: u16 = 1 << 11;

/// ZIP64 sizes and offset (4.5.3), and the name once more with the CRC of the old one (4.6.9).
const EXTRA_ZIP64: u16 = 0x0001;
const EXTRA_UNICODE_NAME: u16 = 0x7075;
/// Seconds since 1970, of Info-ZIP.
const EXTRA_TIME: u16 = 0x5455;

/// What can be unpacked by version 2.0, and what only by 4.5, which knows ZIP64 (4.4.3).
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Name and extra fields behind a local header.
pub(super) fn local_rest(header: &[u8]) -> usize {
    usize::from(u16_at(header, 26)) + usize::from(u16_at(header, 28))
}

/// Name, extra fields and comment behind a record.
pub(super) fn central_rest(record: &[u8]) -> usize {
    [28, 30, 32]
        .map(|at| usize::from(u16_at(record, at)))
        .iter()
        .sum()
}

/// How long the descriptor is that `after`, the bytes behind the data, begins with: with a signature
/// or without, sizes of 8 or 4 bytes; None if none of them says what the directory says.
pub(super) fn descriptor_bytes(after: &[u8], place: &ZipPlace) -> Option<usize> {
    let mut expected = Vec::with_capacity(DESCRIPTOR_BYTES_MAX);
    // The longest first: of an empty entry the shorter one is the beginning of the longer one.
    for (has_signature, is_wide) in [(true, true), (true, false), (false, true), (false, false)] {
        expected.clear();
        if has_signature {
            expected.extend(DESCRIPTOR_SIGNATURE.to_le_bytes());
        }
        expected.extend(place.crc32.to_le_bytes());
        for size in [place.stored_bytes, place.content_bytes] {
            match u32::try_from(size) {
                _ if is_wide => expected.extend(size.to_le_bytes()),
                Ok(size) => expected.extend(size.to_le_bytes()),
                Err(_) => expected.push(0),
            }
        }
        let length = 4 * usize::from(has_signature) + if is_wide { 20 } else { 12 };
        if expected.len() == length && after.starts_with(&expected) {
            return Some(length);
        }
    }
    None
}

/// The fields of an extra part that `keep` wants; what comes after the last whole field stays.
fn filter_extra(extra: &[u8], mut keep: impl FnMut(u16, &[u8]) -> bool) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::with_capacity(extra.len()), extra);
    while rest.len() >= 4 {
        let length = 4 + usize::from(u16_at(rest, 2));
        let Some((field, others)) = rest.split_at_checked(length) else {
            break;
        };
        if keep(u16_at(field, 0), &field[4..]) {
            kept.extend(field);
        }
        rest = others;
    }
    kept.extend(rest);
    kept
}

/// Flags of an entry with a new name, or why it can't have it.
pub(super) fn flags_with(name: &[u8], comment: &[u8], flags: u16) -> Result<u16, &'static str> {
    if name.is_ascii() {
        return Ok(flags);
    }
    let changed = match std::str::from_utf8(name) {
        Ok(_) => flags | FLAG_UTF8,
        Err(_) => flags & !FLAG_UTF8,
    };
    if changed != flags && !comment.is_ascii() {
        return Err("its comment is in another encoding than the new name, and they share one");
    }
    Ok(changed)
}

/// A record of the directory for an entry that is now at `offset` and perhaps has a new name.
pub(super) fn relocate(
    record: &[u8],
    offset: u64,
    name: Option<&[u8]>,
) -> Result<Vec<u8>, &'static str> {
    let (fixed, rest) = record.split_at(CENTRAL_BYTES);
    if u16_at(fixed, 34) != 0 {
        return Err("its archive is in several files");
    }
    let (old_name, rest) = rest.split_at(usize::from(u16_at(fixed, 28)));
    let (extra, comment) = rest.split_at(usize::from(u16_at(fixed, 30)));
    let new_name = name.unwrap_or(old_name);
    let mut changed = fixed.to_vec();
    if let Some(name) = name {
        let flags = flags_with(name, comment, u16_at(fixed, 8))?;
        put(&mut changed, 8, &flags.to_le_bytes());
    }
    let mut extra = filter_extra(extra, |id, _| name.is_none() || id != EXTRA_UNICODE_NAME);
    let had_wide = u32_at(fixed, 42) == u32::MAX;
    match u32::try_from(offset) {
        Ok(narrow) if narrow != u32::MAX && !had_wide => {
            put(&mut changed, 42, &narrow.to_le_bytes());
        }
        _ => {
            put(&mut changed, 42, &u32::MAX.to_le_bytes());
            let sizes = [20, 24].map(|at| usize::from(u32_at(fixed, at) == u32::MAX));
            extra = with_wide_offset(&extra, 8 * (sizes[0] + sizes[1]), had_wide, offset)?;
            let needed = u16_at(fixed, 6).max(VERSION_ZIP64);
            put(&mut changed, 6, &needed.to_le_bytes());
        }
    }
    let too_long = "its name or extra fields would be longer than 65,535 bytes";
    let lengths = [new_name.len(), extra.len()].map(u16::try_from);
    let [Ok(name_bytes), Ok(extra_bytes)] = lengths else {
        return Err(too_long);
    };
    put(&mut changed, 28, &name_bytes.to_le_bytes());
    put(&mut changed, 30, &extra_bytes.to_le_bytes());
    for part in [new_name, &extra, comment] {
        changed.extend(part);
    }
    Ok(changed)
}

/// Extra fields whose ZIP64 field tells `offset` behind `before` bytes of sizes. A field of its own
/// where there is none.
fn with_wide_offset(
    extra: &[u8],
    before: usize,
    had_wide: bool,
    offset: u64,
) -> Result<Vec<u8>, &'static str> {
    let mut field = Vec::new();
    let others = filter_extra(extra, |id, data| {
        let is_first = id == EXTRA_ZIP64 && field.is_empty();
        if is_first {
            field.extend(data);
        }
        !is_first
    });
    let after = before + if had_wide { 8 } else { 0 };
    if field.len() < after {
        return Err("its ZIP64 field is too short");
    }
    field.splice(before..after, offset.to_le_bytes());
    let length = u16::try_from(field.len()).map_err(|_| "its ZIP64 field is too long")?;
    let mut changed = Vec::with_capacity(4 + field.len() + others.len());
    changed.extend(EXTRA_ZIP64.to_le_bytes());
    changed.extend(length.to_le_bytes());
    changed.extend(field);
    changed.extend(others);
    Ok(changed)
}

/// A local header, name and extra fields included, under a new name and with the flags of its record.
pub(super) fn rename_local(
    header: &[u8],
    name: &[u8],
    record: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let name_end = LOCAL_BYTES + usize::from(u16_at(header, 26));
    let extra = filter_extra(&header[name_end..], |id, _| id != EXTRA_UNICODE_NAME);
    let name_bytes = u16::try_from(name.len()).map_err(|_| "its name is too long")?;
    let extra_bytes = u16::try_from(extra.len()).map_err(|_| "its extra fields are too long")?;
    let mut changed = header[..LOCAL_BYTES].to_vec();
    let utf8 = u16_at(record, 8) & FLAG_UTF8;
    let flags = (u16_at(header, 6) & !FLAG_UTF8) | utf8;
    put(&mut changed, 6, &flags.to_le_bytes());
    put(&mut changed, 26, &name_bytes.to_le_bytes());
    put(&mut changed, 28, &extra_bytes.to_le_bytes());
    changed.extend(name);
    changed.extend(extra);
    Ok(changed)
}

/// An entry that is written anew.
#[derive(Debug)]
pub(super) struct Fresh<'a> {
    pub(super) name: &'a [u8],
    pub(super) comment: &'a [u8],
    pub(super) method: ZipMethod,
    pub(super) flags: u16,
    pub(super) made_by: u16,
    /// Time, then date, as the format has them (4.4.6).
    pub(super) dos_time: [u16; 2],
    pub(super) seconds: Option<u32>,
    pub(super) attributes: u32,
}

/// What is known of it when its data is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contents {
    pub(super) crc32: u32,
    pub(super) stored_bytes: u64,
    pub(super) content_bytes: u64,
}

impl Contents {
    /// Whether the sizes need 8 bytes each.
    pub(super) fn is_wide(&self) -> bool {
        self.stored_bytes.max(self.content_bytes) >= u64::from(u32::MAX)
    }

    /// What follows the data of an entry whose sizes don't fit its header.
    pub(super) fn descriptor(&self) -> Vec<u8> {
        let mut bytes = DESCRIPTOR_SIGNATURE.to_le_bytes().to_vec();
        bytes.extend(self.crc32.to_le_bytes());
        bytes.extend(self.stored_bytes.to_le_bytes());
        bytes.extend(self.content_bytes.to_le_bytes());
        bytes
    }
}

impl Fresh<'_> {
    /// Lengths are checked before.
    fn common(&self, contents: &Contents) -> Vec<u8> {
        let is_wide = contents.is_wide();
        let needed = if is_wide { VERSION_ZIP64 } else { VERSION };
        let flags = self.flags | if is_wide { FLAG_DESCRIPTOR } else { 0 };
        let [time, date] = self.dos_time;
        [needed, flags, self.method.number(), time, date]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn time_field(&self) -> Vec<u8> {
        let Some(seconds) = self.seconds else {
            return Vec::new();
        };
        let mut field = EXTRA_TIME.to_le_bytes().to_vec();
        // Five bytes: which times there are (the last change), and that one.
        field.extend([5, 0, 1]);
        field.extend(seconds.to_le_bytes());
        field
    }

    /// The local header. It is as long before the contents are known as after.
    pub(super) fn local(&self, contents: &Contents) -> Vec<u8> {
        let extra = self.time_field();
        let mut header = LOCAL_SIGNATURE.to_le_bytes().to_vec();
        header.extend(self.common(contents));
        let narrow = if contents.is_wide() {
            [0; 3]
        } else {
            [
                contents.crc32,
                contents.stored_bytes as u32,
                contents.content_bytes as u32,
            ]
        };
        header.extend(narrow.iter().flat_map(|number| number.to_le_bytes()));
        header.extend((self.name.len() as u16).to_le_bytes());
        header.extend((extra.len() as u16).to_le_bytes());
        header.extend(self.name);
        header.extend(extra);
        header
    }

    /// The record of the directory, at offset 0: see [`relocate`].
    pub(super) fn central(&self, contents: &Contents) -> Vec<u8> {
        let mut extra = Vec::new();
        let mut narrow = [
            contents.crc32,
            contents.stored_bytes as u32,
            contents.content_bytes as u32,
        ];
        if contents.is_wide() {
            narrow[1..].fill(u32::MAX);
            extra.extend(EXTRA_ZIP64.to_le_bytes());
            extra.extend(16_u16.to_le_bytes());
            extra.extend(contents.content_bytes.to_le_bytes());
            extra.extend(contents.stored_bytes.to_le_bytes());
        }
        extra.extend(self.time_field());
        let mut record = CENTRAL_SIGNATURE.to_le_bytes().to_vec();
        record.extend(self.made_by.to_le_bytes());
        record.extend(self.common(contents));
        record.extend(narrow.iter().flat_map(|number| number.to_le_bytes()));
        for length in [self.name.len(), extra.len(), self.comment.len()] {
            record.extend((length as u16).to_le_bytes());
        }
        // Disk and internal attributes.
        record.extend([0; 4]);
        record.extend(self.attributes.to_le_bytes());
        record.extend([0; 4]);
        for part in [self.name, &extra, self.comment] {
            record.extend(part);
        }
        record
    }
}

/// The end of the archive (4.3.14 to 4.3.16): with ZIP64 only where numbers don't fit otherwise.
pub(super) fn end(entries: u64, directory_at: u64, end: u64, comment: &[u8]) -> Vec<u8> {
    let size = end - directory_at;
    let mut bytes = Vec::with_capacity(98 + comment.len());
    let is_wide = entries >= 0xffff || size.max(directory_at) >= u64::from(u32::MAX);
    if is_wide {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend(
            [VERSION_ZIP64, VERSION_ZIP64]
                .map(u16::to_le_bytes)
                .concat(),
        );
        bytes.extend([0; 8]);
        bytes.extend(
            [entries, entries, size, directory_at]
                .map(u64::to_le_bytes)
                .concat(),
        );
        bytes.extend(b"PK\x06\x07");
        bytes.extend([0; 4]);
        bytes.extend(end.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    let count = entries.min(0xffff) as u16;
    bytes.extend(b"PK\x05\x06");
    bytes.extend([0; 4]);
    bytes.extend([count, count].map(u16::to_le_bytes).concat());
    for number in [size, directory_at] {
        bytes.extend((number.min(u64::from(u32::MAX)) as u32).to_le_bytes());
    }
    bytes.extend((comment.len() as u16).to_le_bytes());
    bytes.extend(comment);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
    }

    fn fresh() -> Fresh<'static> {
        Fresh {
            name: b"page.jpg",
            comment: b"kept",
            method: ZipMethod::Stored,
            flags: 0,
            made_by: 0x0314,
            dos_time: [1, 2],
            seconds: Some(7),
            attributes: 0o100_644 << 16,
        }
    }

    const SMALL: Contents = Contents {
        crc32: 1,
        stored_bytes: 2,
        content_bytes: 3,
    };

    /// (narrow offset, ZIP64 field without its head)
    fn offset_of(record: &[u8]) -> (u32, Vec<u8>) {
        let name = usize::from(u16_at(record, 28));
        let extra = usize::from(u16_at(record, 30));
        let mut wide = Vec::new();
        filter_extra(&record[CENTRAL_BYTES + name..][..extra], |id, data| {
            if id == EXTRA_ZIP64 {
                wide.extend(data);
            }
            true
        });
        (u32_at(record, 42), wide)
    }

    #[test]
    fn a_place_beyond_4_gib_takes_a_zip64_field_and_keeps_what_was_there() {
        let small = fresh().central(&SMALL);
        let near = relocate(&small, 77, None).unwrap();
        assert_eq!(offset_of(&near), (77, vec![]));
        let far = 0x1_2345_6789_u64;
        let moved = relocate(&near, far, None).unwrap();
        assert_eq!(offset_of(&moved), (u32::MAX, far.to_le_bytes().to_vec()));
        assert_eq!(u16_at(&moved, 6), 45);
        assert!(moved.ends_with(b"kept"));
        // Back again it stays wide: nothing but the number changes.
        let back = relocate(&moved, 5, None).unwrap();
        assert_eq!(offset_of(&back), (u32::MAX, 5_u64.to_le_bytes().to_vec()));
        assert_eq!(back.len(), moved.len());
        // The value itself marks a wide one.
        let mark = relocate(&small, u64::from(u32::MAX), None).unwrap();
        assert_eq!(u64_at(&offset_of(&mark).1, 0), u64::from(u32::MAX));

        let large = Contents {
            content_bytes: 5 << 30,
            stored_bytes: 4 << 30,
            crc32: 1,
        };
        let record = fresh().central(&large);
        for (offset, length) in [(9, 16), (far, 24)] {
            let (narrow, wide) = offset_of(&relocate(&record, offset, None).unwrap());
            assert_eq!(wide.len(), length);
            assert_eq!((u64_at(&wide, 0), u64_at(&wide, 8)), (5 << 30, 4 << 30));
            let found = if length == 24 {
                u64_at(&wide, 16)
            } else {
                narrow.into()
            };
            assert_eq!(found, offset);
        }
    }

    #[test]
    fn descriptors_of_all_four_kinds_are_found_and_others_not() {
        let place = |stored_bytes, content_bytes, crc32| ZipPlace {
            header_at: 0,
            stored_bytes,
            content_bytes,
            crc32,
            method: ZipMethod::Stored,
            is_encrypted: false,
        };
        let check = |place: ZipPlace, is_wide: bool, signature: bool| {
            let mut bytes = Vec::new();
            if signature {
                bytes.extend(DESCRIPTOR_SIGNATURE.to_le_bytes());
            }
            bytes.extend(place.crc32.to_le_bytes());
            for size in [place.stored_bytes, place.content_bytes] {
                let wide = size.to_le_bytes();
                bytes.extend(if is_wide { &wide[..] } else { &wide[..4] });
            }
            let length = bytes.len();
            bytes.extend(b"PK\x01\x02 and more");
            assert_eq!(descriptor_bytes(&bytes[..24], &place), Some(length));
            if place.content_bytes == 0 {
                // The shorter kind is the beginning of the longer one.
                return;
            }
            bytes[length - 1] ^= 1;
            assert_eq!(descriptor_bytes(&bytes[..24], &place), None);
            assert_eq!(descriptor_bytes(&bytes[..length - 1], &place), None);
        };
        for (is_wide, signature) in [(true, true), (true, false), (false, true), (false, false)] {
            check(place(5, 9, 0xabcd), is_wide, signature);
            check(place(0, 0, 0), is_wide, signature);
            check(place(2, 0, 0), is_wide, signature);
        }
        check(place(5 << 30, 6 << 30, 1), true, true);
    }

    #[test]
    fn a_new_name_has_its_own_encoding() {
        let record = fresh().central(&SMALL);
        let renamed = relocate(&record, 0, Some("é".as_bytes())).unwrap();
        assert_eq!(u16_at(&renamed, 8), FLAG_UTF8);
        let renamed = relocate(&renamed, 0, Some(b"\x82")).unwrap();
        assert_eq!(u16_at(&renamed, 8), 0);
        assert!(flags_with("é".as_bytes(), b"\x82", 0).is_err());
        assert_eq!(flags_with(b"e", b"\x82", 0), Ok(0));
    }
}
