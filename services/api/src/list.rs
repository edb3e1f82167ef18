//! Pages of the list.

use domain::{Action, Status as DomainStatus};
use proto::v1;
use store::ListQuery;
use tonic::{Request, Status};

use crate::error::{from_store, invalid};
use crate::page;
use crate::service::{DomainsService, page_size};

const DEFAULT_PAGE: u32 = 50;

/// The statuses of a filter. A number that is none is refused: ignoring it would answer another question.
fn statuses(numbers: &[i32]) -> Result<Vec<DomainStatus>, Status> {
    let known = |number: &i32| DomainStatus::try_from(v1::Status::try_from(*number).ok()?).ok();
    let statuses: Option<Vec<DomainStatus>> = numbers.iter().map(known).collect();
    statuses.ok_or_else(|| invalid("STATUS_INVALID", "an unknown status in the filter"))
}

impl DomainsService {
    pub(crate) async fn list(
        &self,
        request: Request<v1::ListDomainsRequest>,
    ) -> Result<v1::ListDomainsResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let search = asked.search.trim().to_lowercase();
        if search.len() > 253 {
            return Err(invalid("SEARCH_TOO_LONG", "search for at most 253 bytes"));
        }
        let statuses = statuses(&asked.statuses)?;
        let filter = format!("{search} {statuses:?}");
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(page::decode(&filter, token).ok_or_else(|| {
                invalid(
                    "PAGE_TOKEN_INVALID",
                    "send a next_page_token of the same filter, or none for page one",
                )
            })?),
        };
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let query = ListQuery {
            search,
            statuses,
            after,
            limit: limit + 1,
        };
        let mut views = self
            .context
            .store
            .domains(&query)
            .await
            .map_err(|problem| from_store(&problem))?;
        let more = views.len() > limit as usize;
        views.truncate(limit as usize);
        let last = views
            .last()
            .filter(|_| more)
            .map(|view| view.domain.name.as_str());
        Ok(v1::ListDomainsResponse {
            next_page_token: last.map(|last| page::encode(&filter, last)).unwrap_or_default(),
            domains: views.iter().map(v1::Domain::from).collect(),
            ..v1::ListDomainsResponse::default()
        })
    }
}
