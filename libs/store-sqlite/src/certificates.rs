//! Certificates, with their sealed keys.

use domain::{CertificateId, CertificateSummary, DomainName, SuggestedWindow};
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Certificate, CertificatePlace, CertificateRecord, Columns, Renewal, Result, StoreError};

use crate::db::{expect_one, failed, failed_or_taken, maybe_micros, maybe_time, micros, time};

#[derive(FromRow)]
struct CertificateRow {
    id: String,
    name: String,
    revision: i64,
    source: String,
    sha256: String,
    serial: String,
    issuer: String,
    not_before: i64,
    not_after: i64,
    chain_pem: String,
    sealed_key: Option<Vec<u8>>,
    created_at: i64,
    uploaded_at: Option<i64>,
    account_id: Option<String>,
    renewal_at: Option<i64>,
    window_start: Option<i64>,
    window_end: Option<i64>,
    revoked_at: Option<i64>,
    withdrawn: bool,
}

impl TryFrom<CertificateRow> for Certificate {
    type Error = StoreError;

    fn try_from(row: CertificateRow) -> Result<Self> {
        let columns = Columns { table: "certificates", id: &row.id };
        let start = maybe_time(&columns, "window_start", row.window_start)?;
        let end = maybe_time(&columns, "window_end", row.window_end)?;
        let window = start.zip(end).map(|(start, end)| SuggestedWindow { start, end });
        let renewal_at = maybe_time(&columns, "renewal_at", row.renewal_at)?;
        Ok(Self {
            account: columns.maybe_parse("account_id", row.account_id.as_deref())?,
            renewal: renewal_at.map(|at| Renewal { at, window }),
            name: columns.name(&row.name)?,
            created_at: time(&columns, "created_at", row.created_at)?,
            uploaded_at: maybe_time(&columns, "uploaded_at", row.uploaded_at)?,
            revoked_at: maybe_time(&columns, "revoked_at", row.revoked_at)?,
            summary: CertificateSummary {
                id: columns.parse("id", &row.id)?,
                not_before: time(&columns, "not_before", row.not_before)?,
                not_after: time(&columns, "not_after", row.not_after)?,
                source: columns.parse("source", &row.source)?,
                sha256: row.sha256,
                serial: row.serial,
                issuer: row.issuer,
            },
            revision: row.revision,
            chain_pem: row.chain_pem,
            withdrawn: row.withdrawn,
            sealed_key: row.sealed_key,
        })
    }
}

