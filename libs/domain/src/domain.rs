//! A domain: the one row that a name keeps for ever, and the transitions of its facts.
//!
//! A transition takes the row and returns the next one; the caller stores it in the transaction that learnt the fact.
//! Statuses are never set here: they are derived from the facts (see [`Facts::status`]).
//!
//! The facts are private. A service asks a question of the domain, so that what a fact means is decided here and nowhere else;
//! only the store, which writes rows and reads them, sees the facts themselves.

use jiff::Timestamp;

use crate::{
    Activity, AheadAtC4, CertificateId, DomainName, Facts, HttpsSwitch, Live, Missing, Reason, Source,
    Status, Who,
};

/// A transition that the present state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot go from {from} to {to}")]
pub struct InvalidTransition {
    /// The kind of object.
    pub what: &'static str,
    /// Its present state.
    pub from: &'static str,
    /// The state or transition that was attempted.
    pub to: &'static str,
}

/// Consecutive failed orders with the same kind of reason, although preflight passed. They are counted here because
/// each new order clears the reason of the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidChallenges {
    /// Number of failures.
    pub count: u32,
    /// The DNS answer at the last invalid challenge; or `!` and the reason's code if the failure was not a challenge.
    pub dns: String,
}

impl InvalidChallenges {
    /// After this many failures nothing is ordered until an operator acts, a generate is requested, or the DNS answer
    /// changes.
    const MOST: u32 = 5;

    /// Counts one more invalid challenge. `dns`: the DNS answer at that time; none keeps the last known answer.
    #[must_use]
    pub fn and_a_challenge(&self, dns: Option<String>) -> Self {
        let is_alike = !self.dns.starts_with('!');
        let dns = dns.unwrap_or_else(|| if is_alike { self.dns.clone() } else { String::new() });
        self.and(is_alike, dns)
    }

    /// Counts one more failed order whose reason is not the challenge.
    #[must_use]
    pub fn and_an_order(&self, reason: &Reason) -> Self {
        let mark = format!("!{}", reason.code());
        self.and(self.dns == mark, mark)
    }

    fn and(&self, is_alike: bool, dns: String) -> Self {
        Self { count: if is_alike { self.count.saturating_add(1) } else { 1 }, dns }
    }

    /// Whether another order would only fail again, given the present DNS answer.
    pub fn rest(&self, dns: &str) -> bool {
        self.count >= Self::MOST && self.dns == dns
    }
}

/// A name under management.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The name.
    pub name: DomainName,
    /// Raised by add, generate, import, roll back and delete; work of an older revision is dropped.
    pub revision: i64,
    /// Where the next certificate comes from.
    pub source: Source,
    /// The reference of its customer; empty for none.
    pub customer_ref: String,
    /// When it was put on the list.
    pub created_at: Timestamp,
    /// When it was taken off the list; none while it is on it.
    pub deleted_at: Option<Timestamp>,
    pub(crate) facts: Facts,
    /// The status as last stored. Written by the store, which derives it from the facts; read-only here.
    pub recorded: Status,
    /// The certificate that was live before the present one: the target of a roll back.
    pub previous: Option<CertificateId>,
    /// Consecutive failed orders.
    pub invalid_challenges: InvalidChallenges,
    /// The present activity.
    pub activity: Activity,
    /// Why it has to wait, if nobody has to act.
    pub waiting: Option<Reason>,
    /// Raised by uploads and removals, so that C4 can reject one that arrives late.
    pub upload_revision: i64,
    /// What C4 held when it was last found to be ahead of this database; none if it never was.
    pub ahead_at_c4: Option<AheadAtC4>,
    /// Raised by every write; a write with another version fails.
    pub version: i64,
}

impl Domain {
    /// A new row, for a name that has none.
    pub fn added(name: DomainName, now: Timestamp) -> Self {
        Self {
            name,
            revision: 1,
            source: Source::C4,
            customer_ref: String::new(),
            created_at: now,
            deleted_at: None,
            facts: Facts::default(),
            recorded: Status::Pending,
            previous: None,
            invalid_challenges: InvalidChallenges::default(),
            activity: Activity::Preflight,
            waiting: None,
            upload_revision: 0,
            ahead_at_c4: None,
            version: 0,
        }
    }

    /// The facts, for the store's row; everyone else asks one of the questions below.
    pub fn stored_facts(&self) -> &Facts {
        &self.facts
    }

