//! Work rows and their leases. Every token comes from one counter, so that a row which went and came back never
//! repeats one. The counter begins above 0, so a row with token 0 is nobody's: what gives a lease back writes it, and
//! the old holder's later writes meet nothing.

use domain::{Domain, DomainName, Lease, Work, WorkKind};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Result, StoreError};

use crate::db::{failed, maybe_micros, maybe_time, micros};
use crate::domains::{self, next};

#[derive(FromRow)]
struct WorkRow {
    name: String,
    kind: String,
    revision: i64,
    cause: String,
    attempts: u32,
    due_at: Option<i64>,
    certificate_id: Option<String>,
}

impl TryFrom<WorkRow> for Work {
    type Error = StoreError;

    fn try_from(row: WorkRow) -> Result<Self> {
        let columns = Columns {
            table: "work",
            id: &row.name,
        };
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
        SELECT name, kind, revision, cause, attempts, due_at, certificate_id
        FROM work WHERE name = $1 ORDER BY kind",
    )
    .bind(name.as_str())
    .fetch_all(db)
    .await
    .map_err(failed("work_of"))?;
    rows.into_iter().map(Work::try_from).collect()
}

pub(crate) async fn schedule(db: &mut SqliteConnection, work: &Work) -> Result<()> {
    let token = next(&mut *db, "lease_token").await?;
    sqlx::query(
        "-- schedule
        INSERT INTO work (name, kind, revision, cause, attempts, due_at, certificate_id, lease_token)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (name, kind) DO UPDATE SET revision = $3, cause = $4, attempts = $5, due_at = $6,
            certificate_id = $7, lease_token = $8, lease_until = NULL, hinted_at = NULL",
    )
    .bind(work.name.as_str())
    .bind(work.kind.as_str())
    .bind(work.revision)
    .bind(work.cause.as_str())
    .bind(work.attempts)
    .bind(maybe_micros(work.due_at))
    .bind(work.certificate.map(|id| id.to_string()))
    .bind(token)
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
    StoreError::LeaseLost {
        kind: lease.work.kind.as_str(),
        name: lease.work.name.to_string(),
    }
}

/// The lease's token is still the row's, and its revision the name's.
pub(crate) async fn fence(db: &mut SqliteConnection, lease: &Lease) -> Result<Domain> {
    let ours: bool = sqlx::query_scalar(
        "-- fence
        SELECT EXISTS (
            SELECT 1 FROM work w JOIN domains d ON d.name = w.name AND d.revision = w.revision
            WHERE w.name = $1 AND w.kind = $2 AND w.lease_token = $3 AND w.revision = $4)",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .bind(lease.work.revision)
    .fetch_one(&mut *db)
    .await
    .map_err(failed("fence"))?;
    if !ours {
        return Err(lost(lease));
    }
    let domain = domains::row(db, &lease.work.name).await?;
    domain.ok_or_else(|| lost(lease))
}

pub(crate) async fn finish(db: &mut SqliteConnection, lease: &Lease, next: Option<&Work>) -> Result<()> {
    let ended = sqlx::query("-- finish\nDELETE FROM work WHERE name = $1 AND kind = $2 AND lease_token = $3")
        .bind(lease.work.name.as_str())
        .bind(lease.work.kind.as_str())
        .bind(lease.token)
        .execute(&mut *db)
        .await
        .map_err(failed("finish"))?;
    if ended.rows_affected() == 0 {
        return Err(lost(lease));
    }
    match next {
        Some(work) => schedule(db, work).await,
        None => Ok(()),
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
        RETURNING name, kind, revision, cause, attempts, due_at, certificate_id",
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

/// Notes that somebody was told of due work, so that the sweep does not tell again at once.
pub(crate) async fn hinted(
    db: &mut SqliteConnection,
    name: &DomainName,
    kind: WorkKind,
    now: Timestamp,
) -> Result<()> {
    sqlx::query("-- hinted\nUPDATE work SET hinted_at = $3 WHERE name = $1 AND kind = $2")
        .bind(name.as_str())
        .bind(kind.as_str())
        .bind(micros(now))
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("hinted"))
}

pub(crate) async fn claim(
    db: &mut SqliteConnection,
    kind: WorkKind,
    names: &[DomainName],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    for name in names {
        let claimed = claim_one(&mut *db, kind, name, now, until).await;
        match claimed {
            Ok(claimed) => leases.extend(claimed),
            Err(error @ StoreError::Inconsistency { .. }) => {
                tracing::error!(error = &error as &dyn std::error::Error, "work not claimed");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(leases)
}

async fn claim_one(
    db: &mut SqliteConnection,
    kind: WorkKind,
    name: &DomainName,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Lease>> {
    let row: Option<WorkRow> = sqlx::query_as(
        "-- claim
        UPDATE work SET lease_until = $3,
            lease_token = (SELECT value + 1 FROM counters WHERE counters.name = 'lease_token')
        WHERE name = $1 AND kind = $2 AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
        RETURNING name, kind, revision, cause, attempts, due_at, certificate_id",
    )
    .bind(name.as_str())
    .bind(kind.as_str())
    .bind(micros(until))
    .bind(micros(now))
    .fetch_optional(&mut *db)
    .await
    .map_err(failed("claim"))?;
    let Some(row) = row else {
        return Ok(None);
    };
    // Only now: a claim that finds nothing, the fate of every second hint, must not cost a durable write.
    let token = next(db, "lease_token").await?;
    Ok(Some(Lease {
        work: row.try_into()?,
        token,
        expires_at: until,
    }))
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
    if renewed.rows_affected() == 1 {
        Ok(())
    } else {
        Err(lost(lease))
    }
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
