//! The daily recheck's days, and how many domains C4 does not know.

use domain::DomainName;
use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::{PgConnection, PgExecutor};
use store::{Columns, Result};

use crate::db::{failed, time};
use crate::overview;

pub(crate) async fn is_complete(db: impl PgExecutor<'_>, day: Date) -> Result<bool> {
    sqlx::query_scalar("-- is_rechecked\nSELECT EXISTS (SELECT 1 FROM rechecked_days WHERE day = $1)")
        .bind(day.to_string())
        .fetch_one(db)
        .await
        .map_err(failed("is_rechecked"))
}

pub(crate) async fn take(
    db: &mut PgConnection,
    day: Date,
    created_before: Timestamp,
    limit: u32,
) -> Result<Vec<DomainName>> {
    let names: Vec<String> = sqlx::query_scalar(
        "-- take_recheck
        UPDATE domains SET rechecked_on = $1 WHERE name IN (
            SELECT name FROM domains
            WHERE deleted_at IS NULL AND source = 'c4' AND status IN ('Failure', 'Pending', 'Expired')
                AND rechecked_on < $1 AND created_at < $2
            ORDER BY name LIMIT $3 FOR NO KEY UPDATE)
        RETURNING name",
    )
    .bind(day.to_string())
    .bind(time(created_before))
    .bind(i64::from(limit))
    .fetch_all(&mut *db)
    .await
    .map_err(failed("take_recheck"))?;
    if !names.is_empty() {
        overview::add(db, "rechecked", day, names.len()).await?;
    }
    let parse = |id: &String| {
        let columns = Columns { table: "domains", id };
        columns.name(id)
    };
    names.iter().map(parse).collect()
}

pub(crate) async fn complete(db: &mut PgConnection, day: Date, now: Timestamp) -> Result<()> {
    sqlx::query(
        "-- set_rechecked
        INSERT INTO rechecked_days (day, completed_at) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING",
    )
    .bind(day.to_string())
    .bind(time(now))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("set_rechecked"))
}

pub(crate) async fn missing_and_live(db: &mut PgConnection, since: Timestamp) -> Result<(u64, u64)> {
    let missing: i64 = sqlx::query_scalar(
        "-- count_missing
        SELECT count(*) FROM domains
        WHERE missing_last_at >= $1 AND live_certificate_id IS NOT NULL AND deleted_at IS NULL",
    )
    .bind(time(since))
    .fetch_one(&mut *db)
    .await
    .map_err(failed("count_missing"))?;
    let live: i64 = sqlx::query_scalar(
        "-- count_live
        SELECT count(*) FROM (SELECT 1 FROM domains WHERE status = 'Success' AND deleted_at IS NULL LIMIT $1) AS l",
    )
    .bind(100 * (missing + 1) + 1)
    .fetch_one(db)
    .await
    .map_err(failed("count_live"))?;
    Ok((missing as u64, live as u64))
}

pub(crate) async fn discount_missing(db: &mut PgConnection, since: Timestamp) -> Result<()> {
    sqlx::query(
        "-- discount_missing
        UPDATE domains SET missing_answers = 0 WHERE name IN (
            SELECT name FROM domains
            WHERE missing_last_at >= $1 AND missing_answers > 0 AND live_certificate_id IS NOT NULL
            FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(time(since))
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("discount_missing"))
}
