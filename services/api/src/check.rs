//! A preflight without effect.

use domain::Action;
use proto::v1;
use tonic::{Request, Status};

use crate::service::DomainsService;

impl DomainsService {
    pub(crate) async fn check(
        &self,
        request: Request<v1::CheckDomainRequest>,
    ) -> Result<v1::CheckDomainResponse, Status> {
        self.authenticator.authorize(&request, Action::Operate).await?;
        Err(Status::unimplemented("not yet"))
    }
}
