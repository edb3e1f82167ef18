//! A CA with our account there, its limits, and whether it works at present.
//!
//! A CA that is down is found out once, not by every domain: after a few failures in a row the breaker opens, one alert
//! goes out, and who wants an order from it goes to the next CA or waits until it is tried again. Then one attempt goes
//! ahead; only when that works do the others follow. The breaker is this process's own: an outage is seen by every copy
//! within a few requests, and a copy whose own network is broken does not stop the others.
//!
//! A CA that refuses us, whatever the name, is found out at once, and by one domain: until it took an order of ours, the
//! first goes alone. Such a CA is asked again once a minute. It goes on with the orders that it took before.

use std::sync::{Arc, Mutex, PoisonError};

use acme::budget::{Limits, limits};
use acme::{AccountKey, AcmeError, Ca, Problem, ensure_account, register_again, settle_rollover};
use domain::Reason;
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use runtime::config::AcmeIssuer;
use seal::SealingKeys;
use store::AuditEntry;
use tokio::sync::MutexGuard;

pub(crate) struct Authority {
    pub(crate) ca: Arc<Ca>,
    pub(crate) limits: Limits,
    pub(crate) breaker: Breaker,
    identities: Vec<String>,
    account: tokio::sync::Mutex<Option<Arc<AccountKey>>>,
    /// Held by the one that asks a CA which has not taken an order of ours yet, or has refused the last.
    alone: tokio::sync::Mutex<()>,
    registered_again_at: Mutex<Option<Timestamp>>,
}

impl Authority {
    pub(crate) fn new(ca: Ca, settings: &AcmeIssuer) -> Self {
        Self {
            ca: Arc::new(ca),
            limits: limits(settings),
            breaker: Breaker::default(),
            identities: settings.caa_identities.clone(),
            account: tokio::sync::Mutex::default(),
            alone: tokio::sync::Mutex::default(),
            registered_again_at: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.ca.name()
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

    /// For a CA that has not taken an order of ours since it last refused one, or since the start: the right to ask it
    /// alone. `refusals`: how many there were when this one was let through ([`Breaker::ask_for_order`]). Errors: another
    /// was refused since; the same would happen to this one.
    pub(crate) async fn alone(&self, refusals: u64) -> Result<Option<MutexGuard<'_, ()>>, AcmeError> {
        if self.breaker.takes_orders() {
            return Ok(None);
        }
        let alone = self.alone.lock().await;
        self.must_not_have_refused_since(refusals)?;
        Ok(Some(alone))
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
            metrics::gauge!("ssl_manager_issuer_refuses_us", "issuer" => issuer).set(0.0);
            tracing::info!(issuer = self.name(), "the CA takes orders of ours again");
        }
    }

