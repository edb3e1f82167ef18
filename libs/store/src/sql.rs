//! Statements: one text, one chain of values, and one row type for both databases.
//!
//! A statement's first line is its name, so that `pg_stat_statements` shows it. Its text consists of constants of
//! this crate only; all input is bound. Where the databases' syntax differs, the text has a word in braces, which the
//! dialect replaces (see [`words`]).
//!
//! A duplicate row, a serialization failure and a deadlock give [`StoreError::Conflict`].

use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, SqliteConnection};

use crate::batch::rows::{Column, column};
use crate::error::WAITING;
use crate::record::{AnyRow, FromRow, Reader, Record};
use crate::value::{Bind, Value};
use crate::{Result, StoreError, disk};

/// PostgreSQL's errors after which the whole transaction may be retried: `serialization_failure` and
/// `deadlock_detected`.
const TRY_AGAIN: [&str; 2] = ["40001", "40P01"];

/// Longer than the server's own statement timeout, so that this one is only reached if the server no longer answers:
/// after a network failure or a crash of the machine, the connection is not closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Waits for PostgreSQL with a timeout. A file needs none.
pub(crate) async fn within<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let silent = |_| StoreError::Database {
        operation: WAITING,
        source: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()).into(),
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(silent)?
}

/// Adds the name of the failed operation to an error.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| match source.as_database_error() {
        Some(error)
            if error.is_unique_violation()
                || error.code().is_some_and(|code| TRY_AGAIN.contains(&code.as_ref())) =>
        {
            StoreError::Conflict { operation }
        }
        _ => {
            let error = StoreError::Database { operation, source: Box::new(source) };
            if error.is_disk_full() {
                disk::is_full();
            }
            error
        }
    }
}

/// The replacement of a word in braces: `{lock}` locks the selected rows, `{lock free}` locks and skips rows that
/// others have locked, `{lock shared}` lets others lock them in the same way only, `{rows}` is the table of rows of a
/// group (`batch/rows.rs`), `{in 1}` tests for membership in the set that is bound as `$1`, and `{set 1}` is that set as a
/// table; `{find}` is the function that finds a text within another; `{labels}` are the labels of a row `d` of
/// `domains`, and `{reason}` the code of its reason.
fn words(word: &str, is_sqlite: bool) -> &'static str {
    match (word, is_sqlite) {
        ("lock" | "lock free" | "lock shared" | "bigint" | "timestamptz" | "uuid", true) => "",
        ("lock", false) => "FOR NO KEY UPDATE",
        ("lock free", false) => "FOR NO KEY UPDATE SKIP LOCKED",
        ("lock shared", false) => "FOR SHARE",
        ("bigint", false) => "::bigint",
        ("timestamptz", false) => "::timestamptz",
        ("uuid", false) => "::uuid",
        ("set 1", true) => "(SELECT value AS key FROM json_each($1))",
        ("set 1", false) => "(SELECT unnest($1) AS key)",
        ("in 1", true) => "IN (SELECT value FROM json_each($1))",
        ("in 1", false) => "= ANY($1)",
        ("infinity", true) => "9223372036854775807",
        ("infinity", false) => "'infinity'::timestamptz",
        ("find", true) => "instr",
        ("find", false) => "strpos",
        ("greatest", true) => "max",
        ("greatest", false) => "greatest",
        ("next_token", true) => "(SELECT value + 1 FROM counters WHERE counters.name = 'lease_token')",
        ("next_token", false) => "nextval('lease_token')",
        ("next_position", true) => "(SELECT value + 1 FROM counters WHERE counters.name = 'position')",
        ("next_position", false) => "NULL",
        ("labels", true) => {
            "(SELECT json_group_object(l.key, l.value) FROM domain_labels l WHERE l.name = d.name)"
        }
        ("labels", false) => {
            "coalesce((SELECT jsonb_object_agg(l.key, l.value) FROM domain_labels l WHERE l.name = d.name), '{}')"
        }
        ("reason", true) => "d.reason_code",
        ("reason", false) => {
            "reason_code_of(d.unknown_to_c4, d.upload_failing, d.source, d.status, d.https_switch, d.block, d.waiting)"
        }
        ("position", true) => "value FROM counters WHERE name = 'position'",
        ("position", false) => "position FROM numbered",
        ("tallies", true) => "tallies",
        ("tallies", false) => {
            "(SELECT what, key, amount FROM tallies UNION ALL SELECT what, key, amount FROM tally_changes) AS tallies"
        }
        _ => "(a word that no dialect knows)",
    }
}

