//! The demo's clock: the system's, two hours slow until it catches up.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::Clock;
use jiff::{SignedDuration, Timestamp};
use runtime::SystemClock;

/// How far it is behind at first.
pub(super) const BEHIND: SignedDuration = SignedDuration::from_hours(2);

pub(crate) struct DemoClock {
    caught_up: AtomicBool,
}

impl DemoClock {
    pub(super) fn two_hours_ago() -> Self {
        Self { caught_up: AtomicBool::new(false) }
    }

    /// Two hours pass at once.
    pub(super) fn catch_up(&self) {
        self.caught_up.store(true, Ordering::SeqCst);
    }
}

impl Clock for DemoClock {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        if self.caught_up.load(Ordering::SeqCst) { now } else { now - BEHIND }
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}
