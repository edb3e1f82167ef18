//! A domain as the API's clients see it: what the store has of it, as a message.

use domain::sentence::{NamedZone, ServedCertificate, Situation};
use domain::{Status, printable};
use jiff::Timestamp;
use proto::{to_timestamp, v1};
use store::{AtRisk, DomainView};

/// A domain as a message, at `now`.
pub(crate) fn of_domain(view: &DomainView, now: Timestamp) -> v1::Domain {
    let domain = &view.domain;
    let situation = situation_of(view);
    let why = situation.reason.as_ref().map(|why| v1::Reason {
        customer_message: printable(&situation.letter(&NamedZone::utc(), now).unwrap_or_default()),
        ..proto::reason(why, &domain.name)
    });
    v1::Domain {
        name: domain.name.to_string(),
        status: v1::Status::from(domain.recorded).into(),
        source: v1::Source::from(domain.source).into(),
        created_at: Some(to_timestamp(domain.created_at)),
        expires_at: domain.live().map(|live| to_timestamp(live.not_after)),
        reason: why,
        activity: domain.activity.as_str().to_owned(),
        next_attempt_at: view.next_attempt_at.map(to_timestamp),
        failed_attempts: view.failed_attempts,
        certificate: view
            .certificate
            .as_ref()
            .map(|certificate| v1::Certificate { edges: view.edges, ..certificate.into() }),
        revision: domain.revision,
        renewal_blocked: situation.renewal_blocked,
        activity_since: Some(to_timestamp(view.activity_since)),
        customer_ref: printable(&domain.customer_ref),
        labels: view.labels.iter().map(label).collect(),
        at_risk: AtRisk::at(now).includes(view),
        attention_since: view.attention_since().map(to_timestamp),
    }
}

fn label((key, value): (&String, &String)) -> v1::Label {
    v1::Label { key: key.clone(), value: printable(value) }
}

fn situation_of(view: &DomainView) -> Situation {
    let domain = &view.domain;
    Situation {
        name: domain.name.clone(),
        status: domain.recorded,
        source: domain.source,
        reason: domain.reason(),
        renewal_blocked: domain.recorded == Status::Success && domain.block().is_some(),
        served: view.certificate.as_ref().map(|certificate| ServedCertificate {
            not_after: certificate.not_after,
            source: certificate.source,
            issuer: certificate.issuer.clone(),
            trust: certificate.trust,
        }),
        activity: domain.activity,
        since: Some(view.activity_since),
        next: view.next_attempt_at,
        failed_attempts: view.failed_attempts,
    }
}
