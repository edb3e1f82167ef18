//! Counts the calls of each method, their results and durations, for `/metrics`.
//!
//! It is outside of the guard, so that refusals are counted. A stream is measured up to its first answer. Paths come
//! from strangers: only methods of ours become labels.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// Names of methods by their paths.
static METHODS: LazyLock<HashMap<String, Arc<str>>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    let mut methods = HashMap::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.insert(path, method.name().into());
            }
        }
    }
    methods
});

#[derive(Clone)]
pub(crate) struct MeasureLayer;

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { inner }
    }
}

#[derive(Clone)]
pub(crate) struct Measure<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Measure<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = METHODS.get(request.uri().path()).cloned().unwrap_or_else(|| "other".into());
        let (begun, answer) = (Instant::now(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            let took = begun.elapsed();
            metrics::histogram!("ssl_manager_call_seconds", "method" => method.clone()).record(took);
            metrics::counter!("ssl_manager_calls_total", "method" => method, "code" => code(&answer))
                .increment(1);
            Ok(answer)
        })
    }
}

/// An error stands in the headers; an answer that began well has none there.
fn code(answer: &Response<Body>) -> &'static str {
    match Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code()) {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
