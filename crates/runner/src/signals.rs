//! Signals on their way through us: caught, put into a pipe, and told to the sampling loop.
//!
//! The subject is in our process group, as it would be without us, so what the terminal sends
//! (Ctrl-C, Ctrl-\, Ctrl-Z, hang-up) reaches it without our help; only what is sent to us alone
//! must be passed on. SIGTSTP and SIGCONT are not caught at all: both of us stop and go on.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// Those that end a program by default and are meant for the subject.
pub(crate) const PASSED_ON: [libc::c_int; 6] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];
/// Those that end the recording of a process that is not ours.
pub(crate) const STOPPING: [libc::c_int; 4] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Both ends, made once and kept open for good: a handler may still run while it is taken down.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
static WRITE_END: AtomicI32 = AtomicI32::new(-1);
static IN_USE: AtomicBool = AtomicBool::new(false);

/// A message in the pipe: signal, whether the kernel sent it, and the sender's pid. Smaller than
/// PIPE_BUF, so written whole or not at all.
const MESSAGE_BYTES: usize = 6;

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) signal: libc::c_int,
    /// The terminal driver, which tells the whole foreground group, or a fault.
    pub(crate) from_kernel: bool,
    pub(crate) sender: u32,
}

/// Handlers that are in place until this is dropped. One at a time in a process.
#[derive(Debug)]
pub(crate) struct SignalPipe {
    read_end: libc::c_int,
    previous: Vec<(libc::c_int, PreviousAction)>,
}

pub(crate) struct PreviousAction(pub(crate) libc::sigaction);

impl std::fmt::Debug for PreviousAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PreviousAction")
    }
}

impl SignalPipe {
    /// Catches `signals`. One that is ignored stays so, and the subject inherits that: `nohup`
    /// and background jobs of a shell work as they do without us.
    pub(crate) fn install(signals: &[libc::c_int]) -> io::Result<SignalPipe> {
        if IN_USE.swap(true, Ordering::AcqRel) {
            return Err(io::Error::other(
                "this process already runs or records a subject",
            ));
        }
        let mut pipe = SignalPipe {
            read_end: -1,
            previous: Vec::new(),
        };
        let (read_end, write_end) = open_pipe()?;
        pipe.read_end = read_end;
        WRITE_END.store(write_end, Ordering::Release);
        pipe.take();
        for signal in signals {
            pipe.catch(*signal)?;
        }
        Ok(pipe)
    }

    fn catch(&mut self, signal: libc::c_int) -> io::Result<()> {
        let previous = exchange(signal, None)?;
        if previous.sa_sigaction == libc::SIG_IGN && signal != libc::SIGCHLD {
            return Ok(());
        }
        // SAFETY: all-zero is a valid sigaction (no flags, default action).
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        // SA_RESTART: system calls of other threads (the recording's) are not cut short.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        exchange(signal, Some(&action))?;
        self.previous.push((signal, PreviousAction(previous)));
        Ok(())
    }

    /// Sleeps until something is in the pipe, at most for `longest`.
    pub(crate) fn wait(&self, longest: Duration) {
        let mut watched = libc::pollfd {
            fd: self.read_end,
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(longest.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(longest.subsec_nanos().cast_signed()),
        };
        // SAFETY: both structs live across the call; a null signal mask leaves the mask alone.
        // An error (EINTR by a signal that is not ours) is a wake-up like any other.
        unsafe { libc::ppoll(&raw mut watched, 1, &raw const timeout, std::ptr::null()) };
    }

    /// What was caught since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        let mut taken = Vec::new();
        let mut message = [0_u8; MESSAGE_BYTES];
        loop {
            // SAFETY: the buffer is writable for the length given.
            let count =
                unsafe { libc::read(self.read_end, message.as_mut_ptr().cast(), message.len()) };
            if count != MESSAGE_BYTES.cast_signed() {
                return taken;
            }
            // 0 is no signal but a wake-up.
            if message[0] != 0 {
                taken.push(Received {
                    signal: libc::c_int::from(message[0]),
                    from_kernel: message[1] != 0,
                    sender: u32::from_ne_bytes([message[2], message[3], message[4], message[5]]),
                });
            }
        }
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for (signal, action) in &self.previous {
            // It was accepted before, so it is now.
            let _ = exchange(*signal, Some(&action.0));
        }
        IN_USE.store(false, Ordering::Release);
    }
}

/// Ends the sleep of [`SignalPipe::wait`], from any thread.
pub(crate) fn wake() {
    put_message([0; MESSAGE_BYTES]);
}

/// Runs `start` with all signals blocked, so that a thread it starts takes none of them: they are
/// for the thread that samples.
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut previous = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set it is given; pthread_sigmask reads it and writes
    // `previous`, both of which live across the calls.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), previous.as_mut_ptr());
    }
    let started = start();
    // SAFETY: `previous` was initialised above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, previous.as_ptr(), std::ptr::null_mut());
    }
    started
}

/// SIGINT and the like by name; others by number.
pub(crate) fn signal_name(signal: libc::c_int) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: errno is thread-local and always there; the interrupted code must find it as it was.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo; si_pid is valid for signals sent
    // by kill(2) and for SIGCHLD, and otherwise some number that nobody looks at.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    let sender = sender.to_ne_bytes();
    put_message([
        u8::try_from(signal).unwrap_or(0),
        // signal(7): codes above 0 are the kernel's, 0 and below a process's.
        u8::from(code > 0),
        sender[0],
        sender[1],
        sender[2],
        sender[3],
    ]);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Async-signal-safe. A full pipe holds ten thousand messages that say enough.
fn put_message(message: [u8; MESSAGE_BYTES]) {
    let write_end = WRITE_END.load(Ordering::Acquire);
    // SAFETY: write(2) may be called in a handler (signal-safety(7)); the pipe is never closed,
    // and on -1 the call fails without harm.
    unsafe { libc::write(write_end, message.as_ptr().cast(), message.len()) };
}

fn open_pipe() -> io::Result<(libc::c_int, libc::c_int)> {
    if PIPE.get().is_none() {
        let mut ends = [-1; 2];
        // SAFETY: pipe2(2) fills the two descriptors.
        let rc = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
        if rc != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both were just opened and have no other owner.
        let pipe = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // `IN_USE` lets one thread at a time in here, so the value set is this one.
        let _ = PIPE.set(pipe);
    }
    let (read_end, write_end) = PIPE.get().expect("set a line above");
    Ok((read_end.as_raw_fd(), write_end.as_raw_fd()))
}

/// sigaction(2): the action before, which stays when there is no `next`.
pub(crate) fn exchange(
    signal: libc::c_int,
    next: Option<&libc::sigaction>,
) -> io::Result<libc::sigaction> {
    let next = next.map_or(std::ptr::null(), std::ptr::from_ref);
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `next` is null or valid, `previous` is writable; the handler in `next` is
    // `on_signal`, which is async-signal-safe, or one that was installed before.
    let rc = unsafe { libc::sigaction(signal, next, previous.as_mut_ptr()) };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and filled by the call.
    Ok(unsafe { previous.assume_init() })
}