/// A connection to either database, borrowed from a pool or a transaction.
pub(crate) enum Db<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Db<'_> {
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Starts a statement.
    pub(crate) fn query(&mut self, operation: &'static str, text: &str) -> Query<'_> {
        let db = match self {
            Self::Sqlite(connection) => Db::Sqlite(connection),
            Self::Postgres(connection) => Db::Postgres(connection),
        };
        let values = Values::new(db.is_sqlite());
        let mut query = Statement::new(db, operation, values, 0);
        query.push(text);
        query
    }

    /// Starts a `SELECT` of a record's columns; `rest` is the text after them.
    pub(crate) fn select<R: Record>(&mut self, operation: &'static str, rest: &str) -> Query<'_> {
        self.query(operation, &format!("SELECT {} FROM {} {rest}", R::selected(""), R::TABLE))
    }

    /// Inserts records; `with` are further columns and their values, `rest` is the text after them. On PostgreSQL one
    /// statement for all records.
    pub(crate) async fn insert<R: Record>(
        &mut self,
        operation: &'static str,
        records: &[R],
        with: &[(&str, &str)],
        rest: &str,
    ) -> Result<()> {
        let text = insertion::<R>(self.is_sqlite(), with, rest);
        if self.is_sqlite() {
            for record in records {
                self.query(operation, &text).bind_record(record).execute().await?;
            }
        } else if !records.is_empty() {
            self.query(operation, &text).bind_records(records).execute().await?;
        }
        Ok(())
    }
}

/// An `INSERT` of one record on SQLite, of any number on PostgreSQL; see [`Db::insert`].
pub(crate) fn insertion<R: Record>(is_sqlite: bool, with: &[(&str, &str)], rest: &str) -> String {
    let stored = R::stored();
    let columns = stored.iter().copied().chain(with.iter().map(|(column, _)| *column));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let with: String = with.iter().flat_map(|(_, given)| [", ", given]).collect();
    let into = format!("INSERT INTO {} ({columns})", R::TABLE);
    if is_sqlite {
        format!("{into} VALUES ({}{with}) {rest}", placeholders(stored.len()))
    } else {
        format!("{into} SELECT r.*{with} FROM unnest({}) AS r {rest}", arrays::<R>())
    }
}

/// `$1, $2, …`
pub(crate) fn placeholders(count: usize) -> String {
    let all: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
    all.join(", ")
}

/// `$1::text[], $2::uuid[], …`: a record's stored columns as PostgreSQL's arrays.
pub(crate) fn arrays<R: Record>() -> String {
    let types = R::postgres_types().into_iter().enumerate();
    let arrays: Vec<String> = types.map(|(index, of)| format!("${}::{of}[]", index + 1)).collect();
    arrays.join(", ")
}

/// The values of a statement.
pub(crate) struct Values {
    arguments: Arguments,
    /// The first value that could not be encoded.
    error: Option<BoxDynError>,
}

pub(crate) enum Arguments {
    Sqlite(SqliteArguments),
    Postgres(PgArguments),
    /// PostgreSQL's, one column per value, for the writes of a group.
    Rows(Vec<Box<dyn Column>>),
}

impl Values {
    pub(crate) fn new(is_sqlite: bool) -> Self {
        let arguments = if is_sqlite {
            Arguments::Sqlite(SqliteArguments::default())
        } else {
            Arguments::Postgres(PgArguments::default())
        };
        Self { arguments, error: None }
    }

    /// Values of a write of a group.
    pub(crate) fn of_rows() -> Self {
        Self { arguments: Arguments::Rows(Vec::new()), error: None }
    }

    /// Converts the values for the driver.
    pub(crate) fn into_arguments(self, operation: &'static str) -> Result<Arguments> {
        match self.error {
            None => Ok(self.arguments),
            Some(source) => Err(StoreError::Database { operation, source }),
        }
    }

    pub(crate) fn push<T: Bind + ?Sized>(&mut self, value: &T) {
        let added = match &mut self.arguments {
            Arguments::Sqlite(arguments) => arguments.add(value.to_sqlite()),
            Arguments::Postgres(arguments) => arguments.add(value.to_postgres()),
            Arguments::Rows(columns) => {
                columns.push(column(T::POSTGRES_TYPE, vec![value.to_postgres()]));
                Ok(())
            }
        };
        self.error = self.error.take().or(added.err());
    }

    /// Adds one array on PostgreSQL. SQLite has none: there the values are bound row by row.
    pub(crate) fn push_all<'v, T: Bind + 'v>(&mut self, values: impl Iterator<Item = &'v T>) {
        let added = match &mut self.arguments {
            Arguments::Sqlite(_) => Err("SQLite has no arrays".into()),
            Arguments::Postgres(arguments) => arguments.add(values.map(T::to_postgres).collect::<Vec<_>>()),
            Arguments::Rows(columns) => {
                columns.push(column(T::POSTGRES_TYPE, values.map(T::to_postgres).collect()));
                Ok(())
            }
        };
        self.error = self.error.take().or(added.err());
    }

    /// Adds a set of texts or numbers: an array on PostgreSQL, JSON on SQLite.
    fn push_set<T: Bind>(&mut self, values: &[T])
    where
        serde_json::Value: From<T::Sqlite>,
    {
        let added = match &mut self.arguments {
            Arguments::Sqlite(arguments) => {
                let values = values.iter().map(|value| value.to_sqlite().into()).collect();
                arguments.add(serde_json::Value::Array(values).to_string())
            }
            Arguments::Postgres(arguments) => {
                arguments.add(values.iter().map(T::to_postgres).collect::<Vec<_>>())
            }
            Arguments::Rows(_) => Err("a write of a group has no sets".into()),
        };
        self.error = self.error.take().or(added.err());
    }
}

/// The target of a statement.
pub(crate) trait To {
    /// Whether the database is SQLite.
    fn is_sqlite(&self) -> bool;

    /// The replacement of `{rows}`.
    fn rows(&self) -> &'static str {
        ""
    }
}

