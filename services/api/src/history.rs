//! The history of a name, newest first, also for deleted names.

use domain::Action;
use proto::v1;
use tonic::{Request, Status};

use crate::error::{from_store, invalid, not_found};
use crate::page;
use crate::service::{DomainsService, name, page_size};

const DEFAULT_PAGE: u32 = 100;

impl DomainsService {
    pub(crate) async fn history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<v1::GetHistoryResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let name = name(&asked.name)?;
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let filter = format!("history {name}");
        let before = match asked.page_token.as_str() {
            "" => None,
            token => Some(decode(&filter, token).ok_or_else(|| {
                invalid(
                    "PAGE_TOKEN_INVALID",
                    "send a next_page_token of the same name, or none for the newest entries",
                )
            })?),
        };
        let read = self.context.store.history_before(&name, before, limit).await;
        let (entries, next) = read.map_err(|problem| from_store(&problem))?;
        if entries.is_empty() && before.is_none() {
            return Err(not_found(&name));
        }
        Ok(v1::GetHistoryResponse {
            entries: entries.iter().map(v1::HistoryEntry::from).collect(),
            next_page_token: next.map(|place| page::bind(&filter, &place.to_be_bytes())).unwrap_or_default(),
        })
    }
}

fn decode(filter: &str, token: &str) -> Option<i64> {
    let place = page::unbind(filter, token)?;
    Some(i64::from_be_bytes(place.try_into().ok()?))
}
