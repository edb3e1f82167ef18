//! A step of a piece of work as a value: what the holder of a lease decided, and what becomes of the lease.
//!
//! Steps are made by plain functions from what a role holds in memory and has just learnt, so each decision can be read
//! and tested without a database. [`Store::commit`] and [`Store::end`] write them; either all of a step is written, or
//! none of it. A [`Step`] keeps the lease, a [`LastStep`] ends it, and only that makes a [`Finished`]: work that is given
//! up without a word about its row does not compile.
//!
//! A step counts only under its lease (token and revision), whatever else changed. Where the domain is not as it was read,
//! the answer has the fresh row, and the same function decides again from that and from the same learnt facts; no outside
//! call is repeated ([`Store::decide`]). Why not decide within the open transaction: see ADR 0021.

mod order;

use domain::budget::{Charge, Wait};
use domain::{Cause, CertificateId, Domain, EventKind, Lease, Outbound, Work, WorkKind};

pub use self::order::{LedgerOf, OrderWrite};
use crate::{Counted, Entry, Renewal, Result, Store, StoreError, Tx};

/// How often a step is decided again before its domain counts as too busy.
const MAX_DECISIONS: u32 = 20;

/// What a step writes beside the domain and the lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A certificate is active at C4; the first time counts.
    Uploaded(CertificateId),
    /// So many edges were asked for a certificate, and all of them serve it.
    ServedByEdges(CertificateId, u32),
    /// A work row, whatever it was before.
    Schedule(Work),
    /// A work row, unless the name has one of that kind.
    ScheduleIfNone(Work),
    /// A work row that is due now, unless a worker holds the name's work of that kind; one that only asks when to renew loses
    /// it, because what it would write is a later time.
    ScheduleIfFree(Work),
    /// The name's work of that kind goes.
    Cancel(WorkKind),
    /// The name's work of that kind, if there is any, is due now.
    DueNow(WorkKind),
    /// An event about the lease's name and revision.
    Publish(EventKind),
    /// What an order writes.
    Order(OrderWrite),
    /// When a certificate is renewed.
    SetRenewal(CertificateId, Renewal),
    /// One more on this day.
    CountDay(Counted),
    /// The outcome of the daily recheck, if the domain's waits for one.
    DecideMidnight,
}

/// A step under a lease.
#[derive(Clone, Debug)]
pub struct Step {
    /// What stands in metrics and errors.
    pub name: &'static str,
    /// The lease that it is taken under.
    pub lease: Lease,
    /// The domain as it was read.
    pub before: Domain,
    /// The domain as it shall be.
    pub after: Domain,
    /// The history's line about it.
    pub entry: Option<Entry<'static>>,
    /// What it spends of a CA's limits. Where there is no room for that, nothing else is written.
    pub charge: Option<Charge>,
    /// What else is written, in order.
    pub writes: Vec<Write>,
}

/// A step that ends its lease.
#[derive(Clone, Debug)]
pub struct LastStep {
    /// What is written with the end; none if there is nothing to say of the domain.
    pub step: Option<Step>,
    /// The lease that ends.
    pub lease: Lease,
    /// What the work row becomes; none: it goes.
    pub next: Option<Work>,
    /// The system whose pause the next work waits for.
    pub paused_for: Option<Outbound>,
}

/// The proof that a lease was ended in its row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {}

/// Why a step was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The domain is not as it was read; this is how it is now.
    #[error("{} changed meanwhile", .0.name)]
    Changed(Box<Domain>),
    /// The CA's limits leave no room for its charge. Nothing was written but the place in the line.
    #[error("no room in the CA's limits before {}", .0.until)]
    NoRoom(Wait),
    /// The store did not take it: the lease is lost, or the database failed. After a lost answer to the COMMIT nobody
    /// knows, and the rows decide.
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

    /// The domain becomes this.
    #[must_use]
    pub fn becomes(self, after: Domain) -> Self {
        Self { after, ..self }
    }

    /// The history says this of it.
    #[must_use]
    pub fn told(self, entry: Option<Entry<'static>>) -> Self {
        Self { entry, ..self }
    }

    /// It spends this of a CA's limits.
    #[must_use]
    pub fn charged(self, charge: Charge) -> Self {
        Self { charge: Some(charge), ..self }
    }

    /// This is written, too.
    #[must_use]
    pub fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// It ends the lease; the work row goes.
    #[must_use]
    pub fn done(self) -> LastStep {
        LastStep { lease: self.lease.clone(), step: Some(self), next: None, paused_for: None }
    }

    /// It ends the lease; the work row becomes `next`.
    #[must_use]
    pub fn then(self, next: Work) -> LastStep {
        LastStep { lease: self.lease.clone(), step: Some(self), next: Some(next), paused_for: None }
    }
}

