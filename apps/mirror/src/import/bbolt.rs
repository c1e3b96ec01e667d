//! Reads a bbolt database, entry by entry in the order of keys. Pure but for what it reads through.
//!
//! ```text
//! page    id u64, flags u16, count u16, overflow u32, then elements; overflow pages follow it
//! meta    (pages 0 and 1) magic, version, page size, flags u32; root bucket: page, sequence u64;
//!         free list, pages in use, transaction u64; FNV-1a of what is before it, u64
//! branch  an element: offset of the key, its length u32, page u64
//! leaf    an element: flags u32, offset, length of the key, length of the value u32
//! bucket  the value of an element with flag 1: page, sequence u64; where the page is 0 the bucket's own
//!         page follows in the value
//! ```
//!
//! Numbers are in the byte order of the machine that wrote them; little-endian is read. Only the meta
//! pages have a checksum: a damaged byte elsewhere is seen only where it breaks the order, a length or
//! the place of something. Source: `internal/common` of go.etcd.io/bbolt 1.4.2.
//!
//! Memory: a node of each level, 256 KiB each at the most and a page as a rule.
//!
//! Not for a database that is being written: its pages change below the reader. Hold its lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

const PAGE_HEADER_BYTES: usize = 16;
const META_BYTES: usize = 64;
const ELEMENT_BYTES: usize = 16;
const BUCKET_BYTES: usize = 16;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const IS_BUCKET: u32 = 0x01;

/// Sizes of pages that operating systems have, and half of what bbolt's tests take.
const PAGE_BYTES_MIN: u32 = 512;
const PAGE_BYTES_MAX: u32 = 64 << 10;
/// A page with its overflow: pages are split when they are full, so only one long entry makes more.
const NODE_BYTES_MAX: u64 = 256 << 10;
/// With two children a branch and pages of 512 bytes, so many levels hold 2 TiB.
const DEPTH_MAX: usize = 32;
/// Names of buckets in an error.
const NAMES_MAX: usize = 5;

/// What is read at any place, such as a file.
pub trait ReadAt {
    /// # Errors
    /// The bytes are not there, or can't be read.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// # Errors
    /// Nobody tells.
    fn length(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let found = self.get(at..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A meta page whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    page_bytes: u32,
    root: u64,
    /// Pages in use: all others have smaller numbers.
    pages: u64,
    transaction: u64,
}

impl Meta {
    /// None where this is no such page.
    ///
    /// # Errors
    /// It is one of another version, or damaged.
    fn parse(page: &[u8]) -> Result<Option<Meta>> {
        let meta = &page[PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + META_BYTES];
        if u32_at(meta, 0) != MAGIC {
            return Ok(None);
        }
        if u64_at(meta, 56) != fnv_1a(&meta[..56]) {
            bail!("the checksum of a meta page is wrong: it is damaged");
        }
        let version = u32_at(meta, 4);
        if version != VERSION {
            bail!("it is of bbolt's format {version}, and {VERSION} is known");
        }
        let page_bytes = u32_at(meta, 8);
        if !page_bytes.is_power_of_two()
            || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes)
            || u16_at(page, 8) != META
        {
            bail!("its pages are said to have {page_bytes} bytes, which none have");
        }
        Ok(Some(Meta {
            page_bytes,
            root: u64_at(meta, 16),
            pages: u64_at(meta, 40),
            transaction: u64_at(meta, 48),
        }))
    }
}

/// A database, open for reading.
#[derive(Debug)]
pub struct Database<'a, R: ?Sized> {
    file: &'a R,
    meta: Meta,
    is_fallback: bool,
}

