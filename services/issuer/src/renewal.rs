//! Asks a CA for its suggested renewal window (ARI, RFC 9773), and plans the renewal.
//!
//! The renewal point is a random time in the window, so that the renewals of all clients spread; it is chosen once
//! per window. Pre-expiry takes precedence over a later point. A window in the past means now: CAs announce a
//! revocation that way. If the CA does not answer, the plan stays: the certificate has a renewal point from the
//! start.
//!
//! A CA that suggests renewing new certificates would cause endless renewals. So a certificate is not renewed because
//! of a window within a day of its issue, unless the CA gives an explanation and the certificate is not itself a
//! replacement for that reason. Pre-expiry is not delayed by this.

use acme::{AcmeError, RenewalId};
use domain::{Domain, DomainName, Lease, PreExpiry, Retry, SuggestedWindow, renewal_point};
use jiff::{SignedDuration, Timestamp};
use runtime::JobError;
use store::{Certificate, Finished, LastStep, Renewal};

use crate::IssuerRole;
use crate::journal::{Journal, decider, end};

/// Interval for asking again about a certificate that the CA does not know (RFC 9773 section 4.3.3).
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(6);
/// Minimum interval between early renewals of a certificate.
const EARLY_RENEWAL_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

/// A certificate that replaced another within this time may be the replacement for the same incident.
const SAME_INCIDENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The result of asking the CA.
pub(crate) enum Planned {
    /// The certificate is to be renewed now.
    Now,
    /// Later, or not at all; the lease has ended.
    Later(Finished),
}

pub(crate) async fn plan(role: &IssuerRole, lease: &Lease) -> Result<Planned, JobError> {
    let context = &role.context;
    let Some((domain, certificate)) = live(role, &lease.work.name).await? else {
        return end(context, &LastStep::dropped(lease)).await.map(Planned::Later);
    };
    let now = context.clock.now();
    let configured = context.config.renewal.pre_expiry_days;
    let before = certificate
        .renewal
        .unwrap_or_else(|| Renewal { at: pre_expiry_point(&certificate, configured), window: None });
    if before.at <= now {
        return Ok(Planned::Now);
    }
    let (renewal, ask_again_at) = match ask(role, &certificate).await? {
        Answer::Suggested { window, ask_again, is_explained } => {
            let point = chosen(window, before, role.context.entropy.below(window.seconds()));
            let deadline = pre_expiry_point(&certificate, configured.after_window());
            let mut at = point.min(deadline);
            if at <= now
                && let Some(until) = held_up_until(role, &certificate, is_explained).await?
            {
                at = until.min(deadline);
                early_renewal_withheld(&lease.work.name, at);
            }
            let window = Some(window);
            (Renewal { at, window }, Some(now + ask_again))
        }
        Answer::Nothing => (before, None),
        Answer::NotKnown => (before, Some(now + ASK_AGAIN)),
        Answer::Paused => {
            let paused = decider(context, lease).paused_by_operator(before.at);
            return end(context, &paused).await.map(Planned::Later);
        }
        Answer::Unanswered => {
            let attempts = lease.work.attempts.saturating_add(1);
            let due_at = Retry::RenewalInfo.due(attempts, now).map(|due_at| due_at.min(before.at));
            let unanswered = decider(context, lease).renewal_unanswered(due_at, attempts);
            return end(context, &unanswered).await.map(Planned::Later);
        }
    };
    let journal = Journal::new(context, lease, domain);
    let planned = journal
        .ended_by(|decider, domain| Ok(decider.renewal_planned(domain, &certificate, renewal, ask_again_at)));
    planned.await.map(Planned::Later)
}

