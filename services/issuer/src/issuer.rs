//! A CA with our account, its limits, and its present availability.
//!
//! An outage is detected once per process, not by every domain: after a few failures in a row the breaker opens, one
//! alert is sent, and orders go to the next CA or wait. After the pause one attempt goes ahead as a probe; only when
//! it succeeds do the others follow. The breaker belongs to this process: every copy detects an outage within a few
//! requests, and a copy with a broken network does not stop the others.
//!
//! A CA that refuses our account for every name is detected at once, at the cost of few domains: new orders are sent
//! carefully (`turn`). Such a CA is tried again once a minute. Orders that it accepted before go on.

use std::sync::{Arc, Mutex, PoisonError};

use acme::{AccountKey, AcmeError, Ca, Problem, ensure_account, register_again, settle_rollover};
use domain::budget::{Charge, Exempt, Lane, Limits};
use domain::{Clock, DomainName, OrderId, Reason};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use runtime::config::AcmeIssuer;
use seal::SealingKeys;
use store::{AuditEntry, LedgerOf};

use crate::breaker::Breaker;
use crate::turn::{Turn, Turns};

pub(crate) struct Issuer {
    pub(crate) ca: Arc<Ca>,
    pub(crate) limits: Limits,
    pub(crate) breaker: Breaker,
    identities: Vec<String>,
    account: tokio::sync::Mutex<Option<Arc<AccountKey>>>,
    turns: Turns,
    registered_again_at: Mutex<Option<Timestamp>>,
}

