//! Every certificate of a name, newest first, whatever became of the name.

use domain::{Action, DomainName};
use jiff::Timestamp;
use proto::{to_timestamp, v1};
use store::{CertificatePlace, CertificateRecord};
use tonic::{Request, Status};

use crate::commands::roll_back;
use crate::error::{from_store, invalid, not_found};
use crate::page;
use crate::service::{DomainsService, name, page_size};

const DEFAULT_PAGE: u32 = 50;

/// What a page token holds: microseconds since 1970 and the id.
fn encode(filter: &str, record: &CertificateRecord) -> String {
    let place = format!("{} {}", record.created_at.as_microsecond(), record.summary.id);
    page::bind(filter, place.as_bytes())
}

fn decode(filter: &str, token: &str) -> Option<CertificatePlace> {
    let place = String::from_utf8(page::unbind(filter, token)?).ok()?;
    let (created_at, id) = place.split_once(' ')?;
    let created_at = Timestamp::from_microsecond(created_at.parse().ok()?).ok()?;
    Some((created_at, id.parse().ok()?))
}

impl DomainsService {
    pub(crate) async fn certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<v1::ListCertificatesResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let name = name(&asked.name)?;
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let filter = format!("certificates {name}");
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(decode(&filter, token).ok_or_else(|| {
                let sentence = "send a next_page_token of the same name, or none for page one";
                invalid("PAGE_TOKEN_INVALID", sentence)
            })?),
        };
        let store = &self.context.store;
        let listed = store.domain(&name).await.map_err(|problem| from_store(&problem))?;
        if listed.is_none() {
            self.was_here(&name).await?;
        }
        let mut records =
            store.certificates(&name, after, limit + 1).await.map_err(|problem| from_store(&problem))?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let last = records.last().filter(|_| more);
        // A name that was deleted has nothing live, and nothing that could be put back.
        let live = listed.as_ref().and_then(|view| view.domain.live());
        let previous = listed.as_ref().and_then(|view| view.domain.previous);
        let now = self.context.clock.now();
        let shown = |record: &CertificateRecord| {
            let CertificateRecord { summary, has_key, .. } = record;
            v1::CertificateRecord {
                certificate: Some(summary.into()),
                created_at: Some(to_timestamp(record.created_at)),
                uploaded_at: record.uploaded_at.map(to_timestamp),
                live: live.is_some_and(|live| live.certificate == summary.id),
                has_key: *has_key,
                is_rollback_target: previous == Some(summary.id)
                    && roll_back::why_not(*has_key, record.withdrawn, summary.not_after, now).is_none(),
                revoked_at: record.revoked_at.map(to_timestamp),
            }
        };
        Ok(v1::ListCertificatesResponse {
            next_page_token: last.map(|last| encode(&filter, last)).unwrap_or_default(),
            certificates: records.iter().map(shown).collect(),
        })
    }

    /// A name that was deleted has a history; one that was never added has none.
    async fn was_here(&self, name: &DomainName) -> Result<(), Status> {
        let history = self.context.store.history(name, 1).await;
        let history = history.map_err(|problem| from_store(&problem))?;
        if history.is_empty() {
            return Err(not_found(name));
        }
        Ok(())
    }
}
