//! All processes by the memory they really own: what `ps` prints.
//!
//! Main function: [`read_process_table`]. Each process costs a handful of small reads and one of
//! smaps_rollup, the only one that walks its pages. Memory cost: one buffer, and a row for each
//! process. Not for the owners within a process: that is a snapshot's work.

mod rows;
mod totals;

use std::io;

use plimsoll_model::{
    Bytes, Gap, GapReason, Method, ProcessInfo, ProcessRow, ProcessTable, Reclaim, SystemMemory,
};

use crate::error::ProbeError;
use crate::hold::HoldMeter;
use crate::maps::decimal;
use crate::processes::{ProcDirectory, ProcessDirectory, has_memory, list_pids};
use crate::status::parse_status;
use crate::system::read_system_memory;
use totals::{Totals, TotalsSum};

/// What a row of the table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    Process,
    /// [`ProcessInfo::application`].
    Application,
    /// [`crate::container_of`] its cgroup: container, else systemd unit.
    Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableOptions {
    pub grouping: Grouping,
}

/// Reads all processes that can be seen. Those whose smaps_rollup may not be read have their RSS
/// and no more; one gap counts them.
pub fn read_process_table(options: TableOptions) -> Result<ProcessTable, ProbeError> {
    let mut meter = HoldMeter::start();
    let mut directory = ProcDirectory::open().map_err(|source| ProbeError::List { source })?;
    let (system, mut gaps) = read_system_memory();
    let mut reading = Reading {
        system,
        ..Reading::default()
    };
    for pid in list_pids()? {
        reading.add_process(&mut directory, pid, &mut meter);
    }
    meter.bytes_read += directory.bytes_read;
    gaps.extend(reading.gaps());
    Ok(ProcessTable {
        rows: rows::group(reading.rows, options.grouping),
        without_memory: reading.without_memory,
        system,
        gaps,
        cost: meter.cost(Method::Quick),
    })
}

/// The table while it is made.
#[derive(Debug, Default)]
struct Reading {
    system: SystemMemory,
    rows: Vec<ProcessRow>,
    without_memory: u32,
    denied: u32,
    failed: u32,
    /// Whether the kernel has no smaps_rollup (before Linux 4.14): then smaps is summed up.
    rollup_missing: bool,
}

impl Reading {
    /// Adds one process, unless it is gone.
    fn add_process(&mut self, directory: &mut ProcDirectory, pid: u32, meter: &mut HoldMeter) {
        let Ok(process) = directory.enter(pid) else {
            return;
        };
        let Some(stat) = directory.read_stat(&process) else {
            return;
        };
        let (process, stat) = directory.with_memory(process, stat);
        if !has_memory(stat.state) {
            self.without_memory += 1;
            return;
        }
        let rollup = self.read_rollup(directory, &process, meter);
        let group = directory.read_group(&process);
        let Some(info) = directory.complete_info(&process, stat, group) else {
            return;
        };
        let row = match rollup {
            Ok(mut rollup) => {
                if rollup.wants_shmem()
                    && let Ok(status) = directory.read(&process, c"status")
                {
                    rollup.rss_shmem = parse_status(status).figures.shmem;
                }
                row_of(info, &rollup, &self.system)
            }
            Err(error) => {
                let Some(resident) = read_resident(directory, &process) else {
                    return;
                };
                match error.raw_os_error() {
                    // It ended, or it became a zombie since its stat was read.
                    Some(libc::ESRCH | libc::ENOENT) => {
                        self.without_memory += 1;
                        return;
                    }
                    Some(libc::EACCES | libc::EPERM) => self.denied += 1,
                    _ => self.failed += 1,
                }
                row_without_rollup(info, resident)
            }
        };
        self.rows.push(row);
    }

    fn read_rollup(
        &mut self,
        directory: &mut ProcDirectory,
        process: &ProcessDirectory,
        meter: &mut HoldMeter,
    ) -> io::Result<Totals> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        if !self.rollup_missing {
            match meter
                .hold(|| directory.read(process, c"smaps_rollup").map(Totals::parse))
                .0
            {
                Ok(rollup) => return rollup.ok_or_else(malformed),
                // The directory is held open, so a file that is not there never was.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        let mut sum = TotalsSum::default();
        let add = |lines: &[u8]| sum.add(lines);
        meter
            .hold(|| directory.read_lines(process, c"smaps", add))
            .0?;
        let rollup = sum.finish().ok_or_else(malformed)?;
        self.rollup_missing = true;
        Ok(rollup)
    }

    fn gaps(&self) -> impl Iterator<Item = Gap> + use<> {
        let all = self.rows.len();
        let gap = move |count: u32, reason, advice: &str| {
            let detail = format!("{count} of {all} processes show RSS only{advice}");
            (count > 0).then(|| Gap::new("PSS, USS and swap", reason, detail))
        };
        [
            gap(
                self.denied,
                GapReason::Denied,
                "; to read all takes root, or CAP_SYS_PTRACE",
            ),
            gap(self.failed, GapReason::Malformed, ""),
        ]
        .into_iter()
        .flatten()
    }
}

fn row_of(process: ProcessInfo, rollup: &Totals, system: &SystemMemory) -> ProcessRow {
    ProcessRow {
        label: String::new(),
        processes: 1,
        resident: rollup.rss,
        proportional: Some(rollup.pss),
        private: Some(rollup.private_clean + rollup.private_dirty),
        swap: Some(rollup.swap),
        reclaim: rollup.reclaim(!system.swap_total.is_zero()),
        process,
    }
}

fn row_without_rollup(process: ProcessInfo, resident: Bytes) -> ProcessRow {
    ProcessRow {
        label: String::new(),
        processes: 1,
        resident,
        proportional: None,
        private: None,
        swap: None,
        reclaim: Reclaim::default(),
        process,
    }
}

/// RSS from statm, which anyone may read.
fn read_resident(directory: &mut ProcDirectory, process: &ProcessDirectory) -> Option<Bytes> {
    let text = directory.read(process, c"statm").ok()?;
    let pages = decimal(text.split(|byte| *byte == b' ').nth(1)?)?;
    // SAFETY: sysconf(3) touches no memory of ours.
    let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(Bytes(pages.checked_mul(page_bytes)?))
}

#[cfg(test)]
mod tests;
