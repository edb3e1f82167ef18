//! The API calls of a batch. A trait, so that a test can make the API fail.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use proto::v1;
use tonic::Status;

use super::Batch;
use crate::api::Domains;

/// The names from a position on, as they are sent.
pub(crate) struct Names {
    pub(super) batch: Arc<Batch>,
    pub(super) next: usize,
}

impl Stream for Names {
    type Item = v1::BatchAddDomainsRequest;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = self.batch.names.get(self.next);
        let request =
            line.map(|line| v1::BatchAddDomainsRequest { name: line.text.clone(), ..Default::default() });
        self.next += 1;
        Poll::Ready(request)
    }
}

pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<v1::BatchAddDomainsResponse, Status>> + Send>>;

/// The API calls of a batch.
pub(crate) trait Calls: Send + Sync + 'static {
    fn add(&self, names: Names) -> BoxFuture<'_, Result<Answers, Status>>;
    fn recheck(&self, name: String) -> BoxFuture<'_, Result<(), Status>>;
    fn delete(&self, name: String, remove_from_c4: bool) -> BoxFuture<'_, Result<(), Status>>;
}

/// The calls, made as the person who started it.
pub(crate) struct AsPerson(pub(crate) Domains);

impl Calls for AsPerson {
    fn add(&self, names: Names) -> BoxFuture<'_, Result<Answers, Status>> {
        let mut domains = self.0.clone();
        async move {
            let answers = domains.batch_add_domains(names).await?.into_inner();
            Ok(answers.boxed())
        }
        .boxed()
    }

    fn recheck(&self, name: String) -> BoxFuture<'_, Result<(), Status>> {
        let mut domains = self.0.clone();
        let request = v1::RecheckDomainRequest { name };
        async move { domains.recheck_domain(request).await.map(drop) }.boxed()
    }

    fn delete(&self, name: String, remove_from_c4: bool) -> BoxFuture<'_, Result<(), Status>> {
        let mut domains = self.0.clone();
        let request = v1::DeleteDomainRequest { name, remove_from_c4 };
        async move { domains.delete_domain(request).await.map(drop) }.boxed()
    }
}