    /// It refuses us, whatever the name. Returns when it is asked again.
    pub(crate) fn refused(&self, problem: &Problem, now: Timestamp) -> Timestamp {
        let (until, began) = self.breaker.refused(problem, now);
        if began {
            let issuer = self.name().to_owned();
            metrics::gauge!("ssl_manager_issuer_refuses_us", "issuer" => issuer).set(1.0);
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
            Some(AcmeError::Store(_) | AcmeError::Local(_)) => None,
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

/// Failures in a row after which a CA counts as down.
const FAILURES: u32 = 5;
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// How often a CA that refuses us is asked again.
const REFUSED_PAUSE: SignedDuration = SignedDuration::from_mins(1);
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

/// Why no order is placed at a CA now.
pub(crate) enum Closed {
    /// It is down, and asked again then.
    Down(Timestamp),
    /// It refuses us, and is asked again then.
    Refused(Timestamp, Box<Problem>),
    /// It allows our account no more before then, and that is not in the ledger.
    Limited(Timestamp),
}

/// Whether a CA is tried.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    /// While it is open: when the next attempt may go ahead, and how long the last pause was.
    open: Option<(Timestamp, SignedDuration)>,
    /// While it refuses us: when the next order may be tried, and what it said.
    refusal: Option<(Timestamp, Problem)>,
    /// How often it has refused us.
    refusals: u64,
    /// Before when it allows our account nothing, and what it said.
    limit: Option<(Timestamp, Problem)>,
    /// The last answer to new-order was an order.
    takes_orders: bool,
}

impl Breaker {
    /// Whether it may be tried now; else when to ask again. Of those who ask once the pause is over, one goes ahead.
    pub(crate) fn ask(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut state = self.state();
        match &mut state.open {
            Some((until, _)) if now < *until => Err(*until),
            Some((until, pause)) => {
                *until = now + *pause;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether an order may be placed now: how often it has refused us until then. Of those that ask once a minute is over,
    /// one goes ahead.
    pub(crate) fn ask_for_order(&self, now: Timestamp) -> Result<u64, Closed> {
        if let Some((until, problem)) = &self.state().refusal
            && now < *until
        {
            return Err(Closed::Refused(*until, Box::new(problem.clone())));
        }
        if let Some((until, _)) = self.limit(now) {
            return Err(Closed::Limited(until));
        }
        self.ask(now).map_err(Closed::Down)?;
        let mut state = self.state();
        if let Some((until, _)) = &mut state.refusal {
            *until = now + REFUSED_PAUSE;
        }
        Ok(state.refusals)
    }

    /// It allows our account no more before then: one wait for all, where the ledger has no limit to book it on.
    pub(crate) fn limited(&self, problem: &Problem, until: Timestamp) {
        let mut state = self.state();
        if state.limit.as_ref().is_none_or(|(before, _)| *before < until) {
            state.limit = Some((until, problem.clone()));
        }
    }

    fn limit(&self, now: Timestamp) -> Option<(Timestamp, Problem)> {
        self.state().limit.clone().filter(|(until, _)| now < *until)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.state().refusals
    }

    fn refusal(&self) -> Option<Problem> {
        self.state().refusal.as_ref().map(|(_, problem)| problem.clone())
    }

    fn takes_orders(&self) -> bool {
        self.state().takes_orders
    }

    /// It took an order; true if that ends a refusal.
    fn accepted(&self) -> bool {
        let mut state = self.state();
        state.takes_orders = true;
        state.refusal.take().is_some()
    }

    /// It has our account again; true if that ends a refusal for want of it.
    fn has_our_account_again(&self) -> bool {
        let mut state = self.state();
        let is_why = state.refusal.as_ref().is_some_and(|(_, problem)| problem.kind == "accountDoesNotExist");
        is_why && state.refusal.take().is_some()
    }

    /// It refused us: when to ask again, and whether that is new.
    fn refused(&self, problem: &Problem, now: Timestamp) -> (Timestamp, bool) {
        let mut state = self.state();
        let began = state.refusal.is_none();
        // Those that were on their way when it refused the first say nothing new.
        let until = match &state.refusal {
            Some((until, _)) if now < *until => *until,
            _ => now + REFUSED_PAUSE,
        };
        state.refusal = Some((until, problem.clone()));
        state.refusals += 1;
        state.takes_orders = false;
        (until, began)
    }

    /// A call worked; false if that ends an outage.
    fn worked(&self) -> Option<bool> {
        let mut state = self.state();
        state.failures = 0;
        state.open.take().map(|_| false)
    }

    /// A call failed; true if that begins an outage.
    fn failed(&self, now: Timestamp) -> Option<bool> {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return None;
        }
        let began = state.open.is_none();
        let pause = match state.open {
            // What was under way when it opened says nothing new.
            Some((until, pause)) if until - pause / 2 > now => pause,
            Some((_, pause)) => (pause * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        state.open = Some((now + pause, pause));
        began.then_some(true)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_outage_begins_once_is_probed_by_one_and_ends_once() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            assert_eq!(breaker.failed(at(0)), None);
        }
        assert_eq!(breaker.ask(at(0)), Ok(()), "four failures are none");
        assert_eq!(breaker.failed(at(0)), Some(true));
        assert_eq!(breaker.failed(at(0)), None, "one alert");
        assert_eq!(breaker.ask(at(29)), Err(at(30)));
        assert_eq!(breaker.ask(at(30)), Ok(()));
        assert_eq!(breaker.ask(at(30)), Err(at(60)), "one goes ahead");
        assert_eq!(breaker.failed(at(50)), None);
        assert_eq!(breaker.ask(at(100)), Err(at(110)), "twice as long");
        assert_eq!(breaker.ask(at(110)), Ok(()));
        assert_eq!(breaker.worked(), Some(false));
        assert_eq!(breaker.worked(), None);
        assert_eq!(breaker.ask(at(111)), Ok(()));
    }

    #[test]
    fn a_ca_that_refuses_us_is_asked_once_a_minute_and_goes_on_with_its_orders() {
        let breaker = Breaker::default();
        let problem = Problem::default();
        assert!(!breaker.takes_orders(), "until it took one, the first goes alone");
        assert_eq!(breaker.refused(&problem, at(0)), (at(60), true));
        assert_eq!(breaker.refused(&problem, at(30)), (at(60), false), "one alert");
        assert!(matches!(breaker.ask_for_order(at(59)), Err(Closed::Refused(until, _)) if until == at(60)));
        assert_eq!(breaker.ask(at(59)), Ok(()), "it is not down");
        assert!(breaker.ask_for_order(at(60)).is_ok());
        assert!(breaker.ask_for_order(at(60)).is_err(), "one goes ahead");
        breaker.worked();
        assert!(breaker.ask_for_order(at(61)).is_err(), "an answer is no order");
        assert!(breaker.accepted() && !breaker.accepted());
        assert!(breaker.takes_orders() && breaker.ask_for_order(at(62)).is_ok());
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let breaker = Breaker::default();
        for _ in 0..9 {
            breaker.failed(at(0));
            breaker.failed(at(0));
            breaker.worked();
        }
        assert_eq!(breaker.ask(at(0)), Ok(()));
    }
}
