//! Full readings in a thread of their own, so that sampling and signals go on meanwhile.
//!
//! One reading at a time: [`Reader::ask`] hands over the processes, [`Reader::take`] collects.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::Scope;
use std::time::Duration;

use plimsoll_model::{Breakdown, Bytes, Gap, ProcessId};

use crate::BreakdownReason;
use crate::clock::thread_cpu;
use crate::signals::{wake, with_signals_blocked};

/// A reading that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    pub(crate) rss: Bytes,
    pub(crate) reason: BreakdownReason,
}

/// A reading that is done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) asked: Asked,
    pub(crate) breakdown: Result<Breakdown, Gap>,
    /// Processor time it took.
    pub(crate) cost: Duration,
}

#[derive(Debug)]
pub(crate) struct Reader {
    requests: SyncSender<Vec<ProcessId>>,
    results: Receiver<(Result<Breakdown, Gap>, Duration)>,
    asked: Option<Asked>,
}

impl Reader {
    /// The thread ends when the reader is dropped.
    pub(crate) fn start<'scope, F>(
        scope: &'scope Scope<'scope, '_>,
        mut read_breakdown: F,
    ) -> std::io::Result<Reader>
    where
        F: FnMut(&[ProcessId]) -> Result<Breakdown, Gap> + Send + 'scope,
    {
        let (requests, incoming) = sync_channel::<Vec<ProcessId>>(1);
        let (outgoing, results) = sync_channel(1);
        let work = move || {
            for processes in incoming {
                let before = thread_cpu();
                let breakdown = read_breakdown(&processes);
                let cost = thread_cpu().saturating_sub(before);
                if outgoing.send((breakdown, cost)).is_err() {
                    return;
                }
                wake();
            }
        };
        with_signals_blocked(|| {
            std::thread::Builder::new()
                .name("breakdown".to_owned())
                .spawn_scoped(scope, work)
        })?;
        Ok(Reader {
            requests,
            results,
            asked: None,
        })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Begins a reading; nothing when one is on its way.
    pub(crate) fn ask(&mut self, asked: Asked, processes: Vec<ProcessId>) {
        if self.asked.is_none() && self.requests.try_send(processes).is_ok() {
            self.asked = Some(asked);
        }
    }

    /// The reading asked for, once it is done.
    pub(crate) fn take(&mut self) -> Option<Done> {
        match self.results.try_recv() {
            Ok(result) => self.done(result),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Waits for the reading that is on its way, if any. It ends soon after its process does:
    /// every read of a process that is gone fails.
    pub(crate) fn wait(&mut self) -> Option<Done> {
        self.asked?;
        let result = self.results.recv().ok()?;
        self.done(result)
    }

    fn done(&mut self, (breakdown, cost): (Result<Breakdown, Gap>, Duration)) -> Option<Done> {
        let asked = self.asked.take()?;
        Some(Done {
            asked,
            breakdown,
            cost,
        })
    }
}
