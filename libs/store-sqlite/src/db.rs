//! What all statements share: error mapping, times, ids and JSON as the tables keep them.

use std::str::FromStr;

use domain::{DomainName, Reason};
use jiff::Timestamp;
use sqlx::sqlite::SqliteQueryResult;
use store::{Result, StoreError};

/// Names the operation that failed.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database {
        operation,
        source: Box::new(source),
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
        serde_json::to_string(reason).map_err(|source| StoreError::Database {
            operation: "encode_reason",
            source: Box::new(source),
        })
    };
    reason.map(encode).transpose()
}

/// Decodes the columns of one row; what makes no sense is an inconsistency with its place.
pub(crate) struct Columns<'a> {
    pub(crate) table: &'static str,
    pub(crate) id: &'a str,
}

impl Columns<'_> {
    pub(crate) fn bad(&self, column: &'static str) -> StoreError {
        StoreError::Inconsistency {
            table: self.table,
            column,
            id: self.id.to_owned(),
        }
    }

    pub(crate) fn parse<T: FromStr>(&self, column: &'static str, text: &str) -> Result<T> {
        text.parse().map_err(|_| self.bad(column))
    }

    pub(crate) fn maybe_parse<T: FromStr>(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<T>> {
        text.map(|text| self.parse(column, text)).transpose()
    }

    pub(crate) fn name(&self, text: &str) -> Result<DomainName> {
        self.parse("name", text)
    }

    pub(crate) fn time(&self, column: &'static str, micros: i64) -> Result<Timestamp> {
        Timestamp::from_microsecond(micros).map_err(|_| self.bad(column))
    }

    pub(crate) fn maybe_time(&self, column: &'static str, micros: Option<i64>) -> Result<Option<Timestamp>> {
        micros.map(|micros| self.time(column, micros)).transpose()
    }

    pub(crate) fn reason(&self, column: &'static str, json: Option<&str>) -> Result<Option<Reason>> {
        json.map(|json| serde_json::from_str(json).map_err(|_| self.bad(column)))
            .transpose()
    }
}
