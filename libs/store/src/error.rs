//! What can go wrong with the store, and whether trying again can help.

use std::error::Error;

use crate::dialect::GroupError;

/// The operation that fails where the database gives no answer.
pub(crate) const WAITING: &str = "wait_for_the_database";

/// The store's result.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A conditional write met another state than it was made for. Reload and decide anew.
    #[error("{operation}: the row is not as it was read")]
    Conflict {
        /// Which write.
        operation: &'static str,
    },
    /// The lease was taken over or revoked. Drop the work; somebody else has it, or nobody wants it.
    #[error("the lease on {kind} work of {name} is not ours any more")]
    LeaseLost {
        /// Kind of work.
        kind: &'static str,
        /// Of which name.
        name: String,
    },
    /// A row that no program of this version can have written.
    #[error("{table} {id}: column {column} makes no sense")]
    Inconsistency {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: String,
        /// Which row.
        id: String,
    },
    /// The schema is not the one this program knows.
    #[error("the database has schema {found}, this program knows {known}: {advice}")]
    Schema {
        /// What the database has.
        found: i64,
        /// What the program knows.
        known: i64,
        /// What to run.
        advice: &'static str,
    },
    /// What stands before the database gives one session to several clients by turns.
    #[error(
        "a pooler before the database shares sessions between clients, and settings and prepared statements with them: \
         set pool_mode = session (PgBouncer) for this database, or connect to PostgreSQL itself"
    )]
    SharedSessions,
    /// The database cannot be opened.
    #[error("cannot open the database {url}")]
    Open {
        /// Which, without a password.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database did not answer, or answered with an error.
    #[error("{operation} failed in the database")]
    Database {
        /// Which operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The database is away, as another part of this process found out.
    pub fn away(detail: String) -> Self {
        Self::Database { operation: WAITING, source: detail.into() }
    }

    /// Whether this says that the work belongs to somebody else now.
    pub fn is_lease_lost(&self) -> bool {
        matches!(self, Self::LeaseLost { .. })
    }

    /// Whether the database is away, stops, is full or takes no writes: the same request may do well in a while, or at
    /// another server.
    pub fn is_unavailable(&self) -> bool {
        let Self::Database { operation, source } = self else { return false };
        let of_group = source.downcast_ref::<GroupError>().map(|GroupError(error)| &**error);
        match of_group.or_else(|| source.downcast_ref::<sqlx::Error>()) {
            None => *operation == WAITING,
            Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| passes(&code)),
            Some(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            ),
        }
    }
}

/// Whether what a database says with that code passes by itself, or once somebody has made room.
fn passes(code: &str) -> bool {
    // PostgreSQL's codes have five characters: connection, resources, intervention (statement timeout among it), system,
    // and a server or a session that may only read.
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    const READ_ONLY: &str = "25006";
    // SQLite's: busy, locked, read-only, I/O error, full, cannot open. The upper bytes of an extended code say more.
    const SQLITE: [u32; 6] = [5, 6, 8, 10, 13, 14];
    if code.len() == READ_ONLY.len() {
        return code == READ_ONLY || CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse().is_ok_and(|code: u32| SQLITE.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        for code in ["25006", "53100", "53300", "57014", "57P01", "08006", "5", "8", "13", "1032", "3338"] {
            assert!(passes(code), "{code}");
        }
        for code in ["23505", "42501", "42P01", "22003", "1", "19", "2067"] {
            assert!(!passes(code), "{code}");
        }
        let silent = StoreError::Database { operation: WAITING, source: "no answer within 20 s".into() };
        assert!(silent.is_unavailable());
        let closed = StoreError::Database { operation: "x", source: Box::new(sqlx::Error::PoolTimedOut) };
        assert!(closed.is_unavailable());
        let wrong = StoreError::Database { operation: "x", source: Box::new(sqlx::Error::RowNotFound) };
        assert!(!wrong.is_unavailable() && !StoreError::Conflict { operation: "x" }.is_unavailable());
    }
}
