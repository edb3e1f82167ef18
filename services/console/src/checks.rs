//! The checks made with a recheck, so that its outcome can be seen: the four checks of the preflight, run at the moment
//! of the click. Kept in this process for an hour; the domain's status follows from its own attempt.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use proto::v1;

/// Maximum number of domains whose checks are kept; the oldest are dropped first.
const MAX_KEPT: usize = 512;
const RETENTION: SignedDuration = SignedDuration::from_hours(1);
/// A check that takes longer counts as failed.
const MAX_RUNTIME: SignedDuration = SignedDuration::from_secs(30);

/// The state of a check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Check {
    Running,
    Done(Vec<v1::CheckStep>),
    /// Why nothing came of it.
    Failed(String),
}

/// A check and its time: of its beginning while it runs, then of its end.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) at: Timestamp,
    pub(crate) check: Check,
}

/// The last check of each of some domains.
#[derive(Default)]
pub(crate) struct Checks(Mutex<VecDeque<(String, Checked)>>);

impl Checks {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Checked)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of what was known of that domain.
    pub(crate) fn put(&self, name: &str, at: Timestamp, check: Check) {
        let mut kept = self.kept();
        kept.retain(|(known, _)| known != name);
        kept.push_back((name.to_owned(), Checked { at, check }));
        if kept.len() > MAX_KEPT {
            kept.pop_front();
        }
    }

    /// The last check of a domain; none if there is none, or it is too old.
    pub(crate) fn find(&self, name: &str, now: Timestamp) -> Option<Checked> {
        let kept = self.kept();
        let (_, checked) = kept.iter().find(|(known, _)| known == name)?;
        let lasts = if checked.check == Check::Running { MAX_RUNTIME } else { RETENTION };
        (now.duration_since(checked.at) < lasts).then(|| checked.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_check_is_kept_for_a_while() {
        let (checks, now) = (Checks::default(), Timestamp::UNIX_EPOCH);
        let found = |name: &str, later: i64| {
            checks.find(name, now + SignedDuration::from_secs(later)).map(|checked| checked.check)
        };
        checks.put("a.example.com", now, Check::Running);
        assert_eq!(found("a.example.com", 29), Some(Check::Running));
        assert_eq!(found("a.example.com", 30), None, "it came to nothing");
        checks.put("a.example.com", now, Check::Done(Vec::new()));
        assert_eq!(found("a.example.com", 3599), Some(Check::Done(Vec::new())));
        assert_eq!(found("a.example.com", 3600), None);
        assert_eq!(found("b.example.com", 0), None);
        for index in 0..MAX_KEPT {
            checks.put(&index.to_string(), now, Check::Running);
        }
        assert_eq!(found("a.example.com", 0), None, "there is room for so many");
    }
}
