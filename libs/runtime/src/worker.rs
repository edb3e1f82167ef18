//! Claims work and runs it under its lease (DESIGN: claim, not cursor; lease, not lock).
//!
//! A permit comes first, so that a process never owns more work than it can do; without one the message stays
//! unacknowledged. Concurrent claims are made in one transaction. The message is acknowledged once the claim is
//! committed; from then on the lease protects the work and is renewed while it runs. Only the lease's fencing token,
//! checked in the store, decides whether a write is accepted.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Handler, Outcome};
use domain::{DomainName, Event, InvalidTransition, Lease, WorkKind};
use jiff::SignedDuration;
use store::{Finished, StoreError};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::Instrument;

use crate::Context;

const LEASE: SignedDuration = SignedDuration::from_secs(30);
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// Claims made in one transaction.
const MAX_CLAIMS: usize = 50;
const CLAIM_RETRY_PAUSE: Duration = Duration::from_secs(1);
const RELEASE_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A role's job on leased work: it ends the lease itself, with the step that records the result.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// Does the work. Dropped half-way when the lease is lost or the process stops; must be resumable from the store.
    async fn perform(&self, lease: &Lease) -> Result<Finished, JobError>;
}

/// Why work was dropped. Its row stays as it was, so the sweep finds it: where the database did not do its part, as soon as it
/// does again, because the lease is released then; else once the lease has ended.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The store failed, or the lease is lost.
    #[error("the store did not take a step")]
    Store(#[from] StoreError),
    /// The row is in a state that the step does not fit.
    #[error("a step does not fit the state")]
    Transition(#[from] InvalidTransition),
    /// Something else that trying again may mend.
    #[error("{0}")]
    Other(String),
}

/// Takes hints about one kind of work and runs a job for each claim.
pub struct Worker {
    context: Context,
    kind: WorkKind,
    permits: Arc<Semaphore>,
    claims: mpsc::UnboundedSender<Claim>,
    job: Arc<dyn Job>,
}

/// A claim that a handler waits for; an error says that the store did not answer.
struct Claim {
    name: DomainName,
    answer: oneshot::Sender<Result<Option<Lease>, ClaimAbandoned>>,
}

struct ClaimAbandoned;

impl Worker {
    /// A worker that owns at most as many pieces of work as `permits` has. Must be called within the runtime.
    pub fn new(context: Context, kind: WorkKind, permits: Arc<Semaphore>, job: Arc<dyn Job>) -> Self {
        let (claims, wanted) = mpsc::unbounded_channel();
        tokio::spawn(claim_in_batches(context.clone(), kind, wanted));
        Self { context, kind, permits, claims, job }
    }

    async fn claim(&self, name: &DomainName) -> Result<Option<Lease>, ClaimAbandoned> {
        let (answer, answered) = oneshot::channel();
        let claim = Claim { name: name.clone(), answer };
        self.claims.send(claim).map_err(|_| ClaimAbandoned)?;
        answered.await.unwrap_or(Err(ClaimAbandoned))
    }
}

/// Claims what is wanted, as much at once as came while the last claim ran. Ends with its worker.
async fn claim_in_batches(context: Context, kind: WorkKind, mut wanted: mpsc::UnboundedReceiver<Claim>) {
    let mut claims = Vec::new();
    while wanted.recv_many(&mut claims, MAX_CLAIMS).await > 0 {
        // The same name twice is one claim; the second to ask gets none.
        let names: BTreeSet<DomainName> = claims.iter().map(|claim| claim.name.clone()).collect();
        let names: Vec<DomainName> = names.into_iter().collect();
        let now = context.clock.now();
        let claimed = context.store.claim_batch(kind, &names, now + LEASE).await;
        if let Err(error) = &claimed {
            tracing::warn!(error = error as &dyn Error, "work not claimed");
        }
        let mut leases = claimed.map(|leases| {
            let by_name = leases.into_iter().map(|lease| (lease.work.name.clone(), lease));
            by_name.collect::<HashMap<_, _>>()
        });
        for claim in claims.drain(..) {
            let answer = match &mut leases {
                Ok(leases) => Ok(leases.remove(&claim.name)),
                Err(_) => Err(ClaimAbandoned),
            };
            // The worker has stopped waiting: the lease ends by itself, and the sweep finds the work.
            let _ = claim.answer.send(answer);
        }
    }
}

#[async_trait]
impl Handler for Worker {
    async fn handle(&self, event: &Event) -> Outcome {
        let permit = tokio::select! {
            permit = self.permits.clone().acquire_owned() => permit,
            () = self.context.stop.soft().cancelled() => return Outcome::Retry { after: Duration::ZERO },
        };
        match self.claim(&event.name).await {
            // Already done, not due yet, or leased by another worker.
            Ok(None) => Outcome::Done,
            Ok(Some(lease)) => {
                let span = tracing::info_span!("work", kind = self.kind.as_str(), domain = %lease.work.name);
                let owned = own(self.context.clone(), self.job.clone(), lease);
                self.context.stop.spawn(
                    async move {
                        owned.await;
                        drop(permit);
                    }
                    .instrument(span),
                );
                Outcome::Done
            }
            Err(ClaimAbandoned) => Outcome::Retry { after: CLAIM_RETRY_PAUSE },
        }
    }
}

async fn own(context: Context, job: Arc<dyn Job>, lease: Lease) {
    tokio::select! {
        result = job.perform(&lease) => match result {
            Ok(Finished { .. }) => {}
            Err(JobError::Store(error)) if error.is_lease_lost() => {
                tracing::info!("dropped: the work was taken over or is not wanted any more");
            }
            Err(error) => {
                let kind = lease.work.kind.as_str();
                metrics::counter!("ssl_manager_work_dropped_total", "kind" => kind).increment(1);
                if matches!(&error, JobError::Store(error) if error.is_unavailable()) {
                    tracing::warn!(error = &error as &dyn Error, "work dropped, its lease is released");
                    give_back(&context, &lease).await;
                } else {
                    tracing::error!(error = &error as &dyn Error, "work dropped until its lease ends");
                }
            }
        },
        () = keep(&context, &lease) => tracing::info!("dropped: the lease is lost"),
        () = context.stop.hard().cancelled() => {
            if let Err(error) = context.store.release(&lease).await {
                tracing::warn!(error = &error as &dyn Error, "lease not released, it will end by itself");
            }
        }
    }
}

/// Releases the lease as soon as the database takes it, so that the work goes on then and not when the lease ends, after
/// which there is nothing to release. At the hard stop it is left to its end.
async fn give_back(context: &Context, lease: &Lease) {
    let ends_at = context.clock.now() + LEASE;
    while context.clock.now() < ends_at {
        match context.store.release(lease).await {
            Ok(()) => return,
            Err(error) if !error.is_unavailable() => {
                tracing::warn!(error = &error as &dyn Error, "lease not released, it will end by itself");
                return;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = context.clock.sleep(RELEASE_RETRY_PAUSE) => {}
            () = context.stop.hard().cancelled() => return,
        }
    }
}

/// Prolongs the lease; completes when it is lost.
async fn keep(context: &Context, lease: &Lease) {
    loop {
        context.clock.sleep(RENEW_INTERVAL).await;
        match context.store.renew(lease, context.clock.now() + LEASE).await {
            Ok(()) => {}
            Err(error) if error.is_lease_lost() => return,
            Err(error) => tracing::warn!(error = &error as &dyn Error, "lease not prolonged"),
        }
    }
}
