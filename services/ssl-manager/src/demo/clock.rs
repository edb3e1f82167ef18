//! The demo's clock: the system's, at first a year slow. While it is slow, sleeping is short, so that a year takes seconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use runtime::SystemClock;

/// The longest sleep while the clock is slow.
const NAP: Duration = Duration::from_millis(100);

pub(crate) struct DemoClock {
    days_behind: AtomicI64,
}

impl DemoClock {
    pub(super) fn days_ago(days: i64) -> Self {
        Self { days_behind: AtomicI64::new(days) }
    }

    /// Time passes at once, until so many days ago.
    pub(super) fn go_to(&self, days_ago: i64) {
        self.days_behind.store(days_ago, Ordering::SeqCst);
    }

    fn days_behind(&self) -> i64 {
        self.days_behind.load(Ordering::SeqCst)
    }
}

impl Clock for DemoClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() - SignedDuration::from_hours(24 * self.days_behind())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let is_slow = self.days_behind() > 0;
        Box::pin(tokio::time::sleep(if is_slow { duration.min(NAP) } else { duration }))
    }
}
