//! Maps a memfd that is called like a beacon and holds `--with` something else: `zero`, `noise`,
//! `version` (a later one), `lengths` (of records, that do not fit), `lies` (huge figures and names
//! with escapes, all of it well formed).

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

const PAGE: usize = 32 << 10;
/// A name that clears the screen, ends a script and is no UTF-8.
const NAME: &[u8] = b"\x1b[2J</script>\n\xff";

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["with"])?;
    let start_time = start_time()?;
    let slot = match arguments.text("with", "zero") {
        "zero" => Vec::new(),
        "noise" => (0..PAGE).map(|at| (at * 31 % 251) as u8).collect(),
        "version" => slot(9, start_time, b""),
        "lengths" => slot(1, start_time, &[2, 0, 0xff, 0xff]),
        "lies" => slot(1, start_time, &lies()),
        other => return Err(format!("--with {other}: no such content").into()),
    };
    // SAFETY: the name is a C string; the descriptor is new and ours.
    let memfd = unsafe {
        let descriptor = libc::memfd_create(c"plimsoll-beacon".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        File::from_raw_fd(descriptor)
    };
    memfd.set_len(PAGE as u64)?;
    memfd.write_all_at(&slot, 0)?;
    let region = Region::of_file(&memfd, PAGE, Sharing::Shared)?;
    let sum = region.read_pages(0..PAGE);
    stage::ready(&json!({ "address": region.address(), "sum": sum }))?;
    stage::wait()?;
    Ok(())
}

fn slot(version: u16, start_time: u64, text: &[u8]) -> Vec<u8> {
    let mut bytes = b"plimsoll".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(48_u16.to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    for number in [1, start_time, 0] {
        bytes.extend(number.to_le_bytes());
    }
    let sum = checksum(bytes.iter().chain(text));
    bytes.extend(sum.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(text);
    bytes
}

fn lies() -> Vec<u8> {
    let mut text = Vec::new();
    let mut record = |kind: u16, numbers: usize, name: &[u8]| {
        let named = if name.is_empty() { 0 } else { 2 + name.len() };
        text.extend(kind.to_le_bytes());
        text.extend(((numbers * 8 + named) as u16).to_le_bytes());
        text.extend(std::iter::repeat_n(0xff, numbers * 8));
        if named > 0 {
            text.extend((name.len() as u16).to_le_bytes());
            text.extend(name);
        }
    };
    record(1, 5, b"");
    record(2, 5, NAME);
    record(3, 3, NAME);
    record(4, 8, NAME);
    text
}

/// CRC-32, bit by bit.
fn checksum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

/// Field 22 of /proc/self/stat.
fn start_time() -> Result<u64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').ok_or("no name in stat")?.1;
    let field = rest.split_ascii_whitespace().nth(19).ok_or("no field 22")?;
    Ok(field.parse()?)
}
