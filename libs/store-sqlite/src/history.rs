//! A name's history.

use domain::{DomainName, HistoryEntry};
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Result};

use crate::db::{failed, micros, time};

#[derive(FromRow)]
struct HistoryRow {
    name: String,
    at: i64,
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
            at: time(&columns, "at", row.at)?,
            kind: columns.parse("kind", &row.kind)?,
            status_from: columns.maybe_parse("status_from", row.status_from.as_deref())?,
            status_to: columns.parse("status_to", &row.status_to)?,
            actor: row.actor,
            message: row.message,
            certificate_sha256: row.certificate_sha256,
        })
    }
}

pub(crate) async fn of(
    db: impl SqliteExecutor<'_>,
    name: &DomainName,
    limit: u32,
) -> Result<Vec<HistoryEntry>> {
    let rows: Vec<HistoryRow> = sqlx::query_as(
        "-- history
        SELECT name, at, kind, actor, status_from, status_to, message, certificate_sha256
        FROM history WHERE name = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(name.as_str())
    .bind(limit)
    .fetch_all(db)
    .await
    .map_err(failed("history"))?;
    rows.into_iter().map(HistoryEntry::try_from).collect()
}

pub(crate) async fn append(db: &mut SqliteConnection, entry: &HistoryEntry) -> Result<()> {
    sqlx::query(
        "-- append_history
        INSERT INTO history (name, at, kind, actor, status_from, status_to, message, certificate_sha256)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(entry.name.as_str())
    .bind(micros(entry.at))
    .bind(entry.kind.as_str())
    .bind(&entry.actor)
    .bind(entry.status_from.map(domain::Status::as_str))
    .bind(entry.status_to.as_str())
    .bind(&entry.message)
    .bind(&entry.certificate_sha256)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("append_history"))
}
