//! The schemas of the two databases are the same except for the differences that are listed here with their reasons;
//! and so are the migrations and the description of the data model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use runtime::testing::open_store;
use runtime::{SystemClock, SystemEntropy};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, PgConnection, SqliteConnection};
use store::Store;
use tempfile::TempDir;
use tests::Postgres;

/// One line per table, column, key and index, with the types of SQLite.
const SQLITE_LINES: &str = "
    WITH tables AS (
        SELECT name, type FROM pragma_table_list
        WHERE schema = 'main' AND type IN ('table', 'virtual')
            AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations')
    SELECT 'table ' || name FROM tables
    UNION ALL
    SELECT t.name || ' column ' || (c.cid + 1) || ': ' || c.name || ' ' || c.type
        || iif(c.\"notnull\", ' NOT NULL', '') || iif(c.hidden > 1, ' GENERATED', '')
    FROM tables t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'
    UNION ALL
    SELECT t.name || ' PRIMARY KEY (' || group_concat(c.name, ', ' ORDER BY c.pk) || ')'
    FROM tables t, pragma_table_xinfo(t.name) c WHERE c.pk > 0 GROUP BY t.name
    UNION ALL
    SELECT t.name || ' (' || f.\"from\" || ') REFERENCES ' || f.\"table\" || ' (' || f.\"to\" || ') ' || f.on_delete
    FROM tables t, pragma_foreign_key_list(t.name) f
    UNION ALL
    SELECT t.name || iif(l.origin = 'u', '', ' index ' || l.name) || iif(l.\"unique\", ' UNIQUE', '') || ' ('
        || (SELECT group_concat(coalesce(i.name, '…'), ', ' ORDER BY i.seqno) FROM pragma_index_info(l.name) i)
        || ')' || iif(l.partial, ' WHERE', '')
    FROM tables t, pragma_index_list(t.name) l WHERE l.origin IN ('u', 'c')";

/// The same lines from PostgreSQL.
const POSTGRES_LINES: &str = "
    WITH tables AS (
        SELECT oid, relname AS name FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> '_sqlx_migrations'),
    indexes AS (
        SELECT i.*, c.relname AS index_name, k.contype,
            (SELECT string_agg(coalesce(a.attname, '…'), ', ' ORDER BY n.place)
                FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS n (attnum, place)
                LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.attnum AND n.attnum > 0
            ) AS columns
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
    SELECT 'table ' || name FROM tables
    UNION ALL
    SELECT t.name || ' column ' || a.attnum || ': ' || a.attname || ' '
        || CASE format_type(a.atttypid, a.atttypmod)
            WHEN 'text' THEN 'TEXT' WHEN 'uuid' THEN 'TEXT' WHEN 'jsonb' THEN 'TEXT'
            WHEN 'timestamp with time zone' THEN 'INTEGER' WHEN 'boolean' THEN 'INTEGER'
            WHEN 'smallint' THEN 'INTEGER' WHEN 'integer' THEN 'INTEGER' WHEN 'bigint' THEN 'INTEGER'
            WHEN 'bytea' THEN 'BLOB' ELSE format_type(a.atttypid, a.atttypmod) END
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || CASE WHEN a.attgenerated <> '' THEN ' GENERATED' ELSE '' END
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT t.name || ' PRIMARY KEY (' || i.columns || ')'
    FROM tables t JOIN indexes i ON i.indrelid = t.oid WHERE i.contype = 'p'
    UNION ALL
    SELECT t.name || ' (' || a.attname || ') REFERENCES ' || f.relname || ' (' || b.attname || ') '
        || CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' ELSE k.confdeltype::text END
    FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
    JOIN pg_class f ON f.oid = k.confrelid
    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS n (here, there)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.here
    JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = n.there
    UNION ALL
    SELECT t.name || CASE WHEN i.contype = 'u' THEN '' ELSE ' index ' || i.index_name END
        || CASE WHEN i.indisunique THEN ' UNIQUE' ELSE '' END
        || ' (' || i.columns || ')' || CASE WHEN i.indpred IS NOT NULL THEN ' WHERE' ELSE '' END
    FROM tables t JOIN indexes i ON i.indrelid = t.oid WHERE i.contype IS DISTINCT FROM 'p'
    UNION ALL
    SELECT 'sequence ' || c.relname FROM pg_class c
    WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')";

/// A reason, and the lines that only one of the databases has for it.
type Difference = (&'static str, &'static [&'static str]);

const SQLITE_ONLY: &[Difference] = &[
    (
        "Numbers come from a table, because there is one writer at a time.",
        &[
            "table counters",
            "counters column 1: name TEXT NOT NULL",
            "counters column 2: value INTEGER NOT NULL",
            "counters PRIMARY KEY (name)",
        ],
    ),
    (
        "The one writer numbers a change in its own transaction, so a change always has its number.",
        &["domains column 34: position INTEGER NOT NULL"],
    ),
    (
        "There is no function reverse() for an index of names by their end.",
        &["domains column 37: reversed TEXT NOT NULL", "domains index domains_by_end (reversed) WHERE"],
    ),
    (
        "The triggers of the tallies need them; on PostgreSQL computed columns take space, and a function does it.",
        &[
            "domains column 38: is_renewal_blocked INTEGER NOT NULL GENERATED",
            "domains column 39: is_waiting_for_budget INTEGER NOT NULL GENERATED",
            "domains column 40: reason_code TEXT GENERATED",
            "domains column 41: end_hour INTEGER GENERATED",
            "domains index domains_by_reason (reason_code, name) WHERE",
        ],
    ),
    (
        "AUTOINCREMENT: the number of a row is never NULL, but the pragma does not say so.",
        &[
            "audit column 1: id INTEGER",
            "history column 1: id INTEGER",
            "messages column 1: sequence INTEGER",
        ],
    ),
];

const POSTGRES_ONLY: &[Difference] = &[
    (
        "Tokens come from a sequence, because a row would make all transactions wait for each other.",
        &["sequence lease_token"],
    ),
    (
        "A change is numbered after its commit, so that no number becomes visible after a higher one.",
        &[
            "table numbered",
            "numbered column 1: position INTEGER NOT NULL",
            "domains column 34: position INTEGER",
            "domains index domains_unnumbered (changed_at) WHERE",
        ],
    ),
    (
        "Transactions that raised the same row of `tallies` would wait for each other.",
        &[
            "table tally_changes",
            "tally_changes column 1: what TEXT NOT NULL",
            "tally_changes column 2: key TEXT NOT NULL",
            "tally_changes column 3: amount INTEGER NOT NULL",
        ],
    ),
    (
        "Who has the password of a database role must not bring an earlier row of a user back; a file has no roles.",
        &["table user_macs", "user_macs column 1: mac BLOB NOT NULL", "user_macs PRIMARY KEY (mac)"],
    ),
    (
        "The code of a reason is a function; on SQLite it is a computed column.",
        &["domains index domains_by_reason (…, name) WHERE"],
    ),
    (
        "A table with trigram indexes; on SQLite `domain_names` is virtual (FTS5), and not compared by column.",
        &[
            "domain_names column 1: name TEXT NOT NULL",
            "domain_names PRIMARY KEY (name)",
            "domain_names index domain_names_by_part (name)",
            "domain_names index domain_names_by_end (…)",
        ],
    ),
    (
        "An identity column is NOT NULL.",
        &[
            "audit column 1: id INTEGER NOT NULL",
            "history column 1: id INTEGER NOT NULL",
            "messages column 1: sequence INTEGER NOT NULL",
        ],
    ),
];

/// Both databases after `migrate`.
struct Schemas {
    sqlite: SqliteConnection,
    postgres: PgConnection,
    _folder: TempDir,
}

impl Schemas {
    async fn migrated() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.db");
        open_store(&path, Arc::new(SystemClock)).await.unwrap().close().await;
        let postgres = Postgres::shared().await;
        let url = postgres.superuser_url(&postgres.database());
        let store = Store::open_server(&url, 1, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        Self {
            sqlite: SqliteConnectOptions::new().filename(&path).connect().await.unwrap(),
            postgres: url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap(),
            _folder: folder,
        }
    }

    /// What a query returns on SQLite, and another one on PostgreSQL.
    async fn ask(&mut self, sqlite: &'static str, postgres: &'static str) -> [BTreeSet<String>; 2] {
        let sqlite = sqlx::query_scalar(sqlite).fetch_all(&mut self.sqlite).await.unwrap();
        let postgres = sqlx::query_scalar(postgres).fetch_all(&mut self.postgres).await.unwrap();
        [sqlite, postgres].map(BTreeSet::from_iter)
    }

    /// The lines that only SQLite has, and those that only PostgreSQL has.
    async fn differences(&mut self) -> [BTreeSet<String>; 2] {
        let [sqlite, postgres] = self.ask(SQLITE_LINES, POSTGRES_LINES).await;
        [&sqlite - &postgres, &postgres - &sqlite]
    }
}

fn expected() -> [BTreeSet<String>; 2] {
    [SQLITE_ONLY, POSTGRES_ONLY].map(|differences| {
        let lines = differences.iter().flat_map(|(_, lines)| *lines);
        lines.map(|line| (*line).to_owned()).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_differ_only_as_listed() {
    let found = Schemas::migrated().await.differences().await;
    for (database, found, expected) in
        [("SQLite", &found[0], &expected()[0]), ("PostgreSQL", &found[1], &expected()[1])]
    {
        assert_eq!(found - expected, BTreeSet::new(), "{database} alone has these, and no reason is listed");
        assert_eq!(expected - found, BTreeSet::new(), "listed as of {database} alone, but they are not");
    }
}

/// A column, a NOT NULL, a type, a foreign key, a unique constraint, an index or a table of one database alone.
#[tokio::test(flavor = "multi_thread")]
async fn any_other_difference_is_found() {
    let mut schemas = Schemas::migrated().await;
    for change in [
        "ALTER TABLE work ADD COLUMN extra text",
        "ALTER TABLE work DROP COLUMN hinted_at",
        "ALTER TABLE work ALTER COLUMN cause DROP NOT NULL",
        "ALTER TABLE work ALTER COLUMN attempts TYPE text",
        "ALTER TABLE challenges DROP CONSTRAINT challenges_order_id_fkey",
        "ALTER TABLE messages DROP CONSTRAINT messages_id_key",
        "DROP INDEX work_due",
        "DROP TABLE probes",
    ] {
        sqlx::query("BEGIN").execute(&mut schemas.postgres).await.unwrap();
        sqlx::query(change).execute(&mut schemas.postgres).await.unwrap();
        assert_ne!(schemas.differences().await, expected(), "{change}");
        sqlx::query("ROLLBACK").execute(&mut schemas.postgres).await.unwrap();
    }
    sqlx::query("ALTER TABLE work ADD COLUMN extra TEXT").execute(&mut schemas.sqlite).await.unwrap();
    assert_ne!(schemas.differences().await, expected());
}

/// The files of a folder of migrations, such as `0001_first`.
fn migrations(database: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.map(|file| file.to_str().unwrap().trim_end_matches(".sql").to_owned()).collect()
}

/// A release migrates both databases or none, and `migrate` runs every file.
/// A released migration is never edited: databases have it. `migrations/released` lists each with its SHA-256, as
/// `sha256sum` prints it; a release appends its new ones.
#[test]
fn released_migrations_are_as_they_were_released() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let released = std::fs::read_to_string(folder.join("released")).unwrap();
    for line in released.lines().filter(|line| !line.starts_with('#')) {
        let (expected, file) = line.split_once("  ").expect(line);
        let text = std::fs::read(folder.join(file)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(text)), expected, "{file} was edited after its release");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_have_the_same_numbers() {
    let files = migrations("sqlite");
    assert_eq!(files, migrations("postgres"));
    let sqlite = "SELECT printf('%04d_', version) || description FROM _sqlx_migrations";
    let postgres = "SELECT to_char(version, 'FM0000_') || description FROM _sqlx_migrations";
    let applied = Schemas::migrated().await.ask(sqlite, postgres).await;
    assert_eq!(applied, [files.clone(), files]);
}

/// `docs/DATA_MODEL.md` has a row for each table and each migration, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_model_is_described() {
    let lines = Schemas::migrated().await.ask(SQLITE_LINES, POSTGRES_LINES).await;
    let tables = lines.iter().flatten().filter_map(|line| line.strip_prefix("table ").map(str::to_owned));
    let there: BTreeSet<String> = tables.chain(migrations("sqlite")).collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/DATA_MODEL.md");
    let text = std::fs::read_to_string(document).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut described: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    described.sort_unstable();
    assert_eq!(described, Vec::from_iter(&there));
}
