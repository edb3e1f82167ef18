//! The decisions of an issuance: each is a function from the lease, the present domain and the newly learnt facts to
//! the step that records them. There is no I/O, so each decision can be read and tested by itself; `journal` commits
//! the steps.

use acme::{ChallengeResponse, Delivered};
use domain::budget::Charge;
use domain::sentence::NamedZone;
use domain::{
    Activity, Cause, CertificateSummary, Domain, EventKind, HistoryKind, HttpsSwitch, InvalidTransition,
    Lease, Order, OrderState, Outbound, Pause, PreExpiry, Reason, Retry, SWITCHED_ON, Source, Work, WorkKind,
    renewal_point,
};
use jiff::Timestamp;
use preflight::Probe;
use store::{Certificate, Challenge, Counted, Entry, LastStep, LedgerOf, OrderWrite, Renewal, Step, Write};

use crate::ending::{Ending, OrderFate, jittered};

const ACTOR: &str = "issuer";

/// Inputs shared by all decisions.
pub(crate) struct Decider<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) now: Timestamp,
    pub(crate) configured: PreExpiry,
    /// Random number below 1000, for jitter.
    pub(crate) random: u64,
}

/// The end of an attempt without a certificate.
pub(crate) struct AttemptEnd {
    pub(crate) ending: Ending,
    /// The live order, and its fate.
    pub(crate) order: Option<(Order, OrderFate)>,
    /// The limits that a failed authorization is charged to, if the CA counts one.
    pub(crate) failure: Option<LedgerOf>,
    /// The live certificate is to be revoked.
    pub(crate) is_withdrawn: bool,
    /// The system whose pause the attempt met.
    pub(crate) paused_for: Option<Outbound>,
    /// C4 reports so many domains as unknown that its answer is not believed.
    pub(crate) c4s_fault: bool,
    /// Preflight found no obstacle.
    pub(crate) passed_preflight: bool,
}

type Decided<T> = Result<T, InvalidTransition>;

