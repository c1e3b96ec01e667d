//! /proc/PID/smaps and smaps_rollup in a single pass without allocation per line; see
//! proc_pid_smaps(5).
//!
//! Within one kernel every counter line is 16 bytes of label, 8 of number and a tail
//! (`seq_put_decimal_ull_width(m, str, val, 8)` in fs/proc/task_mmu.c). [`SmapsParser`] learns
//! the order of the lines from the first record, then checks each record's labels against it and
//! reads its numbers at fixed places. A record that differs goes through the line parser.

use plimsoll_model::{Backing, Bytes, Counters, Mapping, VmFlags};

use crate::maps::{ParsedMappings, decimal, line_length, parse_map_line};

/// Parses the text of /proc/PID/smaps.
#[must_use]
pub fn parse_smaps(text: &[u8]) -> ParsedMappings {
    let mut parser = SmapsParser::default();
    let consumed = parser.feed(text);
    parser.finish(&text[consumed..])
}

/// Takes the text in pieces, so that it need not be held whole. Memory cost: the mappings.
#[derive(Debug, Default)]
pub(crate) struct SmapsParser {
    parsed: ParsedMappings,
    layout: Learned,
    /// Whether counter lines belong to the last mapping (`false` after a malformed header).
    in_record: bool,
}

#[derive(Debug, Default)]
enum Learned {
    #[default]
    NotYet,
    Fixed(Layout),
    /// The first record did not fit the fixed form.
    Irregular,
}

impl SmapsParser {
    /// Parses all complete lines of `text` and tells how many bytes they are; the rest is to be
    /// given again with what follows it.
    pub(crate) fn feed(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(length) = line_length(&text[at..]) {
            let line = &text[at..at + length];
            at += length + 1;
            if is_counter_line(line) {
                self.counter_line(line);
            } else if !line.is_empty() {
                self.header(line);
                at += self.record(&text[at..]);
            }
        }
        at
    }

    /// `rest` is what the last [`SmapsParser::feed`] left: a text cut in the middle of a line.
    pub(crate) fn finish(mut self, rest: &[u8]) -> ParsedMappings {
        if !rest.is_empty() {
            self.parsed.malformed += 1;
        }
        self.parsed
    }

    fn header(&mut self, line: &[u8]) {
        let line = parse_map_line(line);
        self.in_record = line.is_some();
        match line {
            Some(line) => self.parsed.mappings.push(line.mapping()),
            None => self.parsed.malformed += 1,
        }
    }

    fn counter_line(&mut self, line: &[u8]) {
        let Some(mapping) = self.parsed.mappings.last_mut().filter(|_| self.in_record) else {
            self.parsed.malformed += 1;
            return;
        };
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            set_flags(mapping, parse_flags(flags));
        } else if !add_counter_line(&mut mapping.counters, line) {
            self.parsed.malformed += 1;
        }
    }

    /// Reads the counters at the start of `text` at fixed places; 0 when the layout does not fit.
    fn record(&mut self, text: &[u8]) -> usize {
        if matches!(self.layout, Learned::NotYet) {
            self.layout = match Layout::learn(text) {
                Learning::CutOff => Learned::NotYet,
                Learning::Irregular => Learned::Irregular,
                Learning::Fixed(layout) => Learned::Fixed(layout),
            };
        }
        match (&self.layout, self.parsed.mappings.last_mut()) {
            (Learned::Fixed(layout), Some(mapping)) if self.in_record => match layout.read(text) {
                Some(counters) => {
                    mapping.counters = counters;
                    layout.length
                }
                None => 0,
            },
            _ => 0,
        }
    }
}

/// Counter lines begin with a capital; headers with a lower-case hexadecimal digit.
fn is_counter_line(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_uppercase)
}

/// The counters that we keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Rss,
    Pss,
    SharedClean,
    SharedDirty,
    PrivateClean,
    PrivateDirty,
    Referenced,
    Anonymous,
    LazyFree,
    AnonHuge,
    Hugetlb,
    Swap,
    SwapPss,
    Locked,
}

impl Field {
    fn of(label: &[u8]) -> Option<Field> {
        Some(match label {
            b"Rss" => Field::Rss,
            b"Pss" => Field::Pss,
            b"Shared_Clean" => Field::SharedClean,
            b"Shared_Dirty" => Field::SharedDirty,
            b"Private_Clean" => Field::PrivateClean,
            b"Private_Dirty" => Field::PrivateDirty,
            b"Referenced" => Field::Referenced,
            b"Anonymous" => Field::Anonymous,
            b"LazyFree" => Field::LazyFree,
            b"AnonHugePages" => Field::AnonHuge,
            // Two lines of one kind: what is hugetlb is not in Rss, shared or private.
            b"Shared_Hugetlb" | b"Private_Hugetlb" => Field::Hugetlb,
            b"Swap" => Field::Swap,
            b"SwapPss" => Field::SwapPss,
            b"Locked" => Field::Locked,
            _ => return None,
        })
    }

