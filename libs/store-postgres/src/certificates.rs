//! Certificates, with their sealed keys.

use domain::{AccountId, CertificateId, CertificateSummary, DomainName, SuggestedWindow};
use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Certificate, CertificatePlace, CertificateRecord, Columns, Renewal, Result, StoreError};
use uuid::Uuid;

use crate::db::{expect_one, failed, failed_or_taken, maybe_jiff, maybe_time, time};

#[derive(FromRow)]
struct CertificateRow {
    id: Uuid,
    name: String,
    revision: i64,
    source: String,
    sha256: String,
    serial: String,
    issuer: String,
    not_before: jiff_sqlx::Timestamp,
    not_after: jiff_sqlx::Timestamp,
    chain_pem: String,
    sealed_key: Option<Vec<u8>>,
    created_at: jiff_sqlx::Timestamp,
    uploaded_at: Option<jiff_sqlx::Timestamp>,
    account_id: Option<Uuid>,
    renewal_at: Option<jiff_sqlx::Timestamp>,
    window_start: Option<jiff_sqlx::Timestamp>,
    window_end: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    withdrawn: bool,
}

impl TryFrom<CertificateRow> for Certificate {
    type Error = StoreError;

    fn try_from(row: CertificateRow) -> Result<Self> {
        let id = row.id.to_string();
        let columns = Columns { table: "certificates", id: &id };
        Ok(Self {
            name: columns.name(&row.name)?,
            created_at: row.created_at.to_jiff(),
            uploaded_at: maybe_jiff(row.uploaded_at),
            revoked_at: maybe_jiff(row.revoked_at),
            summary: CertificateSummary {
                id: row.id.into(),
                not_before: row.not_before.to_jiff(),
                not_after: row.not_after.to_jiff(),
                source: columns.parse("source", &row.source)?,
                sha256: row.sha256,
                serial: row.serial,
                issuer: row.issuer,
            },
            revision: row.revision,
            chain_pem: row.chain_pem,
            withdrawn: row.withdrawn,
            sealed_key: row.sealed_key,
            account: row.account_id.map(Into::into),
            renewal: row
                .renewal_at
                .map(|at| Renewal { at: at.to_jiff(), window: window(row.window_start, row.window_end) }),
        })
    }
}

fn window(start: Option<jiff_sqlx::Timestamp>, end: Option<jiff_sqlx::Timestamp>) -> Option<SuggestedWindow> {
    Some(SuggestedWindow { start: start?.to_jiff(), end: end?.to_jiff() })
}

pub(crate) async fn get(db: impl PgExecutor<'_>, id: CertificateId) -> Result<Option<Certificate>> {
    let row: Option<CertificateRow> = sqlx::query_as(
        "-- certificate
        SELECT id, name, revision, source, sha256, serial, issuer, not_before, not_after, chain_pem, sealed_key,
            created_at, uploaded_at, account_id, renewal_at, window_start, window_end, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates WHERE id = $1",
    )
    .bind(id.as_uuid())
    .fetch_optional(db)
    .await
    .map_err(failed("certificate"))?;
    row.map(Certificate::try_from).transpose()
}

#[derive(FromRow)]
struct RecordRow {
    id: Uuid,
    source: String,
    sha256: String,
    serial: String,
    issuer: String,
    not_before: jiff_sqlx::Timestamp,
    not_after: jiff_sqlx::Timestamp,
    has_key: bool,
    created_at: jiff_sqlx::Timestamp,
    uploaded_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
    withdrawn: bool,
}

impl TryFrom<RecordRow> for CertificateRecord {
    type Error = StoreError;

    fn try_from(row: RecordRow) -> Result<Self> {
        let id = row.id.to_string();
        let columns = Columns { table: "certificates", id: &id };
        Ok(Self {
            created_at: row.created_at.to_jiff(),
            uploaded_at: maybe_jiff(row.uploaded_at),
            has_key: row.has_key,
            revoked_at: maybe_jiff(row.revoked_at),
            withdrawn: row.withdrawn,
            summary: CertificateSummary {
                id: row.id.into(),
                not_before: row.not_before.to_jiff(),
                not_after: row.not_after.to_jiff(),
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
    db: impl PgExecutor<'_>,
    name: &DomainName,
    after: Option<CertificatePlace>,
    limit: u32,
) -> Result<Vec<CertificateRecord>> {
    let rows: Vec<RecordRow> = sqlx::query_as(
        "-- certificates_of
        SELECT id, source, sha256, serial, issuer, not_before, not_after, sealed_key IS NOT NULL AS has_key,
            created_at, uploaded_at, revoked_at,
            EXISTS (SELECT 1 FROM revocations r WHERE r.certificate_id = certificates.id) AS withdrawn
        FROM certificates
        WHERE name = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2::timestamptz, $3::uuid))
        ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(name.as_str())
    .bind(after.map(|(created_at, _)| time(created_at)))
    .bind(after.map(|(_, id)| id.as_uuid()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("certificates_of"))?;
    rows.into_iter().map(CertificateRecord::try_from).collect()
}

pub(crate) async fn newest_generated(
    db: &mut PgConnection,
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
    .bind(time(now))
    .fetch_optional(db)
    .await
    .map_err(failed("newest_generated"))?;
    row.map(Certificate::try_from).transpose()
}

pub(crate) async fn by_sha256(
    db: &mut PgConnection,
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

pub(crate) async fn insert(db: &mut PgConnection, certificate: &Certificate) -> Result<()> {
    let summary = &certificate.summary;
    let window = certificate.renewal.and_then(|renewal| renewal.window);
    sqlx::query(
        "-- insert_certificate
        INSERT INTO certificates (id, name, revision, source, sha256, serial, issuer, not_before, not_after,
            chain_pem, sealed_key, created_at, uploaded_at, account_id, renewal_at, window_start, window_end)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(summary.id.as_uuid())
    .bind(certificate.name.as_str())
    .bind(certificate.revision)
    .bind(summary.source.as_str())
    .bind(&summary.sha256)
    .bind(&summary.serial)
    .bind(&summary.issuer)
    .bind(time(summary.not_before))
    .bind(time(summary.not_after))
    .bind(&certificate.chain_pem)
    .bind(&certificate.sealed_key)
    .bind(time(certificate.created_at))
    .bind(maybe_time(certificate.uploaded_at))
    .bind(certificate.account.map(AccountId::as_uuid))
    .bind(certificate.renewal.map(|renewal| time(renewal.at)))
    .bind(window.map(|window| time(window.start)))
    .bind(window.map(|window| time(window.end)))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_certificate"))
}

/// The first time counts.
pub(crate) async fn mark_uploaded(db: &mut PgConnection, id: CertificateId, now: Timestamp) -> Result<()> {
    let marked = sqlx::query(
        "-- mark_uploaded\nUPDATE certificates SET uploaded_at = coalesce(uploaded_at, $2) WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(time(now))
    .execute(db)
    .await
    .map_err(failed("mark_uploaded"))?;
    expect_one("mark_uploaded", &marked)
}

pub(crate) async fn set_renewal(db: &mut PgConnection, id: CertificateId, renewal: Renewal) -> Result<()> {
    let set = sqlx::query(
        "-- set_renewal
        UPDATE certificates SET renewal_at = $2, window_start = $3, window_end = $4 WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(time(renewal.at))
    .bind(renewal.window.map(|window| time(window.start)))
    .bind(renewal.window.map(|window| time(window.end)))
    .execute(db)
    .await
    .map_err(failed("set_renewal"))?;
    expect_one("set_renewal", &set)
}
