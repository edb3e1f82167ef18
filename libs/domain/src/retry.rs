//! When to try again: one schedule per kind of trouble, as the design's event table gives them.

use jiff::{SignedDuration, Timestamp};

/// Which schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Preflight says no, or the CA does: 1, 2, 5, 10, 30, 60 min, hourly for a day, then daily.
    Blocked,
    /// C4 does not know the domain: 1, 5, 30 min and 6 h, then a person must act.
    Unknown,
    /// A question got no answer, or the CA does not work: soon, at most 5 min apart.
    CouldNotAsk,
    /// C4 did not take a certificate, after the quick attempts: 1, 2, 4 … 60 min, for ever.
    Upload,
}

const HOURLY_TRIES: u32 = 24;

impl Retry {
    /// How long to wait after attempt number `attempt` (1 is the first); none means that a person must act.
    pub fn delay(self, attempt: u32) -> Option<SignedDuration> {
        let attempt = attempt.max(1);
        let step = attempt as usize - 1;
        match self {
            Self::Blocked => Some(match [1, 2, 5, 10, 30, 60].get(step) {
                Some(minutes) => SignedDuration::from_mins(*minutes),
                None if attempt <= 6 + HOURLY_TRIES => SignedDuration::from_hours(1),
                None => SignedDuration::from_hours(24),
            }),
            Self::Unknown => [1, 5, 30, 360]
                .get(step)
                .map(|minutes| SignedDuration::from_mins(*minutes)),
            Self::CouldNotAsk => Some(SignedDuration::from_secs(
                [5, 10, 30, 60, 120].get(step).copied().unwrap_or(300),
            )),
            Self::Upload => {
                Some(SignedDuration::from_mins(1 << step.min(6)).min(SignedDuration::from_mins(60)))
            }
        }
    }

    /// When to try again after attempt number `attempt` at `now`.
    pub fn due(self, attempt: u32, now: Timestamp) -> Option<Timestamp> {
        self.delay(attempt).and_then(|delay| now.checked_add(delay).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(retry: Retry, attempts: std::ops::RangeInclusive<u32>) -> Vec<Option<i64>> {
        attempts
            .map(|attempt| retry.delay(attempt).map(|delay| delay.as_mins()))
            .collect()
    }

    #[test]
    fn the_schedules_are_those_of_the_design() {
        assert_eq!(
            minutes(Retry::Blocked, 1..=7),
            [1, 2, 5, 10, 30, 60, 60].map(Some)
        );
        assert_eq!(minutes(Retry::Blocked, 30..=31), [60, 1440].map(Some));
        assert_eq!(
            minutes(Retry::Unknown, 1..=5),
            [Some(1), Some(5), Some(30), Some(360), None]
        );
        assert_eq!(
            minutes(Retry::Upload, 1..=8),
            [1, 2, 4, 8, 16, 32, 60, 60].map(Some)
        );
        assert_eq!(minutes(Retry::Upload, u32::MAX..=u32::MAX), [Some(60)]);
        assert_eq!(minutes(Retry::CouldNotAsk, 6..=1000).iter().max(), Some(&Some(5)));
    }
}
