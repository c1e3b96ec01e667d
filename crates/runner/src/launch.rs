//! What to start, and under which conditions.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

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
}

impl Launch {
    /// In the foreground, with our own streams and environment.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Launch {
        Launch {
            command,
            environment: Vec::new(),
            streams: Streams::Inherited,
        }
    }
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
