//! Connecting to a server.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Entropy};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{Pools, Result, Store, StoreError};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// No statement of ours takes longer on a healthy database; a stuck one must not keep a lease's holder waiting.
const STATEMENT_TIMEOUT_MS: &str = "15000";
/// No transaction of ours waits for anything but the database.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "15000";
const MAX_LIFETIME: Duration = Duration::from_mins(30);

impl Store {
    /// A store at a `postgres://` URL, whose parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are those of
    /// libpq. Connects when it is first used, so that a database which is away does not keep a process from starting.
    pub fn open_server(
        url: &str,
        max_connections: u32,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
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
        Ok(Self::new(Pools::Postgres(pool), clock, entropy))
    }
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
}
