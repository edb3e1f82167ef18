//! When the figures of a job are counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::JobId;

/// The figures of a job with at most so many lines are counted after each slice.
const SMALL_JOB: u32 = 10_000;
/// Interval between two counts of a larger job by one copy of the API: a count reads all of its lines.
const COUNT_INTERVAL: Duration = Duration::from_secs(4);

/// When this copy counted the figures of large jobs in the last interval.
#[derive(Clone, Default)]
pub(super) struct CountTimes(Arc<Mutex<HashMap<JobId, Instant>>>);

impl CountTimes {
    /// Whether the figures of a job that is given back are to be counted. If so, the caller counts them.
    pub(super) fn is_due(&self, job: JobId, lines: u32, now: Instant) -> bool {
        if lines <= SMALL_JOB {
            return true;
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|_, at| now.saturating_duration_since(*at) < COUNT_INTERVAL);
        match counted.entry(job) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::{SystemClock, SystemEntropy};

    use super::*;

    #[test]
    fn a_large_job_is_counted_once_in_an_interval_and_a_small_one_always() {
        let (times, start) = (CountTimes::default(), Instant::now());
        let [small, large, other] = [(); 3].map(|()| JobId::new(&SystemClock, &SystemEntropy));
        for _ in 0..2 {
            assert!(times.is_due(small, SMALL_JOB, start));
        }
        let is_due = |job, after| times.is_due(job, SMALL_JOB + 1, start + after);
        assert!(is_due(large, Duration::ZERO));
        let before = COUNT_INTERVAL.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(!is_due(large, before));
        assert!(is_due(other, before), "each on its own");
        assert!(is_due(large, COUNT_INTERVAL));
        assert!(!is_due(large, COUNT_INTERVAL));
        assert!(!is_due(other, COUNT_INTERVAL), "its interval is not over");
    }
}
