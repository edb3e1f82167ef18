//! A million domains by straight SQL: plausible names, statuses and certificates, the same in both databases.

use std::path::Path;
use std::str::FromStr;

use domain::{Found, Reason};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tests::Postgres;

/// Of 1000 domains: so many Emergency, Expired, Discard, Pending and Failure, in this order; Success the rest.
const STATUS: &str = "CASE WHEN h < 1 THEN 'Emergency' WHEN h < 6 THEN 'Expired' WHEN h < 15 THEN 'Discard'
    WHEN h < 45 THEN 'Pending' WHEN h < 80 THEN 'Failure' ELSE 'Success' END";
const WORDS: &str = "CASE i % 8 WHEN 0 THEN 'www' WHEN 1 THEN 'shop' WHEN 2 THEN 'api' WHEN 3 THEN 'img'
    WHEN 4 THEN 'static' WHEN 5 THEN 'blog' WHEN 6 THEN 'cdn' ELSE 'assets' END";
const ZONES: &str =
    "CASE h % 5 WHEN 0 THEN 'com' WHEN 1 THEN 'net' WHEN 2 THEN 'org' WHEN 3 THEN 'de' ELSE 'co.uk' END";
const COLUMNS: &str =
    "name, revision, source, created_at, unknown_to_c4, live_certificate_id, live_not_after, block, status,
    activity, upload_revision, version, changed_at, position, upload_failing, who";

/// A reason as the store keeps it, as a word of SQL.
fn stored(reason: &Reason) -> String {
    format!("'{}'", serde_json::to_string(reason).unwrap())
}

/// The rows without what differs: times and ids. `now` and `day` are in the database's own units.
fn rows(series: &str, id: &str, now: &str, day: &str, json: &str, yes: [&str; 2]) -> String {
    let [yes, no] = yes;
    let block = stored(&Reason::NotPointed {
        target: "cdn.example.net".to_owned(),
        addresses: Vec::new(),
        found: Found::NoRecord,
        proxy: None,
    });
    let failed = stored(&Reason::UploadFailed { detail: "503".to_owned() });
    format!(
        "SELECT name, 1, CASE WHEN i % 20 = 7 THEN 'text' ELSE 'c4' END, {now} - {day} * (i % 700),
            CASE WHEN status = 'Discard' THEN {yes} ELSE {no} END,
            CASE WHEN is_live THEN id END, CASE WHEN is_live THEN ends END,
            CASE WHEN status = 'Failure' OR (status = 'Success' AND i % 500 = 3) THEN {block}{json} END, status,
            'idle', 1, 1, {now}, i, CASE WHEN status = 'Emergency' THEN {failed}{json} END,
            CASE WHEN status IN ('Emergency', 'Discard') THEN 'cdn_operator'
                WHEN status = 'Failure' OR (status = 'Success' AND i % 500 = 3) THEN 'customer' END
        FROM (SELECT i, name, status, {id} AS id, status IN ('Success', 'Expired', 'Emergency') AS is_live,
                CASE WHEN status = 'Expired' THEN {now} - {day} * (i % 9 + 1) ELSE {now} + {day} * (i % 83 + 7) END AS ends
            FROM (SELECT i, {WORDS} || '.customer-' || n || '.' || {ZONES} AS name, {STATUS} AS status FROM {series} g) s) r"
    )
}

