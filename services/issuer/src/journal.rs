//! Commits the steps of one issuance under its lease; the steps are made in `decide`.
//!
//! The domain is read once per attempt and kept here: each commit returns it as stored, and if it changed meanwhile,
//! the same decision is made again. Nothing is written under a lost lease or one of an older revision.

mod order_url;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acme::{ChallengeResponse, Delivered, budget};
use domain::budget::{Charge, Wait};
use domain::{CertificateSummary, Domain, InvalidTransition, Lease, Order};
use jiff::Timestamp;
use preflight::Probe;
use runtime::{Context, JobError};
use store::{Finished, LastStep, Step, StoreError};

pub(crate) use self::order_url::OrderUrlJournal;
use crate::decide::{AttemptEnd, Decider};
use crate::issuer::Issuer;
use crate::turn::Turn;

type Decided<T> = Result<T, InvalidTransition>;

/// The journal of one issuance.
#[derive(Clone)]
pub(crate) struct Journal {
    context: Context,
    lease: Lease,
    /// The domain as last stored.
    domain: Arc<Mutex<Domain>>,
}

pub(crate) fn decider<'a>(context: &Context, lease: &'a Lease) -> Decider<'a> {
    Decider {
        lease,
        now: context.clock.now(),
        configured: context.config.renewal.pre_expiry_days,
        random: context.entropy.below(1000),
    }
}

/// Commits a step that leaves the domain unchanged and ends its lease.
pub(crate) async fn end(context: &Context, last: &LastStep) -> Result<Finished, JobError> {
    Ok(context.store.end(last).await.map_err(StoreError::from)?)
}

impl Journal {
    pub(crate) fn new(context: &Context, lease: &Lease, domain: Domain) -> Self {
        let domain = Arc::new(Mutex::new(domain));
        Self { context: context.clone(), lease: lease.clone(), domain }
    }

