//! Named steps of long work. A test can kill the process at each, or hold the work there.

#[cfg(feature = "sandbox")]
use std::collections::BTreeSet;
#[cfg(feature = "sandbox")]
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "sandbox")]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "sandbox")]
use tokio::sync::Notify;

/// All work stops for good at the step that this environment variable names; of several steps, separated by commas, the first
/// work that comes to each stops there. Only in builds with the sandbox.
#[cfg(feature = "sandbox")]
const STOP_AT: &str = "SSL_MANAGER_STOP_AT";

#[cfg(feature = "sandbox")]
tokio::task_local! {
    static HOLD: Arc<Hold>;
}

/// Marks a step. It is logged; and a build with the sandbox stops here for ever, with one line on stderr, if
/// `SSL_MANAGER_STOP_AT` names the step, so that a test can pull the plug at exactly this point.
pub async fn checkpoint(step: &'static str) {
    tracing::debug!(step, "checkpoint");
    #[cfg(feature = "sandbox")]
    {
        if stops_at(step) {
            eprintln!("stopped at {step}");
            std::future::pending::<()>().await;
        }
        if let Ok(hold) = HOLD.try_with(Arc::clone) {
            hold.pass(step).await;
        }
    }
}

#[cfg(feature = "sandbox")]
fn stops_at(step: &'static str) -> bool {
    static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let Ok(steps) = std::env::var(STOP_AT) else { return false };
    let mut named = steps.split(',').filter(|named| *named == step);
    steps == step
        || named.next().is_some() && TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(step)
}

/// Holds work that a test runs in its own process, once, where it first comes to a step.
#[cfg(feature = "sandbox")]
#[derive(Debug)]
pub struct Hold {
    step: &'static str,
    was_reached: AtomicBool,
    reached: Notify,
    released: Notify,
}

#[cfg(feature = "sandbox")]
impl Hold {
    /// Holds at that step.
    pub fn at(step: &'static str) -> Arc<Self> {
        Arc::new(Self {
            step,
            was_reached: AtomicBool::new(false),
            reached: Notify::new(),
            released: Notify::new(),
        })
    }

    /// Runs work that is to be held.
    pub async fn run<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        HOLD.scope(self, work).await
    }

    /// Waits until the work stands at the step.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.released.notify_one();
    }

    async fn pass(&self, step: &'static str) {
        if self.step == step && !self.was_reached.swap(true, Ordering::Relaxed) {
            self.reached.notify_one();
            self.released.notified().await;
        }
    }
}
