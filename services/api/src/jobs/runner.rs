//! Works on jobs: each copy of the API holds a few at a time under leases, so that another copy continues them if
//! this one dies.
//!
//! The owner's rights are checked again before each batch. The work of a line and its mark are one transaction,
//! checked against the lease, so a copy that lost its lease, or whose job was cancelled, does nothing more. If the
//! store is unavailable, the line stays waiting for the next batch.

use std::sync::Arc;
use std::time::Duration;

use audit::Caller;
use domain::{Action, JobKind, JobState, LineOutcome};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use runtime::Context;
use store::{Job, JobLease, JobLine, LineResult, StoreError};
use tokio::sync::Notify;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::line::{Trouble, Worker};
use super::outcome;
use crate::auth::Authenticator;
use crate::commands::Commands;

/// Maximum number of jobs that one copy works on at once.
const SLOTS: usize = 3;
/// Interval between looks for jobs without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LEASE: SignedDuration = SignedDuration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Lines between two checks of the owner's rights.
const BATCH: u32 = 100;
/// Maximum number of concurrent commands of one job.
const AT_ONCE: usize = 8;
/// Maximum number of pending rechecks of one job.
const MAX_ASKED: u32 = 2000;
/// Batches between two checks for results of rechecks, while lines are waiting.
const SETTLE_EVERY: u32 = 10;
/// Interval between checks when no line is waiting.
const RESULTS_EVERY: Duration = Duration::from_secs(1);
/// Pause after an error of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the work on a job ends before all lines are done.
enum End {
    /// Another copy has the lease, or the job was cancelled.
    Lost,
    /// The store is unavailable: the same work succeeds later.
    Away(Status),
    /// The owner has lost the right to continue.
    Stopped(String),
}

impl From<StoreError> for End {
    fn from(problem: StoreError) -> Self {
        match problem {
            StoreError::LeaseLost { .. } => Self::Lost,
            StoreError::Conflict { .. } => Self::Away(crate::error::from_store(&problem)),
            problem if problem.is_unavailable() => Self::Away(crate::error::from_store(&problem)),
            // A retry would fail in the same way.
            problem => Self::Stopped(reason(&crate::error::from_store(&problem))),
        }
    }
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

#[derive(Clone)]
pub(crate) struct Runner {
    context: Context,
    commands: Commands,
    authenticator: Authenticator,
    woken: Arc<Notify>,
}

impl Runner {
    pub(crate) fn new(context: &Context, commands: &Commands, authenticator: &Authenticator) -> Self {
        Self {
            context: context.clone(),
            commands: commands.clone(),
            authenticator: authenticator.clone(),
            woken: Arc::default(),
        }
    }

    /// Wakes the runner for a job that was just started.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Works until it is stopped.
    pub(crate) fn start(&self) {
        for _ in 0..SLOTS {
            let runner = self.clone();
            self.context.stop.spawn(Box::pin(async move { runner.run().await }));
        }
    }

    async fn run(&self) {
        let soft = self.context.stop.soft().clone();
        while !soft.is_cancelled() {
            let until = self.context.clock.now() + LEASE;
            match self.context.store.claim_job(until).await {
                Ok(Some(lease)) => {
                    Box::pin(self.hold(&lease)).await;
                    continue;
                }
                Ok(None) => {}
                Err(problem) => {
                    tracing::warn!(error = &problem as &dyn std::error::Error, "jobs not looked for");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.woken.notified() => {}
                () = soft.cancelled() => {}
            }
        }
    }

    /// Works on a job until it is over, the lease is lost, or the process stops; then another copy continues it.
    async fn hold(&self, lease: &JobLease) {
        let soft = self.context.stop.soft().clone();
        let id = lease.job.id;
        let ended = tokio::select! {
            ended = self.work(lease) => ended,
            () = self.renew(lease) => Err(End::Lost),
            () = soft.cancelled() => Err(End::Lost),
        };
        let closed = match ended {
            Ok(()) => self.close(lease, JobState::Done, "").await,
            Err(End::Stopped(code)) => self.close(lease, JobState::Stopped, &code).await,
            Err(End::Lost | End::Away(_)) => self.context.store.release_job(id, lease.token).await,
        };
        if let Err(problem) = closed {
            // The lease expires by itself.
            tracing::warn!(error = &problem as &dyn std::error::Error, job = %id, "a job was not given back");
        }
    }

    /// Extends the lease until it is lost.
    async fn renew(&self, lease: &JobLease) {
        let mut ends = self.context.clock.now() + LEASE;
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let until = self.context.clock.now() + LEASE;
            match self.context.store.renew_job(lease.job.id, lease.token, until).await {
                Ok(()) => ends = until,
                Err(StoreError::LeaseLost { .. }) => return,
                Err(_) if self.context.clock.now() >= ends => return,
                Err(_) => {}
            }
        }
    }

