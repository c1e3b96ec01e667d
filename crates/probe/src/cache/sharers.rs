//! How many processes map a file: one pass over the maps of all processes.
//!
//! Reading maps hardly holds a target up (it walks the list of mappings, not pages). Memory cost:
//! one buffer of 64 KiB and a word for each file asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use plimsoll_model::{FileId, Gap, GapReason, Mapping, ProcessCount};

use crate::maps::parse_map_line;
use crate::processes::{in_initial_namespace, list_pids, pids_in, stream_lines};

/// Text read over all processes before the count is given up. A process of 100 mappings has about
/// 10 KiB, so this is some ten thousand ordinary processes, and under a second.
const MAPS_BYTES_MAX: u64 = 128 << 20;
const BUFFER_BYTES: usize = 64 * 1024;

/// For each file, the processes that map it now. Those in `read`, by pid, have been read already:
/// their maps are not read again. The counts are at least, with a gap, when some processes can't
/// be read or there are too many.
#[must_use]
pub fn count_sharers(
    files: impl IntoIterator<Item = FileId>,
    read: &[(u32, &[Mapping])],
) -> (BTreeMap<FileId, ProcessCount>, Option<Gap>) {
    let mut counter = Counter::new(files);
    if counter.counts.is_empty() {
        return (BTreeMap::new(), None);
    }
    for (_, mappings) in read {
        counter.next_process();
        counter.note_mappings(mappings);
    }
    let pids = match list_pids() {
        Ok(pids) => pids,
        Err(error) => {
            let gap = Gap::new(
                "number of processes that share each file",
                GapReason::Denied,
                error.to_string(),
            );
            return (BTreeMap::new(), Some(gap));
        }
    };
    let read: BTreeSet<u32> = read.iter().map(|(pid, _)| *pid).collect();
    let gap = scan_processes(&pids, &read, &mut counter);
    let complete = gap.is_none() && in_initial_namespace();
    (counter.into_counts(complete), gap)
}

/// A gap tells that not all could be looked at.
fn scan_processes(pids: &[u32], read: &BTreeSet<u32>, counter: &mut Counter) -> Option<Gap> {
    let what = "some of the processes that share a file (counts say \"at least\")";
    let mut denied = 0_u32;
    let mut buffer = vec![0; BUFFER_BYTES];
    for (index, pid) in pids.iter().enumerate() {
        if counter.bytes_read > MAPS_BYTES_MAX {
            let detail = format!("stopped after {index} of {} processes", pids.len());
            return Some(Gap::new(what, GapReason::Bounded, detail));
        }
        if read.contains(pid) {
            continue;
        }
        counter.next_process();
        match scan_process(*pid, &mut buffer, counter) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => denied += 1,
            // Ended meanwhile: it maps nothing.
            Err(_) => {}
        }
    }
    if denied > 0 {
        let detail = format!(
            "the maps of {denied} of {} processes may not be read; to count all takes root, \
             or CAP_SYS_PTRACE",
            pids.len()
        );
        return Some(Gap::new(what, GapReason::Denied, detail));
    }
    // Every PID namespace has a process 1.
    if pids.first() != Some(&1) {
        let detail = "/proc is mounted with hidepid, which hides the processes of others";
        return Some(Gap::new(what, GapReason::Denied, detail));
    }
    None
}

fn scan_process(pid: u32, buffer: &mut [u8], counter: &mut Counter) -> io::Result<()> {
    let read = scan_maps(&format!("/proc/{pid}/maps"), buffer, counter)?;
    if read > 0 {
        return Ok(());
    }
    // A kernel thread, a zombie, or a process whose first thread has ended: then any other
    // thread of it shows its maps. The links of the folder are its threads and the usual two
    // (proc_task_getattr() in fs/proc/base.c).
    let links = std::fs::metadata(format!("/proc/{pid}/task"))?.nlink();
    if links <= 3 {
        return Ok(());
    }
    for thread in pids_in(&format!("/proc/{pid}/task"))? {
        let maps = format!("/proc/{pid}/task/{thread}/maps");
        if thread != pid && scan_maps(&maps, buffer, counter)? > 0 {
            break;
        }
    }
    Ok(())
}

