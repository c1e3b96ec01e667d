//! The child process: started with one end of a socket, watched by a pidfd, killed and reaped.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use crate::cgroup::keyed_value;
use crate::worker::builder::Options;
use crate::worker::serve::SOCKET_VARIABLE;

/// A child; killed and reaped when dropped.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) stream: UnixStream,
    /// Readable at its end; `None` before Linux 5.3.
    pidfd: Option<OwnedFd>,
}

impl Child {
    /// Starts it. The kernel kills it when the *thread* that calls this ends (`PR_SET_PDEATHSIG`,
    /// prctl(2)): only a thread that outlives the child may.
    pub(super) fn start(options: &Options) -> io::Result<Child> {
        // Both ends close on exec, in children that other threads start meanwhile too.
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let number = theirs.as_raw_fd();
        let parent = libc::pid_t::try_from(std::process::id()).unwrap_or(-1);
        let mut command = Command::new(options.path());
        command
            .args(&options.args)
            .envs(options.env.iter().map(|(key, value)| (key, value)))
            .env(SOCKET_VARIABLE, number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(name) = &options.arg0 {
            command.arg0(name);
        }
        // SAFETY: between fork and exec only system calls that are safe there: prctl, getppid, fcntl.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                    return Err(io::Error::last_os_error());
                }
                // The parent may have ended before the line above.
                if libc::getppid() != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                match libc::fcntl(number, libc::F_SETFD, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        let process = command.spawn()?;
        drop(theirs);
        let pid = libc::c_long::from(process.id());
        // SAFETY: takes two integers; the pid is that of a child not reaped yet, so it is no other's.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        // SAFETY: a descriptor that was returned is new and ours alone.
        let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Child {
            process,
            stream,
            pidfd: libc::c_int::try_from(pidfd)
                .ok()
                .filter(|n| *n >= 0)
                .map(own),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn pidfd(&self) -> Option<libc::c_int> {
        self.pidfd.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    pub(super) fn terminate(&self) {
        if let Ok(pid) = libc::pid_t::try_from(self.process.id()) {
            // SAFETY: a signal to a child that is not reaped, as `ended` ends the only user.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }

    pub(super) fn kill(&mut self) {
        // Fails only where it has been reaped.
        let _ = self.process.kill();
    }

    /// RSS and swap now, proc_pid_status(5); `None` when it has none any more.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let text = std::fs::read(format!("/proc/{}/status", self.process.id())).ok()?;
        let kib = keyed_value(&text, "VmRSS:")?;
        let swap_kib = keyed_value(&text, "VmSwap:").unwrap_or(0);
        kib.checked_add(swap_kib)?.checked_mul(1024)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        let _ = self.process.wait();
    }
}
