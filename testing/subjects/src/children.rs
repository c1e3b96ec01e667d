//! Children made by fork alone, so that they share their parent's memory copy-on-write.
//!
//! The main type is [`Children`]: they do their work, then wait until their parent ends them. They
//! die with their parent (PR_SET_PDEATHSIG). Only for programs with a single thread.

use std::io::{self, PipeReader, PipeWriter, Read, Write};

/// Forked children of this process, which wait.
#[derive(Debug)]
pub struct Children {
    pids: Vec<libc::pid_t>,
    /// Closed to end the children.
    hold: PipeWriter,
}

impl Children {
    /// Forks `count` children, each of which does `work` with its number; returns when all are done.
    pub fn fork(count: usize, work: impl Fn(usize)) -> io::Result<Children> {
        let (held, hold) = io::pipe()?;
        let (mut done, report) = io::pipe()?;
        let mut children = Children {
            pids: Vec::with_capacity(count),
            hold,
        };
        for index in 0..count {
            match fork()? {
                0 => {
                    drop(children.hold);
                    work(index);
                    wait_and_end(held, report);
                }
                pid => children.pids.push(pid),
            }
        }
        drop(report);
        done.read_exact(&mut vec![0; count])?;
        Ok(children)
    }

    /// Forks `count` children that end at once, and waits until they are zombies.
    pub fn fork_to_end(count: usize) -> io::Result<Children> {
        let (_, hold) = io::pipe()?;
        let mut children = Children {
            pids: Vec::with_capacity(count),
            hold,
        };
        for _ in 0..count {
            let pid = fork_for(0)?;
            children.pids.push(pid);
            wait_for(pid, libc::WEXITED | libc::WNOWAIT)?;
        }
        Ok(children)
    }

    /// The process ids.
    #[must_use]
    pub fn pids(&self) -> &[libc::pid_t] {
        &self.pids
    }

    /// Ends all children and waits for them.
    pub fn end(self) -> io::Result<()> {
        let Children { pids, hold } = self;
        drop(hold);
        pids.into_iter()
            .try_for_each(|pid| wait_for(pid, libc::WEXITED))
    }
}

/// Forks a child that lives for some milliseconds and ends by itself.
pub fn fork_for(milliseconds: libc::c_int) -> io::Result<libc::pid_t> {
    match fork()? {
        0 => {
            if milliseconds > 0 {
                // SAFETY: no descriptors are passed: this only waits.
                unsafe { libc::poll(std::ptr::null_mut(), 0, milliseconds) };
            }
            end()
        }
        pid => Ok(pid),
    }
}

/// Reaps one child that has ended, if any has.
pub fn reap_any() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: a null status is allowed.
    match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
        0 => Ok(None),
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
            error => Err(error),
        },
        pid => Ok(Some(pid)),
    }
}

fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: the subjects that fork have one thread, so the child may do what its parent may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: PR_SET_PDEATHSIG takes one number; its refusal does no harm.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(0)
        }
        pid => Ok(pid),
    }
}

fn wait_and_end(mut held: PipeReader, mut report: PipeWriter) -> ! {
    if report.write_all(&[1]).is_ok() {
        drop(report);
        // Returns when the parent closes its end; an error ends the child just the same.
        let _ = held.read(&mut [0]);
    }
    end()
}

fn end() -> ! {
    // SAFETY: ends this child without running what its parent registered.
    unsafe { libc::_exit(0) }
}

fn wait_for(pid: libc::pid_t, options: libc::c_int) -> io::Result<()> {
    let id = libc::id_t::try_from(pid).expect("the pid of a child is positive");
    // SAFETY: siginfo_t is plain data, for which all zeros are a value.
    let mut information: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the structure may be written.
    match unsafe { libc::waitid(libc::P_PID, id, &raw mut information, options) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
