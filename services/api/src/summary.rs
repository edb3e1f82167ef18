//! Counts of the list, and the time at which the queue of new domains will be done.

use domain::Status;
use domain::budget::{Lane, line_key};
use jiff::SignedDuration;
use proto::{to_timestamp, v1};
use runtime::Context;
use store::{AtRisk, StoreError};

const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(crate) async fn read(context: &Context) -> Result<v1::GetSummaryResponse, StoreError> {
    let now = context.clock.now();
    let summary = context.store.summary(now + SOON, AtRisk::at(now)).await?;
    let domains = |status| {
        let counted = summary.statuses.iter().find(|(counted, _)| *counted == status);
        counted.map_or(0, |(_, domains)| *domains)
    };
    // Of several CAs the one with the longest queue: until then a domain waits.
    let mut through = None;
    for issuer in &context.config.acme.issuers {
        let last = context.store.bucket(&line_key(&issuer.name, Lane::New)).await?;
        through = through.max(last.filter(|last| *last > now));
    }
    Ok(v1::GetSummaryResponse {
        statuses: Status::ALL
            .into_iter()
            .map(|status| v1::StatusCount {
                status: v1::Status::from(status).into(),
                domains: domains(status),
            })
            .collect(),
        renewal_blocked: summary.renewal_blocked,
        expiring_within_7_days: summary.expiring,
        waiting_for_budget: summary.waiting_for_budget,
        queue_through_at: through.map(to_timestamp),
        at_risk: summary.at_risk,
        pauses: context.store.pauses().await?.iter().map(proto::pause).collect(),
    })
}
