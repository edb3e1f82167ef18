//! The decisions about a revocation, as values: from its row, the certificate, the name's present row and what the CA
//! answered. No I/O; `revocation.rs` asks and commits.

use domain::sentence::NamedZone;
use domain::{
    Cause, Domain, HistoryKind, InvalidTransition, Outbound, Pause, Reason, Retry, RevocationState, Source,
    Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use store::{Certificate, Revocation};

/// The uploader makes the revocation due when the replacement is live; this interval covers the cases it misses.
pub(super) const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// The result of one revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has ended, successfully or not.
    Over,
    /// Its replacement is not live yet.
    Waits(Timestamp),
    /// The CA gave no conclusive answer; it is not asked again before that time.
    Again(Option<Timestamp>),
    /// An operator has paused requests to the CA.
    Paused,
}

/// What is written about a revocation, together with the history entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RevocationStep {
    pub(super) change: Change,
    pub(super) kind: HistoryKind,
    pub(super) message: String,
    /// The domain to store.
    pub(super) after: Domain,
    /// The next certificate is due now, unless an issuance is already scheduled.
    pub(super) renewal: Option<Work>,
}

/// What becomes of the revocation's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It ends in that state.
    Ends(RevocationState),
    /// It waits for something else: the code of the reason.
    WaitsFor(&'static str),
}

/// Inputs shared by all decisions about one revocation.
pub(super) struct RevocationDecider<'a> {
    pub(super) revocation: &'a Revocation,
    pub(super) certificate: &'a Certificate,
    pub(super) now: Timestamp,
}

impl RevocationDecider<'_> {
    /// The time until which it waits, if the certificate is served and can still be replaced in time.
    pub(super) fn waits_until(&self, domain: &Domain) -> Option<Timestamp> {
        let until = self.revocation.waits_until;
        let waits = self.serves(domain) && self.now < until;
        waits.then(|| (self.now + LOOK_AGAIN).min(until))
    }

    /// It waits for its replacement; told if the reason of the wait is another one than before.
    pub(super) fn waiting(&self, domain: &Domain) -> Option<RevocationStep> {
        let reason = domain.reason()?;
        let until = NamedZone::utc().time(self.revocation.waits_until);
        let message = format!(
            "Not revoked yet, for its replacement cannot be had: {} It is revoked on {until} all the same.",
            reason.message(&domain.name),
        );
        self.waits_for(&reason, domain, message)
    }

    /// Requests to the CA are paused; told the first time.
    pub(super) fn paused(&self, domain: &Domain, pause: Pause) -> Option<RevocationStep> {
        let reason = Reason::PausedByOperator { pause };
        let message = format!("Not revoked yet. {}", reason.message(&domain.name));
        self.waits_for(&reason, domain, message)
    }

    /// The CA has revoked it.
    pub(super) fn revoked(&self, domain: &Domain) -> Result<RevocationStep, InvalidTransition> {
        let reason = self.revocation.reason.in_words();
        let message = format!("Revoked at the certificate authority, as {reason}.");
        let ends = Change::Ends(RevocationState::Revoked);
        let step = step(ends, HistoryKind::Revoked, domain, message);
        if !self.serves(domain) {
            return Ok(step);
        }
        Ok(RevocationStep {
            message: format!("{} Nothing has replaced it: browsers may refuse what is served.", step.message),
            after: domain.clone().revoked(self.now)?,
            renewal: (domain.source == Source::C4)
                .then(|| Work::due(domain, WorkKind::Issue, Cause::Renewal, self.now)),
            ..step
        })
    }

    /// A retry would not help: operations must act, then request the revocation again.
    pub(super) fn refused(domain: &Domain, why: &str) -> RevocationStep {
        let message = format!(
            "Not revoked: {why}. Operations must act (OPERATIONS.md, \"A certificate is not revoked\"), then ask again."
        );
        let ends = Change::Ends(RevocationState::Refused);
        step(ends, HistoryKind::RevocationFailed, domain, message)
    }

    /// The certificate ended by itself.
    pub(super) fn ended(domain: &Domain) -> RevocationStep {
        let message = "It ended before it could be revoked.".to_owned();
        let ends = Change::Ends(RevocationState::Ended);
        step(ends, HistoryKind::RevocationFailed, domain, message)
    }

    /// Whether the certificate is served to visitors, as far as known.
    fn serves(&self, domain: &Domain) -> bool {
        domain.is_live(self.certificate.id()) && domain.deleted_at.is_none()
    }

    fn waits_for(&self, reason: &Reason, domain: &Domain, message: String) -> Option<RevocationStep> {
        let is_news = reason.code() != self.revocation.waiting_for;
        let change = Change::WaitsFor(reason.code());
        is_news.then(|| step(change, HistoryKind::RevocationWaiting, domain, message))
    }
}

fn step(change: Change, kind: HistoryKind, domain: &Domain, message: String) -> RevocationStep {
    RevocationStep { change, kind, message, after: domain.clone(), renewal: None }
}

/// The work after all revocations of a name were looked at, and the system whose pause it waits for. None if all are over.
pub(super) fn next(work: &Work, outcomes: &[Outcome], now: Timestamp) -> (Option<Work>, Option<Outbound>) {
    let is_paused = outcomes.contains(&Outcome::Paused);
    let is_unanswered = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Again(_)));
    let attempts = match (is_unanswered, is_paused) {
        (true, _) => work.attempts.saturating_add(1),
        (false, true) => work.attempts,
        (false, false) => 0,
    };
    let due = |outcome: &Outcome| match *outcome {
        Outcome::Over => None,
        Outcome::Waits(until) => Some(until),
        Outcome::Paused => Some(now + Pause::LOOK_AGAIN),
        Outcome::Again(not_before) => {
            let planned = Retry::CouldNotAsk.due(attempts, now).unwrap_or(now);
            Some(not_before.map_or(planned, |not_before| planned.max(not_before)))
        }
    };
    let due_at = outcomes.iter().filter_map(due).min();
    let next = due_at.map(|at| Work { cause: Cause::Retry, attempts, due_at: Some(at), ..work.clone() });
    (next, is_paused.then_some(Outbound::Ca))
}

#[cfg(test)]
mod tests;
