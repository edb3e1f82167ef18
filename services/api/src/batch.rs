//! Many names over one stream.

use std::pin::Pin;

use domain::Action;
use proto::v1;
use tokio_stream::Stream;
use tonic::{Request, Status, Streaming};

use crate::service::DomainsService;

pub(crate) type BatchStream = Pin<Box<dyn Stream<Item = Result<v1::BatchAddDomainsResponse, Status>> + Send>>;

impl DomainsService {
    pub(crate) async fn batch_add(
        &self,
        request: Request<Streaming<v1::BatchAddDomainsRequest>>,
    ) -> Result<BatchStream, Status> {
        self.authenticator.authorize(&request, Action::Operate).await?;
        Err(Status::unimplemented("not yet"))
    }
}
