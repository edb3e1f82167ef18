//! Errors of the store, and whether a retry can help.

use std::error::Error;

use crate::group::GroupError;

/// The operation named in the error if the database does not answer.
pub(crate) const WAITING: &str = "wait_for_the_database";

/// PostgreSQL's code of a write in a session that is read-only.
const READ_ONLY: &str = "25006";

/// The store's result.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A conditional write found a row in another state than expected. Reload and decide again.
    #[error("{operation}: the row is not as it was read")]
    Conflict {
        /// The write.
        operation: &'static str,
    },
    /// The lease was taken over or revoked. Drop the work: another worker has it, or it is obsolete.
    #[error("the lease on {kind} work of {name} is not ours any more")]
    LeaseLost {
        /// The kind of work.
        kind: &'static str,
        /// The domain name.
        name: String,
    },
    /// A row that no program of this version can have written.
    #[error("{table} {id}: column {column} makes no sense")]
    Inconsistency {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// The row's id.
        id: String,
    },
    /// The schema is not one that this program supports.
    #[error("the database has schema {found}, this program knows {known}: {advice}")]
    Schema {
        /// The schema of the database.
        found: i64,
        /// The schema of the program.
        known: i64,
        /// The command to run.
        advice: &'static str,
    },
    /// A pooler in front of the database gives one session to several clients in turn.
    #[error(
        "a pooler before the database shares sessions between clients, and settings and prepared statements with them: \
         set pool_mode = session (PgBouncer) for this database, or connect to PostgreSQL itself"
    )]
    SharedSessions,
    /// The server answers, and refuses every write.
    #[error("the database takes no writes: {why}")]
    ReadOnly {
        /// The state of the server, and what to do about it.
        why: &'static str,
    },
    /// Another file, or none, is at the path of the file that is open.
    #[error(
        "{path} was replaced or removed while this process has it open, so nothing is written any more: restart the \
         process"
    )]
    Replaced {
        /// The path.
        path: String,
    },
    /// The database cannot be opened.
    #[error("cannot open the database {url}")]
    Open {
        /// The URL, without a password.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database did not answer, or answered with an error.
    #[error("{operation} failed in the database")]
    Database {
        /// The operation.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The database is unavailable, as detected by another part of this process.
    pub fn away(detail: String) -> Self {
        Self::Database { operation: WAITING, source: detail.into() }
    }

    /// Whether the lease was lost to another worker.
    pub fn is_lease_lost(&self) -> bool {
        matches!(self, Self::LeaseLost { .. })
    }

    /// Whether the server refused a write because it is a standby or read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        let error = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
        error.and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == READ_ONLY)
    }

    /// Whether the database's disk is full.
    pub fn is_disk_full(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        if let Some(GroupError(error)) = source.downcast_ref() {
            return error.is_disk_full();
        }
        let error = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
        error.and_then(sqlx::error::DatabaseError::code).is_some_and(|code| says_disk_full(&code))
    }

    /// Whether the database is down, shutting down, full or read-only: the same request may succeed later, or on
    /// another server.
    pub fn is_unavailable(&self) -> bool {
        let (operation, source) = match self {
            Self::ReadOnly { .. } | Self::Replaced { .. } => return true,
            Self::Database { operation, source } => (operation, source),
            _ => return false,
        };
        if let Some(GroupError(error)) = source.downcast_ref() {
            return error.is_unavailable();
        }
        match source.downcast_ref::<sqlx::Error>() {
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

/// Whether the database error with that code passes by itself or once an operator has freed space.
fn passes(code: &str) -> bool {
    // PostgreSQL's codes have five characters. These classes are: connection, resources, operator intervention (with
    // the statement timeout), system; further a server or session that is read-only.
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    // SQLite's: busy, locked, read-only, I/O error, full, cannot open. The upper bytes of an extended code are
    // details.
    const SQLITE: [u32; 6] = [5, 6, 8, 10, 13, 14];
    if code.len() == READ_ONLY.len() {
        return code == READ_ONLY || CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse().is_ok_and(|code: u32| SQLITE.contains(&(code & 0xff)))
}

/// Whether that is PostgreSQL's or SQLite's code of a full disk.
fn says_disk_full(code: &str) -> bool {
    const POSTGRES: &str = "53100";
    const SQLITE: u32 = 13;
    if code.len() == POSTGRES.len() {
        return code == POSTGRES;
    }
    code.parse().is_ok_and(|code: u32| code & 0xff == SQLITE)
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
        let full: Vec<&str> = ["13", "53100", "53300", "5", "10", "525", "25006"]
            .into_iter()
            .filter(|code| says_disk_full(code))
            .collect();
        assert_eq!(full, ["13", "53100", "525"]);
        let silent = StoreError::Database { operation: WAITING, source: "no answer within 20 s".into() };
        assert!(silent.is_unavailable());
        let closed = StoreError::Database { operation: "x", source: Box::new(sqlx::Error::PoolTimedOut) };
        assert!(closed.is_unavailable());
        let wrong = StoreError::Database { operation: "x", source: Box::new(sqlx::Error::RowNotFound) };
        assert!(!wrong.is_unavailable() && !StoreError::Conflict { operation: "x" }.is_unavailable());
    }
}
