//! Waiting for a condition, with a limit: the only place that sleeps.

use std::future::Future;
use std::time::{Duration, Instant};

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

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
            Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// How long something took.
pub async fn within<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let value = work.await;
    (value, started.elapsed())
}