impl<'a, R: ReadAt + ?Sized> Database<'a, R> {
    /// # Errors
    /// It is no bbolt database, of a version that is not known, cut off, or both meta pages are damaged.
    pub fn open(file: &'a R) -> Result<Database<'a, R>> {
        let length = file.length().context("find its length")?;
        let read = |at: u64| -> Result<Option<Meta>> {
            let mut page = [0; PAGE_HEADER_BYTES + META_BYTES];
            if at.saturating_add(page.len() as u64) > length {
                return Ok(None);
            }
            file.read_at(&mut page, at)
                .with_context(|| format!("read a meta page at byte {at}"))?;
            Meta::parse(&page)
        };
        let first = read(0);
        let second = match &first {
            Ok(Some(meta)) => read(u64::from(meta.page_bytes)),
            // The first is no help, so the second is looked for behind pages of each size.
            _ => (PAGE_BYTES_MIN.ilog2()..=PAGE_BYTES_MAX.ilog2())
                .map(|bits| read(1 << bits))
                .find(|found| !matches!(found, Ok(None)))
                .unwrap_or(Ok(None)),
        };
        let (meta, is_fallback) = match (first, second) {
            (Ok(Some(one)), Ok(Some(two))) if two.transaction > one.transaction => (two, false),
            (Ok(Some(one)), Ok(Some(_))) => (one, false),
            (Ok(Some(meta)), _) | (_, Ok(Some(meta))) => (meta, true),
            (Err(error), _) | (_, Err(error)) => return Err(error),
            (Ok(None), Ok(None)) => bail!("it is no bbolt database: no meta page is in it"),
        };
        let needed = meta.pages.saturating_mul(u64::from(meta.page_bytes));
        if length < needed {
            bail!("it is cut off: it has {length} bytes, and pages in use up to byte {needed}");
        }
        Ok(Database {
            file,
            meta,
            is_fallback,
        })
    }

    /// Whether one of the two meta pages is damaged: what the last transaction wrote may be missing.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        self.is_fallback
    }

    /// The entries of the bucket with this name, of those at the top.
    ///
    /// # Errors
    /// There is none, or what is on the way to it is damaged.
    pub fn bucket(&self, name: &[u8]) -> Result<Entries<'_, R>> {
        let mut buckets = Entries::at_page(self, self.meta.root)?;
        let mut names = Vec::new();
        while buckets.advance()? {
            if buckets.is_bucket() && buckets.key() == name {
                return Entries::of_bucket(self, buckets.value());
            }
            if buckets.is_bucket() && names.len() < NAMES_MAX {
                names.push(format!("\"{}\"", buckets.key().escape_ascii()));
            }
        }
        let names = match names.is_empty() {
            true => "no bucket at all".to_owned(),
            false => names.join(", "),
        };
        bail!("it has no bucket \"{}\", but {names}", name.escape_ascii());
    }

    /// A page with what overflows it.
    fn node(&self, id: u64) -> Result<Node> {
        let page_bytes = u64::from(self.meta.page_bytes);
        if id < 2 || id >= self.meta.pages {
            bail!(
                "it is damaged: something is said to be in page {id}, and pages 2 to {} are in use",
                self.meta.pages.saturating_sub(1)
            );
        }
        let at = id * page_bytes;
        let failed = || format!("read page {id} at byte {at}");
        let mut bytes = vec![0; self.meta.page_bytes as usize];
        self.file.read_at(&mut bytes, at).with_context(failed)?;
        if u64_at(&bytes, 0) != id {
            bail!("page {id} at byte {at} is damaged: it says that it is another");
        }
        let overflow = u64::from(u32_at(&bytes, 12));
        let node_bytes = (overflow + 1) * page_bytes;
        if node_bytes > NODE_BYTES_MAX || overflow >= self.meta.pages - id {
            bail!(
                "page {id} at byte {at} is damaged, or has an entry of more than {NODE_BYTES_MAX} bytes: \
                 {overflow} pages are said to belong to it"
            );
        }
        let head = bytes.len();
        bytes.resize(node_bytes as usize, 0);
        self.file
            .read_at(&mut bytes[head..], at + page_bytes)
            .with_context(failed)?;
        Node::new(bytes).with_context(|| format!("page {id} at byte {at} is damaged"))
    }
}

/// A page in memory, with its elements.
#[derive(Debug)]
struct Node {
    bytes: Vec<u8>,
    is_leaf: bool,
    count: usize,
    /// Of the next element.
    next: usize,
}

impl Node {
    fn new(bytes: Vec<u8>) -> Result<Node> {
        if bytes.len() < PAGE_HEADER_BYTES {
            bail!("it is cut off in its header");
        }
        let count = usize::from(u16_at(&bytes, 10));
        let is_leaf = match u16_at(&bytes, 8) {
            BRANCH => false,
            LEAF => true,
            other => bail!("it is no branch and no leaf, but has the flags {other:#x}"),
        };
        if PAGE_HEADER_BYTES + count * ELEMENT_BYTES > bytes.len() {
            bail!("it has room for fewer elements than the {count} that it counts");
        }
        Ok(Node {
            bytes,
            is_leaf,
            count,
            next: 0,
        })
    }

