//! Revocations: which certificates are to be revoked at their CA, and what became of it.

use domain::{CertificateId, DomainName, RevocationState};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Result, Revocation, StoreError};

use crate::db::{expect_one, failed, micros, time};

#[derive(FromRow)]
struct RevocationRow {
    certificate_id: String,
    name: String,
    reason: String,
    state: String,
    requested_by: String,
    requested_at: i64,
    waits_until: i64,
    waiting_for: String,
}

impl TryFrom<RevocationRow> for Revocation {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Self> {
        let columns = Columns { table: "revocations", id: &row.certificate_id };
        Ok(Self {
            certificate: columns.parse("certificate_id", &row.certificate_id)?,
            name: columns.name(&row.name)?,
            reason: columns.parse("reason", &row.reason)?,
            state: columns.parse("state", &row.state)?,
            requested_at: time(&columns, "requested_at", row.requested_at)?,
            waits_until: time(&columns, "waits_until", row.waits_until)?,
            requested_by: row.requested_by,
            waiting_for: row.waiting_for,
        })
    }
}

pub(crate) async fn of(db: impl SqliteExecutor<'_>, name: &DomainName) -> Result<Vec<Revocation>> {
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

pub(crate) async fn one(db: &mut SqliteConnection, certificate: CertificateId) -> Result<Option<Revocation>> {
    let row: Option<RevocationRow> = sqlx::query_as(
        "-- revocation
        SELECT certificate_id, name, reason, state, requested_by, requested_at, waits_until, waiting_for
        FROM revocations WHERE certificate_id = $1",
    )
    .bind(certificate.to_string())
    .fetch_optional(db)
    .await
    .map_err(failed("revocation"))?;
    row.map(Revocation::try_from).transpose()
}

/// Nothing brings a revoked certificate back.
pub(crate) async fn put(db: &mut SqliteConnection, revocation: &Revocation) -> Result<()> {
    let put = sqlx::query(
        "-- put_revocation
        INSERT INTO revocations (certificate_id, name, reason, state, requested_by, requested_at, waits_until,
            waiting_for)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (certificate_id) DO UPDATE SET reason = $3, state = $4, requested_by = $5, requested_at = $6,
            waits_until = $7, waiting_for = $8 WHERE state <> 'revoked'",
    )
    .bind(revocation.certificate.to_string())
    .bind(revocation.name.as_str())
    .bind(revocation.reason.as_str())
    .bind(revocation.state.as_str())
    .bind(&revocation.requested_by)
    .bind(micros(revocation.requested_at))
    .bind(micros(revocation.waits_until))
    .bind(&revocation.waiting_for)
    .execute(db)
    .await
    .map_err(failed("put_revocation"))?;
    expect_one("put_revocation", &put)
}

pub(crate) async fn end(
    db: &mut SqliteConnection,
    certificate: CertificateId,
    state: RevocationState,
    now: Timestamp,
) -> Result<()> {
    let ended = sqlx::query(
        "-- end_revocation
        UPDATE revocations SET state = $2, waiting_for = '' WHERE certificate_id = $1 AND state = 'asked'",
    )
    .bind(certificate.to_string())
    .bind(state.as_str())
    .execute(&mut *db)
    .await
    .map_err(failed("end_revocation"))?;
    expect_one("end_revocation", &ended)?;
    if state != RevocationState::Revoked {
        return Ok(());
    }
    let marked = sqlx::query("-- mark_revoked\nUPDATE certificates SET revoked_at = $2 WHERE id = $1")
        .bind(certificate.to_string())
        .bind(micros(now))
        .execute(db)
        .await
        .map_err(failed("mark_revoked"))?;
    expect_one("mark_revoked", &marked)
}

pub(crate) async fn note(db: &mut SqliteConnection, certificate: CertificateId, why: &str) -> Result<()> {
    let noted = sqlx::query(
        "-- note_revocation
        UPDATE revocations SET waiting_for = $2 WHERE certificate_id = $1 AND state = 'asked'",
    )
    .bind(certificate.to_string())
    .bind(why)
    .execute(db)
    .await
    .map_err(failed("note_revocation"))?;
    expect_one("note_revocation", &noted)
}
