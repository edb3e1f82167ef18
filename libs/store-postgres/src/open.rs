//! Connecting, and knowing whether the schema is ours.

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use store::{Result, StoreError};
use tokio::sync::watch;

use crate::db::failed;

static MIGRATIONS: Migrator = sqlx::migrate!();

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// No statement of ours takes longer on a healthy database; a stuck one must not keep a lease's holder waiting.
const STATEMENT_TIMEOUT_MS: &str = "15000";
/// No transaction of ours waits for anything but the database.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "15000";
const MAX_LIFETIME: Duration = Duration::from_mins(30);

/// See the crate's documentation.
pub struct PostgresStore {
    pub(crate) pool: PgPool,
    pub(crate) published: watch::Sender<u64>,
}

impl PostgresStore {
    /// A store at a `postgres://` URL, whose parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are those of
    /// libpq. Connects when it is first used, so that a database which is away does not keep a process from starting.
    pub fn open(url: &str, max_connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|source| StoreError::Open { url: without_password(url), source: Box::new(source) })?
            .application_name("ssl-manager")
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT_MS),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(MAX_LIFETIME)
            .connect_lazy_with(options);
        Ok(Self { pool, published: watch::Sender::new(0) })
    }

    /// Brings the schema up to date. A schema that is newer than this program is refused. Programs that start together
    /// wait for each other.
    pub async fn migrate(&self) -> Result<()> {
        self.refuse_newer().await?;
        let mut connection = self.pool.acquire().await.map_err(failed("migrate"))?;
        sqlx::query("-- no_timeout\nSET statement_timeout = 0")
            .execute(&mut *connection)
            .await
            .map_err(failed("migrate"))?;
        let migrated = MIGRATIONS.run_direct(None, &mut *connection, false).await;
        // Not back to the pool: its statement timeout is off.
        let _ = connection.close().await;
        migrated.map_err(|source| StoreError::Database { operation: "migrate", source: Box::new(source) })
    }

    /// Closes the connections after what is under way.
    pub async fn close(&self) {
        self.pool.close().await;
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
        let migrated: bool =
            sqlx::query_scalar("-- has_schema\nSELECT to_regclass('_sqlx_migrations') IS NOT NULL")
                .fetch_one(&self.pool)
                .await
                .map_err(failed("has_schema"))?;
        if !migrated {
            return Ok(0);
        }
        sqlx::query_scalar("-- schema\nSELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("schema"))
    }
}

fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The URL as an error may show it.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => "(the URL in store.url)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgres://u:secret@host:x/db", "postgres://u:p@secret@host/db", "secret"] {
            let shown = without_password(url);
            assert!(!shown.contains("secret") || shown.ends_with("@host/db"), "{shown}");
        }
        assert_eq!(without_password("postgres://u:secret@host/db"), "postgres://…@host/db");
    }

    #[tokio::test]
    async fn a_url_that_is_none_is_refused() {
        assert!(matches!(
            PostgresStore::open("postgres://u:secret@host:port/db", 1),
            Err(StoreError::Open { .. })
        ));
    }
}
