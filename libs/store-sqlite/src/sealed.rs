//! Every sealed key, wherever it is, for the rotation of sealing keys.

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use store::{Result, SealedKey, SealedPlace};

use crate::db::failed;

/// Before every id.
const FIRST: &str = "00000000-0000-0000-0000-000000000000";

#[derive(FromRow)]
struct SealedRow {
    id: String,
    sealed_to: String,
    sealed_key: Vec<u8>,
}

pub(crate) async fn page(
    db: impl SqliteExecutor<'_>,
    place: SealedPlace,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<SealedKey>> {
    let statement = match place {
        SealedPlace::PendingAccounts => {
            "-- sealed_pending_accounts
            SELECT id AS id, id AS sealed_to, pending_key AS sealed_key FROM accounts
            WHERE id > $1 AND pending_key IS NOT NULL ORDER BY accounts.id LIMIT $2"
        }
        SealedPlace::Accounts => {
            "-- sealed_accounts
            SELECT id AS id, id AS sealed_to, sealed_key FROM accounts
            WHERE id > $1 ORDER BY accounts.id LIMIT $2"
        }
        SealedPlace::Orders => {
            "-- sealed_orders
            SELECT id AS id, certificate_id AS sealed_to, sealed_key FROM orders
            WHERE id > $1 AND sealed_key IS NOT NULL ORDER BY orders.id LIMIT $2"
        }
        SealedPlace::Certificates => {
            "-- sealed_certificates
            SELECT id AS id, id AS sealed_to, sealed_key FROM certificates
            WHERE id > $1 AND sealed_key IS NOT NULL ORDER BY certificates.id LIMIT $2"
        }
    };
    let rows: Vec<SealedRow> = sqlx::query_as(statement)
        .bind(after.unwrap_or(FIRST))
        .bind(i64::from(limit))
        .fetch_all(db)
        .await
        .map_err(failed("sealed_keys"))?;
    let key =
        |row: SealedRow| SealedKey { place, id: row.id, sealed_to: row.sealed_to, sealed: row.sealed_key };
    Ok(rows.into_iter().map(key).collect())
}

pub(crate) async fn replace(db: &mut SqliteConnection, key: &SealedKey, anew: &[u8]) -> Result<bool> {
    let statement = match key.place {
        SealedPlace::PendingAccounts => {
            "-- replace_sealed_pending_account
            UPDATE accounts SET pending_key = $3 WHERE id = $1 AND pending_key = $2"
        }
        SealedPlace::Accounts => {
            "-- replace_sealed_account
            UPDATE accounts SET sealed_key = $3 WHERE id = $1 AND sealed_key = $2"
        }
        SealedPlace::Orders => {
            "-- replace_sealed_order
            UPDATE orders SET sealed_key = $3 WHERE id = $1 AND sealed_key = $2"
        }
        SealedPlace::Certificates => {
            "-- replace_sealed_certificate
            UPDATE certificates SET sealed_key = $3 WHERE id = $1 AND sealed_key = $2"
        }
    };
    let replaced = sqlx::query(statement)
        .bind(&key.id)
        .bind(&key.sealed)
        .bind(anew)
        .execute(db)
        .await
        .map_err(failed("replace_sealed"))?;
    Ok(replaced.rows_affected() == 1)
}