    /// The domain as last stored.
    pub(crate) fn domain(&self) -> Domain {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, Domain> {
        self.domain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a step that keeps the lease. Errors: the CA's limits have no room for the charge.
    async fn charged(
        &self,
        decide: impl Fn(&Decider<'_>, &Domain) -> Decided<Step>,
    ) -> Result<Result<(), Wait>, JobError> {
        let decided =
            |domain: &Domain| decide(&decider(&self.context, &self.lease), domain).map_err(JobError::from);
        let stored = self.context.store.decide_charged(self.domain(), decided).await?;
        Ok(stored.map(|stored| *self.known() = stored))
    }

    async fn kept(&self, decide: impl Fn(&Decider<'_>, &Domain) -> Decided<Step>) -> Result<(), JobError> {
        let room = self.charged(decide).await?;
        room.map_err(|_| JobError::Store(StoreError::Conflict { operation: "uncharged step" }))
    }

    pub(crate) async fn ended_by(
        &self,
        decide: impl Fn(&Decider<'_>, &Domain) -> Decided<LastStep>,
    ) -> Result<Finished, JobError> {
        let decided =
            |domain: &Domain| decide(&decider(&self.context, &self.lease), domain).map_err(JobError::from);
        self.context.store.decide(self.domain(), decided).await
    }

    /// Preflight no longer finds a block. Whether a new domain has HTTPS on is stored with the attempt's next step.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is of one lifetime, the closure of any"
    )]
    pub(crate) async fn cleared(&self) -> Result<(), JobError> {
        if self.domain().is_clear() {
            return Ok(());
        }
        self.kept(|decider, domain| decider.cleared(domain)).await
    }

    pub(crate) async fn probe(&self, probe: &Probe) -> Result<(), JobError> {
        self.kept(|decider, domain| Ok(decider.probe(domain, probe))).await
    }

    /// Stores the order's row, before new-order.
    pub(crate) async fn started(&self, order: &Order, charge: &Charge) -> Result<Result<(), Wait>, JobError> {
        let started = self.charged(|decider, domain| decider.started(domain, order, charge)).await?;
        if started.is_ok() {
            let lane = charge.lane.as_str();
            metrics::counter!("ssl_manager_orders_total", "lane" => lane).increment(1);
        }
        Ok(started)
    }

    /// Charges an order that has its row already, on other terms than before or once more.
    pub(crate) async fn charge(&self, charge: &Charge) -> Result<Result<(), Wait>, JobError> {
        self.charged(|decider, domain| Ok(decider.charged(domain, charge))).await
    }

    pub(crate) async fn already_issued(&self, summary: &CertificateSummary) -> Result<Finished, JobError> {
        self.ended_by(|decider, domain| decider.already_issued(domain, summary)).await
    }

    /// Returns the hook that stores the order's URL as soon as it is known. The turn ends with that.
    pub(crate) fn order_url(&self, order: &Order, turn: &Turn) -> Arc<OrderUrlJournal> {
        Arc::new(OrderUrlJournal::new(self, order, turn))
    }

    /// An order that an earlier attempt placed without receiving the answer was found at the CA.
    pub(crate) async fn found(&self, order: &mut Order, url: &str) -> Result<(), JobError> {
        let found = Order { state: order.state.clone().placed(url.to_owned())?, ..order.clone() };
        self.kept(|decider, domain| Ok(decider.found(domain, &found))).await?;
        *order = found;
        Ok(())
    }

    /// Stores the challenge response, before the CA is told to validate.
    pub(crate) async fn challenge(
        &self,
        order: &Order,
        response: &ChallengeResponse,
    ) -> Result<(), JobError> {
        self.kept(|decider, domain| decider.challenge(domain, order, response)).await
    }

    /// Stores the certificate and makes its upload due.
    pub(crate) async fn issued(
        &self,
        issuer: &Issuer,
        order: &Order,
        delivered: &Delivered,
    ) -> Result<Finished, JobError> {
        let ledger = issuer.ledger();
        let decide =
            |decider: &Decider<'_>, domain: &Domain| decider.issued(domain, order, delivered, &ledger);
        let finished = self.ended_by(decide).await?;
        let seconds = self.context.clock.now().duration_since(order.created_at).as_secs_f64();
        let certificate = order.state.key().map(|key| key.certificate.to_string());
        tracing::info!(order.id = %order.id, certificate.id = certificate, seconds, "certificate issued");
        metrics::counter!("ssl_manager_certificates_issued_total").increment(1);
        Ok(finished)
    }

    /// The attempt ended without a certificate.
    pub(crate) async fn ended(&self, end: &AttemptEnd) -> Result<Finished, JobError> {
        let due_at = Mutex::new(None);
        let ended = |decider: &Decider<'_>, domain: &Domain| {
            let last = decider.ended(domain, end)?;
            let next = last.next.as_ref().and_then(|next| next.due_at);
            *due_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
            Ok(last)
        };
        let finished = self.ended_by(ended).await?;
        let code = end.ending.reason().map_or("waiting", |reason| reason.code());
        metrics::counter!("ssl_manager_issue_attempts_ended_total", "reason" => code).increment(1);
        let due_at = due_at.into_inner().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(reason = code, next_attempt_at = due_at.map(|at| at.to_string()), "attempt ended");
        Ok(finished)
    }

    /// The CA did not accept the order: its reservations are released for others until it is requested again.
    pub(crate) async fn not_taken(&self, order: &Order) -> Result<(), JobError> {
        self.kept(|decider, domain| Ok(decider.not_taken(domain, order))).await
    }

    /// The CA itself reported that there is no room before `until`.
    pub(crate) async fn correct_budget(
        &self,
        issuer: &Issuer,
        detail: &str,
        until: Timestamp,
    ) -> Result<(), JobError> {
        let mut tx = self.context.store.begin("budget_corrected").await?;
        let name = &self.lease.work.name;
        budget::correct(&mut tx, &issuer.limits, issuer.name(), name, detail, until).await?;
        Ok(tx.commit().await?)
    }
}
