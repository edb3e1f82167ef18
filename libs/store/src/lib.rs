//! Persistent state: the [`Store`], its transactions, and its records.
//!
//! Rules. The database is the source of truth and messages are hints, so an event is published inside the transaction
//! that changed the state ([`Tx::publish`]). Every write is conditional and its row count is checked: a row that
//! changed since it was read gives [`StoreError::Conflict`] or [`StoreError::LeaseLost`], never a silent no-op. No
//! transaction is open across a network call. Times come from the clock that the store was opened with.
//!
//! Each aggregate has one file with its record, its statements and its methods. A statement is written once for
//! SQLite and PostgreSQL (`sql.rs`); the real differences are in `dialect/`. Why the store works in rows and not in
//! use cases: the rules of what may change, and when, belong to the layers above; this crate contains SQL only. Why
//! no trait: there would be one implementation (ADR 0019).

mod accounts;
mod attention;
mod audit;
mod audit_search;
mod batch;
mod certificates;
mod challenges;
mod deliveries;
mod dialect;
mod disk;
mod domains;
mod endpoints;
mod error;
mod figures;
mod group;
mod history;
mod jobs;
mod labels;
mod ledger;
mod list;
mod messages;
mod midnights;
mod missing;
mod notes;
mod notices;
mod orders;
mod pauses;
mod recheck;
mod record;
mod restore;
mod retention;
mod revocations;
mod rights;
mod schema;
mod sealed;
mod sessions;
mod signed;
mod sql;
mod step;
mod tokens;
mod trace;
mod tx;
mod users;
mod value;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{Clock, Entropy, Event};
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool};
use tokio::sync::{broadcast, watch};

pub use accounts::Account;
pub use attention::AtRisk;
pub use audit::{AuditEntry, AuditLink, AuditMark, UnchainedAudit};
pub use audit_search::{AuditPage, AuditPlace, AuditSearch, FoundAudit};
pub use certificates::{Certificate, CertificatePlace, CertificateRecord, Renewal};
pub use challenges::{Challenge, ProbeOf};
pub use deliveries::{ClaimedDelivery, DeliveryEvent, FailedAttempt, FailureOf, WebhookDelivery};
pub use domains::{Change, DomainView};
pub use endpoints::Endpoint;
pub use error::{Result, StoreError};
pub use figures::{Counted, MAX_OVERDUE, Overview, Summary};
pub use jobs::{Job, JobCounts, JobLease, JobLine, JobPlace, LineMark, LineResult};
pub use list::{ListFilter, ListOrder, ListQuery, Page, Place, Search};
pub use messages::{Message, Published};
pub use midnights::{MidnightFigures, MidnightQuery, MidnightRow};
pub use notes::Note;
pub use notices::{Ending, Notice};
pub use restore::RestoreGuard;
pub use retention::Past;
pub use revocations::Revocation;
pub use rights::Rights;
pub use sealed::{SealedKey, SealedPlace};
pub use sessions::{PROVIDER_PREFIX, SessionRecord, StoredSession};
pub use signed::SignedRow;
pub use step::{Decision, Finished, LastStep, LedgerOf, OrderWrite, Refusal, Step, Write};
pub use tokens::{TokenRecord, TokenUse};
pub use trace::{continue_trace, trace_parent};
pub use tx::{Entry, Tx};
pub use users::User;

use crate::dialect::{Member, OpenedFile, Writer, connection};
use crate::group::Groups;
use crate::sql::{Db, failed};

/// Broadcasts held for a slow listener before it misses some.
const BROADCAST_CAPACITY: usize = 4096;

/// The database: a file or a server.
pub struct Store {
    pools: Pools,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    published: watch::Sender<Published>,
    broadcasts: broadcast::Sender<Event>,
    are_heard: Arc<AtomicBool>,
    groups: Groups,
}

enum Pools {
    /// One connection for writes, a few for reads.
    Sqlite {
        writer: Writer,
        readers: SqlitePool,
        file: OpenedFile,
    },
    Postgres(PgPool),
}

/// Counts of database connections. For a file these are the read connections; the write connection is not counted.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// In use.
    pub used: u32,
    /// Open and idle.
    pub idle: u32,
    /// Maximum number of open connections.
    pub allowed: u32,
}

/// A connection for reads.
enum Reading {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Reading {
    fn db(&mut self) -> Db<'_> {
        match self {
            Self::Sqlite(connection) => Db::Sqlite(connection),
            Self::Postgres(connection) => Db::Postgres(connection),
        }
    }
}

/// A connection for a single writing statement that is a transaction of its own.
enum Writing {
    Sqlite(Member),
    Postgres(PoolConnection<Postgres>),
}

