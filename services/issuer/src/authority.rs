//! A CA with our account there, its limits, and whether it works at present.
//!
//! A CA that is down is found out once, not by every domain: after a few failures in a row the breaker opens, one alert
//! goes out, and who wants an order from it goes to the next CA or waits until it is tried again. Then one attempt goes
//! ahead; only when that works do the others follow. The breaker is this process's own: an outage is seen by every copy
//! within a few requests, and a copy whose own network is broken does not stop the others.

use std::sync::{Arc, Mutex, PoisonError};

use acme::budget::{Limits, limits};
use acme::{AccountKey, AcmeError, Ca, ensure_account, settle_rollover};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use runtime::config::AcmeIssuer;
use seal::SealingKeys;

pub(crate) struct Authority {
    pub(crate) ca: Arc<Ca>,
    pub(crate) limits: Limits,
    pub(crate) breaker: Breaker,
    identities: Vec<String>,
    account: tokio::sync::Mutex<Option<Arc<AccountKey>>>,
}

impl Authority {
    pub(crate) fn new(ca: Ca, settings: &AcmeIssuer) -> Self {
        Self {
            ca: Arc::new(ca),
            limits: limits(settings),
            breaker: Breaker::default(),
            identities: settings.caa_identities.clone(),
            account: tokio::sync::Mutex::default(),
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
        let mut kept = self.account.lock().await;
        if let Some(account) = &*kept {
            return Ok(account.clone());
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

/// Whether a CA is tried.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    /// While it is open: when the next attempt may go ahead, and how long the last pause was.
    open: Option<(Timestamp, SignedDuration)>,
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
