//! The stream of a job: its present state, and each change of it or its figures.

use std::pin::Pin;
use std::time::Duration;

use domain::JobId;
use futures::Stream;
use proto::v1;
use runtime::Context;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{not_found, shown};
use crate::error::from_store;
use crate::lasts::{READ_TIMEOUT, StreamRights};

pub(super) type JobStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchJobResponse, Status>> + Send + 'static>>;

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Follows a job until it is over, the watcher loses the right to read, or the process stops.
pub(super) fn stream(context: &Context, id: JobId, lasts: StreamRights) -> JobStream {
    let (sender, receiver) = mpsc::channel(1);
    let context = context.clone();
    let stop = context.stop.clone();
    stop.spawn(async move {
        let soft = context.stop.soft().clone();
        let ended = tokio::select! {
            problem = follow(&context, id, &sender) => problem,
            problem = lasts.until_it_ends() => Some(problem),
            () = soft.cancelled() => None,
        };
        if let Some(problem) = ended {
            // The client may have disconnected.
            let _ = tokio::time::timeout(READ_TIMEOUT, sender.send(Err(problem))).await;
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

async fn follow(
    context: &Context,
    id: JobId,
    sender: &mpsc::Sender<Result<v1::WatchJobResponse, Status>>,
) -> Option<Status> {
    let mut told = None;
    loop {
        let job = match context.store.job(id).await {
            Ok(Some(job)) => shown::job(&job),
            Ok(None) => return Some(not_found()),
            Err(problem) => return Some(from_store(&problem)),
        };
        let is_over = proto::is_job_over(job.state());
        if told.as_ref() != Some(&job) {
            if sender.send(Ok(v1::WatchJobResponse { job: Some(job.clone()) })).await.is_err() {
                return None;
            }
            told = Some(job);
        }
        if is_over {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = sender.closed() => return None,
        }
    }
}
