//! The audit log: appended to, sealed, never changed.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{AuditEntry, AuditSeal, Columns, Result, UnsealedAudit};

use crate::db::{expect_one, failed, failed_or_taken, micros, time};

#[derive(FromRow)]
struct EntryRow {
    id: i64,
    at: i64,
    actor: String,
    peer: String,
    call: String,
    subject: String,
    outcome: String,
    detail: String,
    request_id: String,
}

impl EntryRow {
    fn entry(self) -> Result<AuditEntry> {
        let id = self.id.to_string();
        let columns = Columns { table: "audit", id: &id };
        Ok(AuditEntry {
            at: time(&columns, "at", self.at)?,
            actor: self.actor,
            peer: self.peer,
            call: self.call,
            subject: self.subject,
            outcome: self.outcome,
            detail: self.detail,
            request_id: self.request_id,
        })
    }
}

#[derive(FromRow)]
struct SealRow {
    sequence: i64,
    hash: Vec<u8>,
}

impl TryFrom<SealRow> for AuditSeal {
    type Error = store::StoreError;

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

pub(crate) async fn append(db: &mut SqliteConnection, entry: &AuditEntry) -> Result<()> {
    sqlx::query(
        "-- append_audit
        INSERT INTO audit (at, actor, peer, call, subject, outcome, detail, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(micros(entry.at))
    .bind(&entry.actor)
    .bind(&entry.peer)
    .bind(&entry.call)
    .bind(&entry.subject)
    .bind(&entry.outcome)
    .bind(&entry.detail)
    .bind(&entry.request_id)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("append_audit"))
}

pub(crate) async fn newest(
    db: impl SqliteExecutor<'_>,
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
    rows.into_iter().map(EntryRow::entry).collect()
}

pub(crate) async fn sealed(
    db: impl SqliteExecutor<'_>,
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
    let pair = |row: SealedRow| Ok((row.seal.try_into()?, row.entry.entry()?));
    rows.into_iter().map(pair).collect()
}

pub(crate) async fn head(db: impl SqliteExecutor<'_>) -> Result<AuditSeal> {
    let row: SealRow = sqlx::query_as("-- audit_head\nSELECT sequence, hash FROM audit_head")
        .fetch_one(db)
        .await
        .map_err(failed("audit_head"))?;
    row.try_into()
}

pub(crate) async fn count_unsealed(db: impl SqliteExecutor<'_>) -> Result<u64> {
    let count: i64 =
        sqlx::query_scalar("-- count_unsealed_audit\nSELECT count(*) FROM audit WHERE sequence IS NULL")
            .fetch_one(db)
            .await
            .map_err(failed("count_unsealed_audit"))?;
    Ok(count as u64)
}

pub(crate) async fn unsealed(db: &mut SqliteConnection, limit: u32) -> Result<Vec<UnsealedAudit>> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "-- unsealed_audit
        SELECT id, at, actor, peer, call, subject, outcome, detail, request_id
        FROM audit WHERE sequence IS NULL ORDER BY id LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(failed("unsealed_audit"))?;
    let unsealed = |row: EntryRow| Ok(UnsealedAudit { id: row.id, entry: row.entry()? });
    rows.into_iter().map(unsealed).collect()
}

pub(crate) async fn seal(db: &mut SqliteConnection, seals: &[(i64, AuditSeal)]) -> Result<()> {
    let Some((_, head)) = seals.last() else {
        return Ok(());
    };
    for (id, seal) in seals {
        let sealed = sqlx::query(
            "-- seal_audit
            UPDATE audit SET sequence = $2, hash = $3 WHERE id = $1 AND sequence IS NULL",
        )
        .bind(id)
        .bind(seal.sequence)
        .bind(seal.hash.as_slice())
        .execute(&mut *db)
        .await
        .map_err(failed_or_taken("seal_audit"))?;
        expect_one("seal_audit", &sealed)?;
    }
    let moved = sqlx::query("-- move_audit_head\nUPDATE audit_head SET sequence = $1, hash = $2")
        .bind(head.sequence)
        .bind(head.hash.as_slice())
        .execute(db)
        .await
        .map_err(failed("move_audit_head"))?;
    expect_one("move_audit_head", &moved)
}
