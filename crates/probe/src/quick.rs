//! Quick figures at 10 Hz and more: /proc/PID/status held open and read again from its start.
//!
//! A reading is one system call of 2-4 µs and does not take the target's mm lock.

use std::fs::File;
use std::os::unix::fs::FileExt;

use plimsoll_model::{ProcessId, StatusFigures};

use crate::ProbeError;
use crate::proc_file::ProcDir;
use crate::status::{Status, parse_status};

/// Samples one process until it ends. A pid taken over by another process is seen as the end.
#[derive(Debug)]
pub struct QuickSampler {
    id: ProcessId,
    process: ProcDir,
    status: File,
    buffer: Vec<u8>,
}

/// status is about 1.5 KiB; its CPU and NUMA masks grow with the machine.
const STATUS_BYTES: usize = 8 * 1024;

impl QuickSampler {
    /// Fails for a process that has no memory: a zombie or a kernel thread.
    pub fn open(pid: u32) -> Result<QuickSampler, ProbeError> {
        let process = ProcDir::open(pid)?;
        let start_time = process.stat()?.start_time;
        let name = match process.stat_with_memory() {
            Ok(_) => "status".to_owned(),
            Err(ProbeError::LeaderGone { thread, .. }) => format!("task/{thread}/status"),
            Err(error) => return Err(error),
        };
        let status = process
            .file(&name)
            .map_err(|error| process.error(&name, error))?;
        Ok(QuickSampler {
            id: ProcessId { pid, start_time },
            process,
            status,
            buffer: vec![0; STATUS_BYTES],
        })
    }

    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// The figures now; `None` when the process has ended.
    pub fn read(&mut self) -> Result<Option<StatusFigures>, ProbeError> {
        match self.read_thread()? {
            None if self.change_thread() => self.read_thread(),
            figures => Ok(figures),
        }
    }

    /// Sets the kernel's high-water mark of RSS (`VmHWM`) to what is resident now, so that the next
    /// readings tell the peak since. The only thing that this crate ever changes in a process, and
    /// only where a run is cut into stages; see clear_refs in proc_pid_clear_refs(5), Linux 4.0.
    /// Takes the process's mm lock for a moment and walks no pages.
    pub fn reset_peak(&self) -> Result<(), ProbeError> {
        const HIGH_WATER_MARK: &[u8] = b"5";
        self.process
            .write("clear_refs", HIGH_WATER_MARK)
            .map_err(|error| self.process.error("clear_refs", error))
    }

    /// Goes on with another thread's status, where the one that was read has ended and others
    /// have not.
    fn change_thread(&mut self) -> bool {
        let Ok(stat) = self.process.stat() else {
            return false;
        };
        let thread = self.process.living_thread(&stat);
        let name = thread.map(|thread| format!("task/{thread}/status"));
        let Some(Ok(status)) = name.map(|name| self.process.file(&name)) else {
            return false;
        };
        self.status = status;
        true
    }

    fn read_thread(&mut self) -> Result<Option<StatusFigures>, ProbeError> {
        match self.status.read_at(&mut self.buffer, 0) {
            Ok(length) => {
                let status = parse_status(&self.buffer[..length]);
                Ok(status.has_memory.then_some(status.figures))
            }
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(self.process.error("status", error)),
        }
    }
}

pub(crate) fn status_of(process: &ProcDir) -> Result<Status, ProbeError> {
    let text = process
        .read("status")
        .map_err(|error| process.error("status", error))?;
    Ok(parse_status(&text))
}

/// The figures of /proc/PID/status now.
pub fn read_status(pid: u32) -> Result<StatusFigures, ProbeError> {
    let process = ProcDir::open(pid)?;
    process.stat_with_memory()?;
    let status = status_of(&process)?;
    match status.has_memory {
        true => Ok(status.figures),
        false => Err(ProbeError::Vanished { pid }),
    }
}