impl LastStep {
    /// The work is of no use any more: its row goes, and nothing is said of the domain.
    #[must_use]
    pub fn dropped(lease: &Lease) -> Self {
        Self { step: None, lease: lease.clone(), next: None, paused_for: None }
    }

    /// The work is due again as `next`, and nothing is said of the domain.
    #[must_use]
    pub fn postponed(lease: &Lease, next: Work) -> Self {
        Self { step: None, lease: lease.clone(), next: Some(next), paused_for: None }
    }

    /// The next work waits until no pause of that system is left, or for its time, whichever is sooner.
    #[must_use]
    pub fn paused_for(self, target: Outbound) -> Self {
        Self { paused_for: Some(target), ..self }
    }
}

/// What a function that decides makes, and what committing that gives.
pub trait Decision {
    /// What is there once it is committed.
    type Committed;

    /// Writes it.
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
    /// Commits a step that keeps its lease; returns the domain as it is stored now.
    pub async fn commit(&self, step: &Step) -> std::result::Result<Domain, Refusal> {
        let mut tx = self.begin(step.name).await?;
        match tx.take(step).await {
            // Of what has no room, the place in the line stays.
            Err(refusal @ Refusal::NoRoom(_)) => {
                tx.commit().await?;
                Err(refusal)
            }
            taken => {
                let stored = taken?;
                tx.commit().await?;
                Ok(stored)
            }
        }
    }

    /// Commits a step that ends its lease.
    pub async fn end(&self, last: &LastStep) -> std::result::Result<Finished, Refusal> {
        let mut tx = self.begin(last.step.as_ref().map_or("work_ended", |step| step.name)).await?;
        if let Some(step) = &last.step {
            tx.take(step).await?;
        }
        Ok(tx.end_paused(&last.lease, last.next.as_ref(), last.paused_for).await?)
    }

    /// Commits what `decide` makes of the domain. Where that changed meanwhile it decides again, from the fresh row.
    pub async fn decide<D: Decision, E: From<StoreError>>(
        &self,
        domain: Domain,
        decide: impl Fn(&Domain) -> std::result::Result<D, E>,
    ) -> std::result::Result<D::Committed, E> {
        let committed = self.decide_charged(domain, decide).await?;
        committed.map_err(|wait| StoreError::from(Refusal::NoRoom(wait)).into())
    }

    /// What [`Self::decide`] does, for a step with a charge; also returns what that waits for, if there is no room.
    pub async fn decide_charged<D: Decision, E: From<StoreError>>(
        &self,
        mut domain: Domain,
        decide: impl Fn(&Domain) -> std::result::Result<D, E>,
    ) -> std::result::Result<std::result::Result<D::Committed, Wait>, E> {
        for _ in 0..MAX_DECISIONS {
            // On the heap: a commit is large, and every step of every role holds one.
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
    /// Ends a lease and commits: the work row becomes `next`, or goes. [`StoreError::LeaseLost`] if it is not ours any
    /// more; then nothing is committed.
    pub async fn end(self, lease: &Lease, next: Option<&Work>) -> Result<Finished> {
        self.end_paused(lease, next, None).await
    }

    /// What [`Self::end`] does; the next work waits until no pause of `paused_for` is left, or for its time.
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

    async fn take(&mut self, step: &Step) -> std::result::Result<Domain, Refusal> {
        let fresh = self.fence(&step.lease).await?;
        if fresh.version != step.before.version {
            return Err(Refusal::Changed(Box::new(fresh)));
        }
        let mut reserved = None;
        if let Some(charge) = &step.charge {
            let buckets = self.charge(charge, self.now()).await?.map_err(Refusal::NoRoom)?;
            reserved = Some((charge.order, buckets));
        }
        let mut stored = fresh;
        let is_dated = step.entry.is_some() && step.after.status(self.now()) != step.before.recorded;
        if step.after != step.before || is_dated {
            self.apply(Some(&step.before), &step.after, step.entry.clone()).await?;
            let recorded = step.after.status(self.now());
            stored = Domain { recorded, version: step.before.version + 1, ..step.after.clone() };
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
