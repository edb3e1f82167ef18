//! Transactions, and the only way to change a domain's row: row, history and hint together.
//!
//! Rows that a transaction has read stay unchanged until it ends: on SQLite it holds the only write connection (and
//! shares a commit with the transactions queued behind it), on PostgreSQL it locks the rows it reads. Writes are sent
//! to the database with the next read or the commit (`batch.rs`), and a condition that is not met is reported there.
//! Rows that are only appended (history, audit log, events, figures per day) are written by the commit with one
//! statement per table, so a batch of names costs as many statements as one name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::{
    Clock, Delivery, Domain, DomainName, Entropy, Event, EventId, EventKind, HistoryEntry, HistoryKind,
    Status, Work,
};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{Postgres, Transaction};
use tokio::sync::{broadcast, watch};

use crate::batch::{Batch, Keeping};
use crate::dialect::{Member, begin};
use crate::messages::{Published, Sent};
use crate::record::Record;
use crate::sql::{Db, Statement, failed, insertion, within};
use crate::{AuditEntry, Counted, Notice, Pools, Result, Store, messages};

/// Transactions that hold their locks longer than this are logged.
const SLOW: Duration = Duration::from_millis(200);

/// Maximum number of rows of one kind that are sent to SQLite together with other writes.
const MAX_KEPT_ROWS: usize = 4;

/// An open transaction. Dropping it rolls back.
pub struct Tx {
    name: &'static str,
    began: Instant,
    open: Open,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    published: watch::Sender<Published>,
    broadcasts: Option<broadcast::Sender<Event>>,
    appended: Appended,
    batch: Batch,
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
    notices: Vec<Notice>,
    counted: Vec<(Counted, Timestamp)>,
}

/// The events of a transaction that is written but not committed.
pub(crate) struct Written {
    broadcasts: Vec<Sent>,
    events: Vec<Sent>,
}

/// How often each figure was counted on each day (UTC).
fn per_day(counted: &[(Counted, Timestamp)]) -> BTreeMap<(&'static str, Date), usize> {
    let mut times = BTreeMap::new();
    for (counted, at) in counted {
        *times.entry((counted.as_str(), at.to_zoned(TimeZone::UTC).date())).or_default() += 1;
    }
    times
}

/// The history entry of a transition.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// What happened.
    pub kind: HistoryKind,
    /// The principal or role that did it.
    pub actor: &'a str,
    /// A sentence for staff.
    pub message: String,
    /// The certificate that the entry is about.
    pub certificate_sha256: Option<String>,
}

impl<'a> Entry<'a> {
    /// An entry that is not about a certificate.
    pub fn new(kind: HistoryKind, actor: &'a str, message: impl Into<String>) -> Self {
        Self { kind, actor, message: message.into(), certificate_sha256: None }
    }
}

impl Store {
    /// Opens a transaction that may write. `name` is used in metrics and errors.
    pub async fn begin(&self, name: &'static str) -> Result<Tx> {
        let batch = Batch::new(matches!(&self.pools, Pools::Sqlite { .. }));
        self.begin_with(name, batch).await
    }

    /// Opens a transaction for the writes of `batch`.
    pub(crate) async fn begin_with(&self, name: &'static str, batch: Batch) -> Result<Tx> {
        let open = match &self.pools {
            Pools::Sqlite { writer, file, .. } => {
                file.check()?;
                Open::Sqlite(writer.begin(name).await?)
            }
            Pools::Postgres(pool) => Open::Postgres(begin(pool, name).await?),
        };
        Ok(Tx {
            name,
            began: Instant::now(),
            open,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            published: self.published.clone(),
            broadcasts: self.are_heard.load(Ordering::Relaxed).then(|| self.broadcasts.clone()),
            appended: Appended::default(),
            batch,
        })
    }
}

impl Open {
    fn db(&mut self) -> Db<'_> {
        match self {
            Self::Sqlite(open) => open.db(),
            Self::Postgres(open) => Db::Postgres(open),
        }
    }
}

