//! What a worker is started from and kept by.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::worker::Worker;
use crate::worker::state::Inner;

#[derive(Clone, Debug)]
pub(super) struct Options {
    program: OsString,
    pub(super) arg0: Option<OsString>,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) call_timeout: Duration,
    pub(super) cancel_grace: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) memory_max_bytes: Option<u64>,
    pub(super) shutdown_wait: Duration,
    pub(super) terminate_wait: Duration,
}

impl Options {
    pub(super) fn path(&self) -> &OsStr {
        &self.program
    }

    /// For messages.
    pub(super) fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Sets up a [`Worker`]; starts nothing.
#[derive(Clone)]
pub struct WorkerBuilder {
    options: Options,
}

impl WorkerBuilder {
    pub(super) fn new(program: OsString) -> WorkerBuilder {
        WorkerBuilder {
            options: Options {
                program,
                arg0: None,
                args: Vec::new(),
                env: Vec::new(),
                call_timeout: Duration::from_secs(60),
                cancel_grace: Duration::from_secs(2),
                idle_timeout: Duration::from_secs(300),
                memory_max_bytes: None,
                shutdown_wait: Duration::from_secs(5),
                terminate_wait: Duration::from_secs(2),
            },
        }
    }

    /// The name that the child is told it has, and that `ps` shows; the program as it is started by
    /// default. For programs that start themselves as `/proc/self/exe`.
    #[must_use]
    pub fn arg0(mut self, name: impl Into<OsString>) -> WorkerBuilder {
        self.options.arg0 = Some(name.into());
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> WorkerBuilder {
        self.options.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> WorkerBuilder {
        self.options.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// An environment variable beside those of this process.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> WorkerBuilder {
        self.options.env.push((key.into(), value.into()));
        self
    }

    /// For calls without a time of their own, the wait in line and the start of the child
    /// included; 60 s by default.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> WorkerBuilder {
        self.options.call_timeout = timeout;
        self
    }

    /// How long the child has to answer a cancelled call before it is killed; 2 s by default.
    #[must_use]
    pub fn cancel_grace(mut self, grace: Duration) -> WorkerBuilder {
        self.options.cancel_grace = grace;
        self
    }

    /// The child is ended after so long without a call; 300 s by default.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> WorkerBuilder {
        self.options.idle_timeout = timeout;
        self
    }

    /// The child is ended when its RSS and swap exceed this after a call; the next call starts
    /// another. Not set by default.
    #[must_use]
    pub fn memory_max_bytes(mut self, bytes: u64) -> WorkerBuilder {
        self.options.memory_max_bytes = Some(bytes);
        self
    }

    /// How long a child that is told to end has until SIGTERM (5 s by default), and from there
    /// until SIGKILL (2 s).
    #[must_use]
    pub fn stop_waits(mut self, shutdown: Duration, terminate: Duration) -> WorkerBuilder {
        self.options.shutdown_wait = shutdown;
        self.options.terminate_wait = terminate;
        self
    }

    /// The supervisor; the first call starts its child.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where no descriptor is left.
    pub fn build(self) -> Result<Worker, Error> {
        Ok(Worker::new(Arc::new(Inner::new(self.options)?)))
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}
