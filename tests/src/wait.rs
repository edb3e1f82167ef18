//! Waiting for a condition, with a limit: the only place that sleeps.

use std::future::Future;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A look may start a process, so the pauses grow with the wait: that prolongs it by a twentieth at most, and leaves the
/// processors to what is waited for.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Waits until `look` gives a value; panics with `what` and the last thing seen after `limit`.
pub async fn wait_for<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > limit => {
                panic!("{what} did not come within {limit:?}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep((started.elapsed() / 20).clamp(FIRST_PAUSE, MAX_PAUSE)).await,
        }
    }
}

/// How long something took.
pub async fn within<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let value = work.await;
    (value, started.elapsed())
}
