//! The steps of an issuance as the store sees them: each is one transaction that holds the lease's fencing token.
//!
//! Whoever does not hold the lease any more, or works for an older revision of the name, changes nothing here.

mod ledger;
mod placing;

use std::sync::Arc;

use acme::budget::{self, Purchase};
use acme::{AccountKey, ChallengeResponse, Delivered, Wait};
use domain::sentence::NamedZone;
use domain::{
    AccountId, Activity, Cause, CertificateId, CertificateSummary, Domain, EventKind, HistoryKind,
    HttpsSwitch, Lease, Order, OrderId, OrderState, Outbound, Pause, PreExpiry, Reason, Retry, SWITCHED_ON,
    Source, Work, WorkKind, renewal_point,
};
use jiff::{SignedDuration, Timestamp};
use runtime::{Context, JobError};
use store::{Certificate, Challenge, Counted, Entry, Finished, LastStep, ProbeOf, Renewal, StoreError, Tx};

use crate::authority::Authority;
use crate::ending::{Ending, OrderFate, jittered};
use crate::order_terms::{exempt, is_undelivered, is_withdrawn, lane};
use crate::turn::Turn;
use preflight::Probe;

pub(crate) use self::placing::Placing;

const ACTOR: &str = "issuer";

/// The journal of one issuance.
#[derive(Clone)]
pub(crate) struct Journal {
    context: Context,
    lease: Lease,
}

/// What to do once the order row is asked for.
pub(crate) enum Begun {
    /// Go on with this order.
    Order(Order),
    /// A certificate is there and only has to be uploaded; the lease is ended.
    AlreadyIssued(Finished),
    /// The CA's limits leave no room before then.
    NoRoom(Wait),
}

impl Journal {
    pub(crate) fn new(context: &Context, lease: &Lease) -> Self {
        Self { context: context.clone(), lease: lease.clone() }
    }

    /// Opens a step: a transaction that holds the lease, and the domain's row.
    async fn open(&self, step: &'static str) -> Result<(Tx, Domain), JobError> {
        let mut tx = self.context.store.begin(step).await?;
        let domain = tx.fence(&self.lease).await?;
        Ok((tx, domain))
    }

    fn publish(&self, tx: &mut Tx, kind: EventKind) {
        let work = &self.lease.work;
        tx.publish(kind, &work.name, work.revision);
    }

    /// The order row before new-order, charged to the CA's limits, with what it reserves of them; or none, where an issued
    /// certificate only has to be uploaded, or there is no room.
    pub(crate) async fn begin_order(
        &self,
        authority: &Authority,
        account: &AccountKey,
        live: Option<&Certificate>,
        replaces: Option<&Certificate>,
    ) -> Result<Begun, JobError> {
        let (mut tx, domain) = self.open("order_created").await?;
        let now = self.context.clock.now();
        let newest = tx.newest_generated(&domain.name, Timestamp::UNIX_EPOCH).await?;
        if let Some(certificate) = &newest
            && is_undelivered(certificate, &domain, now)
        {
            let message = "A certificate is there, and only has to be uploaded.";
            let entry = self.is_daily_recheck().then(|| self.entry(HistoryKind::CertificateIssued, message));
            let finished = self.hand_over(tx, &domain, &certificate.summary, entry).await?;
            return Ok(Begun::AlreadyIssued(finished));
        }
        let id = OrderId::new(&*self.context.clock, &*self.context.entropy);
        let purchase = Purchase {
            order: id,
            issuer: authority.name(),
            name: &domain.name,
            lane: lane(&domain, &self.lease.work, is_withdrawn(live), self.pre_expiry(newest.as_ref()), now),
            exempt: exempt(newest.as_ref(), replaces, account.id, now),
            was_promised: matches!(domain.waiting, Some(Reason::CaLimited { until, .. }) if until <= now),
            is_asked_again: false,
        };
        let reserved = match budget::charge(&mut tx, &authority.limits, &purchase, now).await? {
            Ok(reserved) => reserved,
            Err(wait) => {
                Self::clear(&mut tx, &domain).await?;
                tx.commit().await?;
                return Ok(Begun::NoRoom(wait));
            }
        };
        let order = Order {
            id,
            name: domain.name.clone(),
            revision: domain.revision,
            account: account.id,
            created_at: now,
            state: OrderState::Created,
        };
        tx.insert_order(&order).await?;
        tx.reserve(id, &reserved).await?;
        tx.drop_probe(&domain.name, ProbeOf::Order).await?;
        let after = domain.clone().clear()?.doing(Activity::WaitingForCa, None)?;
        tx.apply(Some(&domain), &after, None).await?;
        tx.commit().await?;
        let lane = purchase.lane.as_str();
        metrics::counter!("ssl_manager_orders_total", "lane" => lane).increment(1);
        Ok(Begun::Order(order))
    }