pub(super) fn postgres(postgres: &Postgres, database: &str, many: usize) {
    let series = format!(
        "(SELECT i, i * 7919 % 1000 AS h, lpad(i::text, 7, '0') AS n FROM generate_series(1::bigint, {many}) i)"
    );
    let rows = rows(&series, "md5(i::text)::uuid", "now()", "interval '1 day'", "::jsonb", ["true", "false"]);
    let sql = format!(
        "SET session_replication_role = replica;
        SET maintenance_work_mem = '512MB';
        CREATE TEMPORARY TABLE kept AS
            SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
            WHERE indrelid IN ('domains'::regclass, 'certificates'::regclass, 'domain_names'::regclass) AND NOT indisprimary;
        DO $$ DECLARE k record; BEGIN FOR k IN TABLE kept LOOP EXECUTE 'DROP INDEX ' || k.name; END LOOP; END $$;
        INSERT INTO domains ({COLUMNS}) {rows};
        INSERT INTO certificates (id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, created_at)
            SELECT live_certificate_id, name, 1, source, lpad(to_hex(position), 64, '0'), lpad(to_hex(position), 32, '1'),
                'CN=R11', created_at, live_not_after, 'PEM', created_at
            FROM domains WHERE live_certificate_id IS NOT NULL;
        INSERT INTO work (name, kind, revision, cause, attempts, due_at, lease_token)
            SELECT name, 'issue', 1, 'renewal', 0, live_not_after - interval '7 days', 0 FROM domains WHERE status = 'Success';
        INSERT INTO domain_names SELECT name FROM domains;
        DELETE FROM tallies;
        INSERT INTO tallies (what, key, amount)
            SELECT f.what, f.key, count(*) FROM domains d, unnest(tallied_kinds(), tallied_as(d)) AS f (what, key)
            WHERE f.key IS NOT NULL GROUP BY f.what, f.key;
        UPDATE numbered SET position = {many};
        DO $$ DECLARE k record; BEGIN FOR k IN TABLE kept LOOP EXECUTE k.definition; END LOOP; END $$;"
    );
    postgres.psql(database, &sql).unwrap();
    postgres.psql(database, "VACUUM ANALYZE").unwrap();
}

pub(super) async fn sqlite(file: &Path, many: usize) {
    let options =
        SqliteConnectOptions::from_str(&format!("sqlite://{}", file.display())).unwrap().foreign_keys(false);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let now = "(unixepoch() * 1000000)";
    let series = format!(
        "(WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {many})
            SELECT i, i * 7919 % 1000 AS h, printf('%07d', i) AS n FROM g)"
    );
    let id = "printf('%08x-0000-4000-8000-%012x', i, i)";
    let rows = rows(&series, id, now, "86400000000", "", ["1", "0"]);
    let back: Vec<String> = (1..=40).rev().map(|at| format!("substr(name, {at}, 1)")).collect();
    // Without what each row would pay for on its own; all of it is made again after.
    let kept: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT type, name, sql FROM sqlite_schema
        WHERE tbl_name IN ('domains', 'certificates') AND type IN ('index', 'trigger') AND sql IS NOT NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let mut statements = vec!["BEGIN IMMEDIATE".to_owned()];
    statements.extend(kept.iter().map(|(kind, name, _)| format!("DROP {kind} {name}")));
    statements.extend([
        format!("INSERT INTO domains ({COLUMNS}) {rows}"),
        format!("UPDATE domains SET reversed = {}", back.join(" || ")),
        "INSERT INTO certificates (id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem,
                created_at)
            SELECT live_certificate_id, name, 1, source, printf('%064x', position), '11' || printf('%030x', position),
                'CN=R11', created_at, live_not_after, 'PEM', created_at
            FROM domains WHERE live_certificate_id IS NOT NULL"
            .to_owned(),
        "INSERT INTO work (name, kind, revision, cause, attempts, due_at, lease_token)
            SELECT name, 'issue', 1, 'renewal', 0, live_not_after - 7 * 86400000000, 0 FROM domains WHERE status = 'Success'"
            .to_owned(),
        "INSERT INTO domain_names (name) SELECT name FROM domains".to_owned(),
        "INSERT INTO tallies (what, key, amount)
            SELECT 'domains', status, count(*) FROM domains GROUP BY status
            UNION ALL SELECT 'domains', 'renewal_blocked', count(*) FROM domains WHERE is_renewal_blocked
            UNION ALL SELECT 'reason', reason_code, count(*) FROM domains WHERE reason_code IS NOT NULL GROUP BY reason_code
            UNION ALL SELECT 'ends', end_hour, count(*) FROM domains WHERE end_hour IS NOT NULL GROUP BY end_hour"
            .to_owned(),
        format!("UPDATE counters SET value = {many} WHERE name = 'position'"),
    ]);
    statements.extend(kept.into_iter().map(|(_, _, sql)| sql));
    statements.extend(["COMMIT", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"].map(ToOwned::to_owned));
    for sql in statements {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

/// Nothing of it is due for a month, the daily recheck included.
pub(super) async fn quiet(file: &Path) {
    let options = SqliteConnectOptions::new().filename(file);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    for sql in [
        "UPDATE work SET due_at = due_at + 30 * 86400000000",
        "UPDATE domains SET rechecked_on = date('now', '+30 days')",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    pool.close().await;
}
