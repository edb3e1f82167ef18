//! Asks a CA when it suggests to renew a certificate (ARI, RFC 9773), and plans the renewal by that.
//!
//! The point lies in the suggested window, at random, so that the renewals of all clients spread; it is chosen once per
//! window. Pre-expiry overrules a later one. A window that lies in the past means now: that is how a CA announces a
//! revocation. A CA that does not answer changes nothing: the certificate has its renewal point from the start.

use acme::RenewalId;
use domain::{DomainName, Lease, PreExpiry, Retry, SuggestedWindow, renewal_point};
use jiff::{SignedDuration, Timestamp};
use runtime::JobError;
use store::{Certificate, Renewal};

use crate::Issuer;
use crate::journal::Journal;

/// What follows from the question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// The certificate is to be renewed now.
    Now,
    /// Later, or not at all; the lease is ended.
    Later,
}

pub(crate) async fn plan(issuer: &Issuer, lease: &Lease) -> Result<Planned, JobError> {
    let journal = Journal::new(&issuer.context, lease);
    let Some(certificate) = live(issuer, &lease.work.name).await? else {
        journal.nothing_to_do().await?;
        return Ok(Planned::Later);
    };
    let now = issuer.context.clock.now();
    let before = certificate
        .renewal
        .unwrap_or_else(|| Renewal { at: pre_expiry_point(issuer, &certificate), window: None });
    if before.at <= now {
        return Ok(Planned::Now);
    }
    let (renewal, ask_again_at) = match ask(issuer, &certificate).await? {
        Answer::Suggested { window, ask_again } => {
            let point = chosen(window, before, issuer.context.entropy.below(window.seconds()));
            let at = point.min(pre_expiry_point(issuer, &certificate));
            let window = Some(window);
            (Renewal { at, window }, Some(now + ask_again))
        }
        Answer::Nothing => (before, None),
        Answer::Unanswered => {
            let attempts = lease.work.attempts.saturating_add(1);
            return journal
                .ask_renewal_again(Retry::CouldNotAsk.due(attempts, now), attempts)
                .await
                .map(|()| Planned::Later);
        }
    };
    journal.renewal_planned(certificate.id(), renewal, ask_again_at).await?;
    Ok(Planned::Later)
}

/// The point within a window: the one that was chosen before, as long as the CA suggests the same.
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
    },
    /// The CA has no such information, or not about this certificate.
    Nothing,
    /// It does not answer now.
    Unanswered,
}

async fn ask(issuer: &Issuer, certificate: &Certificate) -> Result<Answer, JobError> {
    let authority = match certificate.account {
        Some(account) => issuer.authority_of_account(account).await?,
        None => None,
    };
    let (Some(authority), Some(id)) = (authority, RenewalId::of(&certificate.chain_pem)) else {
        return Ok(Answer::Nothing);
    };
    match authority.ca.renewal_info(&id).await {
        Ok(Some(suggestion)) => Ok(Answer::Suggested {
            window: suggestion.window,
            ask_again: SignedDuration::try_from(suggestion.ask_again).unwrap_or(SignedDuration::MAX),
        }),
        Ok(None) => Ok(Answer::Nothing),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                issuer = authority.name(),
                "no renewal information"
            );
            Ok(Answer::Unanswered)
        }
    }
}

/// The live certificate, if it was generated here.
async fn live(issuer: &Issuer, name: &DomainName) -> Result<Option<Certificate>, JobError> {
    let store = &issuer.context.store;
    let view = store.domain(name).await?;
    let Some(live) = view.and_then(|view| view.domain.facts.live) else {
        return Ok(None);
    };
    let certificate = store.certificate(live.certificate).await?;
    Ok(certificate.filter(|certificate| certificate.account.is_some()))
}

fn pre_expiry_point(issuer: &Issuer, certificate: &Certificate) -> Timestamp {
    let configured = PreExpiry::days(issuer.context.config.renewal.pre_expiry_days);
    let summary = &certificate.summary;
    renewal_point(summary.not_before, summary.not_after, configured)
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