impl Writing {
    fn db(&mut self) -> Db<'_> {
        match self {
            Self::Sqlite(member) => member.db(),
            Self::Postgres(connection) => Db::Postgres(connection),
        }
    }

    /// Returns `answer` once the statement's writes are durable.
    async fn done<T>(self, answer: T) -> Result<T> {
        if let Self::Sqlite(member) = self {
            member.commit().await?;
        }
        Ok(answer)
    }
}

impl Store {
    fn new(pools: Pools, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let (broadcasts, _) = broadcast::channel(BROADCAST_CAPACITY);
        let published = watch::Sender::new(Published::default());
        let (are_heard, groups) = (Arc::default(), Groups::default());
        Self { pools, clock, entropy, published, broadcasts, are_heard, groups }
    }

    /// The same store for a task.
    fn on_same_pool(&self, pool: PgPool) -> Self {
        Self {
            pools: Pools::Postgres(pool),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            published: self.published.clone(),
            broadcasts: self.broadcasts.clone(),
            are_heard: self.are_heard.clone(),
            groups: self.groups.clone(),
        }
    }

    async fn reader(&self) -> Result<Reading> {
        match &self.pools {
            Pools::Sqlite { readers, .. } => {
                readers.acquire().await.map(Reading::Sqlite).map_err(failed("connect"))
            }
            Pools::Postgres(pool) => connection(pool).await.map(Reading::Postgres),
        }
    }

    /// Returns a connection for one statement; [`Writing::done`] must follow.
    async fn writer(&self, operation: &'static str) -> Result<Writing> {
        match &self.pools {
            Pools::Sqlite { writer, file, .. } => {
                file.check()?;
                writer.single(operation).await.map(Writing::Sqlite)
            }
            Pools::Postgres(pool) => connection(pool).await.map(Writing::Postgres),
        }
    }

    /// Returns the present number of connections.
    pub fn connections(&self) -> Connections {
        let (size, idle, allowed) = match &self.pools {
            Pools::Sqlite { readers, .. } => {
                (readers.size(), readers.num_idle(), readers.options().get_max_connections())
            }
            Pools::Postgres(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        };
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
        Connections { used: size - idle, idle, allowed }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the database server's clock, as a health check; none for SQLite, which uses this machine's clock.
    pub async fn clock(&self) -> Result<Option<Timestamp>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        if db.is_sqlite() {
            db.query("sign_of_life", "SELECT {position}").scalar::<i64>().await?;
            return Ok(None);
        }
        db.query("clock", "SELECT clock_timestamp()").scalar().await.map(Some)
    }

    /// Checks that the database accepts writes, with a statement that would change rows but matches none. A standby,
    /// a read-only server, a file on a read-only disk and one that was replaced refuse it. It needs no space on the disk, so
    /// after a write that failed for want of space SQLite has to write a row.
    pub async fn check_writes(&self) -> Result<()> {
        let mut writer = self.writer("check_writes").await?;
        let needs_space = writer.db().is_sqlite() && disk::was_full();
        let text = if needs_space {
            "UPDATE schema_compatibility SET compatible_from = compatible_from"
        } else {
            "DELETE FROM messages WHERE 1 = 0"
        };
        let written = writer.db().query("check_writes", text).execute().await;
        match written {
            Err(error) if error.is_read_only() => {
                drop(writer);
                Err(self.why_read_only().await?)
            }
            written => {
                writer.done(written?).await?;
                if needs_space {
                    disk::has_space();
                }
                Ok(())
            }
        }
    }

    async fn why_read_only(&self) -> Result<StoreError> {
        let mut reader = self.reader().await?;
        let text = "SELECT pg_is_in_recovery()::int::int8";
        let standby: i64 = reader.db().query("why_read_only", text).scalar().await?;
        Ok(StoreError::ReadOnly {
            why: if standby == 1 {
                "store.url leads to a standby; name the primary, or promote this server"
            } else {
                "the server is read-only; set default_transaction_read_only = off once it may write again"
            },
        })
    }

    /// Broadcasts heard within this process ([`Store::hear_broadcasts`]).
    pub fn broadcasts(&self) -> &broadcast::Sender<Event> {
        &self.broadcasts
    }

    /// Sets whether broadcasts are sent to [`Store::broadcasts`] after commit instead of being stored as rows. A
    /// listener that misses a broadcast recovers by itself, so rows are not needed where all listeners are in this
    /// process.
    pub fn hear_broadcasts(&self, are_heard: bool) {
        self.are_heard.store(are_heard, Ordering::Relaxed);
    }

    /// Counts of events published by commits; wakes the bus.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// Closes the connections once running operations have ended.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}
