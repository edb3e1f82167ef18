//! Stopping in three steps: the process reports that it is stopping and keeps serving (the drain); it takes no new
//! work; it ends its work.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long work in hand may go on after the stop before it is released.
const GRACE: Duration = Duration::from_secs(8);
/// How long releasing it may take; with the grace, well within the 30 s that an orchestrator gives.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(15);

/// The three signals of a stop, and what is still running.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    drain: CancellationToken,
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Stop {
    /// The process goes soon: send it nothing that others can take. Everything still works.
    pub fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Take no new work from here on.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Release what is in hand.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Runs something that the stop waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Stops: waits for what is in hand, then has it released. False if something still ran at the deadline.
    pub async fn stop(&self) -> bool {
        self.drain.cancel();
        self.soft.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::info!(tasks = self.tasks.len(), "releasing the work in hand");
        }
        self.hard.cancel();
        tokio::time::timeout(RELEASE_TIMEOUT, self.tasks.wait()).await.is_ok()
    }
}
