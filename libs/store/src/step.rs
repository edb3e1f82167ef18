//! A step of a piece of work as a value: the decision of the lease holder, and what happens to the lease.
//!
//! Steps are made by pure functions from data that a role holds in memory and has just learnt, so each decision can
//! be read and tested without a database. [`Store::commit`] and [`Store::end`] write a step completely or not at all.
//! A [`Step`] keeps the lease, a [`LastStep`] ends it, and only the latter returns a [`Finished`]: code that drops
//! work without deciding about its row does not compile.
//!
//! A step is valid only under its lease (token and revision). If the domain changed since it was read, the refusal
//! carries the fresh row, and the same function decides again from that row and the same learnt facts; no outside
//! call is repeated ([`Store::decide`]). Why not decide within the open transaction: see ADR 0021.

mod order;

use domain::budget::{Charge, Wait};
use domain::{Cause, CertificateId, Domain, EventKind, Lease, Outbound, Work, WorkKind};

pub use self::order::{LedgerOf, OrderWrite};
use crate::group::AnyStep;
use crate::{Counted, Entry, Renewal, Result, Store, StoreError, Tx};

/// Maximum number of decisions for one step; after that the domain counts as too busy.
const MAX_DECISIONS: u32 = 20;

/// A write of a step, beside the domain and the lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A certificate is active at C4; only the first time is stored.
    Uploaded(CertificateId),
    /// The number of edges that were asked for a certificate and all serve it.
    ServedByEdges(CertificateId, u32),
    /// Stores a work row, replacing an existing one.
    Schedule(Work),
    /// Stores a work row, unless the name has one of that kind.
    ScheduleIfNone(Work),
    /// Stores a work row that is due now, unless a worker holds a lease on the name's work of that kind. A worker
    /// that only asks the CA when to renew loses its lease, because it would write a later time.
    ScheduleIfFree(Work),
    /// Deletes the name's work row of that kind.
    Cancel(WorkKind),
    /// Makes the name's work of that kind due now, if there is any.
    DueNow(WorkKind),
    /// Publishes an event about the lease's name and revision.
    Publish(EventKind),
    /// A write about an order.
    Order(OrderWrite),
    /// Stores when a certificate is renewed.
    SetRenewal(CertificateId, Renewal),
    /// Adds one to this day's count.
    CountDay(Counted),
    /// Stores the outcome of the daily recheck, if the domain is waiting for one.
    DecideMidnight,
}

/// A step under a lease.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name for metrics and errors.
    pub name: &'static str,
    /// The lease under which the step is committed.
    pub lease: Lease,
    /// The domain as read.
    pub before: Domain,
    /// The domain to store.
    pub after: Domain,
    /// The history entry.
    pub entry: Option<Entry<'static>>,
    /// The amount charged to a CA's limits. If there is no room for it, nothing else is written.
    pub charge: Option<Charge>,
    /// Further writes, in order.
    pub writes: Vec<Write>,
}

/// A step that ends its lease.
#[derive(Clone, Debug)]
pub struct LastStep {
    /// Written together with the end of the lease; none if the domain does not change.
    pub step: Option<Step>,
    /// The lease to end.
    pub lease: Lease,
    /// The next work row; none deletes the row.
    pub next: Option<Work>,
    /// The system whose pause the next work waits for.
    pub paused_for: Option<Outbound>,
}

/// Proof that a lease was ended in its row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {}

/// Why a step was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The domain changed since it was read; this is its present row.
    #[error("{} changed meanwhile", .0.name)]
    Changed(Box<Domain>),
    /// The CA's limits have no room for the charge. Only the place in the queue was written.
    #[error("no room in the CA's limits before {}", .0.until)]
    NoRoom(Wait),
    /// The store refused the step: the lease is lost, or the database failed. If the answer to the COMMIT was lost,
    /// the outcome is unknown and the rows decide.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Changed(_) | Refusal::NoRoom(_) => Self::Conflict { operation: "step" },
            Refusal::Store(error) => error,
        }
    }
}

impl Step {
    /// A step that changes nothing yet.
    pub fn new(name: &'static str, lease: &Lease, domain: &Domain) -> Self {
        let (before, after) = (domain.clone(), domain.clone());
        Self { name, lease: lease.clone(), before, after, entry: None, charge: None, writes: Vec::new() }
    }