pub(crate) async fn get(db: impl SqliteExecutor<'_>, id: CertificateId) -> Result<Option<Certificate>> {
    let row: Option<CertificateRow> = sqlx::query_as(
        "-- certificate
        SELECT id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, sealed_key,
            created_at, uploaded_at, account_id, renewal_at, window_start, window_end, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates WHERE id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(db)
    .await
    .map_err(failed("certificate"))?;
    row.map(Certificate::try_from).transpose()
}

#[derive(FromRow)]
struct RecordRow {
    id: String,
    source: String,
    sha256: String,
    serial: String,
    issuer: String,
    not_before: i64,
    not_after: i64,
    has_key: bool,
    created_at: i64,
    uploaded_at: Option<i64>,
    revoked_at: Option<i64>,
    withdrawn: bool,
}

impl TryFrom<RecordRow> for CertificateRecord {
    type Error = StoreError;

    fn try_from(row: RecordRow) -> Result<Self> {
        let columns = Columns { table: "certificates", id: &row.id };
        Ok(Self {
            created_at: time(&columns, "created_at", row.created_at)?,
            uploaded_at: maybe_time(&columns, "uploaded_at", row.uploaded_at)?,
            has_key: row.has_key,
            revoked_at: maybe_time(&columns, "revoked_at", row.revoked_at)?,
            withdrawn: row.withdrawn,
            summary: CertificateSummary {
                id: columns.parse("id", &row.id)?,
                not_before: time(&columns, "not_before", row.not_before)?,
                not_after: time(&columns, "not_after", row.not_after)?,
                source: columns.parse("source", &row.source)?,
                sha256: row.sha256,
                serial: row.serial,
                issuer: row.issuer,
            },
        })
    }
}

/// A name has few enough to sort them.
pub(crate) async fn of(
    db: impl SqliteExecutor<'_>,
    name: &DomainName,
    after: Option<CertificatePlace>,
    limit: u32,
) -> Result<Vec<CertificateRecord>> {
    let rows: Vec<RecordRow> = sqlx::query_as(
        "-- certificates_of
        SELECT id, source, sha256, serial, issuer, not_before, not_after, sealed_key IS NOT NULL AS has_key,
            created_at, uploaded_at, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates WHERE name = $1 AND ($2 IS NULL OR (created_at, id) < ($2, $3))
        ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(name.as_str())
    .bind(after.map(|(created_at, _)| micros(created_at)))
    .bind(after.map(|(_, id)| id.to_string()))
    .bind(limit)
    .fetch_all(db)
    .await
    .map_err(failed("certificates_of"))?;
    rows.into_iter().map(CertificateRecord::try_from).collect()
}

pub(crate) async fn newest_generated(
    db: &mut SqliteConnection,
    name: &DomainName,
    now: Timestamp,
) -> Result<Option<Certificate>> {
    let row: Option<CertificateRow> = sqlx::query_as(
        "-- newest_generated
        SELECT id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, sealed_key,
            created_at, uploaded_at, account_id, renewal_at, window_start, window_end, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates WHERE name = $1 AND source = 'c4' AND not_after > $2
        ORDER BY not_after DESC, created_at DESC LIMIT 1",
    )
    .bind(name.as_str())
    .bind(micros(now))
    .fetch_optional(db)
    .await
    .map_err(failed("newest_generated"))?;
    row.map(Certificate::try_from).transpose()
}

pub(crate) async fn by_sha256(
    db: &mut SqliteConnection,
    name: &DomainName,
    sha256: &str,
) -> Result<Option<Certificate>> {
    let row: Option<CertificateRow> = sqlx::query_as(
        "-- certificate_by_sha256
        SELECT id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, sealed_key,
            created_at, uploaded_at, account_id, renewal_at, window_start, window_end, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates WHERE name = $1 AND sha256 = $2 ORDER BY created_at DESC LIMIT 1",
    )
    .bind(name.as_str())
    .bind(sha256)
    .fetch_optional(db)
    .await
    .map_err(failed("certificate_by_sha256"))?;
    row.map(Certificate::try_from).transpose()
}

pub(crate) async fn insert(db: &mut SqliteConnection, certificate: &Certificate) -> Result<()> {
    let summary = &certificate.summary;
    let window = certificate.renewal.and_then(|renewal| renewal.window);
    sqlx::query(
        "-- insert_certificate
        INSERT INTO certificates (id, name, revision, source, sha256, serial, issuer, not_before, not_after,
            chain_pem, sealed_key, created_at, uploaded_at, account_id, renewal_at, window_start, window_end)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(summary.id.to_string())
    .bind(certificate.name.as_str())
    .bind(certificate.revision)
    .bind(summary.source.as_str())
    .bind(&summary.sha256)
    .bind(&summary.serial)
    .bind(&summary.issuer)
    .bind(micros(summary.not_before))
    .bind(micros(summary.not_after))
    .bind(&certificate.chain_pem)
    .bind(&certificate.sealed_key)
    .bind(micros(certificate.created_at))
    .bind(maybe_micros(certificate.uploaded_at))
    .bind(certificate.account.map(|id| id.to_string()))
    .bind(certificate.renewal.map(|renewal| micros(renewal.at)))
    .bind(window.map(|window| micros(window.start)))
    .bind(window.map(|window| micros(window.end)))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_certificate"))
}

/// The first time counts.
pub(crate) async fn mark_uploaded(
    db: &mut SqliteConnection,
    id: CertificateId,
    now: Timestamp,
) -> Result<()> {
    let marked = sqlx::query(
        "-- mark_uploaded\nUPDATE certificates SET uploaded_at = coalesce(uploaded_at, $2) WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(micros(now))
    .execute(db)
    .await
    .map_err(failed("mark_uploaded"))?;
    expect_one("mark_uploaded", &marked)
}

pub(crate) async fn set_renewal(
    db: &mut SqliteConnection,
    id: CertificateId,
    renewal: Renewal,
) -> Result<()> {
    let set = sqlx::query(
        "-- set_renewal
        UPDATE certificates SET renewal_at = $2, window_start = $3, window_end = $4 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(micros(renewal.at))
    .bind(renewal.window.map(|window| micros(window.start)))
    .bind(renewal.window.map(|window| micros(window.end)))
    .execute(db)
    .await
    .map_err(failed("set_renewal"))?;
    expect_one("set_renewal", &set)
}
