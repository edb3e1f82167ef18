//! Turns notices into deliveries: in one transaction, so that either all deliveries of a notice are stored or none.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{Domain, DomainName, EndpointState, EventId, NoticeKind, Who};
use runtime::{Context, checkpoint};
use serde_json::Value;
use store::{DeliveryEvent, Endpoint, Notice, StoreError, Tx};

use crate::{BATCH, body};

type Labels = BTreeMap<String, String>;

/// A notice that still holds, and its content.
struct Rendered {
    notice: Notice,
    labels: Labels,
    body: Value,
}

/// Takes the due notices and stores their deliveries. Notices that another copy takes at the same time are left to
/// it.
pub(crate) async fn collect(context: &Context) -> Result<(), StoreError> {
    loop {
        let notices = context.store.due_notices(BATCH).await?;
        if notices.is_empty() {
            return Ok(());
        }
        let is_all = notices.len() < BATCH as usize;
        match take(context, notices).await {
            Ok(()) => {}
            // Another copy opened the same digest: the next look finds it.
            Err(StoreError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        if is_all {
            return Ok(());
        }
    }
}

async fn take(context: &Context, notices: Vec<Notice>) -> Result<(), StoreError> {
    let endpoints = context.store.endpoints().await?;
    let endpoints: Vec<Endpoint> =
        endpoints.into_iter().filter(|endpoint| endpoint.state == EndpointState::Enabled).collect();
    let ids: Vec<EventId> = notices.iter().map(|notice| notice.id).collect();
    let told = if endpoints.is_empty() { Vec::new() } else { holding(context, notices).await? };
    checkpoint("notices-read").await;
    let mut tx = context.store.begin("deliver").await?;
    let taken: HashSet<EventId> = tx.take_notices(&ids).await?.into_iter().collect();
    let told: Vec<Rendered> = told.into_iter().filter(|told| taken.contains(&told.notice.id)).collect();
    for endpoint in &endpoints {
        deliver(context, &mut tx, endpoint, &told).await?;
    }
    checkpoint("notices-taken").await;
    tx.commit().await?;
    checkpoint("deliveries-stored").await;
    Ok(())
}

/// What is told of those notices that hold. The mark of one that does not is cleared, or it would keep away the next of the same
/// mark; then it is looked at again, because the domain may have changed before that, when the mark still did.
async fn holding(context: &Context, notices: Vec<Notice>) -> Result<Vec<Rendered>, StoreError> {
    let (mut told, lapsed) = told(context, notices).await?;
    if !lapsed.is_empty() {
        let ids: Vec<EventId> = lapsed.iter().map(|notice| notice.id).collect();
        context.store.clear_marks(&ids).await?;
        told.extend(self::told(context, lapsed).await?.0);
    }
    Ok(told)
}

/// What is told of those notices that hold, and those that do not.
async fn told(context: &Context, notices: Vec<Notice>) -> Result<(Vec<Rendered>, Vec<Notice>), StoreError> {
    let of_domains = notices.iter().filter(|notice| notice.kind.is_of_domain());
    let names: HashSet<DomainName> = of_domains.filter_map(|notice| notice.subject.parse().ok()).collect();
    let names: Vec<DomainName> = names.into_iter().collect();
    let domains = context.store.labelled_domains(&names).await?;
    let domains: HashMap<String, (Domain, Labels)> =
        domains.into_iter().map(|(domain, labels)| (domain.name.to_string(), (domain, labels))).collect();
    let (mut told, mut lapsed) = (Vec::new(), Vec::new());
    for notice in notices {
        let known = domains.get(&notice.subject);
        let holds = match (notice.kind.is_of_domain(), known) {
            (true, None) => false,
            (true, Some((domain, _))) => holds(&notice, domain, context),
            (false, _) => holds_in_general(context, &notice).await?,
        };
        if holds {
            let labels = known.map(|(_, labels)| labels.clone()).unwrap_or_default();
            let body = body::event(context, &notice, &labels).await?;
            told.push(Rendered { notice, labels, body });
        } else {
            lapsed.push(notice);
        }
    }
    Ok((told, lapsed))
}

/// Whether a notice about a domain still holds.
fn holds(notice: &Notice, domain: &Domain, context: &Context) -> bool {
    match notice.kind {
        NoticeKind::CustomerActionNeeded => domain.who(context.clock.now()) == Some(Who::Customer),
        NoticeKind::ExpiringBlocked => domain.is_renewal_blocked(context.clock.now()),
        _ => true,
    }
}

async fn holds_in_general(context: &Context, notice: &Notice) -> Result<bool, StoreError> {
    match (notice.kind, &notice.reason) {
        (NoticeKind::IssuerDown, Some(reason)) => {
            Ok(context.store.domains_with_reason(reason.code()).await? > 0)
        }
        _ => Ok(true),
    }
}

/// Whether an endpoint selects it. A notice that is not about a domain has no labels and goes to every endpoint with
/// its kind.
fn selects(endpoint: &Endpoint, told: &Rendered) -> bool {
    let has = |(key, value): (&String, &String)| told.labels.get(key) == Some(value);
    let has_labels = !told.notice.kind.is_of_domain() || endpoint.labels.iter().all(has);
    endpoint.kinds.contains(&told.notice.kind) && has_labels
}

async fn deliver(
    context: &Context,
    tx: &mut Tx,
    endpoint: &Endpoint,
    told: &[Rendered],
) -> Result<(), StoreError> {
    let mut digests: BTreeMap<(String, NoticeKind), Vec<DeliveryEvent>> = BTreeMap::new();
    for told in told.iter().filter(|told| selects(endpoint, told)) {
        let event = DeliveryEvent {
            endpoint: endpoint.id,
            event: told.notice.id,
            delivery: EventId::new(&*context.clock, &*context.entropy),
            subject: told.notice.subject.clone(),
            body: told.body.to_string(),
        };
        let kind = told.notice.kind;
        if endpoint.digest && kind.collected_for().is_some() {
            let customer = if kind.is_by_customer() { told.notice.customer_ref.as_str() } else { "" };
            digests.entry((format!("{kind}/{customer}"), kind)).or_default().push(event);
        } else {
            tx.deliver_alone(kind, event).await?;
        }
    }
    for ((key, kind), events) in digests {
        tx.deliver_in_digest(kind, &key, kind.collected_for().unwrap_or_default(), events).await?;
    }
    Ok(())
}
