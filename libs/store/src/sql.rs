//! Statements: one text, one chain of values, one kind of row for both databases.
//!
//! A statement's first line is its name, so that `pg_stat_statements` shows it. Its text is made of constants of this
//! crate alone; whatever comes from outside is bound. Where the databases say the same thing in other words, the text
//! has a word in braces, which the dialect replaces (see [`Db::words`]).
//!
//! A row that is there already, a serialization failure and a deadlock are [`StoreError::Conflict`].

use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection, SqliteConnection};

use crate::error::WAITING;
use crate::record::{AnyRow, FromRow, Reader, Record};
use crate::value::{Bind, Value};
use crate::{Result, StoreError};

/// PostgreSQL's errors after which the whole transaction may be tried again: `serialization_failure` and
/// `deadlock_detected`.
const TRY_AGAIN: [&str; 2] = ["40001", "40P01"];

/// Longer than the server's own limit for a statement, so that this one is only reached by a server that has fallen
/// silent: a lost network or a machine that died closes no connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Waits for PostgreSQL, but not for ever. A file answers by itself.
pub(crate) async fn within<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let silent = |_| StoreError::Database {
        operation: WAITING,
        source: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()).into(),
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(silent)?
}

/// Names the operation that failed.
pub(crate) fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| match source.as_database_error() {
        Some(error)
            if error.is_unique_violation()
                || error.code().is_some_and(|code| TRY_AGAIN.contains(&code.as_ref())) =>
        {
            StoreError::Conflict { operation }
        }
        _ => StoreError::Database { operation, source: Box::new(source) },
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

    /// What a word in braces stands for: `{lock}` keeps what is selected as it is, `{lock free}` skips what others have
    /// locked, `{in 1}` tests for being in the set that is bound as `$1`.
    fn words(&self, word: &str) -> &'static str {
        match (word, self.is_sqlite()) {
            ("lock" | "lock free" | "bigint" | "timestamptz" | "uuid", true) => "",
            ("lock", false) => "FOR NO KEY UPDATE",
            ("lock free", false) => "FOR NO KEY UPDATE SKIP LOCKED",
            ("bigint", false) => "::bigint",
            ("timestamptz", false) => "::timestamptz",
            ("uuid", false) => "::uuid",
            ("in 1", true) => "IN (SELECT value FROM json_each($1))",
            ("in 1", false) => "= ANY($1)",
            ("infinity", true) => "9223372036854775807",
            ("infinity", false) => "'infinity'::timestamptz",
            ("greatest", true) => "max",
            ("greatest", false) => "greatest",
            ("next_token", true) => "(SELECT value + 1 FROM counters WHERE counters.name = 'lease_token')",
            ("next_token", false) => "nextval('lease_token')",
            ("next_position", true) => "(SELECT value + 1 FROM counters WHERE counters.name = 'position')",
            ("next_position", false) => "NULL",
            ("position", true) => "value FROM counters WHERE name = 'position'",
            ("position", false) => "position FROM numbered",
            ("tallies", true) => "tallies",
            ("tallies", false) => {
                "(SELECT what, key, amount FROM tallies UNION ALL SELECT what, key, amount FROM tally_changes) AS tallies"
            }
            _ => "(a word that no dialect knows)",
        }
    }

    /// Begins a statement.
    pub(crate) fn query(&mut self, operation: &'static str, text: &str) -> Query<'_> {
        let db = match self {
            Self::Sqlite(connection) => Db::Sqlite(connection),
            Self::Postgres(connection) => Db::Postgres(connection),
        };
        let mut query = Query::new(db, operation, String::with_capacity(text.len() + 64));
        query.sql.push_str("-- ");
        query.sql.push_str(operation);
        query.sql.push('\n');
        query.push(text);
        query
    }

    /// Begins a `SELECT` of a record's columns; `rest` is what follows them.
    pub(crate) fn select<R: Record>(&mut self, operation: &'static str, rest: &str) -> Query<'_> {
        self.query(operation, &format!("SELECT {} FROM {} {rest}", R::selected(""), R::TABLE))
    }

    /// Inserts records; `with` are further columns and what they get, `rest` is what follows. On PostgreSQL one
    /// statement for all of them.
    pub(crate) async fn insert<R: Record>(
        &mut self,
        operation: &'static str,
        records: &[R],
        with: &[(&str, &str)],
        rest: &str,
    ) -> Result<()> {
        let stored = R::stored();
        let columns = stored.iter().copied().chain(with.iter().map(|(column, _)| *column));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let with: String = with.iter().flat_map(|(_, given)| [", ", given]).collect();
        let into = format!("INSERT INTO {} ({columns})", R::TABLE);
        if self.is_sqlite() {
            let values = placeholders(stored.len());
            let text = format!("{into} VALUES ({values}{with}) {rest}");
            for record in records {
                self.query(operation, &text).bind_record(record).execute().await?;
            }
        } else if !records.is_empty() {
            let arrays = arrays::<R>();
            let text = format!("{into} SELECT r.*{with} FROM unnest({arrays}) AS r {rest}");
            self.query(operation, &text).bind_records(records).execute().await?;
        }
        Ok(())
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

enum Arguments {
    Sqlite(SqliteArguments),
    Postgres(PgArguments),
}

impl Values {
    pub(crate) fn push<T: Bind + ?Sized>(&mut self, value: &T) {
        let added = match &mut self.arguments {
            Arguments::Sqlite(arguments) => arguments.add(value.to_sqlite()),
            Arguments::Postgres(arguments) => arguments.add(value.to_postgres()),
        };
        self.error = self.error.take().or(added.err());
    }

    /// One array on PostgreSQL. SQLite has none: there the values are bound row by row.
    pub(crate) fn push_all<'v, T: Bind + 'v>(&mut self, values: impl Iterator<Item = &'v T>) {
        let added = match &mut self.arguments {
            Arguments::Sqlite(_) => Err("SQLite has no arrays".into()),
            Arguments::Postgres(arguments) => arguments.add(values.map(T::to_postgres).collect::<Vec<_>>()),
        };
        self.error = self.error.take().or(added.err());
    }

    /// A set of text or numbers: an array on PostgreSQL, JSON on SQLite.
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
        };
        self.error = self.error.take().or(added.err());
    }
}

/// A statement that is being put together, with the connection that it is for.
pub(crate) struct Query<'c> {
    db: Db<'c>,
    operation: &'static str,
    sql: String,
    values: Values,
    bound: usize,
    is_kept: bool,
}