    /// Sets the domain to store.
    #[must_use]
    pub fn becomes(self, after: Domain) -> Self {
        Self { after, ..self }
    }

    /// Sets the history entry.
    #[must_use]
    pub fn told(self, entry: Option<Entry<'static>>) -> Self {
        Self { entry, ..self }
    }

    /// Sets the charge to a CA's limits.
    #[must_use]
    pub fn charged(self, charge: Charge) -> Self {
        Self { charge: Some(charge), ..self }
    }

    /// Adds a write.
    #[must_use]
    pub fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Ends the lease and deletes the work row.
    #[must_use]
    pub fn done(self) -> LastStep {
        LastStep { lease: self.lease.clone(), step: Some(self), next: None, paused_for: None }
    }

    /// Ends the lease; the work row becomes `next`.
    #[must_use]
    pub fn then(self, next: Work) -> LastStep {
        LastStep { lease: self.lease.clone(), step: Some(self), next: Some(next), paused_for: None }
    }
}

impl LastStep {
    /// The work is obsolete: deletes its row and leaves the domain unchanged.
    #[must_use]
    pub fn dropped(lease: &Lease) -> Self {
        Self { step: None, lease: lease.clone(), next: None, paused_for: None }
    }

    /// The work is due again as `next`; leaves the domain unchanged.
    #[must_use]
    pub fn postponed(lease: &Lease, next: Work) -> Self {
        Self { step: None, lease: lease.clone(), next: Some(next), paused_for: None }
    }

    /// The next work waits until no pause of that system is left, or until its due time, whichever is sooner.
    #[must_use]
    pub fn paused_for(self, target: Outbound) -> Self {
        Self { paused_for: Some(target), ..self }
    }
}

/// The result of a deciding function, and what committing it returns.
pub trait Decision {
    /// Returned by the commit.
    type Committed;

    /// Commits the decision.
    fn commit(
        self,
        store: &Store,
    ) -> impl Future<Output = std::result::Result<Self::Committed, Refusal>> + Send;
}

impl Decision for Step {
    type Committed = Domain;

    async fn commit(self, store: &Store) -> std::result::Result<Domain, Refusal> {
        store.commit(&self).await
    }
}

impl Decision for LastStep {
    type Committed = Finished;

    async fn commit(self, store: &Store) -> std::result::Result<Finished, Refusal> {
        store.end(&self).await
    }
}

impl Store {
    /// Commits a step that keeps its lease; returns the domain as stored.
    pub async fn commit(&self, step: &Step) -> std::result::Result<Domain, Refusal> {
        let stored = self.commit_any(AnyStep::Keeps(Box::new(step.clone()))).await?;
        stored.ok_or_else(|| StoreError::Conflict { operation: "step" }.into())
    }

    /// Commits a step that ends its lease.
    pub async fn end(&self, last: &LastStep) -> std::result::Result<Finished, Refusal> {
        self.commit_any(AnyStep::Ends(Box::new(last.clone()))).await?;
        Ok(Finished {})
    }

    /// Commits the decision that `decide` makes about the domain. If the domain changed meanwhile, decides again from
    /// the fresh row.
    pub async fn decide<D: Decision, E: From<StoreError>>(
        &self,
        domain: Domain,
        decide: impl Fn(&Domain) -> std::result::Result<D, E>,
    ) -> std::result::Result<D::Committed, E> {
        let committed = self.decide_charged(domain, decide).await?;
        committed.map_err(|wait| StoreError::from(Refusal::NoRoom(wait)).into())
    }

