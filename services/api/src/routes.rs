//! `Domains` with a larger message for the one method that needs it: tonic bounds messages by service, not by method.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use proto::v1::domains_server::DomainsServer;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::admission::{MAX_IMPORT, MAX_MESSAGE};
use crate::service::DomainsService;

#[derive(Clone)]
pub(crate) struct BoundedDomains {
    import: DomainsServer<DomainsService>,
    others: DomainsServer<DomainsService>,
}

impl BoundedDomains {
    pub(crate) fn new(service: DomainsService) -> Self {
        let service = Arc::new(service);
        let bounded = |most| DomainsServer::from_arc(service.clone()).max_decoding_message_size(most);
        Self { import: bounded(MAX_IMPORT), others: bounded(MAX_MESSAGE) }
    }
}

impl NamedService for BoundedDomains {
    const NAME: &'static str = <DomainsServer<DomainsService> as NamedService>::NAME;
}

impl Service<Request<Body>> for BoundedDomains {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_import = request.uri().path().ends_with("/ImportCertificate");
        if is_import { self.import.call(request) } else { self.others.call(request) }
    }
}
