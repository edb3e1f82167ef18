//! When C4's answer that it does not know a domain is believed although the domain has a live certificate.
//!
//! A broken C4 answers 404 for everything. Believing a single answer could discard all domains, so C4 has to repeat
//! it three times over a day, and not for many domains at the same time.

use jiff::{SignedDuration, Timestamp};

const BELIEVED_AFTER: SignedDuration = SignedDuration::from_hours(24);
const BELIEVED_ANSWERS: u32 = 3;

/// C4's answers that it does not know a domain, since it last knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// When the first counted answer came.
    pub first_at: Timestamp,
    /// When the last one came.
    pub last_at: Timestamp,
    /// Number of counted answers.
    pub answers: u32,
}

impl Missing {
    /// The window over which C4's unknown domains are counted.
    pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);

    /// Records one more answer. `count`: false while C4 itself is at fault; then neither this answer nor the earlier
    /// ones count.
    pub fn noted(before: Option<Self>, now: Timestamp, count: bool) -> Self {
        let answers = before.map_or(0, |missing| missing.answers);
        Self {
            first_at: before.filter(|_| answers > 0).map_or(now, |missing| missing.first_at),
            last_at: now,
            answers: if count { answers + 1 } else { 0 },
        }
    }

    /// Whether it is believed, so that the domain loses its live certificate.
    pub fn is_believed(&self, now: Timestamp) -> bool {
        self.answers >= BELIEVED_ANSWERS && now.duration_since(self.first_at) >= BELIEVED_AFTER
    }

    /// Whether `missing` among `live` domains shows that C4 is broken: more than one in a hundred, and more than one
    /// at all, because otherwise a small fleet could never lose a domain.
    pub fn is_c4s_fault(missing: u64, live: u64) -> bool {
        missing > 1 && missing.saturating_mul(100) > live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    #[test]
    fn three_answers_over_a_day_are_believed() {
        let once = Missing::noted(None, hour(0), true);
        let twice = Missing::noted(Some(once), hour(23), true);
        assert!(!twice.is_believed(hour(48)), "two answers");
        assert!(!Missing::noted(Some(twice), hour(23), true).is_believed(hour(23)), "within a day");
        assert!(Missing::noted(Some(twice), hour(24), true).is_believed(hour(24)));
    }

    #[test]
    fn what_a_broken_c4_says_does_not_count() {
        let doubted = Missing::noted(None, hour(0), false);
        let doubted = Missing::noted(Some(doubted), hour(30), false);
        assert_eq!((doubted.answers, doubted.last_at), (0, hour(30)));
        let first = Missing::noted(Some(doubted), hour(31), true);
        assert_eq!((first.answers, first.first_at), (1, hour(31)), "the day begins with what counts");
    }

    #[test]
    fn many_at_once_are_c4s_fault() {
        for (missing, live, fault) in
            [(1, 1, false), (2, 3, true), (2, 200, false), (3, 200, true), (100, 10_000, false)]
        {
            assert_eq!(Missing::is_c4s_fault(missing, live), fault, "{missing} of {live}");
        }
    }
}
