//! Retry schedules: one per kind of problem, from the design's event table.

use jiff::{SignedDuration, Timestamp};

use crate::Pause;

/// A retry schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Blocked by preflight or by the CA: 1, 2, 5, 10, 30, 60 min, hourly for a day, then daily.
    Blocked,
    /// HTTPS is switched off: daily.
    HttpsOff,
    /// C4 does not know the domain: 1, 5, 30 min and 6 h, then a person must act.
    Unknown,
    /// A query got no answer, or the CA is down: soon, at most 5 min apart.
    CouldNotAsk,
    /// The certificate that the CA delivered was rejected: once more after a minute, then daily, because another
    /// order brings the same again.
    Rejected,
    /// The CA did not answer when to renew a certificate: 1, 5, 30 min, 2 h, then every 6 h (RFC 9773 section 4.3.3).
    RenewalInfo,
    /// An operator has paused the CA or C4. Lifting the pause makes the work due; this is a fallback.
    Paused,
    /// C4 did not accept a certificate, after the quick attempts: 1, 2, 4 … 60 min, for ever.
    Upload,
    /// C4 has the certificate, but edges do not serve it yet: 5, 10, 20, 30 s, then every minute, until it is an
    /// emergency.
    Edges,
    /// The renewal of a live certificate failed: 1, 10, 100 min, then every 24 h or an eighth of `left`, whichever is
    /// shorter.
    Renewal {
        /// Time until the live certificate ends.
        left: SignedDuration,
    },
}

const HOURLY_TRIES: u32 = 24;
/// Minimum wait, because an eighth of the remaining time approaches zero.
const MIN_RENEWAL_WAIT: SignedDuration = SignedDuration::from_mins(10);

impl Retry {
    /// Interval for asking C4 again about a domain with a live certificate that it does not know, until that is
    /// believed.
    pub const MISSING_INTERVAL: SignedDuration = SignedDuration::from_hours(6);

    /// The wait after attempt number `attempt` (1 is the first); none means that a person must act.
    pub fn delay(self, attempt: u32) -> Option<SignedDuration> {
        let attempt = attempt.max(1);
        let step = attempt as usize - 1;
        match self {
            Self::Blocked => Some(match [1, 2, 5, 10, 30, 60].get(step) {
                Some(minutes) => SignedDuration::from_mins(*minutes),
                None if attempt <= 6 + HOURLY_TRIES => SignedDuration::from_hours(1),
                None => SignedDuration::from_hours(24),
            }),
            Self::HttpsOff => Some(SignedDuration::from_hours(24)),
            Self::Unknown => [1, 5, 30, 360].get(step).map(|minutes| SignedDuration::from_mins(*minutes)),
            Self::CouldNotAsk => {
                Some(SignedDuration::from_secs([5, 10, 30, 60, 120].get(step).copied().unwrap_or(300)))
            }
            Self::Rejected => Some(SignedDuration::from_mins(if attempt == 1 { 1 } else { 24 * 60 })),
            Self::RenewalInfo => {
                Some(SignedDuration::from_mins([1, 5, 30, 120].get(step).copied().unwrap_or(360)))
            }
            Self::Paused => Some(Pause::LOOK_AGAIN),
            Self::Upload => {
                Some(SignedDuration::from_mins(1 << step.min(6)).min(SignedDuration::from_mins(60)))
            }
            Self::Edges => Some(SignedDuration::from_secs([5, 10, 20, 30].get(step).copied().unwrap_or(60))),
            Self::Renewal { left } => Some(match [1, 10, 100].get(step) {
                Some(minutes) => SignedDuration::from_mins(*minutes),
                None => (left / 8).clamp(MIN_RENEWAL_WAIT, SignedDuration::from_hours(24)),
            }),
        }
    }

    /// The attempt number of [`Retry::Edges`] that comes 15 min after the upload; edges that are still behind need a
    /// person.
    pub const LAST_OF_EDGES: u32 = 19;

    /// The due time of the next attempt, after attempt number `attempt` at `now`.
    pub fn due(self, attempt: u32, now: Timestamp) -> Option<Timestamp> {
        self.delay(attempt).and_then(|delay| now.checked_add(delay).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(retry: Retry, attempts: std::ops::RangeInclusive<u32>) -> Vec<Option<i64>> {
        attempts.map(|attempt| retry.delay(attempt).map(|delay| delay.as_mins())).collect()
    }

    #[test]
    fn the_schedules_are_those_of_the_design() {
        assert_eq!(minutes(Retry::Blocked, 1..=7), [1, 2, 5, 10, 30, 60, 60].map(Some));
        assert_eq!(minutes(Retry::Blocked, 30..=31), [60, 1440].map(Some));
        assert_eq!(minutes(Retry::Unknown, 1..=5), [Some(1), Some(5), Some(30), Some(360), None]);
        assert_eq!(minutes(Retry::Upload, 1..=8), [1, 2, 4, 8, 16, 32, 60, 60].map(Some));
        let renewal = |days: i64| Retry::Renewal { left: SignedDuration::from_hours(24 * days) };
        assert_eq!(minutes(renewal(30), 1..=5), [1, 10, 100, 1440, 1440].map(Some));
        assert_eq!(minutes(renewal(4), 4..=4), [Some(720)]);
        assert_eq!(minutes(renewal(0), 1..=4), [1, 10, 100, 10].map(Some));
        let waited: SignedDuration = (1..Retry::LAST_OF_EDGES)
            .filter_map(|attempt| Retry::Edges.delay(attempt))
            .fold(SignedDuration::ZERO, |sum, delay| sum + delay);
        assert_eq!(waited.as_mins(), 15);
        assert_eq!(minutes(Retry::Rejected, 1..=3), [1, 1440, 1440].map(Some));
        assert_eq!(minutes(Retry::RenewalInfo, 1..=6), [1, 5, 30, 120, 360, 360].map(Some));
        assert_eq!(minutes(Retry::Upload, u32::MAX..=u32::MAX), [Some(60)]);
        assert_eq!(minutes(Retry::CouldNotAsk, 6..=1000).iter().max(), Some(&Some(5)));
    }
}
