//! Why a call of the worker failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::message::Cause;

/// Why a call failed, after all tries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The worker could not be started.
    #[error("start the ML worker {program}: {reason}")]
    Start {
        /// What was started.
        program: PathBuf,
        /// What is known of the failure, and what to do.
        reason: String,
    },
    /// Nobody answers at the socket, or the connection broke. Tried again before it is told.
    #[error("talk to the ML worker at {socket}: {source}")]
    Connection {
        /// The worker's socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The worker said nothing for so long; it was killed, so that the next call gets another one.
    #[error("wait for the ML worker: silent for {} s, so it was killed", .0.as_secs_f64())]
    Timeout(Duration),
    /// The worker ran, and says that this can't be done. Not tried again.
    #[error("the ML worker refuses: {message}")]
    Refused {
        /// The worker's own words.
        message: String,
        /// What it lies in, where the worker says so; the original's does not.
        cause: Option<Cause>,
    },
    /// What came from the socket is no answer to the request.
    #[error("read the ML worker's answer: {0}")]
    Malformed(String),
    /// The request itself can't be sent.
    #[error("ask the ML worker: {0}")]
    Invalid(String),
}

impl ClientError {
    /// Whether another try, with another worker, may succeed.
    #[must_use]
    pub fn is_worth_a_retry(&self) -> bool {
        matches!(
            self,
            ClientError::Connection { .. } | ClientError::Timeout(_) | ClientError::Malformed(_)
        )
    }
}
