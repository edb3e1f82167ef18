//! Work rows and their leases. Every token comes from one counter, which triggers raise, so that a row which went and
//! came back never repeats one. The counter begins above 0, so a row with token 0 is nobody's: what gives a lease back
//! writes it, and the old holder's later writes meet nothing.

use domain::{Domain, DomainName, Lease, Work, WorkKind};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Result, StoreError};

use crate::db::{failed, maybe_micros, maybe_time, micros};
use crate::domains::DomainRow;

#[derive(FromRow)]
struct WorkRow {
    name: String,
    kind: String,
    revision: i64,
    cause: String,
    attempts: u32,
    due_at: Option<i64>,
    certificate_id: Option<String>,
    lease_token: i64,
}

impl TryFrom<WorkRow> for Work {
    type Error = StoreError;

    fn try_from(row: WorkRow) -> Result<Self> {
        let columns = Columns { table: "work", id: &row.name };
        Ok(Self {
            name: columns.name(&row.name)?,
            kind: columns.parse("kind", &row.kind)?,
            revision: row.revision,
            cause: columns.parse("cause", &row.cause)?,
            attempts: row.attempts,
            due_at: maybe_time(&columns, "due_at", row.due_at)?,
            certificate: columns.maybe_parse("certificate_id", row.certificate_id.as_deref())?,
        })
    }
}

pub(crate) async fn all(db: impl SqliteExecutor<'_>, name: &DomainName) -> Result<Vec<Work>> {
    let rows: Vec<WorkRow> = sqlx::query_as(
        "-- work_of
        SELECT name, kind, revision, cause, attempts, due_at, certificate_id, lease_token
        FROM work WHERE name = $1 ORDER BY kind",
    )
    .bind(name.as_str())
    .fetch_all(db)
    .await
    .map_err(failed("work_of"))?;
    rows.into_iter().map(Work::try_from).collect()
}

pub(crate) async fn schedule(db: &mut SqliteConnection, work: &Work) -> Result<()> {
    sqlx::query(
        "-- schedule
        INSERT INTO work (name, kind, revision, cause, attempts, due_at, certificate_id, lease_token)
        VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT value + 1 FROM counters WHERE counters.name = 'lease_token'))
        ON CONFLICT (name, kind) DO UPDATE SET revision = excluded.revision, cause = excluded.cause,
            attempts = excluded.attempts, due_at = excluded.due_at, certificate_id = excluded.certificate_id,
            lease_token = excluded.lease_token, lease_until = NULL, hinted_at = NULL",
    )
    .bind(work.name.as_str())
    .bind(work.kind.as_str())
    .bind(work.revision)
    .bind(work.cause.as_str())
    .bind(work.attempts)
    .bind(maybe_micros(work.due_at))
    .bind(work.certificate.map(|id| id.to_string()))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("schedule"))
}

pub(crate) async fn cancel(db: &mut SqliteConnection, name: &DomainName, kind: WorkKind) -> Result<()> {
    sqlx::query("-- cancel\nDELETE FROM work WHERE name = $1 AND kind = $2")
        .bind(name.as_str())
        .bind(kind.as_str())
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("cancel"))
}

pub(crate) async fn is_leased(
    db: &mut SqliteConnection,
    name: &DomainName,
    kind: WorkKind,
    now: Timestamp,
) -> Result<bool> {
    sqlx::query_scalar(
        "-- is_leased
        SELECT EXISTS (SELECT 1 FROM work WHERE name = $1 AND kind = $2 AND lease_until > $3)",
    )
    .bind(name.as_str())
    .bind(kind.as_str())
    .bind(micros(now))
    .fetch_one(db)
    .await
    .map_err(failed("is_leased"))
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { kind: lease.work.kind.as_str(), name: lease.work.name.to_string() }
}

