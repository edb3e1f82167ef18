//! Work rows and their leases. Every token comes from one sequence, so that a row which went and came back never
//! repeats one. The sequence begins at 1, so a row with token 0 is nobody's: what gives a lease back writes it, and
//! the old holder's later writes meet nothing.

use domain::{Domain, DomainName, Lease, Work, WorkKind};
use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Columns, Result, StoreError};
use uuid::Uuid;

use crate::db::{failed, maybe_jiff, maybe_time, time};
use crate::domains::DomainRow;

#[derive(FromRow)]
struct WorkRow {
    name: String,
    kind: String,
    revision: i64,
    cause: String,
    attempts: i32,
    due_at: Option<jiff_sqlx::Timestamp>,
    certificate_id: Option<Uuid>,
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
            attempts: u32::try_from(row.attempts).map_err(|_| columns.bad("attempts"))?,
            due_at: maybe_jiff(row.due_at),
            certificate: row.certificate_id.map(Into::into),
        })
    }
}

pub(crate) async fn all(db: impl PgExecutor<'_>, name: &DomainName) -> Result<Vec<Work>> {
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

/// One row, locked.
pub(crate) async fn one(db: impl PgExecutor<'_>, name: &DomainName, kind: WorkKind) -> Result<Option<Work>> {
    let row: Option<WorkRow> = sqlx::query_as(
        "-- work_row
        SELECT name, kind, revision, cause, attempts, due_at, certificate_id, lease_token
        FROM work WHERE name = $1 AND kind = $2 FOR NO KEY UPDATE",
    )
    .bind(name.as_str())
    .bind(kind.as_str())
    .fetch_optional(db)
    .await
    .map_err(failed("work_row"))?;
    row.map(Work::try_from).transpose()
}

pub(crate) async fn schedule(db: &mut PgConnection, work: &[Work]) -> Result<()> {
    let column = |of: fn(&Work) -> &str| work.iter().map(of).collect::<Vec<_>>();
    let attempts = work.iter().map(|work| i32::try_from(work.attempts).unwrap_or(i32::MAX));
    let certificates = work.iter().map(|work| work.certificate.map(domain::CertificateId::as_uuid));
    sqlx::query(
        "-- schedule
        INSERT INTO work (name, kind, revision, cause, attempts, due_at, certificate_id, lease_token)
        SELECT w.*, nextval('lease_token') FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::integer[],
            $6::timestamptz[], $7::uuid[]) AS w
        ON CONFLICT (name, kind) DO UPDATE SET revision = excluded.revision, cause = excluded.cause,
            attempts = excluded.attempts, due_at = excluded.due_at, certificate_id = excluded.certificate_id,
            lease_token = excluded.lease_token, lease_until = NULL, hinted_at = NULL",
    )
    .bind(column(|work| work.name.as_str()))
    .bind(column(|work| work.kind.as_str()))
    .bind(work.iter().map(|work| work.revision).collect::<Vec<_>>())
    .bind(column(|work| work.cause.as_str()))
    .bind(attempts.collect::<Vec<_>>())
    .bind(work.iter().map(|work| maybe_time(work.due_at)).collect::<Vec<_>>())
    .bind(certificates.collect::<Vec<_>>())
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("schedule"))
}

pub(crate) async fn cancel(db: &mut PgConnection, name: &DomainName, kind: WorkKind) -> Result<()> {
    sqlx::query("-- cancel\nDELETE FROM work WHERE name = $1 AND kind = $2")
        .bind(name.as_str())
        .bind(kind.as_str())
        .execute(db)
        .await
        .map(drop)
        .map_err(failed("cancel"))
}

/// Locks the row, so that it stays as it is.
pub(crate) async fn is_leased(
    db: &mut PgConnection,
    name: &DomainName,
    kind: WorkKind,
    now: Timestamp,
) -> Result<bool> {
    let leased: Option<bool> = sqlx::query_scalar(
        "-- is_leased
        SELECT coalesce(lease_until > $3, false) FROM work WHERE name = $1 AND kind = $2 FOR NO KEY UPDATE",
    )
    .bind(name.as_str())
    .bind(kind.as_str())
    .bind(time(now))
    .fetch_optional(db)
    .await
    .map_err(failed("is_leased"))?;
    Ok(leased.unwrap_or(false))
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::LeaseLost { kind: lease.work.kind.as_str(), name: lease.work.name.to_string() }
}

