//! A body that is handed on a piece at a time, for a reader that would gather all that has arrived, and
//! only as long as the reader gets on with it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;

/// What may be handed on of which nothing has come out yet: the head of a part of a form has some 200
/// bytes.
pub(super) const GATHERED_BYTES_MAX: usize = 64 << 10;

/// The body, with a break after each piece.
#[derive(Debug)]
pub(super) struct Paced {
    body: Body,
    gathered: Gathered,
    is_at_break: bool,
}

/// How much was handed on since something came out.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered(Arc<AtomicUsize>);

impl Gathered {
    /// Something has come out.
    pub(super) fn begin_anew(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Paced {
    pub(super) fn new(body: Body, gathered: Gathered) -> Paced {
        Paced {
            body,
            gathered,
            is_at_break: false,
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.is_at_break) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.is_at_break = true;
            let len = frame.data_ref().map_or(0, Bytes::len);
            let before = self.gathered.0.fetch_add(len, Ordering::Relaxed);
            if before > GATHERED_BYTES_MAX {
                let error = std::io::Error::other("the head of a part of the form is too long");
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
        }
        Poll::Ready(frame)
    }
}
