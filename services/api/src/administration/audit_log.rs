//! The audit log, page by page.

use jiff::Timestamp;
use proto::{from_timestamp, to_timestamp, v1};
use store::{AuditPlace, AuditSearch, FoundAudit};
use tonic::Status;

use super::{AdministrationService, Administrator};
use crate::error::{from_store, invalid};
use crate::page;
use crate::service::page_size;

const DEFAULT_PAGE: u32 = 100;
/// Maximum number of characters of a search text.
const MAX_TEXT: usize = 200;

impl AdministrationService {
    pub(super) async fn audit_page(
        &self,
        by: &Administrator,
        asked: v1::ListAuditRequest,
    ) -> Result<v1::ListAuditResponse, Status> {
        let search = search(asked.filter.unwrap_or_default())?;
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        let bound_to = format!("audit {search:?}");
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(decode(&bound_to, token).ok_or_else(|| {
                let sentence = "send a next_page_token of the same filter, or none for the newest lines";
                invalid("PAGE_TOKEN_INVALID", sentence)
            })?),
        };
        let found = self.context.store.search_audit(&search, after, limit).await;
        let found = found.map_err(|problem| from_store(&problem))?;
        self.note(by, &search.subject, &in_words(&search)).await?;
        Ok(v1::ListAuditResponse {
            lines: found.lines.into_iter().map(line).collect(),
            next_page_token: found.looked_back_to.map(|place| encode(&bound_to, place)).unwrap_or_default(),
            looked_back_to: found.looked_back_to.map(|place| to_timestamp(place.at)),
        })
    }
}

/// The filter in words, for the entry in the audit log.
pub(super) fn in_words(search: &AuditSearch) -> String {
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let (from, until) = (at(search.from), at(search.until));
    let parts = [
        ("actor", &search.actor),
        ("call", &search.call),
        ("outcome", &search.outcome),
        ("not", &search.not_outcome),
        ("from", &from),
        ("until", &until),
    ];
    let said = parts.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name} {text}"));
    said.collect::<Vec<_>>().join(", ")
}

pub(super) fn search(filter: v1::AuditFilter) -> Result<AuditSearch, Status> {
    let wrong = |sentence: String| Err(invalid("AUDIT_FILTER_INVALID", sentence));
    for (field, text) in [
        ("actor", &filter.actor),
        ("call", &filter.call),
        ("subject", &filter.subject),
        ("outcome", &filter.outcome),
    ] {
        if text.chars().count() > MAX_TEXT {
            return wrong(format!("{field} has at most {MAX_TEXT} characters"));
        }
        // Databases reject text with a zero byte, and no entry contains control characters.
        if text.chars().any(char::is_control) {
            return wrong(format!("{field} has no control characters"));
        }
    }
    if filter.only_failed && !filter.outcome.is_empty() {
        return wrong("send an outcome or only_failed, not both".to_owned());
    }
    let time = |at: Option<prost_types::Timestamp>| match at {
        None => Ok(None),
        Some(at) => from_timestamp(&at).map(Some).ok_or_else(|| {
            invalid("AUDIT_FILTER_INVALID", "a time is out of range: send one of the years 1 to 9999")
        }),
    };
    Ok(AuditSearch {
        actor: filter.actor,
        call: filter.call,
        subject: filter.subject,
        outcome: filter.outcome,
        not_outcome: if filter.only_failed { audit::OK.to_owned() } else { String::new() },
        from: time(filter.from)?.map(|at| at.max(Timestamp::UNIX_EPOCH)),
        until: time(filter.until)?.map(|at| at.max(Timestamp::UNIX_EPOCH)),
    })
}

pub(super) fn line(found: FoundAudit) -> v1::AuditLine {
    let entry = found.entry;
    v1::AuditLine {
        at: Some(to_timestamp(entry.at)),
        actor: entry.actor,
        peer: entry.peer,
        call: entry.call,
        subject: entry.subject,
        outcome: entry.outcome,
        detail: entry.detail,
        request_id: entry.request_id,
        sequence: found.sequence.unwrap_or_default(),
    }
}

fn encode(bound_to: &str, place: AuditPlace) -> String {
    let bytes = [place.at.as_microsecond().to_be_bytes(), place.id.to_be_bytes()].concat();
    page::bind(bound_to, &bytes)
}

fn decode(bound_to: &str, token: &str) -> Option<AuditPlace> {
    let bytes = page::unbind(bound_to, token)?;
    let (at, id) = bytes.split_first_chunk()?;
    let at = Timestamp::from_microsecond(i64::from_be_bytes(*at)).ok()?.max(Timestamp::UNIX_EPOCH);
    Some(AuditPlace { at, id: i64::from_be_bytes(id.try_into().ok()?) })
}
