//! Paces new orders to a CA, so that few requests find out that it refuses our account, however many orders are
//! waiting.
//!
//! The first order goes alone. Once the CA has accepted one, the number of orders in flight may be the number that it
//! accepted within the last second, plus one: concurrency never exceeds what has just worked, and grows quickly at a
//! fast CA. A slow CA is not waited for: while it is known to accept our orders, one more is sent every two seconds.
//! Until it has accepted an order, since the start or its last refusal, orders go one at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::breaker::Breaker;

/// How long an answer may take before the next order is sent anyway. Longer in tests: a machine that runs many of
/// them in parallel is not a slow CA.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 2 });
/// How long an accepted order counts towards the allowed concurrency.
const MEMORY: SignedDuration = SignedDuration::from_secs(1);
/// More than the largest number of orders in flight.
const MAX_REMEMBERED: usize = 256;

/// Orders waiting for their turn, first come, first served.
#[derive(Default)]
pub(crate) struct Turns {
    next: tokio::sync::Mutex<()>,
    way: Arc<OnTheirWay>,
}

#[derive(Default)]
struct OnTheirWay {
    state: Mutex<State>,
    one_less: Notify,
}

#[derive(Default)]
struct State {
    count: usize,
    /// When the CA accepted the last orders.
    taken: VecDeque<Timestamp>,
}

/// The right to send an order; it ends with its last copy, or earlier.
#[derive(Clone)]
pub(crate) struct Turn(Arc<Mutex<Option<Place>>>);

/// A place among the orders in flight.
struct Place(Arc<OnTheirWay>);

impl Turns {
    /// Waits for a turn. The caller must check afterwards whether the CA still accepts our orders.
    pub(crate) async fn wait(&self, breaker: &Breaker, clock: &dyn Clock) -> Turn {
        let _next = self.next.lock().await;
        let patient_until = Instant::now() + PATIENCE;
        loop {
            let one_less = self.way.one_less.notified();
            let is_slow = Instant::now() >= patient_until;
            if let Some(place) = self.way.enter(breaker.takes_orders(), is_slow, clock.now()) {
                return Turn(Arc::new(Mutex::new(Some(place))));
            }
            if breaker.takes_orders() {
                let _ = timeout_at(patient_until, one_less).await;
            } else {
                one_less.await;
            }
        }
    }
}

impl OnTheirWay {
    fn enter(self: &Arc<Self>, takes_orders: bool, is_slow: bool, now: Timestamp) -> Option<Place> {
        let mut state = self.state();
        while state.taken.front().is_some_and(|taken| now.duration_since(*taken) > MEMORY) {
            state.taken.pop_front();
        }
        let is_free = state.count == 0 || takes_orders && (state.count <= state.taken.len() || is_slow);
        is_free.then(|| {
            state.count += 1;
            Place(self.clone())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The CA accepted the order at `now`: the next may be sent.
    pub(crate) fn taken(&self, now: Timestamp) {
        if let Some(place) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let mut state = place.0.state();
            if state.taken.len() < MAX_REMEMBERED {
                state.taken.push_back(now);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().count -= 1;
        self.0.one_less.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use acme::Problem;
    use futures::poll;
    use runtime::testing::ManualClock;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_go_as_the_ca_just_took_and_one() {
        let (turns, breaker) = (Turns::default(), Breaker::default());
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        breaker.accepted();
        let first = turns.wait(&breaker, &clock).await;
        let copy = first.clone();
        {
            let mut second = pin!(turns.wait(&breaker, &clock));
            assert!(poll!(&mut second).is_pending(), "nothing was taken yet");
            drop(first);
            assert!(poll!(&mut second).is_pending(), "the copy holds it");
            copy.taken(clock.now());
            let _second = second.await;
            let _third = turns.wait(&breaker, &clock).await;
            assert!(
                poll!(pin!(turns.wait(&breaker, &clock))).is_pending(),
                "one was taken, so two go at a time"
            );
        }
        clock.advance(MEMORY * 2);
        let _alone = turns.wait(&breaker, &clock).await;
        assert!(poll!(pin!(turns.wait(&breaker, &clock))).is_pending(), "a second ago says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_ca_gets_one_more_every_two_seconds_until_it_refuses_us() {
        let (turns, breaker) = (Turns::default(), Breaker::default());
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        breaker.accepted();
        let began = Instant::now();
        let first = turns.wait(&breaker, &clock).await;
        let second = turns.wait(&breaker, &clock).await;
        let third = turns.wait(&breaker, &clock).await;
        assert_eq!(began.elapsed(), PATIENCE * 2);
        let mut fourth = pin!(turns.wait(&breaker, &clock));
        assert!(poll!(&mut fourth).is_pending());
        breaker.refused(&Problem::default(), Timestamp::UNIX_EPOCH);
        drop((first, second));
        let waited = timeout(PATIENCE * 10, &mut fourth).await;
        assert!(waited.is_err(), "nothing goes beside the one that finds out");
        drop(third);
        fourth.await;
    }
}
