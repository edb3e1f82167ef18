//! A CA with our account there, its limits, and whether it works at present.
//!
//! A CA that is down is found out once, not by every domain: after a few failures in a row the breaker opens, one alert
//! goes out, and who wants an order from it goes to the next CA or waits until it is tried again. Then one attempt goes
//! ahead; only when that works do the others follow. The breaker is this process's own: an outage is seen by every copy
//! within a few requests, and a copy whose own network is broken does not stop the others.
//!
//! A CA that refuses us, whatever the name, is found out at once, and by few domains: new orders go carefully
//! (`turn`). Such a CA is asked again once a minute. It goes on with the orders that it took before.

use std::sync::{Arc, Mutex, PoisonError};

use acme::budget::limits;
use acme::{AccountKey, AcmeError, Ca, Problem, ensure_account, register_again, settle_rollover};
use domain::budget::Limits;
use domain::{Clock, Reason};
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
            limits: limits(settings),
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

    /// Whose limits its orders spend.
    pub(crate) fn ledger(&self) -> LedgerOf {
        LedgerOf { issuer: self.name().to_owned(), limits: self.limits }
    }

    /// Our account there, registered on first use.
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

    /// Our account there as it is now, after the CA refused what `stale` signed; none if that is it.
    ///
    /// Somebody may have given it another key meanwhile, or be about to: then the CA says whether it knows that one.
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

    /// Registers our account again at a CA that does not know it any more; none if that was done within the hour, or the
    /// CA knows it after all.
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
            if at.is_some_and(|at| now.duration_since(at) < REGISTERED_AGAIN_EVERY) {
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

    /// Waits until a new order may go. `refusals`: how many there were when this one was let through
    /// ([`Breaker::ask_for_order`]). Errors: another was refused since; the same would happen to this one.
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

    /// It took an order.
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

    /// It refuses us, whatever the name. Returns when it is asked again.
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
                setting = setting(&problem.kind),
                "the CA refuses us, whatever the domain; other CAs are used where there are any"
            );
        }
        until
    }

    /// The reason of the domains that wait for it meanwhile.
    pub(crate) fn refuses_us(&self, problem: &Problem) -> Reason {
        Reason::IssuerRefusesUs {
            issuer: self.name().to_owned(),
            problem: problem.kind.clone(),
            detail: problem.detail.clone(),
            url: problem.url.clone().unwrap_or_default(),
        }
    }

    /// What CAA records must name for it to issue.
    pub(crate) async fn identities(&self) -> Result<Vec<String>, AcmeError> {
        if self.identities.is_empty() { self.ca.caa_identities().await } else { Ok(self.identities.clone()) }
    }

    /// Takes note of how a call to it ended.
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

/// How often at most an account is registered again at a CA that keeps losing it.
const REGISTERED_AGAIN_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The setting that a refusal is about, for the one who has to mend it.
fn setting(kind: &str) -> &'static str {
    match kind {
        "invalidProfile" => "acme.issuers.profile",
        "unsupportedContact" | "invalidContact" => "acme.issuers.contact",
        "externalAccountRequired" => "acme.issuers.eab_key_id and eab_hmac_key_file",
        "userActionRequired" => "none: a person must act at the URL",
        _ => "the account, and acme.issuers.eab_key_id and eab_hmac_key_file",
    }
}
