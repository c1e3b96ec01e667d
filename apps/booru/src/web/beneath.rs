//! Files below a folder, and none outside it, whatever their path says and whatever links lie there.

use std::ffi::CString;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

/// A pipe among the files must not hold a thread.
const FLAGS: i32 = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;

/// Opens a regular file by its path below `folder`. Links within it that lead out of it are not followed.
///
/// # Errors
/// [`ErrorKind::NotFound`] for whatever is not there, is no regular file, or lies elsewhere; else what
/// the system says.
pub(super) fn open(folder: &Path, path: &str) -> Result<File> {
    let root = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(folder)?;
    let file = match open_beneath(&root, path) {
        // Kernels before 5.6, and some sandboxes.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            walk(root, path)
        }
        done => done,
    };
    let file = file.map_err(|error| match error.raw_os_error() {
        // It leads out; a file is taken for a folder; links in a circle; too long; a folder for a file.
        Some(
            libc::EXDEV
            | libc::ENOTDIR
            | libc::ELOOP
            | libc::ENAMETOOLONG
            | libc::EINVAL
            | libc::ENXIO,
        ) => not_found(),
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_found()),
    }
}

fn not_found() -> Error {
    Error::from(ErrorKind::NotFound)
}

/// openat2(2).
fn open_beneath(root: &File, path: &str) -> Result<File> {
    let path = CString::new(path).map_err(|_| not_found())?;
    // SAFETY: open_how is plain numbers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = FLAGS as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the path ends with a zero and `how` has the size that is told; both outlive the call.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if opened < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(opened as i32) })
}

/// The same a folder at a time; no link at all is followed.
fn walk(root: File, path: &str) -> Result<File> {
    let mut at = root;
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else {
            return Err(not_found());
        };
        let name = CString::new(name.as_bytes()).map_err(|_| not_found())?;
        // SAFETY: the name ends with a zero, and the descriptor is that of an open file.
        let opened =
            unsafe { libc::openat(at.as_raw_fd(), name.as_ptr(), FLAGS | libc::O_NOFOLLOW) };
        if opened < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        at = unsafe { File::from_raw_fd(opened) };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_opened() {
        let top = std::env::temp_dir().join(format!("booru-beneath-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        let folder = top.join("images");
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(top.join("secret"), "secret").unwrap();
        fs::write(folder.join("a/b/x"), "x").unwrap();
        symlink("../../secret", folder.join("a/out")).unwrap();
        symlink("/etc/passwd", folder.join("a/absolute")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink("b/x", folder.join("a/in")).unwrap();
        symlink("circle", folder.join("circle")).unwrap();
        let pipe = CString::new(folder.join("pipe").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let long = "x".repeat(5000);
        for wrong in [
            "../secret",
            "a/../../secret",
            "a/out",
            "a/absolute",
            "up/secret",
            "circle",
            "/etc/passwd",
            "a/b",
            "a",
            "",
            ".",
            "a/b/x/y",
            "a/b/x\0",
            "pipe",
            "nothing",
            long.as_str(),
        ] {
            let error = open(&folder, wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{wrong}: {error}");
            let root = File::open(&folder).unwrap();
            let walked = walk(root, wrong);
            assert!(
                walked.is_err() || !walked.unwrap().metadata().unwrap().is_file(),
                "{wrong}"
            );
        }
        for right in ["a/b/x", "a/in", "a/../a/b/x"] {
            let mut text = String::new();
            open(&folder, right)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "x", "{right}");
        }
        walk(File::open(&folder).unwrap(), "a/b/x").unwrap();
        fs::remove_dir_all(&top).unwrap();
    }
}
