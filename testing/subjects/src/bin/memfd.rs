//! Maps a memfd of `--mib N` named `--name NAME`, shared, and touches all of it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::{Region, Sharing};
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["mib", "name"])?;
    let bytes = arguments.mebibytes("mib", 64)?;
    let name = arguments.text("name", "plimsoll-subject");
    let file = create(name)?;
    file.set_len(u64::try_from(bytes)?)?;
    let region = Region::of_file(&file, bytes, Sharing::Shared)?;
    region.write_pages(0..bytes, 1);
    stage::ready(&json!({
        "address": region.address(),
        "name": name,
        "file": format!("/memfd:{name} (deleted)"),
        "shmem_bytes": bytes,
    }))?;
    stage::wait()?;
    Ok(())
}

fn create(name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    // SAFETY: the name is a C string that outlives the call.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else owns it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}
