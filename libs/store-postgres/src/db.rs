//! What all statements share: error mapping, and how values of ours become PostgreSQL's.

use std::time::Duration;

use domain::Reason;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::postgres::PgQueryResult;
use store::{Columns, Result, StoreError};

/// Errors after which the whole transaction may be tried again: `serialization_failure` and `deadlock_detected`.
const TRY_AGAIN: [&str; 2] = ["40001", "40P01"];

/// Longer than the server's own limit for a statement, so that this one is only reached by a server that has fallen
/// silent: a lost network or a machine that died closes no connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Waits for the database, but not for ever.
pub(crate) async fn within<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let silent = |_| StoreError::Database {
        operation: "wait_for_the_database",
        source: format!("no answer within {} s", ANSWER_WITHIN.as_secs()).into(),
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(silent)?
}

/// Names the operation that failed.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| match source.as_database_error().and_then(sqlx::error::DatabaseError::code) {
        Some(code) if TRY_AGAIN.contains(&code.as_ref()) => StoreError::Conflict { operation },
        _ => StoreError::Database { operation, source: Box::new(source) },
    }
}

/// Like [`failed`], but a row that is there already is a conflict.
pub(crate) fn failed_or_taken(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| match source.as_database_error() {
        Some(error) if error.is_unique_violation() => StoreError::Conflict { operation },
        _ => failed(operation)(source),
    }
}

/// A conditional write must have met its row.
pub(crate) fn expect_one(operation: &'static str, result: &PgQueryResult) -> Result<()> {
    match result.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { operation }),
    }
}

/// A time as a parameter.
pub(crate) fn time(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}

/// A time that may be missing, as a parameter.
pub(crate) fn maybe_time(at: Option<Timestamp>) -> Option<jiff_sqlx::Timestamp> {
    at.map(time)
}

/// A time of a row that may be missing.
pub(crate) fn maybe_jiff(at: Option<jiff_sqlx::Timestamp>) -> Option<Timestamp> {
    at.map(jiff_sqlx::Timestamp::to_jiff)
}

pub(crate) fn to_json(reason: Option<&Reason>) -> Result<Option<Value>> {
    let encode = |reason| {
        serde_json::to_value(reason)
            .map_err(|source| StoreError::Database { operation: "encode_reason", source: Box::new(source) })
    };
    reason.map(encode).transpose()
}

pub(crate) fn from_json(
    columns: &Columns<'_>,
    column: &'static str,
    json: Option<Value>,
) -> Result<Option<Reason>> {
    json.map(|json| serde_json::from_value(json).map_err(|_| columns.bad(column))).transpose()
}