    /// Nothing that preflight looks at stands in the way any more: what is shown as the reason is what holds the domain up
    /// from here on. Whether CAA permits is asked per CA, after this.
    pub(crate) async fn preflight_passed(&self, before: &Domain) -> Result<(), JobError> {
        let is_by_caa =
            matches!(before.facts.block, Some(Reason::CaaForbids { .. } | Reason::CdnCaaForbids { .. }));
        if is_by_caa || before.clone().clear()? == *before {
            return Ok(());
        }
        let (mut tx, domain) = self.open("preflight_passed").await?;
        Self::clear(&mut tx, &domain).await?;
        Ok(tx.commit().await?)
    }

    async fn clear(tx: &mut Tx, domain: &Domain) -> Result<(), JobError> {
        let after = domain.clone().clear()?;
        if after != *domain {
            let entry = (domain.facts.https == HttpsSwitch::Off)
                .then(|| Entry::new(HistoryKind::HttpsOn, ACTOR, SWITCHED_ON));
            tx.apply(Some(domain), &after, entry).await?;
        }
        Ok(())
    }

    fn is_daily_recheck(&self) -> bool {
        self.lease.work.cause == Cause::Midnight
    }

    /// A line of the history; it says if the daily recheck is what it came of.
    fn entry(&self, kind: HistoryKind, message: &str) -> Entry<'static> {
        let by = if self.is_daily_recheck() { "Daily recheck: " } else { "" };
        Entry::new(kind, ACTOR, format!("{by}{message}"))
    }

    /// What the rehearsal of the challenge path has to find, for the responder to answer.
    pub(crate) async fn probe(&self, probe: &Probe) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("probe_stored").await?;
        tx.put_probe(&domain.name, ProbeOf::Order, &probe.token, &probe.answer).await?;
        Ok(tx.commit().await?)
    }

    /// Writes an order's next state.
    async fn update_order(&self, tx: &mut Tx, order: &mut Order, next: OrderState) -> Result<(), JobError> {
        let from = order.state.as_str();
        order.state = next;
        Ok(tx.update_order(order, from).await?)
    }

    /// The order that an earlier attempt placed without hearing of it was found at the CA.
    pub(crate) async fn found(&self, order: &mut Order, url: &str) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("order_found").await?;
        let next = order.state.clone().placed(url.to_owned())?;
        self.update_order(&mut tx, order, next).await?;
        let message = "The certificate authority had taken the order; its answer had been lost.";
        let entry = Entry::new(HistoryKind::OrderPlaced, ACTOR, message);
        let after = domain.clone();
        tx.apply(Some(&domain), &after, Some(entry)).await?;
        Ok(tx.commit().await?)
    }

    /// The hook through which the order's URL is stored the moment it is known. The turn ends with that.
    pub(crate) fn placing(&self, order: &Order, turn: &Turn) -> Arc<Placing> {
        Arc::new(Placing::new(self, order, turn))
    }

    /// The challenge response, before the CA is told to look.
    pub(crate) async fn challenge(
        &self,
        order: &Order,
        response: &ChallengeResponse,
    ) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("challenge_stored").await?;
        tx.put_challenge(&Challenge {
            host: domain.name.clone(),
            token: response.token.clone(),
            key_authorization: response.key_authorization.clone(),
            order: order.id,
            created_at: self.context.clock.now(),
        })
        .await?;
        let after = domain.clone().doing(Activity::Validating, None)?;
        tx.apply(Some(&domain), &after, None).await?;
        self.publish(&mut tx, EventKind::ChallengeReady);
        Ok(tx.commit().await?)
    }

    /// Sealed key and CSR, before finalize.
    pub(crate) async fn keyed(
        &self,
        order: &mut Order,
        certificate: CertificateId,
        sealed_key: Vec<u8>,
        csr: Vec<u8>,
    ) -> Result<(), JobError> {
        let (mut tx, _) = self.open("order_keyed").await?;
        let next = order.state.clone().keyed(certificate, sealed_key, csr)?;
        self.update_order(&mut tx, order, next).await?;
        Ok(tx.commit().await?)
    }

    /// What the CA delivered for an order, with the key that was made for it.
    fn certificate(
        &self,
        domain: &Domain,
        account: AccountId,
        id: CertificateId,
        sealed_key: Vec<u8>,
        delivered: Delivered,
    ) -> Certificate {
        Certificate {
            summary: CertificateSummary {
                id,
                sha256: delivered.sha256,
                serial: delivered.serial,
                issuer: delivered.issuer,
                not_before: delivered.not_before,
                not_after: delivered.not_after,
                source: Source::C4,
                trust: None,
            },
            name: domain.name.clone(),
            revision: domain.revision,
            chain_pem: delivered.chain_pem,
            sealed_key: Some(sealed_key),
            created_at: self.context.clock.now(),
            uploaded_at: None,
            account: Some(account),
            revoked_at: None,
            withdrawn: false,
            renewal: Some(Renewal {
                at: renewal_point(delivered.not_before, delivered.not_after, self.configured()),
                window: None,
            }),
        }
    }

    /// The certificate with its sealed key, which is spent of the CA's limits; the upload is due, and the lease is ended.
    pub(crate) async fn issued(
        &self,
        authority: &Authority,
        order: OrderId,
        delivered: Delivered,
    ) -> Result<Finished, JobError> {
        let (mut tx, domain) = self.open("certificate_issued").await?;
        // As it is stored now: since it was read, its data key may have been wrapped under another sealing key.
        let stored = tx.live_order(&domain.name).await?;
        let keyed = stored.filter(|stored| stored.id == order);
        let mut order = keyed.ok_or_else(|| JobError::Other("the order is gone".to_owned()))?;
        let OrderState::Keyed { certificate: id, sealed_key, .. } = order.state.clone() else {
            return Err(JobError::Other("a certificate for an order without a key".to_owned()));
        };
        let (not_after, certificate) =
            (delivered.not_after, self.certificate(&domain, order.account, id, sealed_key, delivered));
        let (limits, issuer, now) = (&authority.limits, authority.name(), certificate.created_at);
        budget::spend(&mut tx, limits, issuer, &domain.name, order.id, now).await?;
        tx.insert_certificate(&certificate).await?;
        tx.count_day(Counted::Issued, certificate.created_at);
        let next = order.state.clone().issued()?;
        self.update_order(&mut tx, &mut order, next).await?;
        tx.drop_challenges(order.id).await?;
        let entry = Entry {
            kind: HistoryKind::CertificateIssued,
            actor: ACTOR,
            message: format!(
                "Issued by {}, valid until {}.",
                certificate.summary.issuer,
                NamedZone::utc().time(not_after)
            ),
            certificate_sha256: Some(certificate.summary.sha256.clone()),
        };
        let finished = self.hand_over(tx, &domain, &certificate.summary, Some(entry)).await?;
        let seconds = now.duration_since(order.created_at).as_secs_f64();
        tracing::info!(order.id = %order.id, certificate.id = %id, seconds, "certificate issued");
        metrics::counter!("ssl_manager_certificates_issued_total").increment(1);
        Ok(finished)
    }

    /// Makes the upload due and ends the lease. A certificate that begins later is kept until then.
    async fn hand_over(
        &self,
        mut tx: Tx,
        domain: &Domain,
        summary: &CertificateSummary,
        entry: Option<Entry<'_>>,
    ) -> Result<Finished, JobError> {
        let (now, certificate) = (self.context.clock.now(), summary.id);
        let after = domain.clone().doing(Activity::Issued, None)?;
        tx.apply(Some(domain), &after, entry).await?;
        tx.schedule(&Work {
            name: domain.name.clone(),
            kind: WorkKind::Upload,
            revision: domain.revision,
            cause: Cause::Requested,
            attempts: 0,
            due_at: Some(summary.usable_at(now)),
            certificate: Some(certificate),
        })
        .await?;
        self.publish(&mut tx, EventKind::CertIssued { certificate });
        Ok(tx.end(&self.lease, None).await?)
    }

    /// The work is of no use any more; the lease is ended.
    pub(crate) async fn nothing_to_do(&self) -> Result<Finished, JobError> {
        self.end(&LastStep::dropped(&self.lease)).await
    }

    async fn end(&self, last: &LastStep) -> Result<Finished, JobError> {
        Ok(self.context.store.end(last).await.map_err(StoreError::from)?)
    }

    /// There is no room for background work now: it is due again soon, as it was.
    pub(crate) async fn give_way(&self, wait: SignedDuration) -> Result<Finished, JobError> {
        let next = Work { due_at: Some(self.context.clock.now() + wait), ..self.lease.work.clone() };
        self.end(&LastStep::postponed(&self.lease, next)).await
    }

    /// The CA is paused: its question is asked once that is lifted, or by `latest`.
    pub(crate) async fn paused_by_operator(&self, latest: Timestamp) -> Result<Finished, JobError> {
        let due_at = (self.context.clock.now() + Pause::LOOK_AGAIN).min(latest);
        let next = Work { due_at: Some(due_at), ..self.lease.work.clone() };
        self.end(&LastStep::postponed(&self.lease, next).paused_for(Outbound::Ca)).await
    }

    /// When the live certificate is renewed, and when the CA is asked about that again (none: never).
    pub(crate) async fn renewal_planned(
        &self,
        certificate: CertificateId,
        renewal: Renewal,
        ask_again_at: Option<Timestamp>,
    ) -> Result<Finished, JobError> {
        let (mut tx, _) = self.open("renewal_planned").await?;
        tx.set_renewal(certificate, renewal).await?;
        let (cause, due_at) = match ask_again_at {
            Some(at) if at < renewal.at => (Cause::RenewalInfo, at),
            _ => (Cause::Renewal, renewal.at),
        };
        let next = Work { cause, due_at: Some(due_at), attempts: 0, ..self.lease.work.clone() };
        Ok(tx.end(&self.lease, Some(&next)).await?)
    }

    /// The CA did not say when the live certificate is to be renewed.
    pub(crate) async fn ask_renewal_again(
        &self,
        due_at: Option<Timestamp>,
        attempts: u32,
    ) -> Result<Finished, JobError> {
        let (tx, _) = self.open("renewal_unanswered").await?;
        let next = Work { due_at, attempts, ..self.lease.work.clone() };
        Ok(tx.end(&self.lease, Some(&next)).await?)
    }

    /// Ends the attempt: what was learnt, the order's end if it is over, and when the next attempt begins.
    pub(crate) async fn ended(
        &self,
        order: Option<Order>,
        fate: OrderFate,
        authority: Option<&Authority>,
        live: Option<&Certificate>,
        ending: Ending,
        paused_for: Option<Outbound>,
    ) -> Result<Finished, JobError> {
        let c4s_fault = matches!(ending, Ending::UnknownToC4) && self.is_c4s_fault().await?;
        let (mut tx, domain) = self.open("issue_ended").await?;
        let now = self.context.clock.now();
        if let Some(authority) = authority.filter(|_| ending.authorization_failed()) {
            let (limits, issuer) = (&authority.limits, authority.name());
            budget::charge_failure(&mut tx, limits, issuer, &domain.name, now).await?;
        }
        if let Some(order) = order.filter(|_| fate != OrderFate::GoesOn) {
            self.end_order(&mut tx, order, fate).await?;
            tx.count_day(Counted::Failed, now);
        }
        let after = ending.change(domain.clone(), now, c4s_fault)?;
        let attempts = ending.attempt(&domain, self.lease.work.attempts);
        let due_at = self.next_attempt(&ending, &after, is_withdrawn(live), attempts, now);
        let is_news = match &ending {
            Ending::Paused(_) => domain.why_not_issued() != ending.reason(),
            _ => attempts == 1 || after.status(now) != domain.recorded,
        };
        let is_at_rest = matches!(ending, Ending::HttpsOff);
        let entry = (is_news || (ending.is_done() && self.is_daily_recheck() && !is_at_rest))
            .then(|| ending.reason())
            .flatten()
            .map(|reason| self.entry(ending.history(), &reason.message(&domain.name)));
        tx.apply(Some(&domain), &after, entry).await?;
        if ending.is_done() {
            tx.decide_midnight(&after).await?;
        }
        let cause = if ending.is_done() { Cause::Retry } else { self.lease.work.cause };
        let next = Work { cause, attempts, due_at, ..self.lease.work.clone() };
        if !matches!(ending, Ending::Paused(_)) {
            self.publish(&mut tx, EventKind::IssueFailed);
        }
        let finished = tx.end_paused(&self.lease, Some(&next), paused_for).await?;
        let code = ending.reason().map_or("waiting", |reason| reason.code());
        metrics::counter!("ssl_manager_issue_attempts_ended_total", "reason" => code).increment(1);
        tracing::info!(reason = code, next_attempt_at = due_at.map(|at| at.to_string()), "attempt ended");
        Ok(finished)
    }

    async fn is_c4s_fault(&self) -> Result<bool, JobError> {
        let store = &self.context.store;
        match store.domain(&self.lease.work.name).await? {
            Some(view) => Ok(store.is_c4s_fault(&view.domain).await?),
            None => Ok(false),
        }
    }

    /// Ends an order without a certificate. What it reserved of the CA's limits is given back, unless the CA may have
    /// issued: an order that was to be finalized, and of which the CA did not say that nothing came of it.
    async fn end_order(&self, tx: &mut Tx, mut order: Order, fate: OrderFate) -> Result<(), JobError> {
        match (&order.state, fate) {
            (OrderState::Keyed { .. }, OrderFate::GivenUp) => tx.spend_later(order.id).await?,
            _ => tx.give_back(order.id).await?,
        }
        let next = order.state.clone().failed()?;
        self.update_order(tx, &mut order, next).await?;
        Ok(tx.drop_challenges(order.id).await?)
    }

    /// When the next attempt begins; none if a person has to act first.
    fn next_attempt(
        &self,
        ending: &Ending,
        after: &Domain,
        is_withdrawn: bool,
        attempts: u32,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let retry = ending.retry(after, is_withdrawn, now);
        let mut delay = retry.delay(attempts);
        if let Retry::Renewal { .. } = retry {
            delay = delay.map(|delay| jittered(delay, self.context.entropy.below(1000)));
        }
        if after.facts.missing.is_some() && !after.facts.unknown_to_c4 {
            delay = delay.or(Some(Retry::ASK_MISSING_EVERY));
        }
        let due_at = now.checked_add(delay?).ok()?;
        Some(due_at.max(ending.not_before(now)))
    }

    fn configured(&self) -> PreExpiry {
        self.context.config.renewal.pre_expiry_days
    }

    /// How long before its end the newest certificate is to be renewed.
    fn pre_expiry(&self, newest: Option<&Certificate>) -> SignedDuration {
        newest.map_or(SignedDuration::ZERO, |certificate| {
            let CertificateSummary { not_before, not_after, .. } = certificate.summary;
            certificate.pre_expiry(self.configured()).for_lifetime(not_after.duration_since(not_before))
        })
    }
}
