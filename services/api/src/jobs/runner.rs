//! Works on jobs: each copy of the API holds a few at a time under leases, so that another copy continues them if
//! this one dies.
//!
//! A job is held for a slice of its work and then given back, and the next is the one least recently served: so large
//! jobs make a small one wait for slices, not for their ends. A job that only waits for results of rechecks rests
//! between two checks without being held.
//!
//! The owner's rights are checked again before each batch. The work of a line and its mark are one transaction,
//! checked against the lease, so a copy that lost its lease, or whose job was cancelled, does nothing more. If the
//! store is unavailable, the line stays waiting for the next batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use audit::Caller;
use domain::{Action, JobKind, JobState, LineOutcome};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use store::{Job, JobLease, JobLine, LineResult, StoreError};
use tokio::sync::Notify;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::figures::CountTimes;
use super::line::{Trouble, Worker};
use super::outcome;
use crate::auth::Authenticator;
use crate::commands::Commands;

/// Maximum number of jobs that one copy works on at once.
const SLOTS: usize = 3;
/// Interval between looks for jobs without a wake-up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LEASE: SignedDuration = SignedDuration::from_secs(30);
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// Lines between two checks of the owner's rights.
const BATCH: u32 = 100;
/// Maximum number of concurrent commands of one job.
const AT_ONCE: usize = 8;
/// Maximum number of pending rechecks of one job.
const MAX_ASKED: u32 = 2000;
/// Maximum number of batches of a slice.
const SLICE: u32 = 10;
/// No further batch of a slice is begun after this time.
const SLICE_TIME: Duration = Duration::from_millis(500);
/// Interval between checks for results of rechecks when no line can be processed.
const RESULTS_INTERVAL: SignedDuration = SignedDuration::from_secs(1);
/// Pause after an error of the store.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum attempts to give a job back; then its lease expires by itself.
const RELEASES: u32 = 30;

/// How a job is given back.
enum Slice {
    /// Every line has an outcome.
    Done,
    /// Lines are waiting.
    GoesOn,
    /// Only results are waited for.
    Rests,
}

/// Why a slice ends early.
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
    count_times: CountTimes,
}

impl Runner {
    pub(crate) fn new(context: &Context, commands: &Commands, authenticator: &Authenticator) -> Self {
        Self {
            context: context.clone(),
            commands: commands.clone(),
            authenticator: authenticator.clone(),
            woken: Arc::default(),
            count_times: CountTimes::default(),
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
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.woken.notified() => {}
                () = soft.cancelled() => {}
            }
        }
    }

    /// Works on a job for a slice, or until the lease is lost or the process stops; then any copy continues it.
    async fn hold(&self, lease: &JobLease) {
        let soft = self.context.stop.soft().clone();
        let ended = tokio::select! {
            ended = self.slice(lease) => ended,
            () = self.renew(lease) => Err(End::Lost),
            () = soft.cancelled() => Err(End::Lost),
        };
        let closed = match ended {
            Ok(Slice::Done) => self.close(lease, JobState::Done, "").await,
            Err(End::Stopped(code)) => self.close(lease, JobState::Stopped, &code).await,
            Ok(Slice::GoesOn) | Err(End::Lost) => self.release(lease, None).await,
            Ok(Slice::Rests) => self.rest(lease).await,
            Err(End::Away(problem)) => {
                tracing::warn!(job = %lease.job.id, problem = problem.message(), "a job waits");
                Box::pin(self.release_later(lease)).await
            }
        };
        if let Err(problem) = closed {
            // The lease expires by itself.
            tracing::warn!(error = &problem as &dyn std::error::Error, job = %lease.job.id, "a job was not given back");
        }
    }

    async fn release(&self, lease: &JobLease, rests_until: Option<Timestamp>) -> Result<(), StoreError> {
        let recounts = self.count_times.is_due(lease.job.id, lease.job.line_count, Instant::now());
        self.context.store.release_job(lease, recounts, rests_until).await
    }

    async fn rest(&self, lease: &JobLease) -> Result<(), StoreError> {
        let until = self.context.clock.now() + RESULTS_INTERVAL;
        self.release(lease, Some(until)).await
    }

    /// Gives a job back once the store takes it, so that it need not wait for the end of its lease.
    async fn release_later(&self, lease: &JobLease) -> Result<(), StoreError> {
        let soft = self.context.stop.soft();
        let mut tries = 0;
        loop {
            tries += 1;
            tokio::time::sleep(PAUSE).await;
            match self.release(lease, None).await {
                Err(problem) if problem.is_unavailable() && tries < RELEASES && !soft.is_cancelled() => {}
                released => return released,
            }
        }
    }

    /// Extends the lease until it is lost.
    async fn renew(&self, lease: &JobLease) {
        let mut ends = self.context.clock.now() + LEASE;
        loop {
            tokio::time::sleep(RENEWAL_INTERVAL).await;
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

    /// Processes waiting lines, and looks for the results of rechecks.
    async fn slice(&self, lease: &JobLease) -> Result<Slice, End> {
        let (store, id) = (&self.context.store, lease.job.id);
        let is_recheck = lease.job.kind == JobKind::Recheck;
        let ends = Instant::now() + SLICE_TIME;
        let mut awaited =
            if is_recheck { outcome::settle(&self.context, lease, MAX_ASKED).await? } else { 0 };
        for _ in 0..SLICE {
            let room = MAX_ASKED.saturating_sub(awaited).min(BATCH);
            if room == 0 {
                return Ok(Slice::Rests);
            }
            let lines = store.job_lines(id, &[LineOutcome::Waiting], 0, room).await?;
            let acted = u32::try_from(lines.len()).unwrap_or(u32::MAX);
            if acted == 0 {
                return Ok(if awaited == 0 { Slice::Done } else { Slice::Rests });
            }
            self.may_go_on(&lease.job).await?;
            self.act(lease, lines).await?;
            if is_recheck {
                awaited = awaited.saturating_add(acted);
            }
            if Instant::now() >= ends {
                break;
            }
        }
        Ok(Slice::GoesOn)
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