impl Issuer {
    pub(crate) fn new(ca: Ca, settings: &AcmeIssuer) -> Self {
        Self {
            ca: Arc::new(ca),
            limits: settings.ca_limits(),
            breaker: Breaker::default(),
            identities: settings.caa_identities.clone(),
            account: tokio::sync::Mutex::default(),
            turns: Turns::default(),
            registered_again_at: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.ca.name()
    }

    /// The charge of an ordinary renewal; callers name what differs.
    pub(crate) fn charge(&self, order: OrderId, name: &DomainName) -> Charge {
        Charge {
            order,
            issuer: self.name().to_owned(),
            limits: self.limits,
            name: name.clone(),
            lane: Lane::Renewal,
            exempt: Exempt::Renewal,
            was_promised: false,
            is_asked_again: false,
        }
    }

    /// The ledger that its orders are charged to.
    pub(crate) fn ledger(&self) -> LedgerOf {
        LedgerOf { issuer: self.name().to_owned(), limits: self.limits }
    }

    /// Returns our account there, which is registered on first use.
    pub(crate) async fn account(
        &self,
        context: &Context,
        keys: &SealingKeys,
    ) -> Result<Arc<AccountKey>, AcmeError> {
        let refusals = self.breaker.refusals();
        let mut kept = self.account.lock().await;
        if let Some(account) = &*kept {
            return Ok(account.clone());
        }
        self.must_not_have_refused_since(refusals)?;
        let now = context.clock.now();
        if let Some((until, mut problem)) = self.breaker.limit(now) {
            problem.retry_after = Some(until.duration_since(now).unsigned_abs());
            return Err(AcmeError::Problem(Box::new(problem)));
        }
        let account = ensure_account(&self.ca, &context.store, keys, &*context.entropy).await?;
        Ok(kept.insert(Arc::new(account)).clone())
    }

    /// Reloads our account after the CA refused a request signed by `stale`; none if it is unchanged.
    ///
    /// Another process may have changed its key meanwhile, or be about to: then the CA is asked whether it knows the
    /// new key.
    pub(crate) async fn reloaded(
        &self,
        context: &Context,
        keys: &SealingKeys,
        stale: &Arc<AccountKey>,
    ) -> Result<Option<Arc<AccountKey>>, AcmeError> {
        let mut kept = self.account.lock().await;
        if let Some(account) = &*kept
            && !Arc::ptr_eq(account, stale)
        {
            return Ok(Some(account.clone()));
        }
        settle_rollover(&self.ca, &context.store, keys).await?;
        let fresh = ensure_account(&self.ca, &context.store, keys, &*context.entropy).await?;
        if fresh.is_same(stale) {
            return Ok(None);
        }
        tracing::info!(issuer = self.name(), "the account has another key, it is used from now on");
        Ok(Some(kept.insert(Arc::new(fresh)).clone()))
    }

    /// Registers our account again at a CA that no longer knows it; none if that was done within the hour, or if the
    /// CA does know it.
    pub(crate) async fn registered_again(
        &self,
        context: &Context,
        keys: &SealingKeys,
        lost: &Arc<AccountKey>,
    ) -> Result<Option<Arc<AccountKey>>, AcmeError> {
        let mut kept = self.account.lock().await;
        let now = context.clock.now();
        {
            let mut at = self.registered_again_at.lock().unwrap_or_else(PoisonError::into_inner);
            if at.is_some_and(|at| now.duration_since(at) < REREGISTRATION_INTERVAL) {
                return Ok(None);
            }
            *at = Some(now);
        }
        let line = AuditEntry {
            at: now,
            actor: "issuer".to_owned(),
            peer: "local".to_owned(),
            call: "RegisterAccountAgain".to_owned(),
            subject: self.name().to_owned(),
            outcome: "OK".to_owned(),
            detail: String::new(),
            request_id: String::new(),
        };
        let fresh = register_again(&self.ca, &context.store, keys, &*context.entropy, lost, line).await?;
        if fresh.is_same(lost) {
            return Ok(None);
        }
        self.takes_orders_again(self.breaker.has_our_account_again());
        tracing::warn!(
            issuer = self.name(),
            account.url = fresh.url(),
            "the CA had lost our account: it is registered again, and orders of the old one end"
        );
        Ok(Some(kept.insert(Arc::new(fresh)).clone()))
    }

    /// Waits until a new order may be sent. `refusals`: the number of refusals when this one was let through
    /// ([`Breaker::ask_for_order`]). Errors: another order was refused since; this one would be refused as well.
    pub(crate) async fn turn(&self, refusals: u64, clock: &dyn Clock) -> Result<Turn, AcmeError> {
        let turn = self.turns.wait(&self.breaker, clock).await;
        self.must_not_have_refused_since(refusals)?;
        Ok(turn)
    }

    fn must_not_have_refused_since(&self, refusals: u64) -> Result<(), AcmeError> {
        match self.breaker.refusal() {
            Some(problem) if self.breaker.refusals() != refusals => {
                Err(AcmeError::Problem(Box::new(problem)))
            }
            _ => Ok(()),
        }
    }

    /// The CA accepted an order.
    pub(crate) fn accepted(&self) {
        self.takes_orders_again(self.breaker.accepted());
    }

    fn takes_orders_again(&self, is_new: bool) {
        if is_new {
            let issuer = self.name().to_owned();
            metrics::gauge!("ssl_manager_refused_by_issuer", "issuer" => issuer).set(0.0);
            tracing::info!(issuer = self.name(), "the CA takes orders of ours again");
        }
    }

    /// The CA refuses our account, whatever the name. Returns when it is tried again.
    pub(crate) fn refused(&self, problem: &Problem, now: Timestamp) -> Timestamp {
        let (until, began) = self.breaker.refused(problem, now);
        if began {
            let issuer = self.name().to_owned();
            metrics::gauge!("ssl_manager_refused_by_issuer", "issuer" => issuer).set(1.0);
            tracing::error!(
                issuer = self.name(),
                problem = problem.kind,
                detail = problem.detail,
                url = problem.url,
                setting =
                    domain::refused_setting(&problem.kind).unwrap_or("none: a person must act at the URL"),
                "the CA refuses us, whatever the domain; other CAs are used where there are any"
            );
        }
        until
    }

    /// The reason of the domains that wait meanwhile.
    pub(crate) fn refuses_us(&self, problem: &Problem) -> Reason {
        Reason::IssuerRefusesUs {
            issuer: self.name().to_owned(),
            problem: problem.kind.clone(),
            detail: problem.detail.clone(),
            url: problem.url.clone().unwrap_or_default(),
        }
    }

    /// The names that CAA records must contain for it to issue.
    pub(crate) async fn identities(&self) -> Result<Vec<String>, AcmeError> {
        if self.identities.is_empty() { self.ca.caa_identities().await } else { Ok(self.identities.clone()) }
    }

    /// Records the result of a request to it.
    pub(crate) fn note(&self, failed: Option<&AcmeError>, now: Timestamp) {
        let change = match failed {
            Some(error) if error.is_outage() => self.breaker.failed(now),
            Some(AcmeError::Paused(_) | AcmeError::Store(_) | AcmeError::Local(_)) => None,
            _ => self.breaker.worked(),
        };
        let Some(is_down) = change else { return };
        let issuer = self.name().to_owned();
        metrics::gauge!("ssl_manager_ca_down", "issuer" => issuer).set(if is_down { 1.0 } else { 0.0 });
        if is_down {
            let error = failed.map(|error| error as &dyn std::error::Error);
            tracing::error!(
                issuer = self.name(),
                error,
                "the CA is down; other CAs are used where there are any"
            );
        } else {
            tracing::info!(issuer = self.name(), "the CA works again");
        }
    }
}

/// Minimum interval between registrations of an account at a CA that keeps losing it.
const REREGISTRATION_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
