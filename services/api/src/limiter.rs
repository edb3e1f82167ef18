//! Rate limits per key: a burst, then one at a time (GCRA: one timestamp per key).
//!
//! It is in the memory of one process, so each copy of the API allows the same. Its purpose is to bound the load of one
//! principal on a copy; a count shared by all copies would cost a write per request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Keys that are forgotten together once they say nothing any more.
const TIDY_AT: usize = 10_000;

pub(crate) struct Limiter {
    every: SignedDuration,
    burst: SignedDuration,
    /// When the bucket of a key will be full again.
    full_at: Mutex<HashMap<String, Timestamp>>,
}

impl Limiter {
    /// `burst` at once, then one each `every`.
    pub(crate) fn new(burst: u32, every: SignedDuration) -> Self {
        Self { every, burst: every * i32::try_from(burst).unwrap_or(i32::MAX), full_at: Mutex::default() }
    }

    /// Takes one; else says how long to wait.
    pub(crate) fn take(&self, key: &str, now: Timestamp) -> Result<(), SignedDuration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= TIDY_AT {
            full_at.retain(|_, at| *at > now);
        }
        let next = full_at.get(key).copied().unwrap_or(now).max(now) + self.every;
        let too_early = next.duration_since(now) - self.burst;
        if too_early.is_positive() {
            return Err(too_early);
        }
        full_at.insert(key.to_owned(), next);
        Ok(())
    }

    /// Takes `count` at once for a stream, which leaves half of the burst to others of that key; else says how long to wait.
    pub(crate) fn take_for_stream(
        &self,
        key: &str,
        count: u32,
        now: Timestamp,
    ) -> Result<(), SignedDuration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = full_at.get(key).copied().unwrap_or(now).max(now);
        let too_early = begins.duration_since(now) - self.burst / 2;
        if too_early.is_positive() {
            return Err(too_early);
        }
        full_at.insert(key.to_owned(), begins + self.every * i32::try_from(count).unwrap_or(i32::MAX));
        Ok(())
    }

    /// Gives one back that was taken.
    pub(crate) fn give_back(&self, key: &str) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = full_at.get_mut(key) {
            *at -= self.every;
        }
    }

    /// As if it had never taken any.
    pub(crate) fn forget(&self, key: &str) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        full_at.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_at_a_time() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let limiter = Limiter::new(3, SignedDuration::from_secs(10));
        for _ in 0..3 {
            assert_eq!(limiter.take("a", second(0)), Ok(()));
        }
        assert_eq!(limiter.take("a", second(0)), Err(SignedDuration::from_secs(10)));
        assert_eq!(limiter.take("b", second(0)), Ok(()), "another key");
        assert_eq!(limiter.take("a", second(9)), Err(SignedDuration::from_secs(1)));
        assert_eq!(limiter.take("a", second(10)), Ok(()));
        assert_eq!(limiter.take("a", second(10)), Err(SignedDuration::from_secs(10)));
        limiter.forget("a");
        assert_eq!(limiter.take("a", second(10)), Ok(()));
        for _ in 0..3 {
            assert_eq!(limiter.take("c", second(1000)), Ok(()));
        }
        assert!(limiter.take("c", second(1000)).is_err(), "rest does not add up");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let now = Timestamp::UNIX_EPOCH;
        let limiter = Limiter::new(2, SignedDuration::from_secs(10));
        limiter.give_back("a");
        for _ in 0..2 {
            assert_eq!(limiter.take("a", now), Ok(()));
        }
        limiter.give_back("a");
        assert_eq!(limiter.take("a", now), Ok(()));
        assert_eq!(limiter.take("a", now), Err(SignedDuration::from_secs(10)));
    }

    #[test]
    fn a_stream_waits_before_it_takes_the_half_that_is_left_to_calls() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let limiter = Limiter::new(8, SignedDuration::from_secs(1));
        for _ in 0..3 {
            assert_eq!(limiter.take_for_stream("a", 2, second(0)), Ok(()));
        }
        assert_eq!(limiter.take_for_stream("a", 2, second(0)), Err(SignedDuration::from_secs(2)));
        assert_eq!(limiter.take("a", second(0)), Ok(()), "a call goes on");
        assert_eq!(limiter.take_for_stream("a", 2, second(2)), Err(SignedDuration::from_secs(1)));
        assert_eq!(limiter.take_for_stream("a", 2, second(3)), Ok(()));
    }

    #[test]
    fn what_says_nothing_any_more_is_forgotten() {
        let limiter = Limiter::new(1, SignedDuration::from_secs(1));
        for number in 0..TIDY_AT {
            let at = Timestamp::from_second(number as i64).unwrap();
            assert_eq!(limiter.take(&number.to_string(), at), Ok(()));
        }
        let late = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(limiter.take("late", late), Ok(()));
        assert_eq!(limiter.full_at.lock().unwrap().len(), 1);
    }
}