/// The lease's token is still the row's, and its revision the name's. The name's row is locked first, as everywhere.
pub(crate) async fn fence(db: &mut PgConnection, lease: &Lease) -> Result<Domain> {
    let ours: Option<DomainRow> = sqlx::query_as(
        "-- fence
        WITH named AS MATERIALIZED (
            SELECT name, revision, source, created_at, deleted_at, unknown_to_c4, upload_failing,
                live_certificate_id, live_not_after, block, waiting, status, activity, upload_revision, version,
                previous_certificate_id, missing_first_at, missing_last_at, missing_answers, invalid_challenges,
                invalid_challenges_dns
            FROM domains WHERE name = $1 AND revision = $4 FOR NO KEY UPDATE)
        SELECT named.* FROM named, work w
        WHERE w.name = named.name AND w.kind = $2 AND w.lease_token = $3 AND w.revision = $4
        FOR NO KEY UPDATE OF w",
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

pub(crate) async fn finish(db: &mut PgConnection, lease: &Lease, next: Option<&Work>) -> Result<()> {
    let Some(next) = next else {
        let ended =
            sqlx::query("-- finish\nDELETE FROM work WHERE name = $1 AND kind = $2 AND lease_token = $3")
                .bind(lease.work.name.as_str())
                .bind(lease.work.kind.as_str())
                .bind(lease.token)
                .execute(db)
                .await
                .map_err(failed("finish"))?;
        return if ended.rows_affected() == 1 { Ok(()) } else { Err(lost(lease)) };
    };
    debug_assert!(
        next.name == lease.work.name && next.kind == lease.work.kind,
        "a lease ends in its own row"
    );
    let ended = sqlx::query(
        "-- finish_and_schedule
        UPDATE work SET revision = $4, cause = $5, attempts = $6, due_at = $7, certificate_id = $8,
            lease_token = nextval('lease_token'), lease_until = NULL, hinted_at = NULL
        WHERE name = $1 AND kind = $2 AND lease_token = $3",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .bind(next.revision)
    .bind(next.cause.as_str())
    .bind(i32::try_from(next.attempts).unwrap_or(i32::MAX))
    .bind(maybe_time(next.due_at))
    .bind(next.certificate.map(domain::CertificateId::as_uuid))
    .execute(db)
    .await
    .map_err(failed("finish_and_schedule"))?;
    if ended.rows_affected() == 1 { Ok(()) } else { Err(lost(lease)) }
}

pub(crate) async fn mark_due(
    db: &mut PgConnection,
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
            ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING name, kind, revision, cause, attempts, due_at, certificate_id, lease_token",
    )
    .bind(time(now))
    .bind(time(hinted_before))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("mark_due"))?;
    // RETURNING promises no order.
    rows.sort_by_key(|row| row.due_at.map(jiff_sqlx::Timestamp::to_jiff));
    rows.into_iter().map(Work::try_from).collect()
}

/// Rows are locked in the order of their names, so that two batches never wait for each other. What another transaction
/// has locked is waited for rather than skipped: it may be about to make the work due.
pub(crate) async fn claim(
    db: impl PgExecutor<'_>,
    kind: WorkKind,
    names: &[DomainName],
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Lease>> {
    let names: Vec<&str> = names.iter().map(DomainName::as_str).collect();
    let rows: Vec<WorkRow> = sqlx::query_as(
        "-- claim
        WITH free AS MATERIALIZED (
            SELECT name FROM work
            WHERE name = ANY($1) AND kind = $2 AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $4)
            ORDER BY name FOR NO KEY UPDATE)
        UPDATE work w SET lease_until = $3, lease_token = nextval('lease_token')
        FROM free WHERE w.name = free.name AND w.kind = $2
        RETURNING w.name, w.kind, w.revision, w.cause, w.attempts, w.due_at, w.certificate_id, w.lease_token",
    )
    .bind(names)
    .bind(kind.as_str())
    .bind(time(until))
    .bind(time(now))
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

pub(crate) async fn renew(db: impl PgExecutor<'_>, lease: &Lease, until: Timestamp) -> Result<()> {
    let renewed = sqlx::query(
        "-- renew\nUPDATE work SET lease_until = $4 WHERE name = $1 AND kind = $2 AND lease_token = $3",
    )
    .bind(lease.work.name.as_str())
    .bind(lease.work.kind.as_str())
    .bind(lease.token)
    .bind(time(until))
    .execute(db)
    .await
    .map_err(failed("renew"))?;
    if renewed.rows_affected() == 1 { Ok(()) } else { Err(lost(lease)) }
}

pub(crate) async fn release(db: impl PgExecutor<'_>, lease: &Lease) -> Result<()> {
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

pub(crate) async fn free_all(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query(
        "-- free_work
        UPDATE work SET lease_token = 0, lease_until = NULL, hinted_at = NULL
        WHERE lease_until IS NOT NULL OR hinted_at IS NOT NULL",
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("free_work"))
}