    /// Where the parts of a leaf's element are: its flags, its key, its value.
    fn leaf_element(&self, index: usize) -> Result<(u32, Span, Span)> {
        let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
        let key = self.span(at, u32_at(&self.bytes, at + 4), u32_at(&self.bytes, at + 8))?;
        let value = self.span(key.1, 0, u32_at(&self.bytes, at + 12))?;
        Ok((u32_at(&self.bytes, at), key, value))
    }

    fn child(&self, index: usize) -> u64 {
        u64_at(&self.bytes, PAGE_HEADER_BYTES + index * ELEMENT_BYTES + 8)
    }

    fn span(&self, from: usize, offset: u32, length: u32) -> Result<Span> {
        let start = from.saturating_add(offset as usize);
        let end = start.saturating_add(length as usize);
        if start < PAGE_HEADER_BYTES + self.count * ELEMENT_BYTES || end > self.bytes.len() {
            bail!("an element is said to be at bytes {start} to {end} of it");
        }
        Ok((start, end))
    }
}

/// From and to, in a node.
type Span = (usize, usize);

/// Goes through a bucket in the order of keys, its own buckets included.
#[derive(Debug)]
pub struct Entries<'a, R: ?Sized> {
    database: &'a Database<'a, R>,
    /// From the root down.
    nodes: Vec<Node>,
    /// Pages that may still be visited: there are no more.
    pages_left: u64,
    key: Vec<u8>,
    value: Span,
    is_bucket: bool,
    is_first: bool,
}

impl<'a, R: ReadAt + ?Sized> Entries<'a, R> {
    fn at_page(database: &'a Database<'a, R>, page: u64) -> Result<Entries<'a, R>> {
        let mut entries = Entries {
            database,
            nodes: Vec::new(),
            pages_left: database.meta.pages,
            key: Vec::new(),
            value: (0, 0),
            is_bucket: false,
            is_first: true,
        };
        entries.descend(page)?;
        Ok(entries)
    }

    fn of_bucket(database: &'a Database<'a, R>, value: &[u8]) -> Result<Entries<'a, R>> {
        if value.len() < BUCKET_BYTES {
            bail!("it is damaged: its bucket is cut off");
        }
        let page = u64_at(value, 0);
        if page != 0 {
            return Entries::at_page(database, page);
        }
        let node = Node::new(value[BUCKET_BYTES..].to_vec())
            .context("its bucket, which is in a page of another, is damaged")?;
        if !node.is_leaf {
            bail!("it is damaged: its bucket is no leaf, and in the page of another");
        }
        Ok(Entries {
            database,
            nodes: vec![node],
            pages_left: 0,
            key: Vec::new(),
            value: (0, 0),
            is_bucket: false,
            is_first: true,
        })
    }

    fn descend(&mut self, page: u64) -> Result<()> {
        if self.nodes.len() >= DEPTH_MAX {
            bail!("it is damaged: page {page} is below {DEPTH_MAX} others, or below itself");
        }
        if self.pages_left == 0 {
            bail!("it is damaged: page {page} or another is reached more than once");
        }
        self.pages_left -= 1;
        self.nodes.push(self.database.node(page)?);
        Ok(())
    }

    /// To the next entry; false behind the last.
    ///
    /// # Errors
    /// The file can't be read or is damaged; its keys do not rise.
    pub fn advance(&mut self) -> Result<bool> {
        loop {
            let Some(node) = self.nodes.last_mut() else {
                return Ok(false);
            };
            if node.next >= node.count {
                // What was given last is in no node any more.
                self.value = (0, 0);
                self.nodes.pop();
                continue;
            }
            let index = node.next;
            node.next += 1;
            if !node.is_leaf {
                let page = node.child(index);
                self.descend(page)?;
                continue;
            }
            let (flags, key, value) = node.leaf_element(index)?;
            let key = &node.bytes[key.0..key.1];
            if !self.is_first && *key <= self.key[..] {
                bail!(
                    "it is damaged: its keys do not rise from \"{}\" to \"{}\"",
                    self.key.escape_ascii(),
                    key.escape_ascii()
                );
            }
            self.is_first = false;
            self.key.clear();
            self.key.extend_from_slice(key);
            self.value = value;
            self.is_bucket = flags & IS_BUCKET != 0;
            return Ok(true);
        }
    }

    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    #[must_use]
    pub fn value(&self) -> &[u8] {
        let node = self.nodes.last();
        node.map_or(&[], |node| &node.bytes[self.value.0..self.value.1])
    }

    /// Whether this is no entry but a bucket in the bucket.
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        self.is_bucket
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The hash of Fowler, Noll and Vo, in 64 bits.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
#[path = "bbolt_tests.rs"]
mod tests;