    fn add(self, counters: &mut Counters, bytes: Bytes) {
        let place = match self {
            Field::Rss => &mut counters.rss,
            Field::Pss => &mut counters.pss,
            Field::SharedClean => &mut counters.shared_clean,
            Field::SharedDirty => &mut counters.shared_dirty,
            Field::PrivateClean => &mut counters.private_clean,
            Field::PrivateDirty => &mut counters.private_dirty,
            Field::Referenced => &mut counters.referenced,
            Field::Anonymous => &mut counters.anonymous,
            Field::LazyFree => &mut counters.lazy_free,
            Field::AnonHuge => &mut counters.anon_huge,
            Field::Hugetlb => &mut counters.hugetlb,
            Field::Swap => &mut counters.swap,
            Field::SwapPss => &mut counters.swap_pss,
            Field::Locked => &mut counters.locked,
        };
        *place = Bytes(place.0.saturating_add(bytes.0));
    }
}

/// Label and number of `Label:   123 kB`; the label is in no way checked to be known.
fn split_counter_line(line: &[u8]) -> Option<(&[u8], Bytes)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = line[colon + 1..].trim_ascii();
    // `kB` in /proc means 1024 bytes.
    let kilobytes = decimal(value.strip_suffix(b" kB")?.trim_ascii())?;
    Some((&line[..colon], Bytes(kilobytes.saturating_mul(1024))))
}

/// `false` when the line is one that we need and makes no sense.
fn add_counter_line(counters: &mut Counters, line: &[u8]) -> bool {
    match split_counter_line(line) {
        Some((label, bytes)) => {
            if let Some(field) = Field::of(label) {
                field.add(counters, bytes);
            }
            true
        }
        // Lines of other forms ("THPeligible:    0") are fine as long as we do not need them.
        None => line
            .iter()
            .position(|byte| *byte == b':')
            .is_some_and(|colon| Field::of(&line[..colon]).is_none()),
    }
}

const LABEL: usize = 16;
const NUMBER: usize = 8;
const KILOBYTES: &[u8] = b" kB\n";

/// The counter lines of a record up to `VmFlags`, as one kernel prints them.
#[derive(Debug)]
struct Layout {
    lines: Vec<LayoutLine>,
    length: usize,
}

#[derive(Debug)]
struct LayoutLine {
    start: usize,
    label: [u8; LABEL],
    in_kilobytes: bool,
    field: Option<Field>,
}

enum Learning {
    /// The text ends within the record.
    CutOff,
    Irregular,
    Fixed(Layout),
}

impl Layout {
    /// Learns from the counter lines at the start of `text`.
    fn learn(text: &[u8]) -> Learning {
        let mut layout = Layout {
            lines: Vec::new(),
            length: 0,
        };
        loop {
            let rest = &text[layout.length..];
            let Some(length) = line_length(rest) else {
                return Learning::CutOff;
            };
            let line = &rest[..=length];
            if !is_counter_line(line) || line.starts_with(b"VmFlags:") {
                break;
            }
            match LayoutLine::learn(line, layout.length) {
                Some(learned) => layout.lines.push(learned),
                None => return Learning::Irregular,
            }
            layout.length += line.len();
        }
        if layout.lines.is_empty() {
            return Learning::Irregular;
        }
        Learning::Fixed(layout)
    }

    /// The counters of the record at the start of `text`; `None` when it is of another form.
    fn read(&self, text: &[u8]) -> Option<Counters> {
        let text = text.get(..self.length)?;
        let mut counters = Counters::default();
        for line in &self.lines {
            let end = line.start + LABEL + NUMBER;
            let label: &[u8; LABEL] = text.get(line.start..line.start + LABEL)?.try_into().ok()?;
            let tail = text.get(end..)?;
            let tail_fits = match line.in_kilobytes {
                true => tail.starts_with(KILOBYTES),
                false => tail.starts_with(b"\n"),
            };
            if *label != line.label || !tail_fits {
                return None;
            }
            let number = text.get(end - NUMBER..end)?.try_into().ok()?;
            let kilobytes = padded_number(number)?;
            if let Some(field) = line.field {
                field.add(&mut counters, Bytes(kilobytes * 1024));
            }
        }
        Some(counters)
    }
}