    /// The domain with the facts of the store's row; everyone else makes a transition.
    #[must_use]
    pub fn with_stored_facts(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// The domain as it is once the store has written it at `now`.
    #[must_use]
    pub fn as_stored(self, now: Timestamp) -> Self {
        Self { recorded: self.status(now), version: self.version + 1, ..self }
    }

    /// The status at `now`, from the facts.
    pub fn status(&self, now: Timestamp) -> Status {
        self.facts.status(now)
    }

    /// The reason to show: the fact behind the status first, then the cause of the wait.
    pub fn reason(&self) -> Option<Reason> {
        self.reason_at(self.recorded)
    }

    fn reason_at(&self, status: Status) -> Option<Reason> {
        if self.facts.unknown_to_c4 {
            return self.why_not_issued();
        }
        let failing = self.facts.upload_failing.clone();
        failing.or_else(|| self.pasted_ended(status)).or_else(|| self.why_not_issued())
    }

    /// Who has to act, by the reason that is shown after the status as of `now` is stored.
    pub fn who(&self, now: Timestamp) -> Option<Who> {
        self.reason_at(self.status(now)).and_then(|reason| reason.who())
    }

    /// Whether it goes wrong at `now` unless a person acts: an upload, a verification or a renewal cannot succeed, or
    /// the certificate has ended.
    pub fn needs_person(&self, now: Timestamp) -> bool {
        match self.status(now) {
            _ if self.deleted_at.is_some() => false,
            Status::Emergency | Status::Discard => true,
            _ if self.facts.https == HttpsSwitch::Off => false,
            Status::Expired | Status::Failure => true,
            Status::Success => {
                self.facts.block.is_some() || matches!(self.waiting, Some(Reason::PastedEnds { .. }))
            }
            Status::Pending => false,
        }
    }

    /// A pasted certificate is not renewed, so the customer has to replace it when it ends.
    fn pasted_ended(&self, status: Status) -> Option<Reason> {
        let ended = self.source == Source::Text && status == Status::Expired;
        let at = self.facts.live.filter(|_| ended)?.not_after;
        Some(Reason::PastedEnded { at })
    }

    /// Why there is no new certificate, whatever the state of the last upload.
    pub fn why_not_issued(&self) -> Option<Reason> {
        if self.facts.unknown_to_c4 {
            return Some(Reason::UnknownToC4);
        }
        if self.facts.https == HttpsSwitch::Off {
            return Some(Reason::HttpsOff);
        }
        self.facts.block.clone().or_else(|| self.waiting.clone())
    }

    /// The certificate that is active at C4, even if it has ended.
    pub fn live(&self) -> Option<Live> {
        self.facts.live
    }

    /// Whether that certificate is the one that is active at C4.
    pub fn is_live(&self, certificate: CertificateId) -> bool {
        self.facts.live.is_some_and(|live| live.certificate == certificate)
    }

    /// The live certificate, if it is valid at `now`.
    pub fn serving(&self, now: Timestamp) -> Option<Live> {
        self.facts.live.filter(|live| now < live.not_after)
    }

    /// Whether a live certificate is valid at `now`.
    pub fn serves(&self, now: Timestamp) -> bool {
        self.serving(now).is_some()
    }

    /// The obstacle that keeps verification from succeeding.
    pub fn block(&self) -> Option<&Reason> {
        self.facts.block.as_ref()
    }

    /// Whether the live certificate is valid at `now` but cannot be renewed at present.
    pub fn is_renewal_blocked(&self, now: Timestamp) -> bool {
        self.facts.renewal_blocked(now)
    }

    /// Why an upload keeps failing after its quick attempts.
    pub fn upload_failing(&self) -> Option<&Reason> {
        self.facts.upload_failing.as_ref()
    }

    /// Whether C4 does not know the domain, and this is confirmed.
    pub fn is_unknown_to_c4(&self) -> bool {
        self.facts.unknown_to_c4
    }

    /// C4's answers that it does not know the domain, since it last knew it.
    pub fn missing(&self) -> Option<Missing> {
        self.facts.missing
    }

    /// Whether the customer has HTTPS switched on.
    pub fn https(&self) -> HttpsSwitch {
        self.facts.https
    }

    /// Since when DNS has been failing for the name (SERVFAIL).
    pub fn dns_failing_since(&self) -> Option<Timestamp> {
        self.facts.dns_failing_since
    }

    /// Whether nothing that C4 or DNS said stands in the way of an order.
    pub fn is_clear(&self) -> bool {
        let Facts { unknown_to_c4, missing, block, https, dns_failing_since, .. } = &self.facts;
        let is_told_nothing = !unknown_to_c4 && missing.is_none() && dns_failing_since.is_none();
        is_told_nothing && block.is_none() && *https != HttpsSwitch::Off
    }

    /// A deleted name is added again: it starts afresh and keeps only its counters.
    pub fn added_again(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        if self.deleted_at.is_none() {
            return Err(InvalidTransition { what: "domain", from: "listed", to: "added again" });
        }
        let Self { name, revision, upload_revision, ahead_at_c4, version, .. } = self;
        let counters = Self { revision: revision + 1, upload_revision, version, ..Self::added(name, now) };
        Ok(Self { ahead_at_c4, ..counters })
    }

    /// A generated certificate is requested; the live one keeps serving until the new one is live. A failing upload
    /// is given up together with its certificate, unless that is the live one: then the next comparison finds out its
    /// state.
    pub fn generate(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("generate")?;
        let facts = Facts {
            upload_failing: listed.facts.upload_failing.filter(|_| listed.facts.live.is_some()),
            ..listed.facts
        };
        Ok(Self {
            revision: listed.revision + 1,
            source: Source::C4,
            facts,
            invalid_challenges: InvalidChallenges::default(),
            activity: Activity::Preflight,
            waiting: None,
            ..listed
        })
    }

    /// A pasted certificate is to become live; the present one keeps serving until then.
    pub fn import(self) -> Result<Self, InvalidTransition> {
        self.takes_over("import", Source::Text)
    }

    /// The previous certificate is to become live again.
    pub fn roll_back(self, source: Source) -> Result<Self, InvalidTransition> {
        self.takes_over("roll back", source)
    }

    /// A stored certificate is to become live; it needs no verification.
    fn takes_over(self, to: &'static str, source: Source) -> Result<Self, InvalidTransition> {
        let listed = self.listed(to)?;
        let facts = Facts { block: None, ..listed.facts };
        Ok(Self {
            revision: listed.revision + 1,
            source,
            facts,
            invalid_challenges: InvalidChallenges::default(),
            activity: Activity::Uploading,
            waiting: None,
            ..listed
        })
    }

    /// Sets the customer reference.
    pub fn belongs_to(self, customer_ref: &str) -> Result<Self, InvalidTransition> {
        Ok(Self { customer_ref: customer_ref.to_owned(), ..self.listed("belongs to")? })
    }

    /// Takes the domain off the list.
    pub fn delete(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        let listed = self.listed("deleted")?;
        Ok(Self {
            revision: listed.revision + 1,
            deleted_at: Some(now),
            activity: Activity::Idle,
            waiting: None,
            ..listed
        })
    }

    /// Sets the activity and the cause of the wait; no fact changes.
    pub fn doing(self, activity: Activity, waiting: Option<Reason>) -> Result<Self, InvalidTransition> {
        Ok(Self { activity, waiting, ..self.listed("doing")? })
    }

    /// Preflight found that an order can succeed.
    pub fn clear(self) -> Result<Self, InvalidTransition> {
        let listed = self.listed("clear")?;
        let facts = Facts {
            unknown_to_c4: false,
            missing: None,
            block: None,
            dns_failing_since: None,
            https: HttpsSwitch::On,
            ..listed.facts
        };
        Ok(Self { facts, ..listed })
    }

    /// An outside problem keeps verification from succeeding.
    pub fn blocked(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let listed = self.listed("blocked")?;
        let by_dns = matches!(reason, Reason::DnssecBroken { .. } | Reason::DnsBroken { .. });
        let facts = Facts {
            unknown_to_c4: false,
            missing: None,
            https: listed.facts.https.after(&reason),
            block: Some(reason),
            dns_failing_since: listed.facts.dns_failing_since.filter(|_| by_dns),
            ..listed.facts
        };
        Ok(Self { facts, activity: Activity::Retrying, waiting: None, ..listed })
    }

    /// DNS failed for the name (SERVFAIL). At first this does not block the domain.
    pub fn dns_fails(self, reason: Reason, now: Timestamp) -> Result<Self, InvalidTransition> {
        let listed = self.doing(Activity::Retrying, Some(reason))?;
        let dns_failing_since = listed.facts.dns_failing_since.or(Some(now));
        let facts = Facts { dns_failing_since, ..listed.facts };
        Ok(Self { facts, ..listed })
    }

    /// The CA found the challenge invalid although preflight passed. `dns`: the DNS answer; none if the order
    /// continued from an earlier attempt, which keeps the last known answer.
    pub fn challenge_invalid(self, reason: Reason, dns: Option<String>) -> Result<Self, InvalidTransition> {
        let invalid_challenges = self.invalid_challenges.and_a_challenge(dns);
        Ok(Self { invalid_challenges, ..self.blocked(reason)? })
    }

    /// The CA refused an order of this name, or its certificate was rejected.
    pub fn order_refused(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let invalid_challenges = self.invalid_challenges.and_an_order(&reason);
        Ok(Self { invalid_challenges, ..self.blocked(reason)? })
    }

    /// An order failed because of a problem at the CA; another one is placed soon.
    pub fn order_lost(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let invalid_challenges = self.invalid_challenges.and_an_order(&reason);
        Ok(Self { invalid_challenges, ..self.doing(Activity::Retrying, Some(reason))? })
    }

    /// C4 answered that it does not know the domain. Without a live certificate this is a fact at once; otherwise
    /// once the answer is believed ([`Missing`]), and never while so many domains are missing that C4 itself is at
    /// fault.
    pub fn unknown_to_c4(self, now: Timestamp, c4s_fault: bool) -> Result<Self, InvalidTransition> {
        let listed = self.listed("unknown to C4")?;
        let missing = Missing::noted(listed.facts.missing, now, !c4s_fault);
        let serves = listed.serves(now);
        let is_fact = listed.facts.unknown_to_c4 || !serves || (!c4s_fault && missing.is_believed(now));
        let facts = Facts { unknown_to_c4: is_fact, missing: Some(missing), ..listed.facts };
        Ok(Self {
            facts,
            activity: Activity::Retrying,
            waiting: (!is_fact).then_some(Reason::UnknownToC4),
            ..listed
        })
    }

    /// A certificate is active at C4.
    pub fn uploaded(self, live: Live) -> Result<Self, InvalidTransition> {
        let listed = self.listed("uploaded")?;
        let before = listed.facts.live.map(|live| live.certificate);
        let is_new = before != Some(live.certificate);
        let facts = Facts { live: Some(live), https: listed.facts.https, ..Facts::default() };
        Ok(Self {
            facts,
            ahead_at_c4: None,
            previous: before.filter(|_| is_new).or(listed.previous),
            invalid_challenges: if is_new { InvalidChallenges::default() } else { listed.invalid_challenges },
            activity: Activity::Idle,
            waiting: None,
            ..listed
        })
    }

    /// The live certificate was revoked before it was replaced: it counts as ended.
    pub fn revoked(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        let listed = self.listed("revoked")?;
        let live = listed.facts.live.map(|live| Live { not_after: live.not_after.min(now), ..live });
        let facts = Facts { live, ..listed.facts };
        Ok(Self { facts, ..listed })
    }

    /// C4 did not accept the certificate, and the quick attempts are used up.
    pub fn upload_failed(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let listed = self.listed("upload failed")?;
        let facts = Facts { upload_failing: Some(reason), ..listed.facts };
        Ok(Self { facts, activity: Activity::Retrying, waiting: None, ..listed })
    }

    /// A certificate will never be uploaded, and another one is needed from the CA or the customer; any failing
    /// upload ends.
    pub fn upload_given_up(self, reason: Reason) -> Result<Self, InvalidTransition> {
        let listed = self.listed("upload given up")?;
        let facts = Facts { unknown_to_c4: false, missing: None, upload_failing: None, ..listed.facts };
        Ok(Self { facts, activity: Activity::Idle, waiting: Some(reason), ..listed })
    }

    pub(crate) fn listed(self, to: &'static str) -> Result<Self, InvalidTransition> {
        match self.deleted_at {
            None => Ok(self),
            Some(_) => Err(InvalidTransition { what: "domain", from: "deleted", to }),
        }
    }
}

#[cfg(test)]
mod tests;