impl<'c> Query<'c> {
    fn new(db: Db<'c>, operation: &'static str, sql: String) -> Self {
        let arguments = match &db {
            Db::Sqlite(_) => Arguments::Sqlite(SqliteArguments::default()),
            Db::Postgres(_) => Arguments::Postgres(PgArguments::default()),
        };
        Self { db, operation, sql, values: Values { arguments, error: None }, bound: 0, is_kept: true }
    }

    /// The next value.
    pub(crate) fn bind<T: Bind + ?Sized>(mut self, value: &T) -> Self {
        self.values.push(value);
        self.bound += 1;
        self
    }

    /// The next value, a set; see [`Db::words`].
    pub(crate) fn bind_set<T: Bind>(mut self, values: &[T]) -> Self
    where
        serde_json::Value: From<T::Sqlite>,
    {
        self.values.push_set(values);
        self.bound += 1;
        self
    }

    /// The next values: the stored columns of a record.
    pub(crate) fn bind_record<R: Record>(mut self, record: &R) -> Self {
        record.write(&mut self.values);
        self.bound += R::stored().len();
        self
    }

    /// The next values, for PostgreSQL: an array for each stored column of records.
    pub(crate) fn bind_records<R: Record>(mut self, records: &[R]) -> Self {
        R::write_all(records, &mut self.values);
        self.bound += R::stored().len();
        self
    }

