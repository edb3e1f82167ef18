//! Every certificate of a name.

use domain::Action;
use proto::v1;
use tonic::{Request, Status};

use crate::service::DomainsService;

impl DomainsService {
    pub(crate) async fn certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<v1::ListCertificatesResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        Err(Status::unimplemented("not yet"))
    }
}
