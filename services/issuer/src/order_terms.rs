//! The terms of an order: whether it is needed, how urgent it is, and which limits it is exempt from.

use domain::budget::{Exempt, Lane};
use domain::{AccountId, Cause, CertificateSummary, Domain, PreExpiry, Work};
use jiff::{SignedDuration, Timestamp};
use store::Certificate;

/// Whether a certificate is issued and only has to be uploaded: then nothing is ordered, unless its renewal is due.
pub(crate) fn is_undelivered(certificate: &Certificate, domain: &Domain, now: Timestamp) -> bool {
    let is_live = domain.is_live(certificate.id());
    !is_live
        && !domain.has_overtaken(certificate.created_at)
        && !certificate.withdrawn
        && certificate.revision == domain.revision
        && certificate.sealed_key.is_some()
        && certificate.renewal.is_some_and(|renewal| now < renewal.at)
}

/// Whether the live certificate is to be revoked: then its replacement is urgent.
pub(crate) fn is_withdrawn(live: Option<&Certificate>) -> bool {
    live.is_some_and(|live| live.withdrawn)
}

/// How long before its end the newest certificate is renewed.
pub(crate) fn pre_expiry(newest: Option<&Certificate>, configured: PreExpiry) -> SignedDuration {
    newest.map_or(SignedDuration::ZERO, |certificate| {
        let CertificateSummary { not_before, not_after, .. } = certificate.summary;
        certificate.pre_expiry(configured).for_lifetime(not_after.duration_since(not_before))
    })
}

/// How urgent an order is.
pub(crate) fn lane(
    domain: &Domain,
    work: &Work,
    is_withdrawn: bool,
    pre_expiry: SignedDuration,
    now: Timestamp,
) -> Lane {
    match domain.live() {
        Some(_) if is_withdrawn => Lane::Expiring,
        Some(live) if live.not_after.duration_since(now) < pre_expiry / 2 => Lane::Expiring,
        Some(_) => Lane::Renewal,
        None if work.cause == Cause::DailyRecheck => Lane::Recheck,
        None => Lane::New,
    }
}

/// The limits that an order is exempt from, by the newest certificate of the name and the one it replaces.
pub(crate) fn exempt(
    newest: Option<&Certificate>,
    replaces: Option<&Certificate>,
    account: AccountId,
    now: Timestamp,
) -> Exempt {
    let is_ours = |certificate: &&Certificate| certificate.account == Some(account);
    let window = replaces.filter(is_ours).and_then(|certificate| certificate.renewal?.window);
    match window {
        Some(window) if window.start <= now && now < window.end => Exempt::Replacement,
        _ if newest.as_ref().is_some_and(is_ours) => Exempt::Renewal,
        _ => Exempt::Nothing,
    }
}
