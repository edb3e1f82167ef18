//! Steps that are committed together on PostgreSQL, because a transaction per step costs four round trips and a flush
//! of the log. (SQLite's writer makes groups of whole transactions, see `dialect/sqlite/writer.rs`.)
//!
//! A group is what arrived while the last one committed, so a single step never waits for others. It has at most one
//! step per name. The rows of all its leases are locked by one statement, by name, and equal writes are sent as one
//! statement with a row for each step (`batch/rows.rs`).
//!
//! Each step has its own answer, and none before the COMMIT. A step goes alone, in a transaction of its own, if its rows
//! are locked elsewhere or its lease seems lost; so do all steps of a group in which a statement failed, because the
//! database does not say whose it was. After a failed COMMIT nothing is repeated: the rows decide. Steps that lock a
//! CA's buckets never join a group, so that groups of two processes cannot wait for each other's buckets.
//!
//! The commits run in a task of their own: a caller that is dropped takes no one else's answer with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::budget::Limits;
use domain::{Domain, DomainName, Lease};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

use crate::batch::Batch;
use crate::sql::failed;
use crate::step::{LedgerOf, OrderWrite, Refusal, Step, Write};
use crate::tx::Written;
use crate::{LastStep, Pools, Result, Store, StoreError, Tx};

/// Maximum number of steps of a group.
const MAX_STEPS: usize = 32;

/// Why a group was not committed: one error, reported to each member.
#[derive(Clone, Debug, thiserror::Error)]
#[error("what was committed together was not committed")]
pub(crate) struct GroupError(#[source] pub(crate) Arc<StoreError>);

impl GroupError {
    pub(crate) fn of(error: StoreError) -> Self {
        Self(Arc::new(error))
    }

    pub(crate) fn told(self) -> StoreError {
        StoreError::Database { operation: "commit", source: Box::new(self) }
    }
}

/// A step of either kind.
#[derive(Clone, Debug)]
pub(crate) enum AnyStep {
    Keeps(Box<Step>),
    Ends(Box<LastStep>),
}

/// The domain as stored; none if the step has no domain.
type Answer = std::result::Result<Option<Domain>, Refusal>;

/// The queue of a store.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_committing: bool,
}

struct Waiting {
    step: AnyStep,
    answer: oneshot::Sender<Answer>,
    span: Span,
}

/// What became of a step before the COMMIT.
enum Outcome {
    Written(Option<Box<Domain>>),
    Changed(Box<Domain>),
    Alone,
}

impl AnyStep {
    pub(crate) fn step(&self) -> Option<&Step> {
        match self {
            Self::Keeps(step) => Some(step),
            Self::Ends(last) => last.step.as_ref(),
        }
    }

    fn lease(&self) -> &Lease {
        match self {
            Self::Keeps(step) => &step.lease,
            Self::Ends(last) => &last.lease,
        }
    }

    fn name(&self) -> &DomainName {
        &self.lease().work.name
    }

    /// Whether it may lock buckets, which several names share.
    fn locks_buckets(&self) -> bool {
        let locks = |write: &Write| match write {
            Write::Order(OrderWrite::Spend(_, ledger) | OrderWrite::SpendFailure(ledger)) => {
                is_limited(ledger)
            }
            _ => false,
        };
        let Some(step) = self.step() else { return false };
        step.charge.as_ref().is_some_and(|charge| !charge.buckets().is_empty())
            || step.writes.iter().any(locks)
    }
}

fn is_limited(ledger: &LedgerOf) -> bool {
    ledger.limits != Limits::default()
}

impl Groups {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The steps of the next group; none means that no one commits any more.
    fn next(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let mut names = BTreeSet::new();
        let (mut group, mut left) = (Vec::new(), Vec::new());
        for waiting in std::mem::take(&mut queue.waiting) {
            if group.len() < MAX_STEPS && names.insert(waiting.step.name().clone()) {
                group.push(waiting);
            } else {
                left.push(waiting);
            }
        }
        queue.waiting = left;
        queue.is_committing = !group.is_empty();
        // Rows are locked by name, and a step of one kind has its writes in one order.
        group.sort_by(|one, other| one.step.name().cmp(other.step.name()));
        group
    }
}

