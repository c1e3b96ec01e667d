//! The line that /proc/PID/maps and /proc/PID/smaps print for a mapping, and what its name says
//! stands behind it. Pure functions over bytes; see proc_pid_maps(5).
//!
//! The kernel escapes a newline in a name as `\012` and nothing else (`seq_file_path(m, file,
//! "\n")` in fs/proc/task_mmu.c), and appends ` (deleted)` to a name that is gone. Both can also
//! be literally part of a name: `names.rs` asks the system which it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plimsoll_model::{AddressRange, Backing, Counters, FileId, Mapping, Permissions, VmFlags};

/// One line, its name still as printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapLine<'a> {
    pub(crate) range: AddressRange,
    pub(crate) permissions: Permissions,
    pub(crate) offset: u64,
    pub(crate) file: Option<FileId>,
    pub(crate) name: &'a [u8],
}

impl MapLine<'_> {
    /// The mapping without counters.
    pub(crate) fn mapping(&self) -> Mapping {
        Mapping {
            range: self.range,
            permissions: self.permissions,
            offset: self.offset,
            file: self.file,
            backing: classify_name(self.name, self.permissions, self.file),
            counters: Counters::default(),
            flags: VmFlags::default(),
        }
    }
}

/// What was read of a maps or smaps text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedMappings {
    /// As the kernel printed them.
    pub mappings: Vec<Mapping>,
    /// Lines that made no sense.
    pub malformed: u64,
}

/// Parses the text of /proc/PID/maps. Counters are zero: maps has none.
#[must_use]
pub fn parse_maps(text: &[u8]) -> ParsedMappings {
    let mut parser = MapsParser::default();
    let consumed = parser.feed(text);
    parser.finish(&text[consumed..])
}

/// Takes the text in pieces, so that it need not be held whole. Memory cost: the mappings.
#[derive(Debug, Default)]
pub(crate) struct MapsParser {
    parsed: ParsedMappings,
}

impl MapsParser {
    /// Parses all complete lines of `text` and tells how many bytes they are; the rest is to be
    /// given again with what follows it.
    pub(crate) fn feed(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(length) = line_length(&text[at..]) {
            self.line(&text[at..at + length]);
            at += length + 1;
        }
        at
    }

    /// `rest` is what the last [`MapsParser::feed`] left.
    pub(crate) fn finish(mut self, rest: &[u8]) -> ParsedMappings {
        self.line(rest);
        self.parsed
    }

    fn line(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        match parse_map_line(line) {
            Some(line) => self.parsed.mappings.push(line.mapping()),
            None => self.parsed.malformed += 1,
        }
    }
}

/// Length of the first line without its newline; `None` when there is no whole line.
pub(crate) fn line_length(text: &[u8]) -> Option<usize> {
    // SAFETY: the pointer and length are those of a slice; memchr only reads within it.
    let found = unsafe { libc::memchr(text.as_ptr().cast(), i32::from(b'\n'), text.len()) };
    // A null pointer (no newline) is below the slice, so the subtraction has no answer.
    (found as usize).checked_sub(text.as_ptr() as usize)
}

/// `start-end perms offset major:minor inode   name`, without its newline.
pub(crate) fn parse_map_line(line: &[u8]) -> Option<MapLine<'_>> {
    let (start, rest) = hexadecimal(line, b'-')?;
    let (end, rest) = hexadecimal(rest, b' ')?;
    if start > end || rest.len() < 5 || rest[4] != b' ' {
        return None;
    }
    let permissions = Permissions {
        read: rest[0] == b'r',
        write: rest[1] == b'w',
        execute: rest[2] == b'x',
        // `S` and `s` both mean may-share; the kernel prints only `s` and `p`.
        shared: rest[3] == b's',
    };
    let (offset, rest) = hexadecimal(&rest[5..], b' ')?;
    let (major, rest) = hexadecimal(rest, b':')?;
    let (minor, rest) = hexadecimal(rest, b' ')?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let inode = decimal(&rest[..digits])?;
    let rest = &rest[digits..];
    // The name starts after blanks at column 73; a name's own leading blanks can't be told from
    // them, but an absolute path starts with `/` and a special name with `[`.
    let name = match rest.iter().position(|byte| *byte != b' ') {
        Some(_) if rest[0] != b' ' => return None,
        Some(at) => &rest[at..],
        None => &[],
    };
    let (device_major, device_minor) = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    let file = (inode != 0 || major != 0 || minor != 0).then_some(FileId {
        device_major,
        device_minor,
        inode,
    });
    Some(MapLine {
        range: AddressRange { start, end },
        permissions,
        offset,
        file,
        name,
    })
}

const DELETED: &[u8] = b" (deleted)";

