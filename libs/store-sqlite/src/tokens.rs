//! API tokens: hashes, never texts.

use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Columns, Result, StoreError, TokenRecord, TokenUse};

use crate::db::{failed, failed_or_taken, maybe_micros, maybe_time, micros, time};

#[derive(FromRow)]
struct TokenRow {
    name: String,
    hash: Vec<u8>,
    role: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self> {
        let columns = Columns { table: "tokens", id: &row.name };
        Ok(Self {
            hash: row.hash.as_slice().try_into().map_err(|_| columns.bad("hash"))?,
            role: columns.parse("role", &row.role)?,
            created_at: time(&columns, "created_at", row.created_at)?,
            expires_at: maybe_time(&columns, "expires_at", row.expires_at)?,
            last_used_at: maybe_time(&columns, "last_used_at", row.last_used_at)?,
            revoked_at: maybe_time(&columns, "revoked_at", row.revoked_at)?,
            name: row.name,
        })
    }
}

pub(crate) async fn by_hash(db: impl SqliteExecutor<'_>, hash: &[u8; 32]) -> Result<Option<TokenRecord>> {
    let row: Option<TokenRow> = sqlx::query_as(
        "-- token
        SELECT name, hash, role, created_at, expires_at, last_used_at, revoked_at FROM tokens WHERE hash = $1",
    )
    .bind(hash.as_slice())
    .fetch_optional(db)
    .await
    .map_err(failed("token"))?;
    row.map(TokenRecord::try_from).transpose()
}

pub(crate) async fn all(db: impl SqliteExecutor<'_>) -> Result<Vec<TokenRecord>> {
    let rows: Vec<TokenRow> = sqlx::query_as(
        "-- tokens
        SELECT name, hash, role, created_at, expires_at, last_used_at, revoked_at FROM tokens ORDER BY name",
    )
    .fetch_all(db)
    .await
    .map_err(failed("tokens"))?;
    rows.into_iter().map(TokenRecord::try_from).collect()
}

pub(crate) async fn insert(db: &mut SqliteConnection, token: &TokenRecord) -> Result<()> {
    sqlx::query(
        "-- insert_token
        INSERT INTO tokens (name, hash, role, created_at, expires_at, last_used_at, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&token.name)
    .bind(token.hash.as_slice())
    .bind(token.role.as_str())
    .bind(micros(token.created_at))
    .bind(maybe_micros(token.expires_at))
    .bind(maybe_micros(token.last_used_at))
    .bind(maybe_micros(token.revoked_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_token"))
}

pub(crate) async fn revoke(db: &mut SqliteConnection, name: &str, now: Timestamp) -> Result<bool> {
    sqlx::query("-- revoke_token\nUPDATE tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL")
        .bind(name)
        .bind(micros(now))
        .execute(db)
        .await
        .map(|revoked| revoked.rows_affected() == 1)
        .map_err(failed("revoke_token"))
}

pub(crate) async fn touch(db: &mut SqliteConnection, uses: &[TokenUse]) -> Result<()> {
    for used in uses {
        sqlx::query(
            "-- touch_token
            UPDATE tokens SET last_used_at = max(coalesce(last_used_at, 0), $2) WHERE name = $1",
        )
        .bind(&used.name)
        .bind(micros(used.at))
        .execute(&mut *db)
        .await
        .map_err(failed("touch_token"))?;
    }
    Ok(())
}