/// The time until which an open window is ignored, so that a certificate is renewed early at most once a day.
async fn held_up_until(
    role: &IssuerRole,
    certificate: &Certificate,
    is_explained: bool,
) -> Result<Option<Timestamp>, JobError> {
    let until = certificate.created_at.checked_add(EARLY_RENEWAL_INTERVAL).ok();
    let until = until.filter(|until| role.context.clock.now() < *until);
    if until.is_none() || !is_explained {
        return Ok(until);
    }
    // An incident: its first renewal is not delayed.
    let store = &role.context.store;
    let view = store.domain(&certificate.name).await?;
    let previous = match view.and_then(|view| view.domain.previous) {
        Some(previous) => store.certificate(&certificate.name, previous).await?,
        None => None,
    };
    let was_early = previous
        .is_some_and(|previous| certificate.created_at.duration_since(previous.created_at) < SAME_INCIDENT);
    Ok(until.filter(|_| was_early))
}

fn early_renewal_withheld(name: &DomainName, at: Timestamp) {
    metrics::counter!("ssl_manager_early_renewals_withheld_total").increment(1);
    tracing::warn!(
        domain = %name,
        renewal_at = %at,
        "the CA suggests to renew a certificate that it issued within a day: it is renewed later"
    );
}

/// The point within a window: the one chosen before, while the CA suggests the same window.
fn chosen(window: SuggestedWindow, before: Renewal, random: u64) -> Timestamp {
    if before.window == Some(window) && window.start <= before.at && before.at <= window.end {
        before.at
    } else {
        window.point(random)
    }
}

enum Answer {
    Suggested {
        window: SuggestedWindow,
        ask_again: SignedDuration,
        /// The CA has published an explanation of the window: an incident.
        is_explained: bool,
    },
    /// The CA offers no renewal information at all.
    Nothing,
    /// The CA does not know this certificate, not yet or no longer.
    NotKnown,
    /// The CA was not asked: an operator has paused requests to it.
    Paused,
    /// The CA does not answer.
    Unanswered,
}

async fn ask(role: &IssuerRole, certificate: &Certificate) -> Result<Answer, JobError> {
    let issuer = match certificate.account {
        Some(account) => role.issuer_of_account(account).await?,
        None => None,
    };
    let (Some(issuer), Some(id)) = (issuer, RenewalId::of(&certificate.chain_pem)) else {
        return Ok(Answer::Nothing);
    };
    match issuer.ca.renewal_info(&id).await {
        Ok(Some(suggestion)) => Ok(Answer::Suggested {
            window: suggestion.window,
            ask_again: SignedDuration::try_from(suggestion.ask_again).unwrap_or(SignedDuration::MAX),
            is_explained: suggestion.is_explained,
        }),
        Ok(None) => Ok(Answer::Nothing),
        Err(AcmeError::Paused(_)) => Ok(Answer::Paused),
        Err(error) if error.is_gone() => Ok(Answer::NotKnown),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                issuer = issuer.name(),
                "no renewal information"
            );
            Ok(Answer::Unanswered)
        }
    }
}

/// Returns the domain and its live certificate, if the certificate was generated here.
async fn live(role: &IssuerRole, name: &DomainName) -> Result<Option<(Domain, Certificate)>, JobError> {
    let store = &role.context.store;
    let Some(domain) = store.domain(name).await?.map(|view| view.domain) else {
        return Ok(None);
    };
    let Some(live) = domain.live() else {
        return Ok(None);
    };
    let certificate = store.certificate(name, live.certificate).await?;
    let generated = certificate.filter(|certificate| certificate.account.is_some());
    Ok(generated.map(|certificate| (domain, certificate)))
}

/// The latest renewal time of a certificate, whether or not its CA suggests windows.
fn pre_expiry_point(certificate: &Certificate, pre_expiry: PreExpiry) -> Timestamp {
    let summary = &certificate.summary;
    renewal_point(summary.not_before, summary.not_after, pre_expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_point_is_chosen_once_per_window() {
        let window = SuggestedWindow { start: at(100), end: at(200) };
        let before = Renewal { at: at(150), window: Some(window) };
        assert_eq!(chosen(window, before, 3), at(150));
        let moved = SuggestedWindow { start: at(0), ..window };
        assert_eq!(chosen(moved, before, 3), at(3));
        let capped = Renewal { at: at(90), ..before };
        assert_eq!(chosen(window, capped, 3), at(103), "pre-expiry came first, and may have been changed");
    }
}
