//! Connecting to a server.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Entropy};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgPool, Postgres, Transaction};

use crate::sql::{failed, within};
use crate::{Pools, Result, Store, StoreError};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// No statement of ours takes longer on a healthy database; a stuck one must not block the holder of a lease.
/// Transactions of ours wait for nothing but the database.
const TIMEOUTS: &str = "SET statement_timeout = 15000; SET idle_in_transaction_session_timeout = 15000";
const LOOKS: u32 = 3;
const REFUSED_WITHIN: Duration = Duration::from_millis(500);
/// PostgreSQL's code of the message that ends a session.
const ADMIN_SHUTDOWN: &str = "57P01";
const MAX_LIFETIME: Duration = Duration::from_mins(30);

impl Store {
    /// Opens a store at a `postgres://` URL, whose parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are
    /// those of libpq. Connects on first use, so that a process can start while the database is down.
    pub fn open_server(
        url: &str,
        max_connections: u32,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(MAX_LIFETIME)
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(async { connection.execute(TIMEOUTS).await.map(drop) }))
            .connect_lazy_with(connect_options(url)?);
        Ok(Self::new(Pools::Postgres(pool), clock, entropy))
    }

    /// Uses another URL for new connections, as after a change of the password; open connections stay. A file has no
    /// password.
    pub fn use_url(&self, url: &str) -> Result<()> {
        if let Pools::Postgres(pool) = &self.pools {
            pool.set_connect_options(connect_options(url)?);
        }
        Ok(())
    }
}

/// Returns a connection that answers. The server closes idle ones when it restarts or an operator ends sessions.
pub(crate) async fn connection(pool: &PgPool) -> Result<PoolConnection<Postgres>> {
    within(async {
        loop {
            let mut connection = pool.acquire().await.map_err(failed("connect"))?;
            if connection.ping().await.is_ok() {
                return Ok(connection);
            }
        }
    })
    .await
}

/// Begins a transaction on a connection that answers. BEGIN is its own test: one before it would be another round trip.
pub(crate) async fn begin(pool: &PgPool, name: &'static str) -> Result<Transaction<'static, Postgres>> {
    within(async {
        let connections = pool.options().get_max_connections();
        for _ in 0..connections {
            match pool.begin().await {
                Err(error) if is_closed(&error) => {}
                begun => return begun.map_err(failed(name)),
            }
        }
        pool.begin().await.map_err(failed(name))
    })
    .await
}

/// Whether the connection was closed by the server.
fn is_closed(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == ADMIN_SHUTDOWN),
        _ => false,
    }
}

impl Store {
    /// Returns why the server refuses a connection, for a health check that got none in time: the pool tries again and
    /// again where it may be for a moment, as without a connection left. None if it refuses nothing.
    pub async fn why_refused(&self) -> Option<StoreError> {
        let Pools::Postgres(pool) = &self.pools else { return None };
        // It is opened for this check only.
        let once = async { pool.connect_options().connect().await?.close().await };
        match tokio::time::timeout(REFUSED_WITHIN, once).await {
            Ok(Err(error)) => Some(failed("connect")(error)),
            Ok(Ok(())) | Err(_) => None,
        }
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|source| StoreError::Open { url: without_password(url), source: Box::new(source) })?;
    // A pooler rejects unknown startup parameters.
    Ok(options.application_name("ssl-manager").extra_float_digits(None))
}

/// Rejects a pooler that gives one session to several clients in turn: settings of one connection must not be visible
/// in another. Such a pooler hands out the session that was returned last, so one check is enough in principle;
/// several are made because other clients use the pooler too.
pub(crate) async fn refuse_shared_sessions(pool: &PgPool, entropy: &dyn Entropy) -> Result<()> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let mark = hex::encode(bytes);
    within(async {
        let connect = || async { pool.connect_options().connect().await.map_err(failed("connect")) };
        let (mut one, mut other) = (connect().await?, connect().await?);
        let mut is_shared = false;
        for _ in 0..LOOKS {
            let set = sqlx::query("SELECT set_config('ssl_manager.session', $1, false)").bind(&mark);
            set.persistent(false).execute(&mut one).await.map_err(failed("mark_session"))?;
            let seen =
                sqlx::query_scalar("SELECT current_setting('ssl_manager.session', true)").persistent(false);
            let seen: Option<String> = seen.fetch_one(&mut other).await.map_err(failed("look_for_mark"))?;
            is_shared |= seen.as_ref() == Some(&mark);
        }
        // These connections were opened for this check only.
        let _ = tokio::join!(one.close(), other.close());
        if is_shared { Err(StoreError::SharedSessions) } else { Ok(()) }
    })
    .await
}

/// The URL without its password, for errors.
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
}