    /// Like [`Self::decide`], for a step with a charge; also returns what the charge waits for if there is no room.
    pub async fn decide_charged<D: Decision, E: From<StoreError>>(
        &self,
        mut domain: Domain,
        decide: impl Fn(&Domain) -> std::result::Result<D, E>,
    ) -> std::result::Result<std::result::Result<D::Committed, Wait>, E> {
        for _ in 0..MAX_DECISIONS {
            // On the heap: the future of a commit is large, and every step of every role holds one.
            match Box::pin(decide(&domain)?.commit(self)).await {
                Ok(committed) => return Ok(Ok(committed)),
                Err(Refusal::Changed(fresh)) => domain = *fresh,
                Err(Refusal::NoRoom(wait)) => return Ok(Err(wait)),
                Err(Refusal::Store(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict { operation: "decide" }.into())
    }
}

impl Tx {
    /// Ends a lease and commits: the work row becomes `next`, or is deleted. [`StoreError::LeaseLost`] if the lease
    /// is lost; then nothing is committed.
    pub async fn end(self, lease: &Lease, next: Option<&Work>) -> Result<Finished> {
        self.end_paused(lease, next, None).await
    }

    /// Like [`Self::end`]; the next work waits until no pause of `paused_for` is left, or until its due time.
    pub async fn end_paused(
        mut self,
        lease: &Lease,
        next: Option<&Work>,
        paused_for: Option<Outbound>,
    ) -> Result<Finished> {
        self.finish_paused(lease, next, paused_for).await?;
        self.commit().await?;
        Ok(Finished {})
    }

    /// Writes a step if its lease is held and its domain is as it was read.
    pub(crate) async fn take(&mut self, step: &Step) -> std::result::Result<Domain, Refusal> {
        let fresh = self.fence(&step.lease).await?;
        if fresh.version != step.before.version {
            return Err(Refusal::Changed(Box::new(fresh)));
        }
        self.write_step(step, fresh).await
    }

    /// Writes a step whose rows are locked; returns the domain as stored.
    pub(crate) async fn write_step(
        &mut self,
        step: &Step,
        fresh: Domain,
    ) -> std::result::Result<Domain, Refusal> {
        let mut reserved = None;
        if let Some(charge) = &step.charge {
            let buckets = self.charge(charge, self.now()).await?.map_err(Refusal::NoRoom)?;
            reserved = Some((charge.order, buckets));
        }
        let mut stored = fresh;
        let is_dated = step.entry.is_some() && step.after.status(self.now()) != step.before.recorded;
        if step.after != step.before || is_dated {
            self.apply(Some(&step.before), &step.after, step.entry.clone()).await?;
            stored = step.after.clone().as_stored(self.now());
        } else if let Some(entry) = step.entry.clone() {
            self.record(Some(&step.before), &step.after, Some(entry));
        }
        for write in &step.writes {
            self.put(step, write).await?;
        }
        if let Some((order, buckets)) = reserved {
            self.reserve(order, &buckets).await?;
        }
        Ok(stored)
    }

    async fn put(&mut self, step: &Step, write: &Write) -> Result<()> {
        let work = &step.lease.work;
        match write {
            Write::Uploaded(certificate) => self.mark_uploaded(*certificate).await,
            Write::ServedByEdges(certificate, edges) => self.set_edges(*certificate, *edges).await,
            Write::Schedule(work) => self.schedule(work).await,
            Write::ScheduleIfNone(work) => self.schedule_if_none(work).await,
            Write::ScheduleIfFree(due) => {
                let is_leased = self.is_leased(&due.name, due.kind).await?;
                let held = if is_leased { self.work(&due.name, due.kind).await? } else { None };
                if held.is_none_or(|held| held.cause == Cause::RenewalInfo) {
                    self.schedule(due).await?;
                    self.hint(due);
                }
                Ok(())
            }
            Write::Cancel(kind) => self.cancel(&work.name, *kind).await,
            Write::DueNow(kind) => {
                if let Some(waiting) = self.work(&work.name, *kind).await? {
                    let due = Work { due_at: Some(self.now()), ..waiting };
                    self.schedule(&due).await?;
                    self.hint(&due);
                }
                Ok(())
            }
            Write::Publish(kind) => {
                self.publish(kind.clone(), &work.name, work.revision);
                Ok(())
            }
            Write::Order(write) => self.put_of_order(&work.name, write).await,
            Write::SetRenewal(certificate, renewal) => self.set_renewal(*certificate, *renewal).await,
            Write::CountDay(counted) => {
                self.count_day(*counted, self.now());
                Ok(())
            }
            Write::DecideMidnight => self.decide_midnight(&step.after).await,
        }
    }
}