/// What stands behind a mapping of this name. Devices can't be told from files by name alone
/// except under /dev; `names.rs` corrects the doubtful ones where the system can be asked.
pub(crate) fn classify_name(
    name: &[u8],
    permissions: Permissions,
    file: Option<FileId>,
) -> Backing {
    match name.first() {
        None => Backing::Anonymous,
        Some(b'[') => classify_bracketed(name, permissions),
        Some(b'/') => classify_path(name, permissions, file),
        // Devices and anonymous inodes without a mount: "anon_inode:[perf_event]", "socket:[1]",
        // "dmabuf:…"; and paths outside the reader's root: "(unreachable)/…".
        Some(_) => Backing::Other(text(name)),
    }
}

fn classify_bracketed(name: &[u8], permissions: Permissions) -> Backing {
    let inner = name
        .strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"));
    match inner {
        // Before Linux 6.6 a mapping that begins just where brk ends is called so too, such as V8's code.
        Some(b"heap") if permissions.write && !permissions.execute => Backing::Heap,
        Some(b"heap") => Backing::Anonymous,
        // "[stack:TID]" was printed by kernels 3.4 to 4.4 for threads: there it is a guess of the
        // kernel, so it stays a name we do not know.
        Some(b"stack") => Backing::Stack,
        Some(
            inner @ (b"vdso" | b"vvar" | b"vvar_vclock" | b"vsyscall" | b"uprobes" | b"vectors"
            | b"sigpage"),
        ) => Backing::Kernel(text(inner)),
        Some(inner) => match inner
            .strip_prefix(b"anon:")
            .or_else(|| inner.strip_prefix(b"anon_shmem:"))
        {
            Some(given) => Backing::AnonymousNamed(text(given)),
            None => Backing::Other(text(name)),
        },
        None => Backing::Other(text(name)),
    }
}

fn classify_path(name: &[u8], permissions: Permissions, file: Option<FileId>) -> Backing {
    let (path, deleted) = match name.strip_suffix(DELETED) {
        Some(path) => (path, true),
        None => (name, false),
    };
    // Kernel-internal mounts have an anonymous device: major 0.
    let internal = file.is_none_or(|id| id.device_major == 0);
    if deleted && internal {
        if path == b"/dev/zero" && permissions.shared {
            return Backing::SharedAnonymous;
        }
        if let Some(given) = path.strip_prefix(b"/memfd:") {
            return Backing::Memfd(text(given));
        }
        if path == b"/anon_hugepage" {
            return Backing::Hugetlb(path_buf(path));
        }
        if let Some(key) = system_v_key(path) {
            return Backing::SysV {
                key,
                id: file.map_or(0, |id| id.inode),
            };
        }
    }
    if path == b"/dev/zero" && !deleted && !permissions.shared {
        // A private mapping of /dev/zero is anonymous memory (mmap_zero() in drivers/char/mem.c).
        return Backing::Anonymous;
    }
    // tmpfs files at /dev/shm and hugetlbfs files at /dev/hugepages are files.
    let is_device = path.starts_with(b"/dev/")
        && !path.starts_with(b"/dev/shm/")
        && !path.starts_with(b"/dev/hugepages/");
    if is_device {
        return Backing::Device(path_buf(path));
    }
    Backing::File {
        path: path_buf(path),
        deleted,
    }
}

/// The key in `/SYSV0000002a`.
fn system_v_key(path: &[u8]) -> Option<u32> {
    let digits = path.strip_prefix(b"/SYSV")?;
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A path with the kernel's `\012` turned back into a newline.
pub(crate) fn path_buf(printed: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&unescape(printed)))
}

/// Whether [`unescape`] would change this name, so that it may also be literal.
pub(crate) fn has_escape(printed: &[u8]) -> bool {
    printed.windows(4).any(|window| window == b"\\012")
}

fn unescape(printed: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if !has_escape(printed) {
        return printed.into();
    }
    let mut plain = Vec::with_capacity(printed.len());
    let mut rest = printed;
    while let Some(byte) = rest.first() {
        if rest.starts_with(b"\\012") {
            plain.push(b'\n');
            rest = &rest[4..];
        } else {
            plain.push(*byte);
            rest = &rest[1..];
        }
    }
    plain.into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Hexadecimal digits up to `end`, and what follows `end`.
fn hexadecimal(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ if *byte == end && at > 0 => return Some((value, &bytes[at + 1..])),
            _ => return None,
        };
        if at >= 16 {
            return None;
        }
        value = value << 4 | u64::from(digit);
    }
    None
}

