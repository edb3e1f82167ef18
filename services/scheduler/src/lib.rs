//! The scheduler: all work that depends on time.
//!
//! A timer is a work row's `due_at`, so one sweep serves renewals, retries, rechecks and work left by a crash: it finds
//! work that is due, unleased and without a recent hint, and publishes the hint that makes a worker claim it. A second
//! sweep finds expired certificates and pasted ones that end soon, a third makes the daily recheck due, a fourth seals
//! the audit log, a fifth destroys the keys of deleted domains and deletes outdated rows. All are idempotent and
//! stateless; any number of schedulers may run. The scheduler sends no request to outside systems and holds no secret.

mod expiry;
mod gauges;
mod pauses;
mod recheck;
mod retention;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use jiff::SignedDuration;
use runtime::{Context, RoleError};
use store::StoreError;

use crate::pauses::Pauses;
use crate::recheck::DailyRecheck;

/// Interval between two sweeps. Shorter than the design's 5 s, because retries are planned to the second.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// In sweeps: how often expired certificates and the daily recheck are handled, and messages counted.
const EXPIRY_INTERVAL: u32 = 5;
/// In sweeps: how often outdated rows are deleted.
const CLEANUP_INTERVAL: u32 = 60;
/// In sweeps: how often the gauges of the list are updated.
const GAUGES_INTERVAL: u32 = 30;
/// A hint older than this is taken for lost. Longer than a worker needs to get to its queue's end at rest; a second
/// hint about work that is still queued does no harm but costs a claim that finds nothing.
const HINT_TTL: SignedDuration = SignedDuration::from_secs(30);
/// Rows per transaction.
const BATCH: u32 = 500;

/// Runs the scheduler until the stop.
pub async fn run(context: Context) -> Result<(), RoleError> {
    context.health.ok("scheduler");
    let mut scheduler = Scheduler::new(context.clone())?;
    let stop = context.stop.soft().clone();
    while !stop.is_cancelled() {
        match scheduler.look().await {
            Ok(()) => {
                context.health.ok("scheduler");
                gauges::swept(context.clock.now());
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "sweep failed, it is tried again");
                context.health.bad("scheduler", error.to_string());
            }
        }
        tokio::select! {
            () = context.clock.sleep(POLL_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// The sweeps, for [`run`] and for tests.
pub struct Scheduler {
    context: Context,
    daily: DailyRecheck,
    pauses: Pauses,
    looks: u32,
}

impl Scheduler {
    /// One that has not looked yet.
    pub fn new(context: Context) -> Result<Self, RoleError> {
        let daily = DailyRecheck::new(&context)?;
        Ok(Self { context, daily, pauses: Pauses::default(), looks: 0 })
    }

    /// Looks once: for due work and lines of the audit log every time, for the rest now and then, beginning with the first time. Work that waited
    /// for a pause is due by the time that due work is looked for.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        let look = self.looks;
        self.looks = look.wrapping_add(1);
        self.pauses.look(&self.context).await?;
        sweep_due(&self.context).await?;
        retention::fold_tallies(&self.context).await?;
        if look.is_multiple_of(EXPIRY_INTERVAL) {
            expiry::sweep(&self.context).await?;
            expiry::remind(&self.context).await?;
            self.daily.sweep(&self.context).await?;
            count_messages(&self.context).await?;
            retention::destroy_keys(&self.context).await?;
        }
        if look.is_multiple_of(GAUGES_INTERVAL) {
            gauges::export(&self.context, &self.daily).await?;
        }
        if look.is_multiple_of(CLEANUP_INTERVAL) {
            retention::forget(&self.context).await?;
            retention::forget_notices(&self.context).await?;
        }
        audit::seal(&self.context.store).await
    }
}

/// Shows how many messages wait in the store: over a broker that is the outbox, and it is empty at rest.
async fn count_messages(context: &Context) -> Result<(), StoreError> {
    let (waiting, _) = context.store.message_counts().await?;
    metrics::gauge!("ssl_manager_messages_waiting").set(waiting as f64);
    Ok(())
}

/// Publishes a hint for all work that is due, free, and not hinted at lately.
async fn sweep_due(context: &Context) -> Result<(), StoreError> {
    loop {
        let now = context.clock.now();
        let mut tx = context.store.begin("sweep_due").await?;
        let due = tx.mark_due(now - HINT_TTL, BATCH).await?;
        for work in &due {
            tx.hint(work);
        }
        tx.commit().await?;
        if due.len() < BATCH as usize {
            return Ok(());
        }
    }
}
