//! Pages of the list.

use domain::{Action, Source, Status as DomainStatus, Who};
use jiff::Timestamp;
use proto::v1;
use store::{AtRisk, DomainView, ListFilter, ListOrder, ListQuery, Page, Place};
use tonic::{Request, Status};

use crate::error::{from_store, invalid};
use crate::labels::{wanted_customer, wanted_labels};
use crate::service::{DomainsService, page_size};
use crate::{page, search};

const DEFAULT_PAGE: u32 = 50;
const MAX_COUNTED: u32 = 10_000;

/// The statuses of a filter, each once. A number that is none is refused: ignoring it would answer another question.
fn statuses(numbers: &[i32]) -> Result<Vec<DomainStatus>, Status> {
    let known = |number: &i32| DomainStatus::try_from(v1::Status::try_from(*number).ok()?).ok();
    let statuses: Option<Vec<DomainStatus>> = numbers.iter().map(known).collect();
    let mut statuses =
        statuses.ok_or_else(|| invalid("STATUS_INVALID", "an unknown status in the filter"))?;
    statuses.sort_unstable();
    statuses.dedup();
    Ok(statuses)
}

fn source(number: i32) -> Result<Option<Source>, Status> {
    match v1::Source::try_from(number) {
        Ok(v1::Source::Unspecified) => Ok(None),
        Ok(v1::Source::C4) => Ok(Some(Source::C4)),
        Ok(v1::Source::Text) => Ok(Some(Source::Text)),
        Err(_) => Err(invalid("SOURCE_INVALID", "an unknown source in the filter")),
    }
}

fn order(number: i32) -> Result<ListOrder, Status> {
    match v1::ListOrder::try_from(number) {
        Ok(v1::ListOrder::Unspecified | v1::ListOrder::ByName) => Ok(ListOrder::Name),
        Ok(v1::ListOrder::ByCreation) => Ok(ListOrder::Creation),
        Ok(v1::ListOrder::ByExpiry) => Ok(ListOrder::Expiry),
        Ok(v1::ListOrder::ByAttention) => Ok(ListOrder::Attention),
        Err(_) => Err(invalid("ORDER_INVALID", "an unknown order")),
    }
}

fn who(word: &str) -> Result<Option<Who>, Status> {
    if word.is_empty() {
        return Ok(None);
    }
    let who = Who::ALL.into_iter().find(|who| who.as_str() == word);
    let unknown = || invalid("WHO_INVALID", "who must be customer, cdn_operator, ca or us, or empty for all");
    who.map(Some).ok_or_else(unknown)
}

/// The code of a reason; none for all.
fn reason(code: &str) -> Result<Option<String>, Status> {
    if code.is_empty() {
        return Ok(None);
    }
    let is_known = domain::sentence::short_of(code).is_some();
    let unknown = || {
        invalid(
            "REASON_INVALID",
            "reason must be the code of a reason, such as not_pointed, or empty for all",
        )
    };
    is_known.then(|| Some(code.to_owned())).ok_or_else(unknown)
}

fn instant(at: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(at) = at else { return Ok(None) };
    let out_of_range = || invalid("INSTANT_INVALID", "an instant in the filter is out of range");
    proto::from_timestamp(at).map(Some).ok_or_else(out_of_range)
}

fn filter(asked: &v1::ListDomainsRequest, now: Timestamp) -> Result<ListFilter, Status> {
    Ok(ListFilter {
        search: search::parse(&asked.search)?,
        statuses: statuses(&asked.statuses)?,
        source: source(asked.source)?,
        expires_from: instant(asked.expires_from.as_ref())?,
        expires_before: instant(asked.expires_before.as_ref())?,
        renewal_blocked: asked.renewal_blocked,
        who: who(&asked.who)?,
        customer_ref: wanted_customer(&asked.customer_ref)?,
        labels: wanted_labels(&asked.labels)?,
        at_risk: asked.at_risk.then(|| AtRisk::at(now)),
        reason: reason(&asked.reason)?,
        attention_from: instant(asked.attention_from.as_ref())?,
    })
}

fn which_page(token: &str, last: bool, bound_to: &str) -> Result<Page, Status> {
    match (token, last) {
        ("", false) => Ok(Page::First),
        ("", true) => Ok(Page::Last),
        (_, true) => Err(invalid("LAST_PAGE_INVALID", "send a page token or last_page, not both")),
        (token, false) => page::decode(bound_to, token).ok_or_else(|| {
            invalid(
                "PAGE_TOKEN_INVALID",
                "send a page token of the same filter and order, or none for page one",
            )
        }),
    }
}

/// Takes the one that only shows that the list goes on; the pages before and after what is left.
fn neighbours(query: &ListQuery, views: &mut Vec<DomainView>, limit: u32) -> (Option<Page>, Option<Page>) {
    let goes_on = views.len() > limit as usize;
    let from_its_end = matches!(query.page, Page::Before(_) | Page::Last);
    if goes_on {
        views.remove(if from_its_end { 0 } else { limit as usize });
    }
    let (has_before, has_after) = match query.page {
        Page::First => (false, goes_on),
        Page::After(_) => (true, goes_on),
        Page::Before(_) => (goes_on, true),
        Page::Last => (goes_on, false),
    };
    let place = |view: &DomainView| Place::of(query.order, view);
    let before = views.first().filter(|_| has_before).map(place).map(Page::Before);
    let after = views.last().filter(|_| has_after).map(place).map(Page::After);
    (before, after)
}

impl DomainsService {
    pub(crate) async fn list(
        &self,
        request: Request<v1::ListDomainsRequest>,
    ) -> Result<v1::ListDomainsResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let asked = request.into_inner();
        let filter = filter(&asked, self.context.clock.now())?;
        let order = order(asked.order)?;
        let limit = page_size(asked.page_size, DEFAULT_PAGE)?;
        // What is at risk moves with the clock; a page token stays good.
        let at_rest = ListFilter { at_risk: None, ..filter.clone() };
        let bound_to = format!("{at_rest:?} {} {order:?} {}", asked.at_risk, asked.descending);
        let query = ListQuery {
            page: which_page(&asked.page_token, asked.last_page, &bound_to)?,
            filter,
            order,
            descending: asked.descending,
            limit: limit + 1,
        };
        let store = &self.context.store;
        let read =
            async { tokio::try_join!(store.domains(&query), store.count(&query.filter, MAX_COUNTED + 1)) };
        let (mut views, counted) = read.await.map_err(|problem| from_store(&problem))?;
        let (before, after) = neighbours(&query, &mut views, limit);
        let token = |page: Option<Page>| {
            let token = page.and_then(|page| page::encode(&bound_to, &page));
            token.unwrap_or_default()
        };
        Ok(v1::ListDomainsResponse {
            domains: views.iter().map(|view| self.shown(view)).collect(),
            next_page_token: token(after),
            previous_page_token: token(before),
            matching: u32::try_from(counted).map_or(MAX_COUNTED, |counted| counted.min(MAX_COUNTED)),
            matching_more: counted > u64::from(MAX_COUNTED),
        })
    }
}
