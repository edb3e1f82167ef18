//! The ledger of CAs' limits: one time per bucket.

use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use store::Result;

use crate::db::{failed, maybe_jiff, time};

pub(crate) async fn get(db: impl PgExecutor<'_>, key: &str) -> Result<Option<Timestamp>> {
    let at: Option<jiff_sqlx::Timestamp> =
        sqlx::query_scalar("-- bucket\nSELECT at FROM buckets WHERE key = $1")
            .bind(key)
            .fetch_optional(db)
            .await
            .map_err(failed("bucket"))?;
    Ok(maybe_jiff(at))
}

/// A row that is not there cannot be locked, so it is written first. In the order of the keys, as everybody does it.
pub(crate) async fn lock(db: &mut PgConnection, keys: &[String]) -> Result<Vec<Timestamp>> {
    let mut times = Vec::with_capacity(keys.len());
    for key in keys {
        let at: jiff_sqlx::Timestamp = sqlx::query_scalar(
            "-- lock_bucket
            INSERT INTO buckets (key, at) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET at = buckets.at RETURNING at",
        )
        .bind(key)
        .bind(time(Timestamp::UNIX_EPOCH))
        .fetch_one(&mut *db)
        .await
        .map_err(failed("lock_bucket"))?;
        times.push(at.to_jiff());
    }
    Ok(times)
}

pub(crate) async fn set(db: &mut PgConnection, key: &str, at: Timestamp) -> Result<()> {
    sqlx::query(
        "-- set_bucket
        INSERT INTO buckets (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET at = excluded.at",
    )
    .bind(key)
    .bind(time(at))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("set_bucket"))
}
