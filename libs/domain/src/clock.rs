//! Time and randomness as parameters, so that a test can move the one and repeat the other.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

/// A clock that can also wait.
pub trait Clock: Send + Sync + 'static {
    /// The present instant, in whole microseconds (the precision of the store).
    fn now(&self) -> Timestamp;

    /// Completes once `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A source of random bytes for ids, tokens and jitter. Private keys are made by the cryptography library itself.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random data.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number in `0..bound`; 0 if `bound` is 0. The bias is below one in 2^32 for the small bounds of jitter.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}
