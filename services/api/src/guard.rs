//! Around every call: a deadline, a bound on how many are in hand, and errors that are typed whoever made them.
//!
//! tonic refuses what it cannot decode, and methods that it does not know, before any code of ours runs, and says so in
//! its own words. Those are replaced here: no client sees an error without a `google.rpc.ErrorInfo`, and none sees the
//! words of a library. Why not tonic's own `timeout` and `load_shed`: they stand outside of every layer, so their errors
//! could not be typed.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error::{error, overloaded};

/// A call that has not begun to answer by then is given up. Streams may last.
const DEADLINE: Duration = Duration::from_mins(1);
/// Calls in hand at once in one process, streams only until they begin.
const MOST_CALLS: usize = 1024;

#[derive(Clone)]
pub(crate) struct GuardLayer {
    calls: Arc<Semaphore>,
}

impl GuardLayer {
    pub(crate) fn new() -> Self {
        Self { calls: Arc::new(Semaphore::new(MOST_CALLS)) }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, calls: self.calls.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Guard<S> {
    inner: S,
    calls: Arc<Semaphore>,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let permit = self.calls.clone().try_acquire_owned();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(_permit) = permit else {
                return Ok(overloaded(Duration::from_secs(1)).into_http());
            };
            match tokio::time::timeout(DEADLINE, answer).await {
                Ok(answer) => answer.map(typed),
                Err(_) => Ok(too_slow().into_http()),
            }
        })
    }
}

fn too_slow() -> Status {
    let sentence = format!("no answer within {} s: try again", DEADLINE.as_secs());
    error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", sentence)
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
            "there is no such method, or no such compression: ask the reflection service what there is",
        ),
        Code::OutOfRange | Code::ResourceExhausted => {
            error(Code::InvalidArgument, "MESSAGE_TOO_LARGE", "the message is too large: send less at once")
        }
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
