//! Detects a broken rehearsal: if many domains fail at the same time, the cause is our responders, our network or our
//! edges, not the customers' sites.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::DomainName;
use jiff::{SignedDuration, Timestamp};

const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Minimum number of domains for a decision.
const MIN_DOMAINS: usize = 20;
/// Rehearsals are doubted when more than one in this many fails.
const ONE_IN: usize = 5;

/// How the latest rehearsals of this process went, one per domain.
#[derive(Default)]
pub(crate) struct Doubt(Mutex<State>);

#[derive(Default)]
struct State {
    latest: HashMap<DomainName, (Timestamp, bool)>,
    is_doubted: bool,
}

impl Doubt {
    /// Takes note of a rehearsal; whether a failure is to be doubted.
    pub(crate) fn note(&self, name: &DomainName, went_well: bool, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.latest.insert(name.clone(), (now, went_well));
        state.latest.retain(|_, (at, _)| now.duration_since(*at) < WINDOW);
        let failed = state.latest.values().filter(|(_, went_well)| !went_well).count();
        let is_doubted = state.latest.len() >= MIN_DOMAINS && failed * ONE_IN > state.latest.len();
        if is_doubted != state.is_doubted {
            state.is_doubted = is_doubted;
            metrics::gauge!("ssl_manager_rehearsal_doubted").set(if is_doubted { 1.0 } else { 0.0 });
            if is_doubted {
                tracing::error!(
                    failed,
                    of = state.latest.len(),
                    "rehearsals fail at so many domains that they are doubted"
                );
            } else {
                tracing::info!("rehearsals are believed again");
            }
        }
        is_doubted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(index: i64) -> DomainName {
        DomainName::parse(&format!("d{index}.example.com")).unwrap()
    }

    #[test]
    fn many_failures_at_once_are_doubted_for_as_long_as_they_last() {
        let doubt = Doubt::default();
        let at = |minute: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        for index in 0..40 {
            assert!(!doubt.note(&name(index), true, at(0)));
        }
        for index in 40..50 {
            assert!(!doubt.note(&name(index), false, at(1)), "{index}: a fifth or less");
        }
        assert!(doubt.note(&name(50), false, at(1)));
        assert!(!doubt.note(&name(50), true, at(2)), "it was mended");
        assert!(!doubt.note(&name(60), false, at(12)), "the rest is long ago");
    }

    #[test]
    fn one_domain_that_fails_again_and_again_says_nothing_of_the_others() {
        let doubt = Doubt::default();
        for _ in 0..1000 {
            assert!(!doubt.note(&name(1), false, Timestamp::UNIX_EPOCH));
        }
    }
}