impl To for Db<'_> {
    fn is_sqlite(&self) -> bool {
        Self::is_sqlite(self)
    }
}

/// A statement that is being built.
#[must_use]
pub(crate) struct Statement<T> {
    pub(crate) to: T,
    pub(crate) operation: &'static str,
    pub(crate) sql: String,
    pub(crate) values: Values,
    /// Number of values of other statements that precede this one.
    pub(crate) before: usize,
    pub(crate) bound: usize,
    is_kept: bool,
}

/// A statement with its connection.
pub(crate) type Query<'c> = Statement<Db<'c>>;

impl<T: To> Statement<T> {
    pub(crate) fn new(to: T, operation: &'static str, values: Values, before: usize) -> Self {
        let sql = format!("-- {operation}\n");
        Self { to, operation, sql, values, before, bound: 0, is_kept: true }
    }

    /// Binds the next value.
    pub(crate) fn bind<V: Bind + ?Sized>(mut self, value: &V) -> Self {
        self.values.push(value);
        self.bound += 1;
        self
    }

    /// Binds the next value, a set; see [`words`].
    pub(crate) fn bind_set<V: Bind>(mut self, values: &[V]) -> Self
    where
        serde_json::Value: From<V::Sqlite>,
    {
        self.values.push_set(values);
        self.bound += 1;
        self
    }

    /// Binds the next values: the stored columns of a record.
    pub(crate) fn bind_record<R: Record>(mut self, record: &R) -> Self {
        record.write(&mut self.values);
        self.bound += R::stored().len();
        self
    }

    /// Binds the next values, for PostgreSQL: one array per stored column of the records.
    pub(crate) fn bind_records<R: Record>(mut self, records: &[R]) -> Self {
        R::write_all(records, &mut self.values);
        self.bound += R::stored().len();
        self
    }

    /// Binds the next value, for PostgreSQL: an array.
    pub(crate) fn bind_array<V: Bind>(mut self, values: &[V]) -> Self {
        self.values.push_all(values.iter());
        self.bound += 1;
        self
    }

    /// Binds the next value: the maximum number of rows.
    pub(crate) fn limit(self, limit: u32) -> Self {
        self.bind(&i64::from(limit))
    }

    /// Adds text, which must be a constant of this crate.
    pub(crate) fn push(&mut self, text: impl AsRef<str>) -> &mut Self {
        let mut rest = text.as_ref();
        while let Some((before, after)) = rest.split_once('{') {
            self.push_placed(before);
            let (word, after) = after.split_once('}').unwrap_or((after, ""));
            match word {
                "rows" => self.sql.push_str(self.to.rows()),
                word => self.push_placed(words(word, self.to.is_sqlite())),
            }
            rest = after;
        }
        self.push_placed(rest);
        self
    }

