//! Revocation.

use domain::Action;
use proto::v1;
use tonic::{Request, Status};

use crate::service::DomainsService;

impl DomainsService {
    pub(crate) async fn revoke(
        &self,
        request: Request<v1::RevokeCertificateRequest>,
    ) -> Result<v1::RevokeCertificateResponse, Status> {
        self.authenticator.authorize(&request, Action::Revoke).await?;
        Err(Status::unimplemented("not yet"))
    }
}