impl Store {
    /// Commits a step, in a group where that is possible.
    pub(crate) async fn commit_any(&self, step: AnyStep) -> Answer {
        let pool = match &self.pools {
            Pools::Postgres(pool) if !step.locks_buckets() => pool,
            // On the heap: the future is large.
            _ => return Box::pin(self.commit_alone(&step)).await,
        };
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.groups.queue();
            queue.waiting.push(Waiting { step, answer, span: Span::current() });
            !std::mem::replace(&mut queue.is_committing, true)
        };
        if is_first {
            let store = Arc::new(self.on_same_pool(pool.clone()));
            tokio::spawn(store.commit_groups());
        }
        answered.await.unwrap_or_else(|_| Err(failed("commit")(sqlx::Error::WorkerCrashed).into()))
    }

    /// Commits groups until no step waits.
    async fn commit_groups(self: Arc<Self>) {
        loop {
            let group = self.groups.next();
            if group.is_empty() {
                return;
            }
            // In a task of its own: whatever happens to it, the next group is committed.
            let _ = tokio::spawn(self.clone().commit_group(group)).await;
        }
    }

    async fn commit_group(self: Arc<Self>, group: Vec<Waiting>) {
        let (tx, written, outcomes) = match self.write_group(&group).await {
            Ok(written) => written,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the steps of a group go one by one"
                );
                for waiting in group {
                    self.go_alone(waiting);
                }
                return;
            }
        };
        let committed = tx.commit_written(written).await;
        let failure = committed.err().map(GroupError::of);
        for (waiting, outcome) in group.into_iter().zip(outcomes) {
            let answer = match (outcome, &failure) {
                (Outcome::Alone, _) => {
                    self.go_alone(waiting);
                    continue;
                }
                (Outcome::Changed(fresh), _) => Err(Refusal::Changed(fresh)),
                (Outcome::Written(_), Some(failure)) => Err(failure.clone().told().into()),
                (Outcome::Written(domain), None) => Ok(domain.map(|domain| *domain)),
            };
            // A caller that was dropped finds the outcome in the rows.
            let _ = waiting.answer.send(answer);
        }
    }

    /// Writes all steps of a group, up to the COMMIT.
    async fn write_group(&self, group: &[Waiting]) -> Result<(Tx, Written, Vec<Outcome>)> {
        // A single step's writes are one statement, whatever they are.
        let batch = if group.len() == 1 { Batch::new(false) } else { Batch::of_group() };
        let mut tx = self.begin_with("group", batch).await?;
        let fenced = group.iter().filter(|waiting| waiting.step.step().is_some());
        let leases: Vec<&Lease> = fenced.map(|waiting| waiting.step.lease()).collect();
        let domains = tx.fence_all(&leases).await?;
        let mut domains: BTreeMap<_, _> =
            domains.into_iter().map(|domain| (domain.name.clone(), domain)).collect();
        let mut outcomes = Vec::with_capacity(group.len());
        for Waiting { step, span, .. } in group {
            let fresh = domains.remove(step.name());
            outcomes.push(tx.write_member(step, fresh).instrument(span.clone()).await?);
        }
        let written = tx.write_all().await?;
        Ok((tx, written, outcomes))
    }

    fn go_alone(self: &Arc<Self>, waiting: Waiting) {
        let store = self.clone();
        let Waiting { step, answer, span } = waiting;
        let alone = async move {
            let _ = answer.send(Box::pin(store.commit_alone(&step)).await);
        };
        tokio::spawn(alone.instrument(span));
    }

    /// Commits a step in a transaction of its own.
    async fn commit_alone(&self, step: &AnyStep) -> Answer {
        let mut tx = self.begin(step.step().map_or("work_ended", |step| step.name)).await?;
        let stored = match step.step() {
            None => Ok(None),
            Some(step) => tx.take(step).await.map(Some),
        };
        // Without room only the place in the queue is kept.
        if let (Err(Refusal::NoRoom(_)), AnyStep::Keeps(_)) = (&stored, step) {
            tx.commit().await?;
            return stored;
        }
        let stored = stored?;
        tx.end_of(step).await?;
        tx.commit().await?;
        Ok(stored)
    }
}

impl Tx {
    /// Writes a step of a group whose rows are locked if `fresh` is there.
    async fn write_member(&mut self, step: &AnyStep, fresh: Option<Domain>) -> Result<Outcome> {
        self.next_step();
        let mut stored = None;
        if let Some(step) = step.step() {
            let Some(fresh) = fresh else { return Ok(Outcome::Alone) };
            if fresh.version != step.before.version {
                return Ok(Outcome::Changed(Box::new(fresh)));
            }
            let domain = self.write_step(step, fresh).await.map_err(StoreError::from)?;
            stored = Some(Box::new(domain));
        }
        self.end_of(step).await?;
        Ok(Outcome::Written(stored))
    }

    /// Ends the lease of a step that ends it.
    async fn end_of(&mut self, step: &AnyStep) -> Result<()> {
        match step {
            AnyStep::Keeps(_) => Ok(()),
            AnyStep::Ends(last) => self.finish_paused(&last.lease, last.next.as_ref(), last.paused_for).await,
        }
    }
}
