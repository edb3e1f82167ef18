//! Revocations: which certificates are to be revoked at their CA, and what became of it.

use domain::{CertificateId, DomainName, RevocationState};
use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Columns, Result, Revocation, StoreError};
use uuid::Uuid;

use crate::db::{expect_one, failed, time};

#[derive(FromRow)]
struct RevocationRow {
    certificate_id: Uuid,
    name: String,
    reason: String,
    state: String,
    requested_by: String,
    requested_at: jiff_sqlx::Timestamp,
    waits_until: jiff_sqlx::Timestamp,
    waiting_for: String,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Self> {
        let id = row.certificate_id.to_string();
        let columns = Columns { table: "revocations", id: &id };
        Ok(Self {
            certificate: row.certificate_id.into(),
            name: columns.name(&row.name)?,
            reason: columns.parse("reason", &row.reason)?,
            state: columns.parse("state", &row.state)?,
            requested_at: row.requested_at.to_jiff(),
            waits_until: row.waits_until.to_jiff(),
            requested_by: row.requested_by,
            waiting_for: row.waiting_for,
        })
    }
}

pub(crate) async fn of(db: impl PgExecutor<'_>, name: &DomainName) -> Result<Vec<Revocation>> {
    let rows: Vec<RevocationRow> = sqlx::query_as(
        "-- revocations
        SELECT certificate_id, name, reason, state, requested_by, requested_at, waits_until, waiting_for
        FROM revocations WHERE name = $1 ORDER BY requested_at, certificate_id",
    )
    .bind(name.as_str())
    .fetch_all(db)
    .await
    .map_err(failed("revocations"))?;
    rows.into_iter().map(Revocation::try_from).collect()
}

/// One row, locked.
pub(crate) async fn one(db: &mut PgConnection, certificate: CertificateId) -> Result<Option<Revocation>> {
    let row: Option<RevocationRow> = sqlx::query_as(
        "-- revocation
        SELECT certificate_id, name, reason, state, requested_by, requested_at, waits_until, waiting_for
        FROM revocations WHERE certificate_id = $1 FOR NO KEY UPDATE",
    )
    .bind(certificate.as_uuid())
    .fetch_optional(db)
    .await
    .map_err(failed("revocation"))?;
    row.map(Revocation::try_from).transpose()
}

/// Nothing brings a revoked certificate back.
pub(crate) async fn put(db: &mut PgConnection, revocation: &Revocation) -> Result<()> {
    let put = sqlx::query(
        "-- put_revocation
        INSERT INTO revocations AS r (certificate_id, name, reason, state, requested_by, requested_at, waits_until,
            waiting_for)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (certificate_id) DO UPDATE SET reason = excluded.reason, state = excluded.state,
            requested_by = excluded.requested_by, requested_at = excluded.requested_at,
            waits_until = excluded.waits_until, waiting_for = excluded.waiting_for WHERE r.state <> 'revoked'",
    )
    .bind(revocation.certificate.as_uuid())
    .bind(revocation.name.as_str())
    .bind(revocation.reason.as_str())
    .bind(revocation.state.as_str())
    .bind(&revocation.requested_by)
    .bind(time(revocation.requested_at))
    .bind(time(revocation.waits_until))
    .bind(&revocation.waiting_for)
    .execute(db)
    .await
    .map_err(failed("put_revocation"))?;
    expect_one("put_revocation", &put)
}

pub(crate) async fn end(
    db: &mut PgConnection,
    certificate: CertificateId,
    state: RevocationState,
    now: Timestamp,
) -> Result<()> {
    let ended = sqlx::query(
        "-- end_revocation
        UPDATE revocations SET state = $2, waiting_for = '' WHERE certificate_id = $1 AND state = 'asked'",
    )
    .bind(certificate.as_uuid())
    .bind(state.as_str())
    .execute(&mut *db)
    .await
    .map_err(failed("end_revocation"))?;
    expect_one("end_revocation", &ended)?;
    if state != RevocationState::Revoked {
        return Ok(());
    }
    let marked = sqlx::query("-- mark_revoked\nUPDATE certificates SET revoked_at = $2 WHERE id = $1")
        .bind(certificate.as_uuid())
        .bind(time(now))
        .execute(db)
        .await
        .map_err(failed("mark_revoked"))?;
    expect_one("mark_revoked", &marked)
}

pub(crate) async fn note(db: &mut PgConnection, certificate: CertificateId, why: &str) -> Result<()> {
    let noted = sqlx::query(
        "-- note_revocation
        UPDATE revocations SET waiting_for = $2 WHERE certificate_id = $1 AND state = 'asked'",
    )
    .bind(certificate.as_uuid())
    .bind(why)
    .execute(db)
    .await
    .map_err(failed("note_revocation"))?;
    expect_one("note_revocation", &noted)
}