impl Decider<'_> {
    fn step(&self, name: &'static str, domain: &Domain) -> Step {
        Step::new(name, self.lease, domain)
    }

    fn is_daily_recheck(&self) -> bool {
        self.lease.work.cause == Cause::DailyRecheck
    }

    /// A history entry; its text says if it comes from the daily recheck.
    fn entry(&self, kind: HistoryKind, message: &str) -> Entry<'static> {
        let by = if self.is_daily_recheck() { "Daily recheck: " } else { "" };
        Entry::new(kind, ACTOR, format!("{by}{message}"))
    }

    /// Preflight no longer finds a block: from now on, the reason shown is the one that still delays the domain.
    pub(crate) fn cleared(&self, domain: &Domain) -> Decided<Step> {
        let after = domain.clone().clear()?;
        let is_on_again = domain.https() == HttpsSwitch::Off && after != *domain;
        let entry = is_on_again.then(|| Entry::new(HistoryKind::HttpsOn, ACTOR, SWITCHED_ON));
        Ok(self.step("preflight_passed", domain).becomes(after).told(entry))
    }

    /// Stores the probe for the rehearsal of the challenge path, for the responders to answer.
    pub(crate) fn probe(&self, domain: &Domain, probe: &Probe) -> Step {
        let write = OrderWrite::PutProbe(probe.token.clone(), probe.answer.clone());
        self.step("probe_stored", domain).and(Write::Order(write))
    }

    /// Inserts the order's row and charges it to the CA's limits, before the request to the CA.
    pub(crate) fn started(&self, domain: &Domain, order: &Order, charge: &Charge) -> Decided<Step> {
        let after = domain.clone().clear()?.doing(Activity::WaitingForCa, None)?;
        let step = self.step("order_created", domain).charged(charge.clone()).becomes(after);
        let insert = OrderWrite::Insert(Box::new(order.clone()));
        Ok(step.and(Write::Order(insert)).and(Write::Order(OrderWrite::DropProbe)))
    }

    /// Charges an order that has its row already, on other terms than before or once more.
    pub(crate) fn charged(&self, domain: &Domain, charge: &Charge) -> Step {
        self.step("order_charged", domain).charged(charge.clone())
    }

    /// A certificate of this revision exists and only has to be uploaded.
    pub(crate) fn already_issued(&self, domain: &Domain, summary: &CertificateSummary) -> Decided<LastStep> {
        let message = "A certificate is there, and only has to be uploaded.";
        let entry = self.is_daily_recheck().then(|| self.entry(HistoryKind::CertificateIssued, message));
        self.handed_over(self.step("already_issued", domain), domain, summary, entry)
    }

    /// The CA accepted the order: stores its URL; the rest of the answer is not read yet.
    pub(crate) fn placed(&self, domain: &Domain, order: &Order) -> Step {
        let message = "The certificate authority took the order.";
        self.order_is_placed("order_placed", domain, order, self.entry(HistoryKind::OrderPlaced, message))
    }

    /// An order that an earlier attempt placed without receiving the answer was found at the CA.
    pub(crate) fn found(&self, domain: &Domain, order: &Order) -> Step {
        let message = "The certificate authority had taken the order; its answer had been lost.";
        let entry = Entry::new(HistoryKind::OrderPlaced, ACTOR, message);
        self.order_is_placed("order_found", domain, order, entry)
    }

    fn order_is_placed(
        &self,
        name: &'static str,
        domain: &Domain,
        order: &Order,
        entry: Entry<'static>,
    ) -> Step {
        self.step(name, domain).told(Some(entry)).and(update(order.clone(), CREATED))
    }

    /// The CA did not accept the order: its reservations are released. Under the lease, because the next holder may have
    /// charged the same order again.
    pub(crate) fn not_taken(&self, domain: &Domain, order: &Order) -> Step {
        self.step("order_not_taken", domain).and(Write::Order(OrderWrite::GiveBack(order.id)))
    }

    /// Stores the challenge response, before the CA is told to validate.
    pub(crate) fn challenge(
        &self,
        domain: &Domain,
        order: &Order,
        response: &ChallengeResponse,
    ) -> Decided<Step> {
        let challenge = Challenge {
            host: domain.name.clone(),
            token: response.token.clone(),
            key_authorization: response.key_authorization.clone(),
            order: order.id,
            created_at: self.now,
        };
        let after = domain.clone().doing(Activity::Validating, None)?;
        let step = self.step("challenge_stored", domain).becomes(after);
        let step = step.and(Write::Order(OrderWrite::PutChallenge(challenge)));
        Ok(step.and(Write::Publish(EventKind::ChallengeReady)))
    }

    /// Stores the certificate, spends its reservations, and makes the upload due.
    pub(crate) fn issued(
        &self,
        domain: &Domain,
        order: &Order,
        delivered: &Delivered,
        ledger: &LedgerOf,
    ) -> Decided<LastStep> {
        let certificate = self.certificate(domain, order, delivered)?;
        let summary = certificate.summary.clone();
        let ended = Order { state: order.state.clone().issued()?, ..order.clone() };
        let entry = Entry {
            kind: HistoryKind::CertificateIssued,
            actor: ACTOR,
            message: format!(
                "Issued by {}, valid until {}.",
                summary.issuer,
                NamedZone::utc().time(summary.not_after)
            ),
            certificate_sha256: Some(summary.sha256.clone()),
        };
        let step = self
            .step("certificate_issued", domain)
            .and(Write::Order(OrderWrite::InsertIssued(Box::new(certificate), order.id)))
            .and(Write::Order(OrderWrite::Spend(order.id, ledger.clone())))
            .and(Write::CountDay(Counted::Issued))
            .and(update(ended, PLACED))
            .and(Write::Order(OrderWrite::DropChallenges(order.id)));
        self.handed_over(step, domain, &summary, Some(entry))
    }

    /// Builds the certificate's record from the delivered chain; the key is copied from the order's row when it is
    /// stored.
    fn certificate(&self, domain: &Domain, order: &Order, delivered: &Delivered) -> Decided<Certificate> {
        let OrderState::Placed { key, .. } = &order.state else {
            return Err(InvalidTransition { what: "order", from: order.state.as_str(), to: ISSUED });
        };
        let Delivered { not_before, not_after, .. } = *delivered;
        Ok(Certificate {
            summary: CertificateSummary {
                id: key.certificate,
                sha256: delivered.sha256.clone(),
                serial: delivered.serial.clone(),
                issuer: delivered.issuer.clone(),
                not_before,
                not_after,
                source: Source::C4,
                trust: None,
            },
            name: domain.name.clone(),
            revision: domain.revision,
            chain_pem: delivered.chain_pem.clone(),
            sealed_key: None,
            created_at: self.now,
            uploaded_at: None,
            account: Some(order.account),
            revoked_at: None,
            withdrawn: false,
            renewal: Some(Renewal {
                at: renewal_point(not_before, not_after, self.configured),
                window: None,
            }),
        })
    }

    /// Makes the upload due and ends the lease. A certificate that is not valid yet is kept until its validity
    /// starts.
    fn handed_over(
        &self,
        step: Step,
        domain: &Domain,
        summary: &CertificateSummary,
        entry: Option<Entry<'static>>,
    ) -> Decided<LastStep> {
        let certificate = summary.id;
        let due_at = summary.usable_at(self.now);
        let upload = Work {
            certificate: Some(certificate),
            ..Work::due(domain, WorkKind::Upload, Cause::Requested, due_at)
        };
        let step = step.becomes(domain.clone().doing(Activity::Issued, None)?).told(entry);
        let step = step.and(Write::Schedule(upload));
        Ok(step.and(Write::Publish(EventKind::CertIssued { certificate })).done())
    }

    /// The attempt ended without a certificate: stores the new facts, the order's end if it is over, and the time of
    /// the next attempt.
    pub(crate) fn ended(&self, domain: &Domain, end: &AttemptEnd) -> Decided<LastStep> {
        let ending = &end.ending;
        let found = if end.passed_preflight && !is_forbidden_by_caa(domain) {
            domain.clone().clear()?
        } else {
            domain.clone()
        };
        let after = ending.change(found, self.now, end.c4s_fault)?;
        let attempts = ending.attempt(domain, self.lease.work.attempts);
        let due_at = self.next_attempt(end, &after, attempts);
        let mut step = self.step("issue_ended", domain);
        if let Some(ledger) = &end.failure {
            step = step.and(Write::Order(OrderWrite::SpendFailure(ledger.clone())));
        }
        if let Some((order, fate)) = &end.order {
            step = order_ended(step, order, *fate)?;
        }
        if ending.is_done() {
            step = step.and(Write::DecideMidnight);
        }
        if !matches!(ending, Ending::Paused(_)) {
            step = step.and(Write::Publish(EventKind::IssueFailed));
        }
        let entry = self.entry_of_end(domain, &after, ending, attempts);
        let cause = if ending.is_done() { Cause::Retry } else { self.lease.work.cause };
        let next = Work { cause, attempts, due_at, ..self.lease.work.clone() };
        let last = step.becomes(after).told(entry).then(next);
        Ok(LastStep { paused_for: end.paused_for, ..last })
    }

    /// The history entry for an ending that is new, or for a result of the daily recheck.
    fn entry_of_end(
        &self,
        domain: &Domain,
        after: &Domain,
        ending: &Ending,
        attempts: u32,
    ) -> Option<Entry<'static>> {
        let is_news = match ending {
            Ending::Paused(_) => domain.why_not_issued() != ending.reason(),
            _ => attempts == 1 || after.status(self.now) != domain.recorded,
        };
        let is_at_rest = matches!(ending, Ending::HttpsOff);
        let is_told = is_news || (ending.is_done() && self.is_daily_recheck() && !is_at_rest);
        let reason = is_told.then(|| ending.reason()).flatten()?;
        Some(self.entry(ending.history(), &reason.message(&domain.name)))
    }

    /// The time of the next attempt; none if a person has to act first.
    fn next_attempt(&self, end: &AttemptEnd, after: &Domain, attempts: u32) -> Option<Timestamp> {
        let retry = end.ending.retry(after, end.is_withdrawn, self.now);
        let mut delay = retry.delay(attempts);
        if let Retry::Renewal { .. } = retry {
            delay = delay.map(|delay| jittered(delay, self.random));
        }
        if after.missing().is_some() && !after.is_unknown_to_c4() {
            delay = delay.or(Some(Retry::MISSING_INTERVAL));
        }
        let due_at = self.now.checked_add(delay?).ok()?;
        Some(due_at.max(end.ending.not_before(self.now)))
    }

    /// Stores when the live certificate is renewed, and when the CA is asked again (none: never).
    pub(crate) fn renewal_planned(
        &self,
        domain: &Domain,
        certificate: &Certificate,
        renewal: Renewal,
        ask_again_at: Option<Timestamp>,
    ) -> LastStep {
        let (cause, due_at) = match ask_again_at {
            Some(at) if at < renewal.at => (Cause::RenewalInfo, at),
            _ => (Cause::Renewal, renewal.at),
        };
        let next = Work { cause, due_at: Some(due_at), attempts: 0, ..self.lease.work.clone() };
        let step = self.step("renewal_planned", domain).and(Write::SetRenewal(certificate.id(), renewal));
        step.then(next)
    }

    /// The CA did not answer when to renew the live certificate.
    pub(crate) fn renewal_unanswered(&self, due_at: Option<Timestamp>, attempts: u32) -> LastStep {
        LastStep::postponed(self.lease, Work { due_at, attempts, ..self.lease.work.clone() })
    }

    /// Requests to the CA are paused: it is asked once the pause is lifted, or at `latest`.
    pub(crate) fn paused_by_operator(&self, latest: Timestamp) -> LastStep {
        let due_at = (self.now + Pause::LOOK_AGAIN).min(latest);
        LastStep::postponed(self.lease, self.due(due_at)).paused_for(Outbound::Ca)
    }

    /// There is no permit for background work: it is due again soon, unchanged.
    pub(crate) fn yielded(&self, due_at: Timestamp) -> LastStep {
        LastStep::postponed(self.lease, self.due(due_at))
    }

    fn due(&self, at: Timestamp) -> Work {
        Work { due_at: Some(at), ..self.lease.work.clone() }
    }
}

