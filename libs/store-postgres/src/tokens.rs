//! API tokens: hashes, never texts.

use jiff::Timestamp;
use sqlx::{FromRow, PgConnection, PgExecutor};
use store::{Columns, Result, StoreError, TokenRecord, TokenUse};

use crate::db::{failed, failed_or_taken, maybe_jiff, maybe_time, time};

#[derive(FromRow)]
struct TokenRow {
    name: String,
    hash: Vec<u8>,
    role: String,
    created_at: jiff_sqlx::Timestamp,
    expires_at: Option<jiff_sqlx::Timestamp>,
    last_used_at: Option<jiff_sqlx::Timestamp>,
    revoked_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self> {
        let columns = Columns { table: "tokens", id: &row.name };
        Ok(Self {
            hash: row.hash.as_slice().try_into().map_err(|_| columns.bad("hash"))?,
            role: columns.parse("role", &row.role)?,
            created_at: row.created_at.to_jiff(),
            expires_at: maybe_jiff(row.expires_at),
            last_used_at: maybe_jiff(row.last_used_at),
            revoked_at: maybe_jiff(row.revoked_at),
            name: row.name,
        })
    }
}

pub(crate) async fn by_hash(db: impl PgExecutor<'_>, hash: &[u8; 32]) -> Result<Option<TokenRecord>> {
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

pub(crate) async fn all(db: impl PgExecutor<'_>) -> Result<Vec<TokenRecord>> {
    let rows: Vec<TokenRow> = sqlx::query_as(
        "-- tokens
        SELECT name, hash, role, created_at, expires_at, last_used_at, revoked_at FROM tokens ORDER BY name",
    )
    .fetch_all(db)
    .await
    .map_err(failed("tokens"))?;
    rows.into_iter().map(TokenRecord::try_from).collect()
}

pub(crate) async fn insert(db: &mut PgConnection, token: &TokenRecord) -> Result<()> {
    sqlx::query(
        "-- insert_token
        INSERT INTO tokens (name, hash, role, created_at, expires_at, last_used_at, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&token.name)
    .bind(token.hash.as_slice())
    .bind(token.role.as_str())
    .bind(time(token.created_at))
    .bind(maybe_time(token.expires_at))
    .bind(maybe_time(token.last_used_at))
    .bind(maybe_time(token.revoked_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_token"))
}

pub(crate) async fn revoke(db: &mut PgConnection, name: &str, now: Timestamp) -> Result<bool> {
    sqlx::query("-- revoke_token\nUPDATE tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL")
        .bind(name)
        .bind(time(now))
        .execute(db)
        .await
        .map(|revoked| revoked.rows_affected() == 1)
        .map_err(failed("revoke_token"))
}

pub(crate) async fn touch(db: &mut PgConnection, uses: &[TokenUse]) -> Result<()> {
    for used in uses {
        sqlx::query(
            "-- touch_token
            UPDATE tokens SET last_used_at = greatest(last_used_at, $2) WHERE name = $1",
        )
        .bind(&used.name)
        .bind(time(used.at))
        .execute(&mut *db)
        .await
        .map_err(failed("touch_token"))?;
    }
    Ok(())
}
