//! Opening the file, and knowing whether its schema is ours.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use store::{Result, StoreError};
use tokio::sync::watch;

use crate::SqliteStore;
use crate::db::failed;

static MIGRATIONS: Migrator = sqlx::migrate!();

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Together as long as the busy timeout.
const OPEN_ATTEMPTS: u32 = 100;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(50);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

impl SqliteStore {
    /// Opens a database file, which is made with mode 0600 if it is not there. Its folder must be there.
    pub async fn open(path: &Path) -> Result<Self> {
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
            url: format!("sqlite://{}", path.display()),
            source,
        };
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| cannot(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .min_connections(1)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A file does not hang up.
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = connect(pool(1), options.clone()).await.map_err(|error| cannot(error.into()))?;
        let readers =
            connect(pool(READERS), options.read_only(true)).await.map_err(|error| cannot(error.into()))?;
        Ok(Self { writer, readers, published: watch::Sender::new(0) })
    }

    /// Opens a database file and brings its schema up to date.
    pub async fn open_and_migrate(path: &Path) -> Result<Self> {
        let store = Self::open(path).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Brings the schema up to date. A schema that is newer than this program is refused.
    pub async fn migrate(&self) -> Result<()> {
        self.refuse_newer().await?;
        // One transaction around all of it: the migrator takes no lock on SQLite, and two processes that start
        // together on a new file would both find nothing there and both begin.
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed("migrate"))?;
        // `run` does the same, but through a bound that makes this future impossible to spawn.
        MIGRATIONS
            .run_direct(None, &mut *tx, false)
            .await
            .map_err(|source| StoreError::Database { operation: "migrate", source: Box::new(source) })?;
        tx.commit().await.map_err(failed("migrate"))
    }

    pub(crate) async fn check_migrations(&self) -> Result<()> {
        let found = self.refuse_newer().await?;
        let known = newest_known();
        if found < known {
            let advice = "run `ssl-manager db migrate`";
            return Err(StoreError::Schema { found, known, advice });
        }
        Ok(())
    }

    /// Closes the file after what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn refuse_newer(&self) -> Result<i64> {
        let (found, known) = (self.schema().await?, newest_known());
        if found > known {
            let advice = "install the ssl-manager that wrote it, or a newer one";
            return Err(StoreError::Schema { found, known, advice });
        }
        Ok(found)
    }

    /// The newest migration that was applied; 0 for an empty database.
    async fn schema(&self) -> Result<i64> {
        let migrated: bool = sqlx::query_scalar(
            "-- has_schema
            SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')",
        )
        .fetch_one(&self.writer)
        .await
        .map_err(failed("has_schema"))?;
        if !migrated {
            return Ok(0);
        }
        sqlx::query_scalar("-- schema\nSELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.writer)
            .await
            .map_err(failed("schema"))
    }
}

/// Connects, and waits for others who are opening the same file. SQLite's own busy timeout does not hold while a new
/// file is made one with a write-ahead log: who comes in between is refused at once.
async fn connect(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let mut attempts = 0;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && attempts < OPEN_ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(OPEN_AGAIN_AFTER).await;
            }
            connected => return connected,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    // The upper bytes of an extended code say what it was busy with.
    code.is_some_and(|code: u32| code & 0xff == SQLITE_BUSY)
}

fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
