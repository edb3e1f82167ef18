//! The bodies of calls: bounded in bytes and time on the way in; on the way out a stream keeps its share to the end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use runtime::Share;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::{Code, Status};

use crate::admission::StreamShare;
use crate::error::{error, overloaded};
use crate::guard::too_large;

/// A request's one message arrives whole by then, or not at all; so does each of the messages that make one job.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of a body.
pub(crate) enum Bound {
    /// One message, each byte of it on the account of its principal; strangers' are few and short instead.
    Message { max_bytes: usize, bytes: Option<Share<String>> },
    /// Messages one after the other, for as long as the client likes.
    Conversation { _bytes: Share<String> },
}

/// A request's body within bounds.
pub(crate) struct MeteredBody {
    inner: Body,
    bound: Bound,
    received: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl MeteredBody {
    /// Before each message of gRPC stand a flag and its length.
    pub(crate) const FRAME_HEADER: usize = 5;

    pub(crate) fn new(inner: Body, bound: Bound) -> Self {
        let deadline = match bound {
            Bound::Message { .. } => Some(Box::pin(sleep_until(Instant::now() + MESSAGE_TIMEOUT))),
            Bound::Conversation { .. } => None,
        };
        Self { inner, bound, received: 0, deadline }
    }

    fn count(&mut self, length: usize) -> Result<(), Status> {
        let Bound::Message { max_bytes, bytes } = &mut self.bound else { return Ok(()) };
        self.received += length;
        if self.received > *max_bytes + Self::FRAME_HEADER {
            return Err(too_large());
        }
        match bytes {
            Some(bytes) => bytes.grow(length).map_err(|_| overloaded(Duration::from_secs(1))),
            None => Ok(()),
        }
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(too_slow())));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        match self.count(length) {
            Ok(()) => Poll::Ready(frame),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(crate) fn too_slow() -> Status {
    let sentence =
        format!("the request did not arrive within {} s: send it again", MESSAGE_TIMEOUT.as_secs());
    error(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", sentence)
}

/// A stream's answers, with its share.
pub(crate) struct Answers {
    inner: Body,
    _share: StreamShare,
}

impl Answers {
    pub(crate) fn new(inner: Body, share: StreamShare) -> Self {
        Self { inner, _share: share }
    }
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