impl LayoutLine {
    /// `line` with its newline.
    fn learn(line: &[u8], start: usize) -> Option<LayoutLine> {
        let label = line.get(..LABEL)?;
        padded_number(line.get(LABEL..LABEL + NUMBER)?.try_into().ok()?)?;
        let tail = line.get(LABEL + NUMBER..)?;
        let in_kilobytes = tail == KILOBYTES;
        if !in_kilobytes && tail != b"\n" {
            return None;
        }
        let colon = label.iter().position(|byte| *byte == b':')?;
        if !label[colon + 1..].iter().all(|byte| *byte == b' ') {
            return None;
        }
        Some(LayoutLine {
            start,
            label: label.try_into().ok()?,
            in_kilobytes,
            field: Field::of(&label[..colon]).filter(|_| in_kilobytes),
        })
    }
}

/// Eight bytes of blanks followed by at least one digit, all at once.
fn padded_number(bytes: [u8; NUMBER]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    // A digit is 0x30-0x39, a blank 0x20: bit 4 tells them apart, the other high bits are fixed.
    if word & (ONES * 0xe0) != ONES * 0x20 {
        return None;
    }
    let is_digit = word >> 4 & ONES;
    let low = word & (ONES * 0x0f);
    // Low nibbles above 9 carry into bit 4 when 6 is added; blanks must have none at all.
    let too_big = (low + ONES * 6) & (ONES * 0x10) != 0;
    let dirty_blank = low & !(is_digit * 0x0f) != 0;
    // Blanks come first, that is in the low bytes: the digit marks fill the high end.
    let blanks = is_digit.trailing_zeros();
    if too_big || dirty_blank || is_digit == 0 || is_digit != ONES << blanks {
        return None;
    }
    // Pairs, then fours, then all eight digits; the first digit is in the lowest byte.
    let pairs = (low * 10 + (low >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

fn parse_flags(line: &[u8]) -> VmFlags {
    let mut flags = VmFlags::default();
    for flag in line.split(|byte| *byte == b' ') {
        match flag {
            b"lo" => flags.locked = true,
            b"gd" => flags.grows_down = true,
            b"ht" => flags.hugetlb = true,
            b"io" | b"pf" => flags.device_memory = true,
            b"wf" => flags.wipe_on_fork = true,
            _ => {}
        }
    }
    flags
}

fn set_flags(mapping: &mut Mapping, flags: VmFlags) {
    mapping.flags = flags;
    if !flags.hugetlb {
        return;
    }
    let path = match &mut mapping.backing {
        Backing::File { path, .. } | Backing::Device(path) | Backing::Hugetlb(path) => {
            std::mem::take(path)
        }
        Backing::Memfd(name) => format!("/memfd:{name}").into(),
        Backing::SysV { key, .. } => format!("/SYSV{key:08x}").into(),
        _ => "/anon_hugepage".into(),
    };
    mapping.backing = Backing::Hugetlb(path);
}

/// Sums over a whole process, from /proc/PID/smaps_rollup (kernel 4.14 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    pub counters: Counters,
    /// Kernel 6.0 and later.
    pub pss_dirty: Option<Bytes>,
    /// These three: kernel 5.4 and later.
    pub pss_anon: Option<Bytes>,
    pub pss_file: Option<Bytes>,
    pub pss_shmem: Option<Bytes>,
}

/// Parses the text of /proc/PID/smaps_rollup; `None` when there are no counters in it.
#[must_use]
pub fn parse_rollup(text: &[u8]) -> Option<Rollup> {
    let mut rollup = Rollup::default();
    let mut has_rss = false;
    for line in text.split(|byte| *byte == b'\n') {
        if !is_counter_line(line) {
            continue;
        }
        let (label, bytes) = split_counter_line(line)?;
        match label {
            b"Pss_Dirty" => rollup.pss_dirty = Some(bytes),
            b"Pss_Anon" => rollup.pss_anon = Some(bytes),
            b"Pss_File" => rollup.pss_file = Some(bytes),
            b"Pss_Shmem" => rollup.pss_shmem = Some(bytes),
            _ => {
                if let Some(field) = Field::of(label) {
                    has_rss |= field == Field::Rss;
                    field.add(&mut rollup.counters, bytes);
                }
            }
        }
    }
    has_rss.then_some(rollup)
}

#[cfg(test)]
mod tests;
