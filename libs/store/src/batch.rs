//! Batches the writes of a transaction into one round trip, because the round trip costs more than the writes.
//!
//! A write whose result is not needed is kept until the transaction reads or commits. Then all kept writes are sent
//! together: SQLite gets the statements one after the other, PostgreSQL one statement with a part for each (`WITH`).
//! The row count of each write is returned, and a condition that was not met fails the transaction at that point.
//!
//! Rules. The parts of PostgreSQL's statement see the rows as they were before it, and no two parts may change the
//! same row. So a write to a place that already has a kept write is sent in the next batch ([`Batch::takes`]). A
//! write whose result is needed at once, or that reads rows written by the same transaction, goes through
//! [`crate::Tx::db`], which first sends the kept writes. The writes of a group of steps are kept by text (`rows.rs`).

pub(crate) mod rows;

use futures::TryStreamExt as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Either, Executor as _, PgConnection, Row as _, SqliteConnection};

use self::rows::Rows;
use crate::sql::{Arguments, Db, Statement, To, Values, failed, within};
use crate::{Result, StoreError};

/// Enough for a step. Each combination of writes is a text of its own, prepared once per connection.
const MAX_WRITES: usize = 12;

/// The kept writes of a transaction.
pub(crate) struct Batch {
    is_sqlite: bool,
    writes: Vec<Write>,
    values: Values,
    bound: usize,
    /// The writes of a group of steps, in place of `writes`.
    group: Option<Rows>,
    /// A write of the transaction failed: it must not be committed.
    is_broken: bool,
}

struct Write {
    operation: &'static str,
    sql: String,
    place: Place,
    /// The error if the write does not change exactly one row; none if any number is fine.
    otherwise: Option<StoreError>,
}

/// The target of a write: a part of a table, or (empty) the whole table.
struct Place {
    table: String,
    part: String,
}

/// A write that is being built.
pub(crate) struct Keeping<'b> {
    batch: &'b mut Batch,
    place: Place,
}

impl Place {
    fn of(text: &str, part: &str) -> Self {
        let mut words = text.split_whitespace();
        let table = match words.next() {
            Some("UPDATE") => words.next(),
            // INSERT INTO, DELETE FROM.
            _ => words.nth(1),
        };
        Self { table: table.unwrap_or_default().to_owned(), part: part.to_owned() }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let is_all = self.part.is_empty() || other.part.is_empty();
        self.table == other.table && (is_all || self.part == other.part)
    }
}

impl Batch {
    pub(crate) fn new(is_sqlite: bool) -> Self {
        let values = Values::new(is_sqlite);
        Self { is_sqlite, writes: Vec::new(), values, bound: 0, group: None, is_broken: false }
    }

    /// A batch for a group of steps on PostgreSQL.
    pub(crate) fn of_group() -> Self {
        Self { group: Some(Rows::default()), ..Self::new(false) }
    }

    /// The next writes are those of another step of the group.
    pub(crate) fn next_step(&mut self) {
        if let Some(group) = &mut self.group {
            group.next_step();
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.is_sqlite
    }

    /// Whether a write to `part` of its table (empty: the whole table) can be added to the batch.
    pub(crate) fn takes(&self, operation: &'static str, part: &str, text: &str) -> bool {
        let place = Place::of(text, part);
        if let Some(group) = &self.group {
            return group.takes(operation, &place);
        }
        let overlaps = |kept: &Write| !self.is_sqlite && kept.place.overlaps(&place);
        self.writes.len() < MAX_WRITES && !self.writes.iter().any(overlaps)
    }

    /// Starts a write; one of its `keep` methods must follow.
    pub(crate) fn write(
        &mut self,
        operation: &'static str,
        part: &str,
        text: &str,
    ) -> Statement<Keeping<'_>> {
        let values = match self.group {
            Some(_) => Values::of_rows(),
            None => std::mem::replace(&mut self.values, Values::new(self.is_sqlite)),
        };
        let before = self.bound;
        let keeping = Keeping { batch: self, place: Place::of(text, part) };
        let mut statement = Statement::new(keeping, operation, values, before);
        statement.push(text);
        statement
    }

    /// Sends the kept writes. After an error the transaction cannot be committed.
    pub(crate) async fn send(&mut self, mut db: Db<'_>) -> Result<()> {
        if self.is_broken {
            return Err(StoreError::Conflict { operation: "batch" });
        }
        if let (Some(group), Db::Postgres(db)) = (&mut self.group, &mut db) {
            self.is_broken = true;
            group.send(db).await?;
            self.is_broken = false;
            return Ok(());
        }
        let anew = Self { is_broken: true, ..Self::new(self.is_sqlite) };
        let kept = std::mem::replace(self, anew);
        kept.sent(db).await?;
        self.is_broken = false;
        Ok(())
    }

