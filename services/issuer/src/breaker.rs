//! The circuit breaker of a CA: whether it is down, refuses our account, or has rate-limited it.

use std::sync::{Mutex, PoisonError};

use acme::Problem;
use jiff::{SignedDuration, Timestamp};

/// Consecutive failures after which a CA counts as down.
const FAILURES: u32 = 5;
/// Short, because most outages are short: a load balancer's restart is over by then.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const MAX_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// Interval between orders that test a CA which refuses our account.
const REFUSED_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Why no order is placed at a CA at present.
pub(crate) enum Closed {
    /// It is down until the next probe at this time.
    Down(Timestamp),
    /// It refuses our account until the next probe at this time.
    Refused(Timestamp, Box<Problem>),
    /// It has rate-limited our account until this time, by a limit that is not in the ledger.
    Limited(Timestamp),
}

/// The breaker's state, shared by the issuances of this process.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<Outage>,
    /// While the CA refuses our account: when the next order may be tried, and the problem it returned.
    refusal: Option<(Timestamp, Problem)>,
    /// Number of refusals so far.
    refusals: u64,
    /// While the CA rate-limits our account: until when, and the problem it returned.
    limit: Option<(Timestamp, Problem)>,
    /// The CA accepted the last new-order request.
    takes_orders: bool,
}

struct Outage {
    /// When the next attempt may go ahead.
    until: Timestamp,
    /// How long the last pause was.
    pause: SignedDuration,
    /// A probe was let through: the next failure starts a new pause.
    is_probed: bool,
}

impl Breaker {
    /// Whether a request may be sent now; otherwise the time to ask again. After a pause, one request is let through
    /// as a probe.
    pub(crate) fn ask(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut state = self.state();
        match &mut state.open {
            Some(outage) if now < outage.until => Err(outage.until),
            Some(outage) => {
                outage.until = now + outage.pause;
                outage.is_probed = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether an order may be placed now; returns the number of refusals so far. While the CA refuses our account,
    /// one order per minute is let through.
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

    /// The CA rate-limits our account until `until`: one wait for all orders, because the ledger has no such limit.
    pub(crate) fn limited(&self, problem: &Problem, until: Timestamp) {
        let mut state = self.state();
        if state.limit.as_ref().is_none_or(|(before, _)| *before < until) {
            state.limit = Some((until, problem.clone()));
        }
    }

    pub(crate) fn limit(&self, now: Timestamp) -> Option<(Timestamp, Problem)> {
        self.state().limit.clone().filter(|(until, _)| now < *until)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.state().refusals
    }

    pub(crate) fn refusal(&self) -> Option<Problem> {
        self.state().refusal.as_ref().map(|(_, problem)| problem.clone())
    }

    pub(crate) fn takes_orders(&self) -> bool {
        self.state().takes_orders
    }

    /// The CA accepted an order; returns true if that ends a refusal.
    pub(crate) fn accepted(&self) -> bool {
        let mut state = self.state();
        state.takes_orders = true;
        state.refusal.take().is_some()
    }

    /// Our account exists at the CA again; returns true if that ends a refusal because of the missing account.
    pub(crate) fn has_our_account_again(&self) -> bool {
        let mut state = self.state();
        let is_why = state.refusal.as_ref().is_some_and(|(_, problem)| problem.kind == "accountDoesNotExist");
        is_why && state.refusal.take().is_some()
    }

    /// The CA refused our account; returns when to try again, and whether this is a new refusal.
    pub(crate) fn refused(&self, problem: &Problem, now: Timestamp) -> (Timestamp, bool) {
        let mut state = self.state();
        let began = state.refusal.is_none();
        // Requests that were already sent at the first refusal bring no news.
        let until = match &state.refusal {
            Some((until, _)) if now < *until => *until,
            _ => now + REFUSED_PAUSE,
        };
        state.refusal = Some((until, problem.clone()));
        state.refusals += 1;
        state.takes_orders = false;
        (until, began)
    }

    /// A request succeeded; false if that ends an outage.
    pub(crate) fn worked(&self) -> Option<bool> {
        let mut state = self.state();
        state.failures = 0;
        state.open.take().map(|_| false)
    }

    /// A request failed; true if that begins an outage.
    pub(crate) fn failed(&self, now: Timestamp) -> Option<bool> {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return None;
        }
        let began = state.open.is_none();
        let pause = match &state.open {
            Some(outage) if outage.is_probed => (outage.pause * 2).min(MAX_PAUSE),
            // Requests that were already sent when the breaker opened bring no news.
            Some(outage) => outage.pause,
            None => FIRST_PAUSE,
        };
        state.open = Some(Outage { until: now + pause, pause, is_probed: false });
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
        assert_eq!(breaker.ask(at(4)), Err(at(5)));
        assert_eq!(breaker.ask(at(5)), Ok(()));
        assert_eq!(breaker.ask(at(5)), Err(at(10)), "one goes ahead");
        assert_eq!(breaker.failed(at(9)), None);
        assert_eq!(breaker.ask(at(18)), Err(at(19)), "twice as long");
        assert_eq!(breaker.ask(at(19)), Ok(()));
        assert_eq!(breaker.failed(at(19)), None, "a refused connection takes no time");
        assert_eq!(breaker.ask(at(38)), Err(at(39)), "and doubles the pause all the same");
        assert_eq!(breaker.ask(at(39)), Ok(()));
        assert_eq!(breaker.worked(), Some(false));
        assert_eq!(breaker.worked(), None);
        assert_eq!(breaker.ask(at(40)), Ok(()));
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