fn scan_maps(path: &str, buffer: &mut [u8], counter: &mut Counter) -> io::Result<u64> {
    let mut maps = File::open(path)?;
    let read = stream_lines(&mut maps, buffer, |lines| counter.note_lines(lines))?;
    counter.bytes_read += read;
    Ok(read)
}

/// Counts processes, not mappings.
#[derive(Debug)]
struct Counter {
    /// Number of processes, and the last of them.
    counts: BTreeMap<FileId, (u32, u32)>,
    process: u32,
    bytes_read: u64,
}

impl Counter {
    fn new(files: impl IntoIterator<Item = FileId>) -> Counter {
        Counter {
            counts: files.into_iter().map(|id| (id, (0, 0))).collect(),
            process: 0,
            bytes_read: 0,
        }
    }

    fn next_process(&mut self) {
        self.process += 1;
    }

    fn note_lines(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some(id) = parse_map_line(line).and_then(|line| line.file) {
                self.note(id);
            }
        }
    }

    fn note_mappings(&mut self, mappings: &[Mapping]) {
        for id in mappings.iter().filter_map(|mapping| mapping.file) {
            self.note(id);
        }
    }

    fn note(&mut self, id: FileId) {
        if let Some((count, last)) = self.counts.get_mut(&id)
            && *last != self.process
        {
            *last = self.process;
            *count += 1;
        }
    }

    fn into_counts(self, complete: bool) -> BTreeMap<FileId, ProcessCount> {
        self.counts
            .into_iter()
            // A file that nobody maps any more was unmapped meanwhile: the count is not known.
            .filter(|(_, (count, _))| *count > 0)
            .map(|(id, (count, _))| (id, ProcessCount { count, complete }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::maps::parse_maps;

    const LINES: &[u8] = b"\
7f00-7f10 r--p 00000000 fe:00 42                         /lib/a.so
7f10-7f20 r-xp 00001000 fe:00 42                         /lib/a.so
7f20-7f30 r--p 00000000 fe:01 42                         /other/a.so
7f30-7f40 rw-p 00000000 00:00 0                          [heap]
";

    #[test]
    fn a_process_counts_once() {
        let id = |device_minor, inode| FileId {
            device_major: 0xfe,
            device_minor,
            inode,
        };
        let mut counter = Counter::new([id(0, 42), id(1, 42), id(0, 7)]);
        for lines in [LINES, LINES, &LINES[..60]] {
            counter.next_process();
            counter.note_lines(lines);
        }
        counter.next_process();
        counter.note_mappings(&parse_maps(LINES).mappings);
        let told = |count| ProcessCount {
            count,
            complete: false,
        };
        let counts = counter.into_counts(false);
        assert_eq!(counts.get(&id(0, 42)), Some(&told(4)));
        assert_eq!(counts.get(&id(1, 42)), Some(&told(3)));
        assert_eq!(counts.get(&id(0, 7)), None);
    }

    #[test]
    fn processes_that_were_read_count_as_they_were_read() {
        let mappings = parse_maps(LINES).mappings;
        let file = mappings[0].file.unwrap();
        // An invented pid, and an invented file that nobody else maps.
        let (counts, _) = count_sharers([file], &[(u32::MAX, &mappings)]);
        assert_eq!(counts[&file].count, 1);
    }

    /// The maps of this very process, with the first file in them.
    #[test]
    fn maps_that_were_read_are_not_read_again() {
        let own = std::process::id();
        let text = std::fs::read("/proc/self/maps").unwrap();
        let mapped = parse_maps(&text).mappings;
        let file = mapped.iter().find_map(|mapping| mapping.file).unwrap();
        let scan = |read: &[u32]| {
            let mut counter = Counter::new([file]);
            let read = read.iter().copied().collect();
            let _ = scan_processes(&[own], &read, &mut counter);
            (counter.bytes_read > 0, counter.counts[&file].0)
        };
        assert_eq!(scan(&[]), (true, 1));
        assert_eq!(scan(&[own]), (false, 0));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut counter = Counter::new([FileId { device_major: 0, device_minor: 1, inode: 1 }]);
            counter.note_lines(&text);
        }
    }
}