    async fn close(&self, lease: &JobLease, state: JobState, code: &str) -> Result<(), StoreError> {
        let Job { id, kind, owner, peer, .. } = &lease.job;
        let mut tx = self.context.store.begin("end_job").await?;
        tx.end_job(lease, state, code).await?;
        let by =
            Caller { actor: owner.clone(), peer: peer.clone(), call: "RunJob", request_id: id.to_string() };
        let outcome = if code.is_empty() { audit::OK } else { code };
        tx.append_audit(by.line(self.context.clock.now(), &id.to_string(), outcome, kind.as_str()));
        tx.commit().await?;
        tracing::info!(job = %id, %kind, %state, code, "a job is over");
        Ok(())
    }

    /// Processes the waiting lines, and waits for the results of rechecks.
    async fn work(&self, lease: &JobLease) -> Result<(), End> {
        loop {
            match self.go_on(lease).await {
                Err(End::Away(problem)) => {
                    tracing::warn!(job = %lease.job.id, problem = problem.message(), "a job waits");
                    tokio::time::sleep(PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    async fn go_on(&self, lease: &JobLease) -> Result<(), End> {
        let (store, id) = (&self.context.store, lease.job.id);
        let is_recheck = lease.job.kind == JobKind::Recheck;
        let (mut awaited, mut batches) = (0, 0_u32);
        loop {
            let room = MAX_ASKED.saturating_sub(awaited).min(BATCH);
            let lines = match room {
                0 => Vec::new(),
                room => store.job_lines(id, &[LineOutcome::Waiting], 0, room).await?,
            };
            let acted = u32::try_from(lines.len()).unwrap_or(u32::MAX);
            if acted > 0 {
                self.may_go_on(&lease.job).await?;
                self.act(lease, lines).await?;
                batches += 1;
            }
            if is_recheck && (acted == 0 || batches % SETTLE_EVERY == 1) {
                awaited = outcome::settle(&self.context, lease, MAX_ASKED).await?;
            } else if is_recheck {
                awaited = awaited.saturating_add(acted);
            }
            match (acted, awaited, room) {
                (0, 0, 1..) => return Ok(()),
                (0, _, _) => tokio::time::sleep(RESULTS_EVERY).await,
                _ => {}
            }
        }
    }

    /// Processes lines. Known results are stored even if other lines failed.
    async fn act(&self, lease: &JobLease, lines: Vec<JobLine>) -> Result<(), End> {
        let worker = Worker::new(&self.commands, lease);
        let worker = worker.map_err(|problem| End::Stopped(reason(&problem)))?;
        let work = lines.into_iter().map(|line| worker.act(line));
        let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
        let (mut results, mut trouble) = (Vec::new(), None);
        while let Some(result) = work.next().await {
            match result {
                Ok(result) => results.extend(result),
                Err(problem) => trouble = trouble.or(Some(problem)),
            }
        }
        self.finish(lease, &results).await?;
        trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
    }

    async fn finish(&self, lease: &JobLease, results: &[LineResult]) -> Result<(), End> {
        if results.is_empty() {
            return Ok(());
        }
        let mut tx = self.context.store.begin("finish_lines").await?;
        tx.finish_lines(lease.job.id, lease.token, results).await?;
        Ok(tx.commit().await?)
    }

    /// Checks that the owner still has the right to do this.
    async fn may_go_on(&self, job: &Job) -> Result<(), End> {
        let owner = self.authenticator.owner(&job.owner, &job.credential).await;
        owner.and_then(|owner| owner.require(Action::Operate)).map_err(|problem| match problem.code() {
            Code::Unauthenticated | Code::PermissionDenied => End::Stopped(reason(&problem)),
            _ => End::Away(problem),
        })
    }
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost => Self::Lost,
            Trouble::Away(problem) => Self::Away(problem),
        }
    }
}