    /// The next value, for PostgreSQL: an array.
    pub(crate) fn bind_array<T: Bind>(mut self, values: &[T]) -> Self {
        self.values.push_all(values.iter());
        self.bound += 1;
        self
    }

    /// The next value: how many rows at most.
    pub(crate) fn limit(self, limit: u32) -> Self {
        self.bind(&i64::from(limit))
    }

    /// More of the text. Only text of this crate's.
    pub(crate) fn push(&mut self, text: impl AsRef<str>) -> &mut Self {
        let mut rest = text.as_ref();
        while let Some((before, after)) = rest.split_once('{') {
            self.sql.push_str(before);
            let (word, after) = after.split_once('}').unwrap_or((after, ""));
            self.sql.push_str(self.db.words(word));
            rest = after;
        }
        self.sql.push_str(rest);
        self
    }

    /// The place of a value in the text, and the value.
    pub(crate) fn push_bind<T: Bind + ?Sized>(&mut self, value: &T) -> &mut Self {
        self.values.push(value);
        self.bound += 1;
        let place = format!("${}", self.bound);
        self.push(place)
    }

    /// The place of a set in the text, and the set: ` = ANY($n)`, or what SQLite has for it.
    pub(crate) fn push_in(&mut self, values: &[String]) -> &mut Self {
        self.values.push_set(values);
        self.bound += 1;
        let place = self.bound;
        if self.db.is_sqlite() {
            self.push(format!(" IN (SELECT value FROM json_each(${place}))"))
        } else {
            self.push(format!(" = ANY(${place})"))
        }
    }

    /// There are too many texts of this kind to keep a plan for each.
    pub(crate) fn once(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// Runs it; returns the number of rows that it changed.
    pub(crate) async fn execute(self) -> Result<u64> {
        let Self { db, operation, sql, values, is_kept, .. } = self;
        let sql = AssertSqlSafe(sql);
        check(operation, values.error)?;
        match (db, values.arguments) {
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

    /// Runs a conditional write, which must meet its row: [`StoreError::Conflict`] otherwise.
    pub(crate) async fn execute_one(self) -> Result<()> {
        let operation = self.operation;
        match self.execute().await? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { operation }),
        }
    }

    /// All rows.
    pub(crate) async fn all<T: FromRow>(self) -> Result<Vec<T>> {
        let rows = self.fetch(false).await?;
        rows.iter().map(|row| T::read(&mut Reader::new(row))).collect()
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<T: FromRow>(self) -> Result<Option<T>> {
        let rows = self.fetch(true).await?;
        rows.first().map(|row| T::read(&mut Reader::new(row))).transpose()
    }

    /// The row of a statement that always has one.
    pub(crate) async fn one<T: FromRow>(self) -> Result<T> {
        let operation = self.operation;
        self.optional().await?.ok_or_else(|| failed(operation)(sqlx::Error::RowNotFound))
    }

    /// The only column of the only row.
    pub(crate) async fn scalar<T: Value + Send>(self) -> Result<T> {
        self.one::<(T,)>().await.map(|(value,)| value)
    }

    /// The only column of all rows.
    pub(crate) async fn scalars<T: Value + Send>(self) -> Result<Vec<T>> {
        Ok(self.all::<(T,)>().await?.into_iter().map(|(value,)| value).collect())
    }

    /// A count.
    pub(crate) async fn count(self) -> Result<u64> {
        self.scalar::<i64>().await.map(i64::unsigned_abs)
    }

    async fn fetch(self, first: bool) -> Result<Vec<AnyRow>> {
        let Self { db, operation, sql, values, is_kept, .. } = self;
        let sql = AssertSqlSafe(sql);
        check(operation, values.error)?;
        match (db, values.arguments) {
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

fn check(operation: &'static str, error: Option<BoxDynError>) -> Result<()> {
    error.map_or(Ok(()), |source| Err(StoreError::Database { operation, source }))
}
