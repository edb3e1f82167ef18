//! The removal of a deleted name's certificate from C4. The name is off the list, so its status does not change.

use std::time::Duration;

use domain::{Cause, Domain, HistoryKind, Outbound, Pause, Retry, Work};
use store::{Entry, LastStep, Step};

use super::{Decider, GUARDED_DELAY};
use crate::ACTOR;
use crate::upload::described;

/// What C4 holds for a name, after it has seen a higher revision than any stored here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// No certificate.
    Nothing,
    /// A certificate that is stored here, or that was known to be there when the removal was requested.
    Known,
    /// Another one: its SHA-256. It was uploaded after the last change known here, so it stays.
    Unknown(String),
}

impl Holding {
    /// What C4 shows, as far as the domain's row knows it; `is_stored` if the certificate has a row here.
    pub(crate) fn of(domain: &Domain, shown: Option<String>, is_stored: bool) -> Self {
        let Some(sha256) = shown else { return Self::Nothing };
        let known = domain.known_ahead(Some(&sha256));
        let is_asked_for = known.is_some_and(|known| domain.revision > known.revision);
        if is_stored || is_asked_for { Self::Known } else { Self::Unknown(sha256) }
    }
}

impl Decider<'_> {
    /// A removal is about to be sent.
    pub(crate) fn removing(&self, domain: &Domain) -> Step {
        Step::new("remove_intent", self.lease, domain).becomes(domain.uploading())
    }

    /// C4 has seen a higher revision than the last one that was sent, but the removal must go through.
    pub(crate) fn removing_over(&self, domain: &Domain) -> Step {
        Step::new("remove_revision", self.lease, domain).becomes(domain.uploading_over(self.now))
    }

    /// C4 holds nothing any more; `message` says how that is known.
    pub(crate) fn removed(&self, domain: &Domain, message: &str) -> LastStep {
        let entry = Entry::new(HistoryKind::CertificateRemoved, ACTOR, message);
        Step::new("removed", self.lease, domain).told(Some(entry)).done()
    }

    /// C4 is ahead of this database by a certificate that is not stored here.
    pub(crate) fn left(&self, domain: &Domain, sha256: &str) -> LastStep {
        let holds = described(Some(sha256));
        let message = format!(
            "C4 has had an upload that is not stored here, and holds {holds}. It is not removed; to have it removed, add \
             the name and delete it again."
        );
        let entry = Entry::new(HistoryKind::AheadAtC4, ACTOR, message);
        let after = domain.left_behind(sha256, self.now);
        Step::new("remove_left", self.lease, domain).becomes(after).told(Some(entry)).done()
    }

    /// The removal waits until the guard after a restore is down.
    pub(crate) fn removal_guarded(&self, domain: &Domain) -> LastStep {
        let next = self.next(self.lease.work.cause, Some(self.now + GUARDED_DELAY));
        Step::new("remove_guarded", self.lease, domain).then(next)
    }

    /// An operator has paused requests to C4: this does not count as an attempt.
    pub(crate) fn removal_paused(&self, domain: &Domain) -> LastStep {
        let next = self.next(self.lease.work.cause, Some(self.now + Pause::LOOK_AGAIN));
        Step::new("remove_paused", self.lease, domain).then(next).paused_for(Outbound::C4)
    }

    /// C4 did not remove it; it is asked again for ever.
    pub(crate) fn not_removed(&self, domain: &Domain, retry_after: Option<Duration>) -> LastStep {
        let attempts = self.lease.work.attempts + 1;
        let due_at = self.not_before(Retry::Upload, attempts, retry_after);
        let next = Work { attempts, ..self.next(Cause::Retry, due_at) };
        Step::new("remove_failed", self.lease, domain).then(next)
    }
}

#[cfg(test)]
mod tests;