    /// Adds text whose `$1` is this statement's first value.
    fn push_placed(&mut self, text: &str) {
        let mut parts = text.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            let place = self.before + number.parse::<usize>().unwrap_or_default();
            self.sql.extend(["$", &place.to_string(), rest]);
        }
    }

    /// Adds a placeholder and its value.
    pub(crate) fn push_bind<V: Bind + ?Sized>(&mut self, value: &V) -> &mut Self {
        self.values.push(value);
        self.bound += 1;
        let place = format!("${}", self.bound);
        self.push(place)
    }

    /// Adds a set membership test and the set: ` = ANY($n)`, or SQLite's equivalent.
    pub(crate) fn push_in(&mut self, values: &[String]) -> &mut Self {
        self.values.push_set(values);
        self.bound += 1;
        let place = self.bound;
        if self.to.is_sqlite() {
            self.push(format!(" IN (SELECT value FROM json_each(${place}))"))
        } else {
            self.push(format!(" = ANY(${place})"))
        }
    }
}

impl Query<'_> {
    /// Does not cache the plan: there are too many texts of this kind.
    pub(crate) fn once(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// Executes it; returns the number of changed rows.
    pub(crate) async fn execute(self) -> Result<u64> {
        let Self { to: db, operation, sql, values, is_kept, .. } = self;
        let sql = AssertSqlSafe(sql);
        match (db, values.into_arguments(operation)?) {
            (Db::Sqlite(db), Arguments::Sqlite(values)) => {
                let done = sqlx::query_with(sql, values).persistent(is_kept).execute(db).await;
                done.map(|done| done.rows_affected()).map_err(failed(operation))
            }
            (Db::Postgres(db), Arguments::Postgres(values)) => {
                within(async {
                    let done = sqlx::query_with(sql, values).persistent(is_kept).execute(db).await;
                    done.map(|done| done.rows_affected()).map_err(failed(operation))
                })
                .await
            }
            _ => unreachable!("a query's values are made for its connection"),
        }
    }

    /// Executes a conditional write that must change its row: [`StoreError::Conflict`] otherwise.
    pub(crate) async fn execute_one(self) -> Result<()> {
        let operation = self.operation;
        match self.execute().await? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { operation }),
        }
    }

    /// Returns all rows.
    pub(crate) async fn all<T: FromRow>(self) -> Result<Vec<T>> {
        let rows = self.fetch(false).await?;
        rows.iter().map(|row| T::read(&mut Reader::new(row))).collect()
    }

    /// Returns the first row, if any.
    pub(crate) async fn optional<T: FromRow>(self) -> Result<Option<T>> {
        let rows = self.fetch(true).await?;
        rows.first().map(|row| T::read(&mut Reader::new(row))).transpose()
    }

    /// Returns the row of a statement that always has one.
    pub(crate) async fn one<T: FromRow>(self) -> Result<T> {
        let operation = self.operation;
        self.optional().await?.ok_or_else(|| failed(operation)(sqlx::Error::RowNotFound))
    }

    /// Returns the only column of the only row.
    pub(crate) async fn scalar<T: Value + Send>(self) -> Result<T> {
        self.one::<(T,)>().await.map(|(value,)| value)
    }

    /// Returns the only column of all rows.
    pub(crate) async fn scalars<T: Value + Send>(self) -> Result<Vec<T>> {
        Ok(self.all::<(T,)>().await?.into_iter().map(|(value,)| value).collect())
    }

    /// Returns a count.
    pub(crate) async fn count(self) -> Result<u64> {
        self.scalar::<i64>().await.map(i64::unsigned_abs)
    }

    async fn fetch(self, first: bool) -> Result<Vec<AnyRow>> {
        let Self { to: db, operation, sql, values, is_kept, .. } = self;
        let sql = AssertSqlSafe(sql);
        match (db, values.into_arguments(operation)?) {
            (Db::Sqlite(db), Arguments::Sqlite(values)) => {
                let query = sqlx::query_with(sql, values).persistent(is_kept);
                let rows = if first {
                    query.fetch_optional(db).await.map(Vec::from_iter)
                } else {
                    query.fetch_all(db).await
                };
                let rows = rows.map_err(failed(operation))?;
                Ok(rows.into_iter().map(AnyRow::Sqlite).collect())
            }
            (Db::Postgres(db), Arguments::Postgres(values)) => {
                let query = sqlx::query_with(sql, values).persistent(is_kept);
                let rows = within(async {
                    let rows = if first {
                        query.fetch_optional(db).await.map(Vec::from_iter)
                    } else {
                        query.fetch_all(db).await
                    };
                    rows.map_err(failed(operation))
                });
                Ok(rows.await?.into_iter().map(AnyRow::Postgres).collect())
            }
            _ => unreachable!("a query's values are made for its connection"),
        }
    }
}
