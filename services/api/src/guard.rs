//! The frame of every call: admission, a deadline, and typed errors, also for those of libraries.
//!
//! tonic refuses undecodable messages and unknown methods before our code runs, with its own texts. Those are replaced
//! here: no client sees an error without a `google.rpc.ErrorInfo`, or the text of a library. Why not tonic's own
//! `timeout` and `load_shed`: they stand outside of every layer, so their errors could not be typed.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use runtime::Peer;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::admission::Admission;
use crate::body::Answers;
use crate::error::error;

#[derive(Clone)]
pub(crate) struct GuardLayer {
    admission: Arc<Admission>,
}

impl GuardLayer {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self { admission }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, admission: self.admission.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Guard<S> {
    inner: S,
    admission: Arc<Admission>,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.speaks();
        }
        // The one that is ready is taken, a clone of it stays (tower's documentation of `Service`).
        let inner = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, inner);
        let admission = self.admission.clone();
        Box::pin(async move { Ok(answer(&admission, inner, request).await) })
    }
}

async fn answer<S>(admission: &Admission, mut inner: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (request, mut held) = match admission.admit(request).await {
        Ok(admitted) => admitted,
        Err(status) => return status.into_http(),
    };
    let answer = match tokio::time::timeout(held.deadline, inner.call(request)).await {
        Ok(Ok(answer)) => typed(answer),
        Err(_) => return too_slow(held.deadline).into_http(),
    };
    match held.stream.take() {
        Some(share) => answer.map(|body| Body::new(Answers::new(body, share))),
        None => answer,
    }
}

fn too_slow(deadline: Duration) -> Status {
    let sentence = format!("no answer within {} s: try again", deadline.as_secs());
    error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", sentence)
}

pub(crate) fn too_large() -> Status {
    error(Code::InvalidArgument, "MESSAGE_TOO_LARGE", "the message is too large: send less at once")
}

/// The answer, with an error that has no type replaced by one that has.
fn typed(answer: Response<Body>) -> Response<Body> {
    let status = Status::from_header_map(answer.headers());
    match status.filter(|status| status.code() != Code::Ok && status.details().is_empty()) {
        Some(status) => replacement(&status).into_http(),
        None => answer,
    }
}

/// What to say instead of what tonic says.
pub(crate) fn replacement(status: &Status) -> Status {
    tracing::debug!(code = ?status.code(), message = status.message(), "refused before it was read");
    match status.code() {
        Code::Unimplemented => error(
            Code::Unimplemented,
            "METHOD_UNKNOWN",
            "unknown method or compression: the reflection service lists the methods",
        ),
        Code::OutOfRange | Code::ResourceExhausted => too_large(),
        Code::Cancelled | Code::Unknown => {
            error(Code::Cancelled, "STREAM_CUT", "the request ended before it was complete: send it again")
        }
        _ => error(
            Code::InvalidArgument,
            "MESSAGE_MALFORMED",
            "the message cannot be decoded: send a message of the type that the method takes",
        ),
    }
}
