//! Reads a package's header as rpm keeps it in its database (rpm `lib/header.c`): two big-endian
//! counts, an index of 16-byte entries (tag, type, offset, count), then the data. Pure, and reads
//! in place: nothing in the header is trusted, every access is checked.

/// Tags of rpm's `include/rpm/rpmtag.h`.
const TAG_NAME: u32 = 1000;
const TAG_VERSION: u32 = 1001;
const TAG_RELEASE: u32 = 1002;
const TAG_EPOCH: u32 = 1003;
const TAG_FILE_STATES: u32 = 1029;
const TAG_DIR_INDEXES: u32 = 1116;
const TAG_BASE_NAMES: u32 = 1117;
const TAG_DIR_NAMES: u32 = 1118;

/// File states of rpm's `rpmfi.h` in which this package's file is the one on disk.
const STATE_NORMAL: u8 = 0;
const STATE_NET_SHARED: u8 = 3;

const INDEX_ENTRY_BYTES: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// `None` when the counts do not fit the bytes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Header<'a>> {
        let entries = usize::try_from(word(bytes, 0)?).ok()?;
        let data_length = usize::try_from(word(bytes, 4)?).ok()?;
        let index_end = entries.checked_mul(INDEX_ENTRY_BYTES)?.checked_add(8)?;
        let data_end = index_end.checked_add(data_length)?;
        Some(Header {
            index: bytes.get(8..index_end)?,
            data: bytes.get(index_end..data_end)?,
        })
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.text(TAG_NAME)
    }

    /// `VERSION-RELEASE`, with `EPOCH:` before it when there is one.
    pub(crate) fn version(&self) -> Option<String> {
        let version = self.text(TAG_VERSION)?;
        let release = self.text(TAG_RELEASE)?;
        Some(match self.number(TAG_EPOCH, 0) {
            Some(epoch) => format!("{epoch}:{version}-{release}"),
            None => format!("{version}-{release}"),
        })
    }

    /// Whether the file number `file` of the package is `folder` (with a `/` at its end) and
    /// `name`, and is installed.
    pub(crate) fn installed(&self, file: usize, folder: &[u8], name: &[u8]) -> bool {
        let is_here = match self.entry(TAG_FILE_STATES) {
            Some((data, count)) => {
                file < count && matches!(data.get(file), Some(&(STATE_NORMAL | STATE_NET_SHARED)))
            }
            None => true,
        };
        let folder_number = self
            .number(TAG_DIR_INDEXES, file)
            .and_then(|number| usize::try_from(number).ok());
        is_here
            && self.string(TAG_BASE_NAMES, file) == Some(name)
            && folder_number.and_then(|number| self.string(TAG_DIR_NAMES, number)) == Some(folder)
    }

    fn text(&self, tag: u32) -> Option<String> {
        let text = self.string(tag, 0)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn string(&self, tag: u32, at: usize) -> Option<&'a [u8]> {
        let (data, count) = self.entry(tag)?;
        if at >= count {
            return None;
        }
        let mut rest = data;
        for _ in 0..at {
            let end = memchr::memchr(0, rest)?;
            rest = &rest[end + 1..];
        }
        memchr::memchr(0, rest).map(|end| &rest[..end])
    }

    fn number(&self, tag: u32, at: usize) -> Option<u32> {
        let (data, count) = self.entry(tag)?;
        if at >= count {
            return None;
        }
        word(data, at.checked_mul(4)?)
    }

    /// The data from a tag's first value on, and how many values it has.
    fn entry(&self, tag: u32) -> Option<(&'a [u8], usize)> {
        let entry = self
            .index
            .chunks_exact(INDEX_ENTRY_BYTES)
            .find(|entry| word(entry, 0) == Some(tag))?;
        let offset = usize::try_from(word(entry, 8)?).ok()?;
        let count = usize::try_from(word(entry, 12)?).ok()?;
        Some((self.data.get(offset..)?, count))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(entries: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
        let mut index = Vec::new();
        let mut data: Vec<u8> = Vec::new();
        for (tag, count, value) in entries {
            let offset = u32::try_from(data.len()).unwrap();
            for word in [*tag, 0, offset, *count] {
                index.extend_from_slice(&word.to_be_bytes());
            }
            data.extend_from_slice(value);
        }
        let counts = [entries.len(), data.len()].map(|n| u32::try_from(n).unwrap().to_be_bytes());
        [counts.concat(), index, data].concat()
    }

    fn sample(states: &[u8]) -> Vec<u8> {
        header(&[
            (TAG_NAME, 1, b"zlib\0".to_vec()),
            (TAG_VERSION, 1, b"1.3\0".to_vec()),
            (TAG_RELEASE, 1, b"4.fc42\0".to_vec()),
            (TAG_FILE_STATES, 2, states.to_vec()),
            (TAG_DIR_INDEXES, 2, [0, 0, 0, 1, 0, 0, 0, 0].to_vec()),
            (TAG_BASE_NAMES, 2, b"libz.so.1\0README\0".to_vec()),
            (TAG_DIR_NAMES, 2, b"/usr/share/\0/usr/lib64/\0".to_vec()),
        ])
    }

    #[test]
    fn files_by_folder_name_and_state() {
        let check = |states: &[u8], file, folder: &str, name: &str, expected: bool| {
            let bytes = sample(states);
            let header = Header::parse(&bytes).unwrap();
            let found = header.installed(file, folder.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{file} {folder}{name}");
        };
        check(&[0, 0], 0, "/usr/lib64/", "libz.so.1", true);
        check(&[0, 0], 0, "/usr/share/", "libz.so.1", false);
        check(&[0, 0], 1, "/usr/share/", "README", true);
        check(&[0, 0], 1, "/usr/share/", "libz.so.1", false);
        check(&[0, 0], 2, "/usr/share/", "README", false);
        // Another package has replaced the file.
        check(&[1, 0], 0, "/usr/lib64/", "libz.so.1", false);
    }

    #[test]
    fn versions() {
        let bytes = sample(&[0, 0]);
        let header_without_epoch = Header::parse(&bytes).unwrap();
        assert_eq!(header_without_epoch.name().as_deref(), Some("zlib"));
        assert_eq!(
            header_without_epoch.version().as_deref(),
            Some("1.3-4.fc42")
        );
        let bytes = header(&[
            (TAG_VERSION, 1, b"2\0".to_vec()),
            (TAG_RELEASE, 1, b"1\0".to_vec()),
            (TAG_EPOCH, 1, vec![0, 0, 0, 7]),
        ]);
        let with_epoch = Header::parse(&bytes).unwrap();
        assert_eq!(with_epoch.version().as_deref(), Some("7:2-1"));
        assert_eq!(with_epoch.name(), None);
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in 0..4u8) {
            // Small counts, so that the index is reached at all.
            for (at, value) in [(0, 0), (1, 0), (2, 0), (3, tag), (4, 0), (5, 0), (6, 0)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if let Some(header) = Header::parse(&bytes) {
                let _ = (header.name(), header.version(), header.installed(0, b"/", b"a"));
            }
        }

        #[test]
        fn never_panics_on_a_damaged_header(at in 0usize..200, value: u8) {
            let mut bytes = sample(&[0, 0]);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Some(header) = Header::parse(&bytes) {
                let _ = (header.name(), header.version());
                let _ = header.installed(1, b"/usr/share/", b"README");
            }
        }
    }
}
