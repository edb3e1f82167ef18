//! What can go wrong with the store, and whether trying again can help.

use std::error::Error;

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
    /// Whether this says that the work belongs to somebody else now.
    pub fn is_lease_lost(&self) -> bool {
        matches!(self, Self::LeaseLost { .. })
    }
}
