//! Rows: the columns of a type, and reading and writing them.
//!
//! A table's columns are listed once, by [`columns!`]; `SELECT`, `INSERT` and `UPDATE` take their lists from there,
//! and a row is read by position. A value that cannot be decoded gives [`StoreError::Inconsistency`] with its place.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Row as _};

use crate::sql::Values;
use crate::value::Value;
use crate::{Result, StoreError};

/// A column of a table, or an expression that is read like a column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The expression to read instead of the column; never written.
    pub(crate) expression: Option<&'static str>,
}

/// A type that can be read from a row, starting at the reader's position.
pub(crate) trait FromRow: Sized + Send {
    fn read(reader: &mut Reader<'_>) -> Result<Self>;
}

/// A type with its own columns.
pub(crate) trait Record: FromRow + Sync {
    const TABLE: &'static str;
    const COLUMNS: &'static [Column];

    /// Adds one value per stored column, in order.
    fn write(&self, values: &mut Values);

    /// Adds one array per stored column, in order (PostgreSQL's `unnest`).
    fn write_all(records: &[Self], values: &mut Values);

    /// PostgreSQL's types of the stored columns, in order.
    fn postgres_types() -> Vec<&'static str>;

    /// The column list for `SELECT`, from a table with that alias.
    fn selected(alias: &str) -> String {
        let prefix = if alias.is_empty() { String::new() } else { format!("{alias}.") };
        let column = |column: &Column| match column.expression {
            Some(expression) => format!("{expression} AS {}", column.name),
            None => format!("{prefix}{}", column.name),
        };
        Self::COLUMNS.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The names of the columns that are written.
    fn stored() -> Vec<&'static str> {
        let stored = Self::COLUMNS.iter().filter(|column| column.expression.is_none());
        stored.map(|column| column.name).collect()
    }
}

/// The columns of a struct: `columns!(Type in "table": field, field as "column", field = "expression");`.
macro_rules! columns {
    ($record:ident in $table:literal:
        $($field:ident $(as $column:literal)?),+ $(; $($computed:ident = $expression:literal),+)? $(,)?) => {
        impl $crate::record::FromRow for $record {
            fn read(reader: &mut $crate::record::Reader<'_>) -> $crate::Result<Self> {
                reader.table = $table;
                Ok(Self { $($field: reader.value()?,)+ $($($computed: reader.value()?,)+)? })
            }
        }

        impl $crate::record::Record for $record {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [$crate::record::Column] = &[
                $($crate::record::Column { name: columns!(@name $field $($column)?), expression: None },)+
                $($($crate::record::Column { name: stringify!($computed), expression: Some($expression) },)+)?
            ];

            fn write(&self, values: &mut $crate::sql::Values) {
                $(values.push(&self.$field);)+
            }

            fn write_all(records: &[Self], values: &mut $crate::sql::Values) {
                $(values.push_all(records.iter().map(|record| &record.$field));)+
            }

            fn postgres_types() -> Vec<&'static str> {
                fn of<R, T: $crate::value::Bind>(_: fn(&R) -> &T) -> &'static str {
                    T::POSTGRES_TYPE
                }
                vec![$(of(|record: &Self| &record.$field)),+]
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $column:literal) => { $column };
}
pub(crate) use columns;

/// A row of either database.
pub(crate) enum AnyRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Reads a row from left to right.
pub(crate) struct Reader<'r> {
    row: &'r AnyRow,
    next: usize,
    /// The table of the next columns, for errors.
    pub(crate) table: &'static str,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(row: &'r AnyRow) -> Self {
        Self { row, next: 0, table: "a result" }
    }

    /// The next column.
    pub(crate) fn value<T: Value>(&mut self) -> Result<T> {
        let index = self.next;
        self.next += 1;
        let value = match self.row {
            AnyRow::Sqlite(row) => row.try_get(index).ok().and_then(T::from_sqlite),
            AnyRow::Postgres(row) => row.try_get(index).ok().and_then(T::from_postgres),
        };
        value.ok_or_else(|| self.bad(index))
    }

    /// Continues with the column of that number, from 0.
    pub(crate) fn skip_to(&mut self, index: usize) {
        self.next = index;
    }

    /// An error about the last column that was read.
    pub(crate) fn bad_last(&self) -> StoreError {
        self.bad(self.next.saturating_sub(1))
    }

    fn bad(&self, index: usize) -> StoreError {
        let column = match self.row {
            AnyRow::Sqlite(row) => row.columns().get(index).map(|column| column.name().to_owned()),
            AnyRow::Postgres(row) => row.columns().get(index).map(|column| column.name().to_owned()),
        };
        let column = column.unwrap_or_else(|| format!("number {index}"));
        StoreError::Inconsistency { table: self.table, column, id: self.id() }
    }

    /// The text of the first column, if it is text.
    fn id(&self) -> String {
        let id = match self.row {
            AnyRow::Sqlite(row) => row.try_get::<String, _>(0).ok(),
            AnyRow::Postgres(row) => {
                let uuid = || row.try_get::<sqlx::types::Uuid, _>(0).map(|id| id.to_string());
                row.try_get::<String, _>(0).or_else(|_| uuid()).ok()
            }
        };
        id.unwrap_or_else(|| "(no name)".to_owned())
    }
}

/// A single column.
impl<T: Value + Send> FromRow for (T,) {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok((reader.value()?,))
    }
}

impl<A: Value + Send, B: Value + Send> FromRow for (A, B) {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok((reader.value()?, reader.value()?))
    }
}

impl<A: Value + Send, B: Value + Send, C: Value + Send> FromRow for (A, B, C) {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok((reader.value()?, reader.value()?, reader.value()?))
    }
}
