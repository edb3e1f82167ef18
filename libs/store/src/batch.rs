//! Writes of a transaction that go to the database together, because the way there and back costs more than what is done
//! there.
//!
//! What a transaction writes without looking at the answer is kept until it reads, or commits. Then all of it goes as one
//! text: SQLite gets the statements one after the other, PostgreSQL one statement with a part for each (`WITH`). How many
//! rows each has met comes back with it, and a condition that was not met fails the transaction there.
//!
//! Rules. The parts of PostgreSQL's statement see the rows as they were before it, and no two may change the same row. So
//! a write to a place that is being written already waits for the next text ([`Batch::takes`]). A write whose answer is
//! wanted at once, or that looks at rows which the same transaction writes, goes through [`crate::Tx::db`], which sends
//! what is kept before.

use futures::TryStreamExt as _;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Either, Executor as _, PgConnection, Row as _, SqliteConnection};

use crate::sql::{Arguments, Db, Statement, To, Values, failed, within};
use crate::{Result, StoreError};

/// Enough for a step. A text is prepared once per connection, and there are as many texts as combinations.
const MAX_WRITES: usize = 12;

/// What is kept.
pub(crate) struct Batch {
    is_sqlite: bool,
    writes: Vec<Write>,
    values: Values,
    bound: usize,
    /// Something of the transaction was not written: it must not be committed.
    is_broken: bool,
}

struct Write {
    operation: &'static str,
    sql: String,
    place: Place,
    /// What it means if it does not meet exactly one row; none if it may.
    otherwise: Option<StoreError>,
}

/// What a write changes: a part of a table, or (empty) all of it.
struct Place {
    table: String,
    part: String,
}

/// Where a write is put together.
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
        Self { is_sqlite, writes: Vec::new(), values: Values::new(is_sqlite), bound: 0, is_broken: false }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.is_sqlite
    }

    /// Whether a write to that part of its table (empty: to all of it) can go with what is kept.
    pub(crate) fn takes(&self, part: &str, text: &str) -> bool {
        let place = Place::of(text, part);
        let overlaps = |kept: &Write| !self.is_sqlite && kept.place.overlaps(&place);
        self.writes.len() < MAX_WRITES && !self.writes.iter().any(overlaps)
    }

    /// Begins a write, which has to be kept.
    pub(crate) fn write(
        &mut self,
        operation: &'static str,
        part: &str,
        text: &str,
    ) -> Statement<Keeping<'_>> {
        let values = std::mem::replace(&mut self.values, Values::new(self.is_sqlite));
        let before = self.bound;
        let keeping = Keeping { batch: self, place: Place::of(text, part) };
        let mut statement = Statement::new(keeping, operation, values, before);
        statement.push(text);
        statement
    }

    /// Sends what is kept. After an error nothing of the transaction can be committed.
    pub(crate) async fn send(&mut self, db: Db<'_>) -> Result<()> {
        if self.is_broken {
            return Err(StoreError::Conflict { operation: "batch" });
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
}

impl Statement<Keeping<'_>> {
    /// However many rows it meets.
    pub(crate) fn keep(self) {
        self.keep_with(None);
    }

    /// A conditional write, which must meet its row: [`StoreError::Conflict`] otherwise.
    pub(crate) fn keep_one(self) {
        let operation = self.operation;
        self.keep_or(StoreError::Conflict { operation });
    }

    /// A conditional write, which must meet its row.
    pub(crate) fn keep_or(self, otherwise: StoreError) {
        self.keep_with(Some(otherwise));
    }

    fn keep_with(self, otherwise: Option<StoreError>) {
        let Self { to: Keeping { batch, place }, operation, sql, values, before, bound, .. } = self;
        batch.values = values;
        batch.bound = before + bound;
        batch.writes.push(Write { operation, sql, place, otherwise });
    }
}

/// Returns how many rows each has met.
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

/// Returns how many rows each has met.
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

/// The operation whose table the error names, as far as it does.
fn refused(writes: &[Write], error: &sqlx::Error) -> &'static str {
    let table = error.as_database_error().and_then(|error| error.table());
    let write = writes.iter().find(|write| table == Some(&write.place.table));
    write.map_or("batch", |write| write.operation)
}
