//! What to start, and under which conditions.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_model::{Bytes, CapMechanism};

/// Finds the label of a stage in a line of output; `None` for a line that starts none.
pub type LineMatcher = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A command and the conditions that it runs under.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Added to our own environment.
    pub environment: Vec<(OsString, OsString)>,
    pub streams: Streams,
    /// A hard cap on its memory: all its processes together, where the mechanism can do that.
    pub limit: Option<Bytes>,
    /// What enforces the cap; `None` for the strongest that works here.
    pub mechanism: Option<CapMechanism>,
    /// It is killed, with all that came of it, when it runs longer.
    pub timeout: Option<Duration>,
    pub leftovers: Leftovers,
}

impl Launch {
    /// A cap that never bites: the command is charged apart, and measured, all the same.
    pub const UNLIMITED: Bytes = Bytes(i64::MAX as u64);

    /// In the foreground, with our own streams and environment.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Launch {
        Launch {
            command,
            environment: Vec::new(),
            streams: Streams::Inherited,
            limit: None,
            mechanism: None,
            timeout: None,
            leftovers: Leftovers::GoOn,
        }
    }
}

/// What becomes of processes that outlive the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    GoOn,
    Killed,
}

/// Where a command's standard streams go.
#[derive(Clone)]
pub enum Streams {
    /// They are ours.
    Inherited,
    /// Output passes through us, and lines that the matcher knows begin stages. It is a pipe for
    /// the command then, also where ours is a terminal.
    Watched(LineMatcher),
    /// No input and no output, but for the end of standard error, which is kept; lines that the
    /// matcher knows begin stages all the same.
    Silent(Option<LineMatcher>),
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Streams::Inherited => "Inherited",
            Streams::Watched(_) => "Watched",
            Streams::Silent(_) => "Silent",
        })
    }
}
