//! Decoding rows.

use std::str::FromStr;

use domain::DomainName;

use crate::{Result, StoreError};

/// Decodes the columns of one row; what makes no sense is an inconsistency with its place.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Which table.
    pub table: &'static str,
    /// Which row.
    pub id: &'a str,
}

impl Columns<'_> {
    /// The error about a column.
    pub fn bad(&self, column: &'static str) -> StoreError {
        StoreError::Inconsistency { table: self.table, column, id: self.id.to_owned() }
    }

    /// A word.
    pub fn parse<T: FromStr>(&self, column: &'static str, text: &str) -> Result<T> {
        text.parse().map_err(|_| self.bad(column))
    }

    /// A word that may be missing.
    pub fn maybe_parse<T: FromStr>(&self, column: &'static str, text: Option<&str>) -> Result<Option<T>> {
        text.map(|text| self.parse(column, text)).transpose()
    }

    /// The column `name`.
    pub fn name(&self, text: &str) -> Result<DomainName> {
        self.parse("name", text)
    }
}
