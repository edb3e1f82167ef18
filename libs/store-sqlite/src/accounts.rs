//! Our accounts at CAs, with their sealed keys.

use domain::AccountId;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Account, Columns, Result, StoreError};

use crate::db::{expect_one, failed, failed_or_taken, micros, time};

#[derive(FromRow)]
struct AccountRow {
    id: String,
    issuer: String,
    directory_url: String,
    sealed_key: Vec<u8>,
    url: Option<String>,
    created_at: i64,
    pending_key: Option<Vec<u8>>,
}

impl TryFrom<AccountRow> for Account {
    type Error = StoreError;

    fn try_from(row: AccountRow) -> Result<Self> {
        let columns = Columns { table: "accounts", id: &row.id };
        Ok(Self {
            id: columns.parse("id", &row.id)?,
            created_at: time(&columns, "created_at", row.created_at)?,
            issuer: row.issuer,
            directory_url: row.directory_url,
            sealed_key: row.sealed_key,
            url: row.url,
            pending_key: row.pending_key,
        })
    }
}

pub(crate) async fn get(
    db: impl SqliteExecutor<'_>,
    issuer: &str,
    directory_url: &str,
) -> Result<Option<Account>> {
    let row: Option<AccountRow> = sqlx::query_as(
        "-- account
        SELECT id, issuer, directory_url, sealed_key, url, created_at, pending_key
        FROM accounts WHERE issuer = $1 AND directory_url = $2",
    )
    .bind(issuer)
    .bind(directory_url)
    .fetch_optional(db)
    .await
    .map_err(failed("account"))?;
    row.map(Account::try_from).transpose()
}

pub(crate) async fn all(db: impl SqliteExecutor<'_>) -> Result<Vec<Account>> {
    let rows: Vec<AccountRow> = sqlx::query_as(
        "-- accounts
        SELECT id, issuer, directory_url, sealed_key, url, created_at, pending_key
        FROM accounts ORDER BY issuer, directory_url",
    )
    .fetch_all(db)
    .await
    .map_err(failed("accounts"))?;
    rows.into_iter().map(Account::try_from).collect()
}

pub(crate) async fn url(
    db: impl SqliteExecutor<'_>,
    issuer: &str,
    directory_url: &str,
) -> Result<Option<String>> {
    let url: Option<Option<String>> = sqlx::query_scalar(
        "-- account_url\nSELECT url FROM accounts WHERE issuer = $1 AND directory_url = $2",
    )
    .bind(issuer)
    .bind(directory_url)
    .fetch_optional(db)
    .await
    .map_err(failed("account_url"))?;
    Ok(url.flatten())
}

pub(crate) async fn insert(db: &mut SqliteConnection, account: &Account) -> Result<()> {
    sqlx::query(
        "-- insert_account
        INSERT INTO accounts (id, issuer, directory_url, sealed_key, url, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(account.id.to_string())
    .bind(&account.issuer)
    .bind(&account.directory_url)
    .bind(&account.sealed_key)
    .bind(&account.url)
    .bind(micros(account.created_at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed_or_taken("insert_account"))
}

pub(crate) async fn set_url(db: &mut SqliteConnection, id: AccountId, url: &str) -> Result<()> {
    let set = sqlx::query(
        "-- set_account_url\nUPDATE accounts SET url = $2 WHERE id = $1 AND (url IS NULL OR url = $2)",
    )
    .bind(id.to_string())
    .bind(url)
    .execute(db)
    .await
    .map_err(failed("set_account_url"))?;
    expect_one("set_account_url", &set)
}

/// The key that it is to get, unless it is to get another one already.
pub(crate) async fn propose_key(db: &mut SqliteConnection, id: AccountId, sealed: &[u8]) -> Result<()> {
    let proposed = sqlx::query(
        "-- propose_account_key\nUPDATE accounts SET pending_key = $2 WHERE id = $1 AND pending_key IS NULL",
    )
    .bind(id.to_string())
    .bind(sealed)
    .execute(db)
    .await
    .map_err(failed("propose_account_key"))?;
    expect_one("propose_account_key", &proposed)
}

pub(crate) async fn adopt_key(db: &mut SqliteConnection, id: AccountId, pending: &[u8]) -> Result<()> {
    let adopted = sqlx::query(
        "-- adopt_account_key
        UPDATE accounts SET sealed_key = pending_key, pending_key = NULL WHERE id = $1 AND pending_key = $2",
    )
    .bind(id.to_string())
    .bind(pending)
    .execute(db)
    .await
    .map_err(failed("adopt_account_key"))?;
    expect_one("adopt_account_key", &adopted)
}

pub(crate) async fn replace_key(
    db: &mut SqliteConnection,
    id: AccountId,
    before: &[u8],
    sealed: &[u8],
) -> Result<()> {
    let replaced = sqlx::query(
        "-- replace_account_key
        UPDATE accounts SET sealed_key = $3, pending_key = NULL WHERE id = $1 AND sealed_key = $2",
    )
    .bind(id.to_string())
    .bind(before)
    .bind(sealed)
    .execute(db)
    .await
    .map_err(failed("replace_account_key"))?;
    expect_one("replace_account_key", &replaced)
}

pub(crate) async fn retire(db: &mut SqliteConnection, id: AccountId, from: &str, to: &str) -> Result<()> {
    let retired =
        sqlx::query("-- retire_account\nUPDATE accounts SET issuer = $3 WHERE id = $1 AND issuer = $2")
            .bind(id.to_string())
            .bind(from)
            .bind(to)
            .execute(db)
            .await
            .map_err(failed("retire_account"))?;
    expect_one("retire_account", &retired)
}

pub(crate) async fn live_orders(db: &mut SqliteConnection, id: AccountId) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "-- live_orders_of
        SELECT count(*) FROM orders WHERE account_id = $1 AND state IN ('created', 'placed', 'keyed')",
    )
    .bind(id.to_string())
    .fetch_one(db)
    .await
    .map_err(failed("live_orders_of"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
