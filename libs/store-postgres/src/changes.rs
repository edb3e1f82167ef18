//! Changes and history. See the crate's documentation for how changes get their numbers.

use domain::{DomainName, HistoryEntry};
use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};
use store::{Change, Columns, Result};

use crate::db::{failed, time};
use crate::domains::{ViewRow, select_views};

/// Changes numbered in one go.
const BATCH: i64 = 10_000;

/// Numbers every change that has committed, one asker at a time. What another transaction is changing again is left to
/// the next asker.
pub(crate) async fn number(pool: &PgPool) -> Result<()> {
    while any_unnumbered(pool).await? {
        let mut tx = pool.begin().await.map_err(failed("number_changes"))?;
        sqlx::query("-- numbering\nSELECT position FROM numbered FOR UPDATE")
            .execute(&mut *tx)
            .await
            .map_err(failed("numbering"))?;
        let numbered = sqlx::query(
            "-- number_changes
            WITH changed AS MATERIALIZED (
                SELECT name, changed_at FROM domains WHERE position IS NULL
                ORDER BY changed_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED),
            counted AS (SELECT name, row_number() OVER (ORDER BY changed_at) AS number FROM changed),
            raised AS (
                UPDATE numbered n SET position = n.position + (SELECT count(*) FROM changed)
                RETURNING n.position - (SELECT count(*) FROM changed) AS before)
            UPDATE domains d SET position = raised.before + counted.number
            FROM counted, raised WHERE d.name = counted.name",
        )
        .bind(BATCH)
        .execute(&mut *tx)
        .await
        .map_err(failed("number_changes"))?;
        tx.commit().await.map_err(failed("number_changes"))?;
        if numbered.rows_affected() < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

/// A look that costs no write and no lock, for when nothing changes.
async fn any_unnumbered(db: impl PgExecutor<'_>) -> Result<bool> {
    sqlx::query_scalar("-- any_unnumbered\nSELECT EXISTS (SELECT 1 FROM domains WHERE position IS NULL)")
        .fetch_one(db)
        .await
        .map_err(failed("any_unnumbered"))
}

pub(crate) async fn after(
    db: impl PgExecutor<'_>,
    after: i64,
    name: Option<&DomainName>,
    limit: u32,
) -> Result<Vec<Change>> {
    // Two statements: one that served both would walk through every domain's change to find one domain's.
    let query = match name {
        None => sqlx::query_as(select_views!(
            "domain_changes",
            "WHERE d.position > $1 ORDER BY d.position LIMIT $2"
        ))
        .bind(after)
        .bind(i64::from(limit)),
        Some(name) => sqlx::query_as(select_views!(
            "domain_changes_of",
            "WHERE d.position > $1 AND d.name = $3 LIMIT $2"
        ))
        .bind(after)
        .bind(i64::from(limit))
        .bind(name.as_str()),
    };
    let rows: Vec<ViewRow> = query.fetch_all(db).await.map_err(failed("domain_changes"))?;
    rows.into_iter().map(Change::try_from).collect()
}

/// The highest number given.
pub(crate) async fn position(db: impl PgExecutor<'_>) -> Result<i64> {
    sqlx::query_scalar("-- position\nSELECT position FROM numbered")
        .fetch_one(db)
        .await
        .map_err(failed("position"))
}

#[derive(FromRow)]
struct HistoryRow {
    name: String,
    at: jiff_sqlx::Timestamp,
    kind: String,
    actor: String,
    status_from: Option<String>,
    status_to: String,
    message: String,
    certificate_sha256: Option<String>,
}

impl TryFrom<HistoryRow> for HistoryEntry {
    type Error = store::StoreError;

    fn try_from(row: HistoryRow) -> Result<Self> {
        let columns = Columns { table: "history", id: &row.name };
        Ok(Self {
            name: columns.name(&row.name)?,
            at: row.at.to_jiff(),
            kind: columns.parse("kind", &row.kind)?,
            status_from: columns.maybe_parse("status_from", row.status_from.as_deref())?,
            status_to: columns.parse("status_to", &row.status_to)?,
            actor: row.actor,
            message: row.message,
            certificate_sha256: row.certificate_sha256,
        })
    }
}

pub(crate) async fn history(
    db: impl PgExecutor<'_>,
    name: &DomainName,
    limit: u32,
) -> Result<Vec<HistoryEntry>> {
    let rows: Vec<HistoryRow> = sqlx::query_as(
        "-- history
        SELECT name, at, kind, actor, status_from, status_to, message, certificate_sha256
        FROM history WHERE name = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(name.as_str())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("history"))?;
    rows.into_iter().map(HistoryEntry::try_from).collect()
}

pub(crate) async fn append_history(db: &mut PgConnection, entries: &[HistoryEntry]) -> Result<()> {
    let column = |of: fn(&HistoryEntry) -> Option<&str>| entries.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "-- append_history
        INSERT INTO history (name, at, kind, actor, status_from, status_to, message, certificate_sha256)
        SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[])",
    )
    .bind(column(|entry| Some(entry.name.as_str())))
    .bind(entries.iter().map(|entry| time(entry.at)).collect::<Vec<_>>())
    .bind(column(|entry| Some(entry.kind.as_str())))
    .bind(column(|entry| Some(&entry.actor)))
    .bind(column(|entry| entry.status_from.map(domain::Status::as_str)))
    .bind(column(|entry| Some(entry.status_to.as_str())))
    .bind(column(|entry| Some(&entry.message)))
    .bind(column(|entry| entry.certificate_sha256.as_deref()))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("append_history"))
}
