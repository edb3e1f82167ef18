//! Log lines at a bounded rate: strangers must not be able to fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(5);

/// Lets one line pass each five seconds and counts the others.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// Returns how many lines were withheld since the last that passed; none if this one is withheld.
    pub fn pass(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, withheld) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < INTERVAL) {
            *withheld += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_passes_and_the_rest_is_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.pass(), Some(0));
        assert_eq!((seldom.pass(), seldom.pass()), (None, None));
        seldom.0.lock().expect("a lock").0 = Instant::now().checked_sub(INTERVAL);
        assert_eq!(seldom.pass(), Some(2));
    }
}
