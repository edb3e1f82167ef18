//! The system's clock and random source: the only place that reads either.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use domain::{Clock, Entropy};
use jiff::Timestamp;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that the rest of the code is given")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // The store keeps microseconds; what is compared must survive being stored.
        now.round(jiff::Unit::Microsecond).unwrap_or(now)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // Nothing sensible can be done without randomness; the library itself aborts in that case.
        aws_lc_rs::rand::fill(bytes).expect("the operating system has no random bytes");
    }
}