/// Decimal digits, all of them; `None` when empty, not digits, or too large.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backing(line: &str) -> Backing {
        parse_map_line(line.as_bytes())
            .map(|line| line.mapping().backing)
            .expect("a line of maps")
    }

    #[test]
    fn names_tell_what_stands_behind() {
        let check = |perms: &str, device_inode: &str, name: &str, expected: Backing| {
            let line = format!("7f00-8f00 {perms} 00001000 {device_inode}      {name}");
            assert_eq!(backing(&line), expected, "{line}");
        };
        let file = |path: &str, deleted| Backing::File {
            path: path.into(),
            deleted,
        };
        check("rw-p", "00:00 0", "", Backing::Anonymous);
        check("rw-p", "00:00 0", "[heap]", Backing::Heap);
        check("---p", "00:00 0", "[heap]", Backing::Anonymous);
        check("rwxp", "00:00 0", "[heap]", Backing::Anonymous);
        check("rw-p", "00:00 0", "[stack]", Backing::Stack);
        let other = Backing::Other("[stack:42]".into());
        check("rw-p", "00:00 0", "[stack:42]", other);
        check("r-xp", "00:00 0", "[vdso]", Backing::Kernel("vdso".into()));
        let clock = Backing::Kernel("vvar_vclock".into());
        check("r--p", "00:00 0", "[vvar_vclock]", clock);
        let named = Backing::AnonymousNamed(" Go: heap".into());
        check("rw-p", "00:00 0", "[anon: Go: heap]", named);
        let named = Backing::AnonymousNamed("pool".into());
        check("rw-s", "00:01 9", "[anon_shmem:pool]", named);
        let shared = Backing::SharedAnonymous;
        check("rw-s", "00:01 3078", "/dev/zero (deleted)", shared);
        check("rw-p", "00:05 8", "/dev/zero", Backing::Anonymous);
        let memfd = Backing::Memfd("a b".into());
        check("rw-s", "00:01 5", "/memfd:a b (deleted)", memfd);
        let on_disk = file("/memfd:x", true);
        check("rw-s", "fe:00 5", "/memfd:x (deleted)", on_disk);
        let segment = Backing::SysV { key: 0x2a, id: 65 };
        check("rw-s", "00:01 65", "/SYSV0000002a (deleted)", segment);
        let no_key = file("/SYSVzz00002a", true);
        check("rw-s", "00:01 65", "/SYSVzz00002a (deleted)", no_key);
        let huge = Backing::Hugetlb("/anon_hugepage".into());
        check("rw-p", "00:0f 5", "/anon_hugepage (deleted)", huge);
        check("rw-s", "00:1a 5", "/dev/shm/a", file("/dev/shm/a", false));
        let device = Backing::Device("/dev/nvidia0".into());
        check("rw-s", "00:05 5", "/dev/nvidia0", device);
        let newline = file("/tmp/a\nb", false);
        check("r--p", "fe:00 5", "/tmp/a\\012b", newline);
        check("r--p", "fe:00 5", "/tmp/a\\b", file("/tmp/a\\b", false));
        check("r--p", "fe:00 5", "/tmp/x (deleted)", file("/tmp/x", true));
        let anonymous_inode = Backing::Other("anon_inode:[perf_event]".into());
        check(
            "rw-s",
            "00:0e 5",
            "anon_inode:[perf_event]",
            anonymous_inode,
        );
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "",
            "7f00",
            "7f00-",
            "-8f00 rw-p 0 00:00 0",
            "8f00-7f00 rw-p 0 00:00 0",
            "7f00-8f00 rw- 0 00:00 0",
            "7f00-8f00 rw-p 0 0000 0",
            "7f00-8f00 rw-p 0 00:00 x",
            "7f00-8f00 rw-p 0 00:00 12x",
            "10000000000000000-10000000000000001 rw-p 0 00:00 0",
        ] {
            assert_eq!(parse_map_line(line.as_bytes()), None, "{line}");
        }
        assert_eq!(parse_maps(b"nonsense\n\nmore\n").malformed, 2);
    }

    const TEXT: &[u8] = b"1000-2000 rw-p 0 00:00 0\nnonsense\n\n\
        2000-3000 r--p 00001000 fe:00 42      /lib/a.so\n3000-4000 rw-p 0 00:00 0 [heap]";

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_maps(&bytes);
        }

        /// However the text is cut, the mappings are those of the whole.
        #[test]
        fn pieces_are_as_the_whole(cut in 0..TEXT.len()) {
            let mut parser = MapsParser::default();
            let taken = parser.feed(&TEXT[..cut]);
            let taken = taken + parser.feed(&TEXT[taken..]);
            prop_assert_eq!(parser.finish(&TEXT[taken..]), parse_maps(TEXT));
        }

        #[test]
        fn a_printed_line_comes_back(
            start in 0..u64::MAX / 2,
            size in 0_u64..1 << 40,
            offset: u64,
            major in 0_u32..4096,
            minor: u32,
            inode: u64,
            name in "(/[a-z \\\\()]{0,30})?",
        ) {
            let line = format!(
                "{start:08x}-{:08x} r-xp {offset:08x} {major:02x}:{minor:02x} {inode}      {name}",
                start + size
            );
            let parsed = parse_map_line(line.as_bytes()).expect("a printed line");
            prop_assert_eq!(parsed.range, AddressRange::sized(start, size));
            prop_assert_eq!(parsed.offset, offset);
            prop_assert_eq!(parsed.name, name.as_bytes());
            let id = FileId { device_major: major, device_minor: minor, inode };
            let expected = (inode != 0 || major != 0 || minor != 0).then_some(id);
            prop_assert_eq!(parsed.file, expected);
            prop_assert!(parsed.permissions.execute && !parsed.permissions.write);
        }
    }
}
