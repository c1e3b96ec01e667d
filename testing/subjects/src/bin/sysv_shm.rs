//! Attaches a System V shared memory segment of `--mib N` and touches all of it.
//!
//! The segment is marked for removal at once, so that it never outlives the subject; maps shows
//! `/SYSV00000000 (deleted)` for every private segment, marked or not.

use std::io;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::page_bytes;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let bytes = Arguments::from_environment(&["mib"])?.mebibytes("mib", 32)?;
    let (segment, address) = attach(bytes)?;
    for offset in (0..bytes).step_by(page_bytes()) {
        // SAFETY: the offset is inside the segment, which stays attached until the end.
        unsafe { (address as *mut u8).add(offset).write_volatile(1) };
    }
    stage::ready(&json!({ "address": address, "shmem_bytes": bytes, "segment": segment }))?;
    stage::wait()?;
    Ok(())
}

fn attach(bytes: usize) -> io::Result<(libc::c_int, usize)> {
    // SAFETY: shmget has no preconditions.
    let segment = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) };
    if segment < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel picks a free address.
    let address = unsafe { libc::shmat(segment, std::ptr::null(), 0) } as usize;
    let failed = io::Error::last_os_error();
    // SAFETY: IPC_RMID takes no buffer; the segment lives on while it is attached.
    unsafe { libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut()) };
    if address == usize::MAX {
        Err(failed)
    } else {
        Ok((segment, address))
    }
}