impl Tx {
    /// Returns the connection, after sending all pending writes.
    pub(crate) async fn db(&mut self) -> Result<Db<'_>> {
        self.batch.send(self.open.db()).await?;
        Ok(self.open.db())
    }

    /// Starts a write that is sent together with others. `part` is the part of the table that it changes, so that
    /// other parts can be written in the same batch; empty for the whole table.
    pub(crate) async fn write(
        &mut self,
        operation: &'static str,
        part: &str,
        text: &str,
    ) -> Result<Statement<Keeping<'_>>> {
        if !self.batch.takes(operation, part, text) {
            self.batch.send(self.open.db()).await?;
        }
        Ok(self.batch.write(operation, part, text))
    }

    /// Like [`Db::insert`], but sent together with other writes if there are few rows.
    pub(crate) async fn insert<R: Record>(
        &mut self,
        operation: &'static str,
        part: &str,
        records: &[R],
        with: &[(&str, &str)],
        rest: &str,
    ) -> Result<()> {
        let text = insertion::<R>(self.is_sqlite(), with, rest);
        if !self.is_sqlite() && !records.is_empty() {
            self.write(operation, part, &text).await?.bind_records(records).keep();
        } else if records.len() > MAX_KEPT_ROWS {
            self.db().await?.insert(operation, records, with, rest).await?;
        } else {
            for record in records {
                self.write(operation, part, &text).await?.bind_record(record).keep();
            }
        }
        Ok(())
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.batch.is_sqlite()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stores `after` in place of `before` (none: a name without a row), adds `entry` to the history if there is one,
    /// and publishes `status-changed` if the status changed. [`crate::StoreError::Conflict`] if the row is no longer
    /// `before`.
    pub async fn apply(
        &mut self,
        before: Option<&Domain>,
        after: &Domain,
        entry: Option<Entry<'_>>,
    ) -> Result<()> {
        match before {
            None => self.insert_domain(after).await?,
            Some(before) => {
                self.update_domain(after).await?;
                let is_mended =
                    before.recorded != Status::Success && after.status(self.now()) == Status::Success;
                if is_mended || after.deleted_at.is_some() {
                    self.decide_midnight(after).await?;
                }
            }
        }
        self.record(before, after, entry);
        Ok(())
    }

    /// Does everything that [`Self::apply`] does except storing the row.
    pub fn record(&mut self, before: Option<&Domain>, after: &Domain, entry: Option<Entry<'_>>) {
        let now = self.now();
        // A deleted name has no status: when it is added again, its history starts with a first entry.
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
        for noticed in domain::noticed(before, after, now) {
            let id = EventId::new(&*self.clock, &*self.entropy);
            self.append_notice(Notice::of(noticed, id, after, now));
        }
    }

    /// Stores a notice, unless one of the same kind, subject and mark exists.
    pub fn append_notice(&mut self, notice: Notice) {
        self.appended.notices.push(notice);
    }

    /// Publishes an event with this transaction and returns it; it is sent if, and only if, the transaction commits.
    /// Event kinds that make a worker claim work also count as the hint for that work, so the sweep does not hint
    /// again at once.
    pub fn publish(&mut self, kind: EventKind, name: &DomainName, revision: i64) -> Event {
        let id = EventId::new(&*self.clock, &*self.entropy);
        let event = Event { id, kind, name: name.clone(), revision };
        let at = self.now();
        let trace_parent = crate::trace_parent();
        self.appended.events.push(Sent { event: event.clone(), at, trace_parent });
        event
    }

    /// Publishes the event that makes a worker claim `work`.
    pub fn hint(&mut self, work: &Work) {
        let Some(kind) = work.event() else {
            tracing::error!(domain = %work.name, "an upload without a certificate cannot be done");
            return;
        };
        self.publish(kind, &work.name, work.revision);
    }

    /// Adds an entry to the history.
    pub fn append_history(&mut self, entry: HistoryEntry) {
        self.appended.history.push(entry);
    }

    /// Appends an entry to the audit log.
    pub fn append_audit(&mut self, entry: AuditEntry) {
        self.appended.audit.push(entry);
    }

    /// Adds one to the count of the day of `at`.
    pub fn count_day(&mut self, counted: Counted, at: Timestamp) {
        self.appended.counted.push((counted, at));
    }

    /// The next writes are those of another step of a group.
    pub(crate) fn next_step(&mut self) {
        self.batch.next_step();
    }

    /// Commits the transaction.
    pub async fn commit(mut self) -> Result<()> {
        let written = self.write_all().await?;
        self.commit_written(written).await
    }

    /// Sends everything that the transaction has to write; only the COMMIT is left.
    pub(crate) async fn write_all(&mut self) -> Result<Written> {
        let appended = std::mem::take(&mut self.appended);
        let is_heard_here =
            |sent: &Sent| self.broadcasts.is_some() && sent.event.kind.delivery() == Delivery::Broadcast;
        let (broadcasts, events) = appended.events.into_iter().partition(is_heard_here);
        let written = Written { broadcasts, events };
        self.next_step();
        self.insert("append_history", "", &appended.history, &[], "").await?;
        self.insert("append_audit", "", &appended.audit, &[], "").await?;
        self.insert("append_notices", "", &appended.notices, &[], "ON CONFLICT DO NOTHING").await?;
        for ((counted, day), times) in per_day(&appended.counted) {
            self.add_tally(counted, day, times).await?;
        }
        messages::publish(self, &written.events).await?;
        self.batch.send(self.open.db()).await?;
        Ok(written)
    }

    /// Commits after [`Self::write_all`]. After an error the outcome is unknown, and the rows decide.
    pub(crate) async fn commit_written(self, written: Written) -> Result<()> {
        match self.open {
            Open::Sqlite(open) => open.commit().await?,
            Open::Postgres(open) => within(async { open.commit().await.map_err(failed("commit")) }).await?,
        }
        if !written.events.is_empty() {
            let kinds = written.events.iter().map(|sent| sent.event.kind.as_str());
            self.published.send_modify(|published| published.add(kinds));
        }
        for Sent { event, .. } in written.broadcasts {
            // A send error means that there are no listeners, which is fine.
            let _ = self.broadcasts.as_ref().map(|listeners| listeners.send(event));
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