const CREATED: &str = "created";
const PLACED: &str = "placed";
const ISSUED: &str = "issued";

/// Whether CAA blocks the domain; CAA is checked per CA, after preflight.
pub(crate) fn is_forbidden_by_caa(domain: &Domain) -> bool {
    matches!(domain.block(), Some(Reason::CaaForbids { .. } | Reason::CdnCaaForbids { .. }))
}

fn update(order: Order, from: &'static str) -> Write {
    Write::Order(OrderWrite::Update(Box::new(order), from))
}

/// Ends an order without a certificate. Its reservations in the CA's limits are released, unless the CA may have
/// issued: the order may have been finalized, and the CA did not say that it failed.
fn order_ended(step: Step, order: &Order, fate: OrderFate) -> Decided<Step> {
    if fate == OrderFate::GoesOn {
        return Ok(step);
    }
    let reserved = if fate == OrderFate::GivenUp && order.state.may_have_issued() {
        OrderWrite::SpendLater(order.id)
    } else {
        OrderWrite::GiveBack(order.id)
    };
    let failed = Order { state: order.state.clone().failed()?, ..order.clone() };
    Ok(step
        .and(Write::Order(reserved))
        .and(update(failed, order.state.as_str()))
        .and(Write::Order(OrderWrite::DropChallenges(order.id)))
        .and(Write::CountDay(Counted::Failed)))
}

#[cfg(test)]
mod tests;
