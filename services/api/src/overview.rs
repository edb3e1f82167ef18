//! What a person on duty looks at first.

use domain::Action;
use proto::v1;
use tonic::{Request, Status};

use crate::service::DomainsService;

impl DomainsService {
    pub(crate) async fn overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<v1::GetOverviewResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        Err(Status::unimplemented("not yet"))
    }
}