    async fn sent(self, db: Db<'_>) -> Result<()> {
        let Self { writes, values, .. } = self;
        let Some(first) = writes.first() else {
            return Ok(());
        };
        let met = match (db, values.into_arguments(first.operation)?) {
            (Db::Sqlite(db), Arguments::Sqlite(values)) => in_a_row(db, &writes, values).await?,
            (Db::Postgres(db), Arguments::Postgres(values)) => within(as_one(db, &writes, values)).await?,
            _ => unreachable!("a batch's values are made for its connection"),
        };
        for (write, met) in writes.into_iter().zip(met) {
            if let Some(error) = write.otherwise.filter(|_| met != 1) {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl To for Keeping<'_> {
    fn is_sqlite(&self) -> bool {
        self.batch.is_sqlite
    }

    fn rows(&self) -> &'static str {
        if self.batch.group.is_some() { rows::MARK } else { "" }
    }
}

impl Statement<Keeping<'_>> {
    /// Keeps the write; any number of changed rows is accepted.
    pub(crate) fn keep(self) {
        self.keep_with(None);
    }

    /// Keeps a conditional write that must change its row; [`StoreError::Conflict`] otherwise.
    pub(crate) fn keep_one(self) {
        let operation = self.operation;
        self.keep_or(StoreError::Conflict { operation });
    }

    /// Keeps a conditional write that must change its row; `otherwise` is the error.
    pub(crate) fn keep_or(self, otherwise: StoreError) {
        self.keep_with(Some(otherwise));
    }

    fn keep_with(self, otherwise: Option<StoreError>) {
        let Self { to: Keeping { batch, place }, operation, sql, values, before, bound, .. } = self;
        if let Some(group) = &mut batch.group {
            return match values.into_arguments(operation) {
                Ok(Arguments::Rows(columns)) => {
                    group.keep(operation, sql, place, columns, otherwise.is_some());
                }
                _ => batch.is_broken = true,
            };
        }
        batch.values = values;
        batch.bound = before + bound;
        batch.writes.push(Write { operation, sql, place, otherwise });
    }
}

/// Returns the number of rows changed by each write.
async fn in_a_row(db: &mut SqliteConnection, writes: &[Write], values: SqliteArguments) -> Result<Vec<u64>> {
    let text: Vec<&str> = writes.iter().map(|write| write.sql.as_str()).collect();
    let query = sqlx::query_with(AssertSqlSafe(text.join(";\n")), values);
    let mut answers = db.fetch_many(query);
    let mut met = Vec::with_capacity(writes.len());
    loop {
        let operation = writes.get(met.len()).map_or("batch", |write| write.operation);
        match answers.try_next().await.map_err(failed(operation))? {
            Some(Either::Left(done)) => met.push(done.rows_affected()),
            Some(Either::Right(_)) => {}
            None => return Ok(met),
        }
    }
}

/// Returns the number of rows changed by each write.
async fn as_one(db: &mut PgConnection, writes: &[Write], values: PgArguments) -> Result<Vec<u64>> {
    if let [write] = writes {
        let done = sqlx::query_with(AssertSqlSafe(write.sql.as_str()), values).execute(db).await;
        return Ok(vec![done.map_err(failed(write.operation))?.rows_affected()]);
    }
    let part = |(number, write): (usize, &Write)| format!("w{number} AS (\n{}\nRETURNING 1)", write.sql);
    let parts: Vec<String> = writes.iter().enumerate().map(part).collect();
    let counts: Vec<String> =
        (0..writes.len()).map(|number| format!("(SELECT count(*) FROM w{number})")).collect();
    let names: Vec<&str> = writes.iter().map(|write| write.operation).collect();
    let text = format!("-- {}\nWITH {}\nSELECT {}", names.join(", "), parts.join(",\n"), counts.join(", "));
    let row = sqlx::query_with(AssertSqlSafe(text), values).fetch_one(db).await;
    let row = row.map_err(|error| failed(refused(writes, &error))(error))?;
    let met = (0..writes.len()).map(|number| row.try_get::<i64, _>(number).map(i64::unsigned_abs));
    met.collect::<sqlx::Result<_>>().map_err(failed("batch"))
}

/// The operation whose table the error names, if it names one.
fn refused(writes: &[Write], error: &sqlx::Error) -> &'static str {
    let table = error.as_database_error().and_then(|error| error.table());
    let write = writes.iter().find(|write| table == Some(&write.place.table));
    write.map_or("batch", |write| write.operation)
}
