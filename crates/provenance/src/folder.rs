//! One folder of records, held open, whose many small files are read one after another.
//!
//! Names are looked up below the folder itself, so that a long path is resolved once and not for
//! each of its files. Memory: none beside the caller's buffer.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::root::{Extent, Owner, Root, descriptor_path, not_regular, plain_open, plain_open_at};

/// Names of one folder. The largest folder read here, dpkg's info, has about six files a package:
/// this is more than 10,000 packages.
pub(crate) const FOLDER_NAMES_LIMIT: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Folder<'a> {
    root: &'a Root,
    path: PathBuf,
    descriptor: OwnedFd,
}

impl<'a> Folder<'a> {
    pub(crate) fn open(root: &'a Root, path: &Path) -> io::Result<Folder<'a>> {
        Ok(Folder {
            root,
            path: path.to_path_buf(),
            descriptor: root.open_path(path)?,
        })
    }

    /// The names that `is_wanted`, sorted; `Cut` when the folder has more names than the limit.
    pub(crate) fn names(
        &self,
        is_wanted: impl Fn(&OsStr) -> bool,
    ) -> io::Result<(Vec<OsString>, Extent)> {
        let mut names = Vec::new();
        let mut extent = Extent::Whole;
        let entries = fs::read_dir(descriptor_path(&self.descriptor))?;
        for (count, entry) in entries.enumerate() {
            if count == FOLDER_NAMES_LIMIT {
                extent = Extent::Cut;
                break;
            }
            let name = entry?.file_name();
            if is_wanted(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok((names, extent))
    }

    /// Passes the first `limit` bytes of the regular file `name` through `buffer`, whole lines at a
    /// time; only the last of the file may lack its newline. A line as long as the buffer is left out.
    pub(crate) fn read_lines(
        &self,
        name: &OsStr,
        limit: usize,
        buffer: &mut [u8],
        mut on_lines: impl FnMut(&[u8]),
    ) -> io::Result<Extent> {
        let (mut file, size) = self.open_file(name)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut total = 0;
        let mut filled = 0;
        let mut inside_long_line = false;
        loop {
            let count = match file.read(&mut buffer[filled..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += count;
            filled += count;
            let is_cut = total > limit;
            filled -= total.saturating_sub(limit);
            // Its size is what there is: no further call to hear that it has ended.
            let is_last = is_cut || count == 0 || total == size;
            let whole = match memchr::memrchr(b'\n', &buffer[..filled]) {
                _ if is_last && !is_cut => filled,
                Some(newline) => newline + 1,
                None => 0,
            };
            let mut first = 0;
            if inside_long_line && whole > 0 {
                let end = memchr::memchr(b'\n', &buffer[..whole]);
                first = end.map_or(whole, |end| end + 1);
                inside_long_line = false;
            }
            on_lines(&buffer[first..whole]);
            if is_last {
                return Ok(if is_cut { Extent::Cut } else { Extent::Whole });
            }
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
            if filled == buffer.len() {
                inside_long_line = true;
                filled = 0;
            }
        }
    }

    /// The regular file `name` with its size.
    fn open_file(&self, name: &OsStr) -> io::Result<(File, u64)> {
        let below = CString::new(name.as_bytes())?;
        let look = match self.root.owner() {
            // Nobody but the administrator of this machine puts a device here: opened at once.
            Owner::Ourselves => libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
            Owner::Others => libc::O_PATH,
        };
        let flags = look | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let found = match plain_open_at(self.descriptor.as_raw_fd(), &below, flags) {
            Ok(found) => File::from(found),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return self.behind_link(name);
            }
            Err(error) => return Err(error),
        };
        let metadata = found.metadata()?;
        if metadata.is_symlink() {
            return self.behind_link(name);
        }
        if !metadata.is_file() {
            return Err(not_regular());
        }
        if self.root.owner() == Owner::Ourselves {
            return Ok((found, metadata.len()));
        }
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let file = plain_open(&descriptor_path(&found), flags).map(File::from)?;
        Ok((file, metadata.len()))
    }

    fn behind_link(&self, name: &OsStr) -> io::Result<(File, u64)> {
        let file = self.root.open_file(&self.path.join(name))?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("plimsoll-folder-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The same files by both ways: as our own root's, and as those of a stranger's root.
    #[test]
    fn both_ways_read_the_same() {
        let scratch = Scratch::new("both");
        for (name, text) in [
            ("short", "a\nb"),
            ("long", "ab\ncd\nef"),
            ("longer", "ab\ncd\nef\ngh\n"),
            ("overlong", "abcde\ngh"),
        ] {
            fs::write(scratch.0.join(name), text).unwrap();
        }
        fs::write(scratch.0.join("empty"), b"").unwrap();
        fs::create_dir(scratch.0.join("folder")).unwrap();
        std::os::unix::fs::symlink("short", scratch.0.join("link")).unwrap();
        let own = Root::open(Path::new("/")).unwrap();
        let strange = Root::open(&scratch.0).unwrap();
        assert_eq!(
            (own.owner(), strange.owner()),
            (Owner::Ourselves, Owner::Others)
        );
        for (root, path) in [(&own, scratch.0.as_path()), (&strange, Path::new("/"))] {
            let folder = Folder::open(root, path).unwrap();
            let (names, extent) = folder.names(|name| name != "folder").unwrap();
            assert_eq!(
                names,
                ["empty", "link", "long", "longer", "overlong", "short"]
            );
            assert_eq!(extent, Extent::Whole);
            let mut buffer = [0; 5];
            let mut read = |name: &str| {
                let mut text = Vec::new();
                let mut pieces = 0;
                let extent = folder.read_lines(OsStr::new(name), 8, &mut buffer, |lines| {
                    text.extend_from_slice(lines);
                    pieces += 1;
                })?;
                Ok::<_, io::Error>((String::from_utf8(text).unwrap(), extent, pieces))
            };
            let mut check = |name: &str, expected: &str, extent, pieces| {
                let found = read(name).unwrap();
                assert_eq!(found, (expected.to_owned(), extent, pieces), "{name}");
            };
            check("short", "a\nb", Extent::Whole, 1);
            check("link", "a\nb", Extent::Whole, 1);
            check("empty", "", Extent::Whole, 1);
            check("long", "ab\ncd\nef", Extent::Whole, 2);
            check("longer", "ab\ncd\n", Extent::Cut, 3);
            check("overlong", "gh", Extent::Whole, 2);
            let refused = read("folder").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            assert_eq!(read("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    /// What /proc says of itself is that its files are empty.
    #[test]
    fn a_file_of_unknown_size_is_read_to_its_end() {
        let root = Root::open(Path::new("/")).unwrap();
        let folder = Folder::open(&root, Path::new("/proc/self")).unwrap();
        let mut text = Vec::new();
        let extent = folder
            .read_lines(OsStr::new("status"), 1 << 20, &mut [0; 4096], |lines| {
                text.extend_from_slice(lines);
            })
            .unwrap();
        assert!(text.starts_with(b"Name:") && text.ends_with(b"\n"));
        assert_eq!(extent, Extent::Whole);
    }
}
