//! The audit log: appended to, sealed, never changed.

use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{AuditEntry, AuditSeal, Columns, Result, StoreError, UnsealedAudit};

use crate::db::{expect_one, failed, failed_or_taken, time};

#[derive(FromRow)]
struct EntryRow {
    id: i64,
    at: jiff_sqlx::Timestamp,
    actor: String,
    peer: String,
    call: String,
    subject: String,
    outcome: String,
    detail: String,
    request_id: String,
}

impl EntryRow {
    fn entry(self) -> AuditEntry {
        AuditEntry {
            at: self.at.to_jiff(),
            actor: self.actor,
            peer: self.peer,
            call: self.call,
            subject: self.subject,
            outcome: self.outcome,
            detail: self.detail,
            request_id: self.request_id,
        }
    }
}

#[derive(FromRow)]
struct SealRow {
    sequence: i64,
    hash: Vec<u8>,
}

impl TryFrom<SealRow> for AuditSeal {
    type Error = StoreError;

    fn try_from(row: SealRow) -> Result<Self> {
        let id = row.sequence.to_string();
        let columns = Columns { table: "audit", id: &id };
        Ok(Self {
            sequence: row.sequence,
            hash: row.hash.as_slice().try_into().map_err(|_| columns.bad("hash"))?,
        })
    }
}

#[derive(FromRow)]
struct SealedRow {
    #[sqlx(flatten)]
    seal: SealRow,
    #[sqlx(flatten)]
    entry: EntryRow,
}

pub(crate) async fn append(db: &mut PgConnection, entries: &[AuditEntry]) -> Result<()> {
    let column = |of: fn(&AuditEntry) -> &str| entries.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "-- append_audit
        INSERT INTO audit (at, actor, peer, call, subject, outcome, detail, request_id)
        SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::text[])",
    )
    .bind(entries.iter().map(|entry| time(entry.at)).collect::<Vec<_>>())
    .bind(column(|entry| &entry.actor))
    .bind(column(|entry| &entry.peer))
    .bind(column(|entry| &entry.call))
    .bind(column(|entry| &entry.subject))
    .bind(column(|entry| &entry.outcome))
    .bind(column(|entry| &entry.detail))
    .bind(column(|entry| &entry.request_id))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("append_audit"))
}

pub(crate) async fn newest(
    db: impl PgExecutor<'_>,
    subject: Option<&str>,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    // Two statements: one that served both would not use the index of subjects.
    let query = match subject {
        None => sqlx::query_as(
            "-- audit
            SELECT id, at, actor, peer, call, subject, outcome, detail, request_id
            FROM audit ORDER BY id DESC LIMIT $1",
        )
        .bind(i64::from(limit)),
        Some(subject) => sqlx::query_as(
            "-- audit_of
            SELECT id, at, actor, peer, call, subject, outcome, detail, request_id
            FROM audit WHERE subject = $2 ORDER BY id DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .bind(subject),
    };
    let rows: Vec<EntryRow> = query.fetch_all(db).await.map_err(failed("audit"))?;
    Ok(rows.into_iter().map(EntryRow::entry).collect())
}

pub(crate) async fn sealed(
    db: impl PgExecutor<'_>,
    after: i64,
    limit: u32,
) -> Result<Vec<(AuditSeal, AuditEntry)>> {
    let rows: Vec<SealedRow> = sqlx::query_as(
        "-- sealed_audit
        SELECT id, at, actor, peer, call, subject, outcome, detail, request_id, sequence, hash
        FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("sealed_audit"))?;
    let pair = |row: SealedRow| Ok((row.seal.try_into()?, row.entry.entry()));
    rows.into_iter().map(pair).collect()
}

pub(crate) async fn head(db: impl PgExecutor<'_>) -> Result<AuditSeal> {
    let row: SealRow = sqlx::query_as("-- audit_head\nSELECT sequence, hash FROM audit_head")
        .fetch_one(db)
        .await
        .map_err(failed("audit_head"))?;
    row.try_into()
}

pub(crate) async fn lock_head(db: &mut PgConnection) -> Result<AuditSeal> {
    let row: SealRow = sqlx::query_as("-- lock_audit_head\nSELECT sequence, hash FROM audit_head FOR UPDATE")
        .fetch_one(db)
        .await
        .map_err(failed("lock_audit_head"))?;
    row.try_into()
}

pub(crate) async fn count_unsealed(db: impl PgExecutor<'_>) -> Result<u64> {
    let count: i64 =
        sqlx::query_scalar("-- count_unsealed_audit\nSELECT count(*) FROM audit WHERE sequence IS NULL")
            .fetch_one(db)
            .await
            .map_err(failed("count_unsealed_audit"))?;
    Ok(count as u64)
}

pub(crate) async fn unsealed(db: &mut PgConnection, limit: u32) -> Result<Vec<UnsealedAudit>> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "-- unsealed_audit
        SELECT id, at, actor, peer, call, subject, outcome, detail, request_id
        FROM audit WHERE sequence IS NULL ORDER BY id LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("unsealed_audit"))?;
    let unsealed = |row: EntryRow| UnsealedAudit { id: row.id, entry: row.entry() };
    Ok(rows.into_iter().map(unsealed).collect())
}

pub(crate) async fn seal(db: &mut PgConnection, seals: &[(i64, AuditSeal)]) -> Result<()> {
    let Some((_, head)) = seals.last() else {
        return Ok(());
    };
    let ids: Vec<i64> = seals.iter().map(|(id, _)| *id).collect();
    let sequences: Vec<i64> = seals.iter().map(|(_, seal)| seal.sequence).collect();
    let hashes: Vec<&[u8]> = seals.iter().map(|(_, seal)| seal.hash.as_slice()).collect();
    let sealed = sqlx::query(
        "-- seal_audit
        UPDATE audit SET sequence = s.sequence, hash = s.hash
        FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS s (id, sequence, hash)
        WHERE audit.id = s.id AND audit.sequence IS NULL",
    )
    .bind(ids)
    .bind(sequences)
    .bind(hashes)
    .execute(&mut *db)
    .await
    .map_err(failed_or_taken("seal_audit"))?;
    if sealed.rows_affected() != seals.len() as u64 {
        return Err(StoreError::Conflict { operation: "seal_audit" });
    }
    let moved = sqlx::query("-- move_audit_head\nUPDATE audit_head SET sequence = $1, hash = $2")
        .bind(head.sequence)
        .bind(head.hash.as_slice())
        .execute(db)
        .await
        .map_err(failed("move_audit_head"))?;
    expect_one("move_audit_head", &moved)
}
