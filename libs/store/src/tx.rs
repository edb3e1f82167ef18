//! A transaction, and the one way in which a domain's row changes: row, history and hint together.
//!
//! What it reads stays as it is until it ends: on SQLite it has the one writing connection until then (and shares a commit
//! with those who wait for it), on PostgreSQL it locks what it reads. What
//! it appends and never reads (history, audit log, events, figures per day) is kept until the commit and then written
//! by one statement per table, so that a batch of names costs as many statements for it as one name does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{
    Clock, Domain, DomainName, Entropy, Event, EventId, EventKind, HistoryEntry, HistoryKind, Work,
};
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};
use tokio::sync::watch;

use crate::dialect::Member;
use crate::messages::Sent;
use crate::sql::{Db, failed, within};
use crate::{AuditEntry, Counted, Pools, Result, Store, messages};

/// A transaction that kept its locks longer than this is worth a line.
const SLOW: Duration = Duration::from_millis(200);

/// An open transaction. Dropping it rolls back.
pub struct Tx {
    name: &'static str,
    began: Instant,
    open: Open,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    published: watch::Sender<u64>,
    appended: Appended,
}

enum Open {
    Sqlite(Member),
    Postgres(Transaction<'static, Postgres>),
}

#[derive(Default)]
struct Appended {
    history: Vec<HistoryEntry>,
    audit: Vec<AuditEntry>,
    events: Vec<Sent>,
    counted: Vec<(Counted, Timestamp)>,
}

/// The history's line about a transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// What happened.
    pub kind: HistoryKind,
    /// Who did it.
    pub actor: &'a str,
    /// A sentence for people.
    pub message: String,
    /// The certificate it is about.
    pub certificate_sha256: Option<String>,
}

impl<'a> Entry<'a> {
    /// A line that is about no certificate.
    pub fn new(kind: HistoryKind, actor: &'a str, message: impl Into<String>) -> Self {
        Self { kind, actor, message: message.into(), certificate_sha256: None }
    }
}

impl Store {
    /// Opens a transaction that may write. `name` stands in metrics and errors.
    pub async fn begin(&self, name: &'static str) -> Result<Tx> {
        let open = match &self.pools {
            Pools::Sqlite { writer, .. } => Open::Sqlite(writer.begin(name).await?),
            Pools::Postgres(pool) => {
                Open::Postgres(within(async { pool.begin().await.map_err(failed(name)) }).await?)
            }
        };
        Ok(Tx {
            name,
            began: Instant::now(),
            open,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            published: self.published.clone(),
            appended: Appended::default(),
        })
    }
}

impl Tx {
    pub(crate) fn db(&mut self) -> Db<'_> {
        match &mut self.open {
            Open::Sqlite(open) => open.db(),
            Open::Postgres(open) => Db::Postgres(open),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stores `after` in place of `before` (none: a name that was never here), adds `entry` to the history if there is
    /// one, and publishes `status-changed` if the status did. [`crate::StoreError::Conflict`] if the row is not `before`
    /// any more.
    pub async fn apply(
        &mut self,
        before: Option<&Domain>,
        after: &Domain,
        entry: Option<Entry<'_>>,
    ) -> Result<()> {
        match before {
            None => self.insert_domain(after).await?,
            Some(_) => self.update_domain(after).await?,
        }
        self.record(before, after, entry);
        Ok(())
    }

    /// What [`Self::apply`] does beside storing the row.
    pub fn record(&mut self, before: Option<&Domain>, after: &Domain, entry: Option<Entry<'_>>) {
        let now = self.now();
        // A deleted name has no status any more: its next life begins with a first entry.
        let status_from = before.filter(|domain| domain.deleted_at.is_none()).map(|domain| domain.recorded);
        let status_to = after.status(now);
        if let Some(entry) = entry {
            self.append_history(HistoryEntry {
                name: after.name.clone(),
                at: now,
                kind: entry.kind,
                actor: entry.actor.to_owned(),
                status_from,
                status_to,
                message: entry.message,
                certificate_sha256: entry.certificate_sha256,
            });
        }
        if status_from != Some(status_to) || after.deleted_at.is_some() {
            self.publish(EventKind::StatusChanged, &after.name, after.revision);
        }
    }

    /// Publishes an event with this transaction and returns it: it is sent if, and only if, the transaction commits.
    /// The kinds that make a worker claim also count as the hint about that work, so that the sweep does not give it
    /// again at once.
    pub fn publish(&mut self, kind: EventKind, name: &DomainName, revision: i64) -> Event {
        let id = EventId::new(&*self.clock, &*self.entropy);
        let event = Event { id, kind, name: name.clone(), revision };
        let at = self.now();
        let trace_parent = crate::trace_parent();
        self.appended.events.push(Sent { event: event.clone(), at, trace_parent });
        event
    }

    /// Publishes the event that makes a worker claim that work.
    pub fn hint(&mut self, work: &Work) {
        let Some(kind) = work.event() else {
            tracing::error!(domain = %work.name, "an upload without a certificate cannot be done");
            return;
        };
        self.publish(kind, &work.name, work.revision);
    }

    /// Adds a line to the history.
    pub fn append_history(&mut self, entry: HistoryEntry) {
        self.appended.history.push(entry);
    }

    /// Appends a line to the audit log.
    pub fn append_audit(&mut self, entry: AuditEntry) {
        self.appended.audit.push(entry);
    }

    /// Counts one more on the day of `at`.
    pub fn count_day(&mut self, counted: Counted, at: Timestamp) {
        self.appended.counted.push((counted, at));
    }

    /// Commits the transaction.
    pub async fn commit(mut self) -> Result<()> {
        let appended = std::mem::take(&mut self.appended);
        let mut db = self.db();
        db.insert("append_history", &appended.history, &[], "").await?;
        db.insert("append_audit", &appended.audit, &[], "").await?;
        for (counted, at) in appended.counted {
            crate::figures::count_on_day_of(&mut db, counted, at).await?;
        }
        messages::publish(&mut db, &appended.events).await?;
        match self.open {
            Open::Sqlite(open) => open.commit().await?,
            Open::Postgres(open) => within(async { open.commit().await.map_err(failed("commit")) }).await?,
        }
        if !appended.events.is_empty() {
            self.published.send_modify(|count| *count += 1);
        }
        let took = self.began.elapsed();
        if took > SLOW {
            tracing::debug!(
                transaction = self.name,
                duration_ms = took.as_millis() as u64,
                "slow transaction"
            );
        }
        Ok(())
    }
}
