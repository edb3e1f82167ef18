//! The ledger of CAs' limits: one time per bucket.

use jiff::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};
use store::{Columns, Result};

use crate::db::{failed, maybe_time, micros};

pub(crate) async fn get(db: impl SqliteExecutor<'_>, key: &str) -> Result<Option<Timestamp>> {
    let at: Option<i64> = sqlx::query_scalar("-- bucket\nSELECT at FROM buckets WHERE key = $1")
        .bind(key)
        .fetch_optional(db)
        .await
        .map_err(failed("bucket"))?;
    let columns = Columns { table: "buckets", id: key };
    maybe_time(&columns, "at", at)
}

pub(crate) async fn lock(db: &mut SqliteConnection, keys: &[String]) -> Result<Vec<Timestamp>> {
    let mut times = Vec::with_capacity(keys.len());
    for key in keys {
        times.push(get(&mut *db, key).await?.unwrap_or(Timestamp::UNIX_EPOCH));
    }
    Ok(times)
}

pub(crate) async fn set(db: &mut SqliteConnection, key: &str, at: Timestamp) -> Result<()> {
    sqlx::query(
        "-- set_bucket
        INSERT INTO buckets (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET at = $2",
    )
    .bind(key)
    .bind(micros(at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("set_bucket"))
}
