//! The order "what needs a person first": by the time until visitors see a browser warning.
//!
//! Each domain has a rank, and within a rank the end of its live certificate decides. The databases compute the rank
//! (column `attention`); this code does the same for a row in memory, and a test compares the two.

use domain::{Domain, HttpsSwitch, Source, Status};
use jiff::{SignedDuration, Timestamp};

use crate::DomainView;

/// Live, but not being renewed: the renewal is blocked, or the certificate was pasted.
pub(crate) const UNRENEWED: i16 = 3;
/// Live and renewed automatically.
pub(crate) const RENEWED: i16 = 7;

/// The last rank of those that need a person.
pub(crate) const LAST_NEEDY: i16 = 5;

/// The ranks that domains of a status have, the most urgent first.
pub(crate) fn ranks(status: Status) -> &'static [i16] {
    match status {
        Status::Emergency => &[1],
        Status::Expired => &[2],
        Status::Failure => &[4],
        Status::Discard => &[5],
        Status::Pending => &[6, 9],
        Status::Success => &[UNRENEWED, RENEWED, 8],
    }
}

/// The rank of a domain as last stored.
pub(crate) fn rank(domain: &Domain) -> i16 {
    let is_off = domain.https() == HttpsSwitch::Off;
    match domain.recorded {
        Status::Emergency => 1,
        Status::Expired => 2,
        Status::Failure => 4,
        Status::Discard => 5,
        Status::Pending if is_off => 9,
        Status::Pending => 6,
        Status::Success if is_off => 8,
        Status::Success if domain.block().is_some() || domain.source == Source::Text => UNRENEWED,
        Status::Success => RENEWED,
    }
}

impl DomainView {
    /// Since when it has needed a person, in its present status; none if it needs none.
    pub fn attention_since(&self) -> Option<Timestamp> {
        self.attention_since.filter(|_| rank(&self.domain) <= LAST_NEEDY)
    }
}

/// The limits by which live domains are at risk: visitors will see a warning soon unless a person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// Domains whose renewal is blocked or whose certificate was pasted are at risk if it ends before this.
    pub unrenewed_before: Timestamp,
    /// Domains whose renewal is late are at risk if the certificate ends before this.
    pub lagging_before: Timestamp,
}

impl AtRisk {
    const UNRENEWED_WITHIN: SignedDuration = SignedDuration::from_hours(14 * 24);
    /// A generated certificate is normally renewed earlier: at half of its lifetime if that is short.
    const LAGGING_WITHIN: SignedDuration = SignedDuration::from_hours(3 * 24);

    /// The limits at `now`.
    pub fn at(now: Timestamp) -> Self {
        let within = |within| now.checked_add(within).unwrap_or(Timestamp::MAX);
        Self {
            unrenewed_before: within(Self::UNRENEWED_WITHIN),
            lagging_before: within(Self::LAGGING_WITHIN),
        }
    }

    /// The end before which domains of that rank are at risk; none for ranks that are never at risk.
    pub(crate) fn before(&self, rank: i16) -> Option<Timestamp> {
        match rank {
            UNRENEWED => Some(self.unrenewed_before),
            RENEWED => Some(self.lagging_before),
            _ => None,
        }
    }

    /// Whether a domain is at risk.
    pub fn includes(&self, view: &DomainView) -> bool {
        let ends_at = view.domain.live().map(|live| live.not_after);
        let before = self.before(rank(&view.domain));
        before.zip(ends_at).is_some_and(|(before, ends_at)| ends_at < before)
    }
}
