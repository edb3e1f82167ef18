//! What all statements share: error mapping, times, ids and JSON as the tables keep them.

use domain::Reason;
use jiff::Timestamp;
use sqlx::sqlite::SqliteQueryResult;
use store::{Columns, Result, StoreError};

/// Names the operation that failed.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { operation, source: Box::new(source) }
}

/// Like [`failed`], but a row that is there already is a conflict.
pub(crate) fn failed_or_taken(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| match source.as_database_error() {
        Some(error) if error.is_unique_violation() => StoreError::Conflict { operation },
        _ => failed(operation)(source),
    }
}

/// A conditional write must have met its row.
pub(crate) fn expect_one(operation: &'static str, result: &SqliteQueryResult) -> Result<()> {
    match result.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { operation }),
    }
}

pub(crate) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(crate) fn maybe_micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(micros)
}

pub(crate) fn to_json(reason: Option<&Reason>) -> Result<Option<String>> {
    let encode = |reason| {
        serde_json::to_string(reason)
            .map_err(|source| StoreError::Database { operation: "encode_reason", source: Box::new(source) })
    };
    reason.map(encode).transpose()
}

/// A time as the tables keep it.
pub(crate) fn time(columns: &Columns<'_>, column: &'static str, micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| columns.bad(column))
}

/// A time that may be missing.
pub(crate) fn maybe_time(
    columns: &Columns<'_>,
    column: &'static str,
    micros: Option<i64>,
) -> Result<Option<Timestamp>> {
    micros.map(|micros| time(columns, column, micros)).transpose()
}

/// A reason that may be missing.
pub(crate) fn reason(
    columns: &Columns<'_>,
    column: &'static str,
    json: Option<&str>,
) -> Result<Option<Reason>> {
    json.map(|json| serde_json::from_str(json).map_err(|_| columns.bad(column))).transpose()
}
