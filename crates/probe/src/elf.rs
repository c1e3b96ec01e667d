//! ELF facts of a program or library: segments, interpreter, and the addresses of a few symbols.
//!
//! Main function: [`read_image`]. It is for 64-bit little-endian files; others are refused. Not a
//! general ELF reader: a damaged or hostile file gives `None` or fewer facts, never an error.
//!
//! Memory cost: under 1 MiB whatever the size of the file. Symbol tables are streamed in chunks
//! and never held; all reads are pread(2) of the parts that are needed.

mod symbols;

use std::fs::File;
use std::os::unix::fs::FileExt;

use plimsoll_model::{Image, Segment};

/// Bytes of the file at hand, by offset. A short answer means the end of the file.
pub(crate) trait ReadAt {
    /// Reads until `buffer` is full or the source ends; `None` on an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<usize>;

    /// As `read_at`, but `None` unless the whole buffer was filled.
    fn read_exactly(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        (self.read_at(offset, buffer)? == buffer.len()).then_some(())
    }
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.checked_add(filled as u64)?;
            match FileExt::read_at(self, &mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(filled)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Some(count)
    }
}

/// Reads the image of an open file, and the `wanted` symbols that it defines. With no name wanted
/// the symbol tables are not read at all. `None`: not a 64-bit little-endian ELF program or library.
#[must_use]
pub fn read_image(file: &File, wanted: &[&str]) -> Option<Image> {
    image_of(file, wanted)
}

pub(crate) fn image_of<R: ReadAt + ?Sized>(source: &R, wanted: &[&str]) -> Option<Image> {
    let header = Header::read(source)?;
    let mut image = Image::default();
    read_program_headers(source, &header, &mut image)?;
    // Section headers serve tools, not the loader: a file may run well without them.
    let sections = read_sections(source, &header).unwrap_or_default();
    image.has_symbol_table = sections.iter().any(|section| section.kind == SHT_SYMTAB);
    image.is_go = has_section_named(source, &header, &sections, b".go.buildinfo\0");
    if !wanted.is_empty() {
        let tables: Vec<symbols::Table> = [SHT_DYNSYM, SHT_SYMTAB]
            .iter()
            .filter_map(|kind| symbol_table(&sections, *kind))
            .collect();
        image.symbols = symbols::find(source, &tables, wanted);
    }
    Some(image)
}

const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;

/// Real programs have about 15; the kernel itself refuses tables over 64 KiB.
const PROGRAM_HEADERS_MAX: u16 = 1170;
/// Real programs have about 40; beyond this the table is ignored.
const SECTIONS_MAX: u64 = 4096;
/// The kernel's own bound for the interpreter's path (PATH_MAX).
const INTERPRETER_BYTES_MAX: u64 = 4096;

struct Header {
    program_offset: u64,
    program_count: u16,
    section_offset: u64,
    section_count: u16,
    section_names: u16,
}

impl Header {
    fn read<R: ReadAt + ?Sized>(source: &R) -> Option<Header> {
        let mut bytes = [0; 64];
        source.read_exactly(0, &mut bytes)?;
        let elf64_little = bytes.starts_with(b"\x7fELF\x02\x01");
        let kind = u16_at(&bytes, 16)?;
        let (executable, shared) = (2, 3);
        let entries_fit = u16_at(&bytes, 54)? == 56;
        let usable = elf64_little && (kind == executable || kind == shared) && entries_fit;
        // Sections of an unknown entry size are as good as none.
        let section_count = if u16_at(&bytes, 58)? == 64 {
            u16_at(&bytes, 60)?
        } else {
            0
        };
        usable.then_some(Header {
            program_offset: u64_at(&bytes, 32)?,
            program_count: u16_at(&bytes, 56)?.min(PROGRAM_HEADERS_MAX),
            section_offset: u64_at(&bytes, 40)?,
            section_count,
            section_names: u16_at(&bytes, 62)?,
        })
    }
}

fn read_program_headers<R: ReadAt + ?Sized>(
    source: &R,
    header: &Header,
    image: &mut Image,
) -> Option<()> {
    let mut table = vec![0; usize::from(header.program_count) * 56];
    source.read_exactly(header.program_offset, &mut table)?;
    for entry in table.chunks_exact(56) {
        let flags = u32_at(entry, 4)?;
        let segment = Segment {
            offset: u64_at(entry, 8)?,
            address: u64_at(entry, 16)?,
            file_size: u64_at(entry, 32)?,
            memory_size: u64_at(entry, 40)?,
            writable: flags & 2 != 0,
            executable: flags & 1 != 0,
        };
        match u32_at(entry, 0)? {
            PT_LOAD => image.segments.push(segment),
            PT_TLS => image.tls_size = segment.memory_size,
            PT_INTERP => image.interpreter = read_interpreter(source, &segment),
            _ => {}
        }
    }
    image.segments.sort_by_key(|segment| segment.address);
    Some(())
}

fn read_interpreter<R: ReadAt + ?Sized>(source: &R, segment: &Segment) -> Option<String> {
    let size = usize::try_from(segment.file_size.min(INTERPRETER_BYTES_MAX)).ok()?;
    let mut path = vec![0; size];
    source.read_exactly(segment.offset, &mut path)?;
    let end = path.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&path[..end]).into_owned())
}

#[derive(Clone, Copy, Debug)]
struct Section {
    name: u32,
    kind: u32,
    offset: u64,
    size: u64,
    link: u32,
}

fn read_sections<R: ReadAt + ?Sized>(source: &R, header: &Header) -> Option<Vec<Section>> {
    if header.section_offset == 0 {
        return None;
    }
    let mut entry = [0; 64];
    let mut count = u64::from(header.section_count);
    if count == 0 {
        // More than 0xff00 sections: the true count is the size of the first one (elf(5)).
        source.read_exactly(header.section_offset, &mut entry)?;
        count = u64_at(&entry, 32)?;
    }
    if count > SECTIONS_MAX {
        return None;
    }
    let mut table = vec![0; usize::try_from(count).ok()? * 64];
    source.read_exactly(header.section_offset, &mut table)?;
    table
        .chunks_exact(64)
        .map(|entry| {
            Some(Section {
                name: u32_at(entry, 0)?,
                kind: u32_at(entry, 4)?,
                offset: u64_at(entry, 24)?,
                size: u64_at(entry, 32)?,
                link: u32_at(entry, 40)?,
            })
        })
        .collect()
}

/// `name` with its closing NUL. Names may share tails, so a name counts only where a section
/// header points at.
fn has_section_named<R: ReadAt + ?Sized>(
    source: &R,
    header: &Header,
    sections: &[Section],
    name: &[u8],
) -> bool {
    let Some(names) = sections.get(usize::from(header.section_names)) else {
        return false;
    };
    let mut found = vec![0; name.len()];
    sections.iter().any(|section| {
        names
            .offset
            .checked_add(u64::from(section.name))
            .and_then(|offset| source.read_exactly(offset, &mut found))
            .is_some_and(|()| found == name)
    })
}

fn symbol_table(sections: &[Section], kind: u32) -> Option<symbols::Table> {
    let table = sections.iter().find(|section| section.kind == kind)?;
    let strings = sections.get(usize::try_from(table.link).ok()?)?;
    Some(symbols::Table {
        symbols_offset: table.offset,
        symbols_size: table.size,
        strings_offset: strings.offset,
        strings_size: strings.size,
    })
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests;