/// The lease's token is still the row's, and its revision the name's.
pub(crate) async fn fence(db: &mut SqliteConnection, lease: &Lease) -> Result<Domain> {
    let ours: Option<DomainRow> = sqlx::query_as(
        "-- fence
        SELECT d.name, d.revision, d.source, d.created_at, d.deleted_at, d.unknown_to_c4, d.upload_failing,
            d.live_certificate_id, d.live_not_after, d.block, d.waiting, d.status, d.activity, d.upload_revision,
            d.version, d.previous_certificate_id, d.missing_first_at, d.missing_last_at, d.missing_answers,
            d.invalid_challenges, d.invalid_challenges_dns
        FROM work w JOIN domains d ON d.name = w.name AND d.revision = w.revision
        WHERE w.name = $1 AND w.kind = $2 AND w.lease_token = $3 AND w.revision = $4",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .bind(lease.work.revision)
    .fetch_optional(db)
    .await
    .map_err(failed("fence"))?;
    ours.ok_or_else(|| lost(lease))?.try_into()
}

pub(crate) async fn finish(db: &mut SqliteConnection, lease: &Lease, next: Option<&Work>) -> Result<()> {
    let (name, kind) = (lease.work.name.as_str(), lease.work.kind.as_str());
    let ended = match next {
        None => sqlx::query("-- finish\nDELETE FROM work WHERE name = $1 AND kind = $2 AND lease_token = $3")
            .bind(name)
            .bind(kind)
            .bind(lease.token),
        Some(next) => sqlx::query(
            "-- finish_and_schedule
            UPDATE work SET revision = $4, cause = $5, attempts = $6, due_at = $7, certificate_id = $8,
                lease_token = (SELECT value + 1 FROM counters WHERE counters.name = 'lease_token'), lease_until = NULL,
                hinted_at = NULL
            WHERE name = $1 AND kind = $2 AND lease_token = $3",
        )
        .bind(name)
        .bind(kind)
        .bind(lease.token)
        .bind(next.revision)
        .bind(next.cause.as_str())
        .bind(next.attempts)
        .bind(maybe_micros(next.due_at))
        .bind(next.certificate.map(|id| id.to_string())),
    };
    let ended = ended.execute(db).await.map_err(failed("finish"))?;
    match ended.rows_affected() {
        1 => Ok(()),
        _ => Err(lost(lease)),
    }
}

pub(crate) async fn mark_due(
    db: &mut SqliteConnection,
    now: Timestamp,
    hinted_before: Timestamp,
    limit: u32,
) -> Result<Vec<Work>> {
    let mut rows: Vec<WorkRow> = sqlx::query_as(
        "-- mark_due
        UPDATE work SET hinted_at = $1 WHERE (name, kind) IN (
            SELECT name, kind FROM work
            WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
                AND (hinted_at IS NULL OR hinted_at <= $2)
            ORDER BY due_at LIMIT $3)
        RETURNING name, kind, revision, cause, attempts, due_at, certificate_id, lease_token",
    )
    .bind(micros(now))
    .bind(micros(hinted_before))
    .bind(limit)
    .fetch_all(db)
    .await
    .map_err(failed("mark_due"))?;
    // RETURNING promises no order.
    rows.sort_by_key(|row| row.due_at);
    rows.into_iter().map(Work::try_from).collect()
}

/// A claim that finds nothing, the fate of every second hint, costs no durable write.
pub(crate) async fn claim(
    db: &mut SqliteConnection,
    kind: WorkKind,
    names: &[DomainName],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Lease>> {
    let names: Vec<&str> = names.iter().map(DomainName::as_str).collect();
    let rows: Vec<WorkRow> = sqlx::query_as(
        "-- claim
        UPDATE work SET lease_until = $3,
            lease_token = (SELECT value FROM counters WHERE counters.name = 'lease_token') + free.place
        FROM (
            SELECT name, row_number() OVER (ORDER BY name) AS place FROM work
            WHERE name IN (SELECT value FROM json_each($1)) AND kind = $2
                AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)) AS free
        WHERE work.name = free.name AND work.kind = $2
        RETURNING name, kind, revision, cause, attempts, due_at, certificate_id, lease_token",
    )
    .bind(serde_json::Value::from(names).to_string())
    .bind(kind.as_str())
    .bind(micros(until))
    .bind(micros(now))
    .fetch_all(db)
    .await
    .map_err(failed("claim"))?;
    let mut leases = Vec::new();
    for row in rows {
        let token = row.lease_token;
        match Work::try_from(row) {
            Ok(work) => leases.push(Lease { work, token, expires_at: until }),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "work not claimed"),
        }
    }
    Ok(leases)
}

pub(crate) async fn renew(db: impl SqliteExecutor<'_>, lease: &Lease, until: Timestamp) -> Result<()> {
    let renewed = sqlx::query(
        "-- renew\nUPDATE work SET lease_until = $4 WHERE name = $1 AND kind = $2 AND lease_token = $3",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .bind(micros(until))
    .execute(db)
    .await
    .map_err(failed("renew"))?;
    if renewed.rows_affected() == 1 { Ok(()) } else { Err(lost(lease)) }
}

pub(crate) async fn release(db: impl SqliteExecutor<'_>, lease: &Lease) -> Result<()> {
    sqlx::query(
        "-- release
        UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
        WHERE name = $1 AND kind = $2 AND lease_token = $3",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("release"))
}

pub(crate) async fn free_all(db: &mut SqliteConnection) -> Result<()> {
    sqlx::query(
        "-- free_work
        UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
        WHERE lease_until IS NOT NULL OR hinted_at IS NOT NULL",
    )
    .execute(&mut *db)
    .await
    .map_err(failed("free_work"))?;
    sqlx::query(
        "-- free_messages
        UPDATE messages SET lease_token = 0, lease_until = NULL WHERE lease_until IS NOT NULL",
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("free_messages"))
}
