//! New orders go to a CA one after the other, so that one request finds out that it refuses us, however many are in hand.
//!
//! The next goes once the CA has answered the last. A CA that takes long over its answers is not waited for: while it is
//! known to take our orders, one more goes every two seconds. Until it has taken one, since the start or since it last
//! refused us, nothing goes beside the first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::breaker::Breaker;

/// How long an answer may take before the next order goes all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Orders that wait for their turn, in the order in which they came.
#[derive(Default)]
pub(crate) struct Turns {
    next: tokio::sync::Mutex<()>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to ask for an order; it ends with its last copy, or before.
#[derive(Clone)]
pub(crate) struct Turn(Arc<Mutex<Option<OwnedMutexGuard<()>>>>);

impl Turns {
    /// Waits for a turn. Whether the CA still takes our orders has to be asked after this.
    pub(crate) async fn wait(&self, breaker: &Breaker) -> Turn {
        let _next = self.next.lock().await;
        let ended = self.turn.clone().lock_owned();
        if !breaker.takes_orders() {
            return Turn::of(Some(ended.await));
        }
        match timeout(PATIENCE, ended).await {
            Ok(turn) => Turn::of(Some(turn)),
            Err(_) if breaker.takes_orders() => Turn::of(None),
            Err(_) => Turn::of(Some(self.turn.clone().lock_owned().await)),
        }
    }
}

impl Turn {
    /// With none it goes beside those that wait for their answers.
    fn of(turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self(Arc::new(Mutex::new(turn)))
    }

    /// The CA has answered: the next may go.
    pub(crate) fn end(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use acme::Problem;
    use futures::poll;
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn the_next_goes_once_the_last_is_answered() {
        let (turns, breaker) = (Turns::default(), Breaker::default());
        breaker.accepted();
        let first = turns.wait(&breaker).await;
        let copy = first.clone();
        let mut second = pin!(turns.wait(&breaker));
        let mut third = pin!(turns.wait(&breaker));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut second).is_pending(), "the copy holds it");
        copy.end();
        let _second = second.await;
        assert!(poll!(&mut third).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_ca_gets_one_more_every_two_seconds_until_it_refuses_us() {
        let (turns, breaker) = (Turns::default(), Breaker::default());
        breaker.accepted();
        let began = tokio::time::Instant::now();
        let first = turns.wait(&breaker).await;
        let _second = turns.wait(&breaker).await;
        let _third = turns.wait(&breaker).await;
        assert_eq!(began.elapsed(), PATIENCE * 2);
        let mut fourth = pin!(turns.wait(&breaker));
        assert!(poll!(&mut fourth).is_pending());
        breaker.refused(&Problem::default(), Timestamp::UNIX_EPOCH);
        let waited = timeout(PATIENCE * 10, &mut fourth).await;
        assert!(waited.is_err(), "nothing goes beside the one that finds out");
        drop(first);
        fourth.await;
    }
}
