//! Who is at the other end of a socket, and how to end it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The process that listens, as the kernel knows it; held by a pidfd, so that its number can't be
/// another's by the time it is used.
pub(crate) struct Peer {
    pidfd: OwnedFd,
}

impl Peer {
    /// `None` where the kernel can't tell, or the listener has ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] for a listener of another user: whoever put a socket into
    /// a shared folder must not be told what the board's files are.
    pub(crate) fn of(stream: &UnixStream) -> io::Result<Option<Peer>> {
        let mut who = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut size = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: getsockopt writes at most `size` bytes to where such a structure is.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut who).cast(),
                &raw mut size,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: takes nothing and can't fail.
        let own = unsafe { libc::geteuid() };
        if who.uid != own && who.uid != 0 {
            let text = format!("the socket belongs to the user {}, not to {own}", who.uid);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        // SAFETY: takes two integers; fails for a process that is gone.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, who.pid, 0) };
        let Some(number) = libc::c_int::try_from(number).ok().filter(|n| *n >= 0) else {
            return Ok(None);
        };
        // SAFETY: a descriptor that was returned is new and ours alone.
        let pidfd = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Some(Peer { pidfd }))
    }

    /// SIGKILL: what hangs in a computation hears of nothing else. Fails only where it is gone.
    pub(crate) fn kill(&self) {
        // SAFETY: a signal through a descriptor that is open; no information goes along.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        }
    }
}
