//! Rows on their way from the server. They come as they are taken: what is not asked for yet waits at the
//! server. Where something else is asked in between, the rest of an answer is taken in first, within a bound.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio_postgres::{Error, Row, RowStream};

use crate::store::database::{Act, Doing};

/// Rows that are taken in at once, and their bytes: as many as make the way there cheap.
const BATCH_ROWS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Of the rest of an answer while something else is asked. Who needs more reads first and asks then.
const REST_BYTES_MAX: usize = 64 << 20;

/// Answers that are being read, the innermost last.
#[derive(Default)]
pub(super) struct Answers {
    open: RefCell<Vec<Answer>>,
}

struct Answer {
    /// `None` once all of it has come.
    stream: Option<Pin<Box<RowStream>>>,
    rows: VecDeque<Row>,
}

impl Answer {
    /// Takes in rows up to a bound; whether that was all.
    async fn fill(&mut self, rows_max: usize, bytes_max: usize) -> Result<bool, Error> {
        let (mut rows, mut bytes) = (0, 0);
        while let Some(stream) = &mut self.stream {
            if rows >= rows_max || bytes >= bytes_max {
                return Ok(false);
            }
            match stream.next().await {
                Some(row) => {
                    let row = row?;
                    rows += 1;
                    bytes += row.raw_size_bytes();
                    self.rows.push_back(row);
                }
                None => self.stream = None,
            }
        }
        Ok(true)
    }
}

impl Answers {
    /// Takes in what is left of an answer, so that something else can be asked.
    pub(super) fn settle(&self, runtime: &Runtime, doing: Doing<'_>) -> Result<()> {
        let mut open = self.open.borrow_mut();
        let Some(answer) = open.last_mut().filter(|answer| answer.stream.is_some()) else {
            return Ok(());
        };
        let rest = runtime.block_on(answer.fill(usize::MAX, REST_BYTES_MAX));
        match rest.with_context(doing)? {
            true => Ok(()),
            false => bail!(
                "{}: it is asked within an answer of more than {} MiB, which has to be read first",
                doing(),
                REST_BYTES_MAX >> 20
            ),
        }
    }

    /// Calls `act` for each row. All of the answer is waited for where it `is_change`: it may fail behind
    /// its last row.
    pub(super) fn each_row(
        &self,
        runtime: &Runtime,
        stream: RowStream,
        is_change: bool,
        doing: Doing<'_>,
        fail: &dyn Fn(Error) -> anyhow::Error,
        act: Act<'_>,
    ) -> Result<()> {
        let depth = self.open.borrow().len();
        self.open.borrow_mut().push(Answer {
            stream: Some(Box::pin(stream)),
            rows: VecDeque::new(),
        });
        let _closing = Closing {
            answers: self,
            depth,
        };
        loop {
            let batch = self.take(runtime, depth).map_err(fail)?;
            if batch.is_empty() {
                return Ok(());
            }
            for row in batch {
                let flow = act(&crate::store::Row::of_postgres(&row)).with_context(doing)?;
                if flow.is_break() {
                    return match is_change {
                        true => self.skip(runtime, depth).map_err(fail),
                        false => Ok(()),
                    };
                }
            }
        }
    }

    /// The next rows of an answer; none at its end.
    fn take(&self, runtime: &Runtime, depth: usize) -> Result<VecDeque<Row>, Error> {
        let mut open = self.open.borrow_mut();
        let answer = &mut open[depth];
        if answer.rows.is_empty() {
            runtime.block_on(answer.fill(BATCH_ROWS_MAX, BATCH_BYTES_MAX))?;
        }
        Ok(std::mem::take(&mut answer.rows))
    }

    fn skip(&self, runtime: &Runtime, depth: usize) -> Result<(), Error> {
        while !self.take(runtime, depth)?.is_empty() {}
        Ok(())
    }

    /// Lets go of all of them.
    pub(super) fn forget(&self) {
        self.open.borrow_mut().clear();
    }
}

/// Lets go of an answer, and what was asked within it, when its rows are no longer wanted.
struct Closing<'a> {
    answers: &'a Answers,
    depth: usize,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.answers.open.borrow_mut().truncate(self.depth);
    }
}
