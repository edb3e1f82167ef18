//! Migrations: append-only, with the same numbers on both databases. A program works on its own schema, and on a
//! newer one that declares itself compatible (`schema_compatibility`), so that an upgrade needs no maintenance window
//! and one step back is possible (ADR 0024). Every other schema is rejected with advice.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr};

use crate::sql::{Db, failed};
use crate::{Pools, Result, Store, StoreError, dialect};

/// Number, description, text for SQLite, text for PostgreSQL.
const MIGRATIONS: [(i64, &str, &str, &str); 1] = [(
    1,
    "first",
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/postgres/0001_first.sql"),
)];

const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Why not sqlx's macro: it builds both databases' drivers a second time, for the compiler.
fn migrator(is_sqlite: bool) -> Migrator {
    let migration =
        |(number, description, sqlite, postgres): (i64, &'static str, &'static str, &'static str)| {
            let text = if is_sqlite { sqlite } else { postgres };
            let text = AssertSqlSafe(text).into_sql_str();
            Migration::new(number, description.into(), MigrationType::Simple, text, false)
        };
    // The program lacks the migrations of a newer one; whether it may work with them is checked before.
    let ignore_missing = true;
    Migrator { migrations: MIGRATIONS.map(migration).to_vec().into(), ignore_missing, ..Migrator::DEFAULT }
}

impl Store {
    /// Brings the schema up to date; a newer one stays unchanged. [`StoreError::Schema`] if this program cannot work
    /// on it. Programs that start together wait for each other.
    pub async fn migrate(&self) -> Result<()> {
        self.refuse_foreign().await?;
        match &self.pools {
            Pools::Sqlite { writer, .. } => {
                // One transaction around everything: the migrator takes no lock on SQLite, so two processes that
                // start together on a new file would both find it empty and both begin.
                let mut alone = writer.alone("migrate").await?;
                let begun = alone.connection().begin_with("BEGIN IMMEDIATE").await;
                let mut tx = begun.map_err(failed("migrate"))?;
                run(&migrator(true), &mut *tx).await?;
                tx.commit().await.map_err(failed("migrate"))
            }
            Pools::Postgres(pool) => {
                let mut connection = pool.acquire().await.map_err(failed("migrate"))?;
                let mut db = Db::Postgres(&mut connection);
                db.query("no_timeout", "SET statement_timeout = 0").execute().await?;
                let migrated = run(&migrator(false), &mut *connection).await;
                // Closed instead of returned to the pool: its statement timeout is off.
                let _ = connection.close().await;
                migrated
            }
        }
    }

    /// Checks that this program can work on the schema. [`StoreError::Schema`] otherwise;
    /// [`StoreError::SharedSessions`] if sessions are shared with other clients.
    pub async fn check_schema(&self) -> Result<()> {
        dialect::refuse_shared_sessions(self).await?;
        let found = self.refuse_foreign().await?;
        if found < NEWEST {
            let advice = "run `ssl-manager db migrate`";
            return Err(StoreError::Schema { found, known: NEWEST, advice });
        }
        Ok(())
    }

    /// Whether no migration was applied yet.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.refuse_foreign().await? == 0)
    }

    /// Rejects a schema that is neither an earlier one of this program nor compatible with it; returns its number, 0
    /// for an empty database.
    async fn refuse_foreign(&self) -> Result<i64> {
        let applied = self.applied().await?;
        let found = applied.last().map_or(0, |(number, _)| *number);
        let migrator = migrator(matches!(self.pools, Pools::Sqlite { .. }));
        let is_other = |(number, checksum): &(i64, Vec<u8>)| {
            let known = migrator.iter().find(|known| known.version == *number);
            known.is_some_and(|known| *known.checksum != **checksum)
        };
        let advice = if applied.iter().any(is_other) {
            "it is from before the first release: start with a new database"
        } else if found > NEWEST && self.compatible_from().await? > NEWEST {
            "install the ssl-manager that wrote it, or a newer one"
        } else {
            return Ok(found);
        };
        Err(StoreError::Schema { found, known: NEWEST, advice })
    }

    /// The oldest schema whose programs may work on this one.
    async fn compatible_from(&self) -> Result<i64> {
        let text = "SELECT compatible_from FROM schema_compatibility";
        self.reader().await?.db().query("compatible_from", text).scalar().await
    }

    /// Returns the numbers and checksums of the applied migrations, in order.
    async fn applied(&self) -> Result<Vec<(i64, Vec<u8>)>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let text = if db.is_sqlite() {
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')"
        } else {
            "SELECT to_regclass('_sqlx_migrations') IS NOT NULL"
        };
        if !db.query("has_schema", text).scalar::<bool>().await? {
            return Ok(Vec::new());
        }
        let text = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
        db.query("schema", text).all().await
    }
}

async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<()> {
    // `run` does the same, but through a bound that makes this future impossible to spawn.
    let migrated = migrator.run_direct(None, connection, false).await;
    migrated.map_err(|source: MigrateError| StoreError::Database {
        operation: "migrate",
        source: Box::new(source),
    })
}
