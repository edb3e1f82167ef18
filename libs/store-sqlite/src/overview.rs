//! What the overview counts. Reasons and ends are tallied by triggers, see the migration.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};
use store::{Columns, Counted, MOST_OVERDUE, Overview, Result};

use crate::db::{failed, maybe_time, micros};

pub(crate) async fn read(db: &SqlitePool, overdue_since: Timestamp, now: Timestamp) -> Result<Overview> {
    let tallies = sqlx::query_as(
        "-- tallies\nSELECT what, key, amount FROM tallies WHERE what <> 'domains' ORDER BY what, key",
    )
    .fetch_all(db)
    .await
    .map_err(failed("tallies"))?;
    let (overdue, oldest_due_at): (i64, Option<i64>) = sqlx::query_as(
        "-- overdue_work
        SELECT count(DISTINCT name), min(due_at) FROM (
            SELECT name, due_at FROM work
            WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until <= $2) ORDER BY due_at LIMIT $3)",
    )
    .bind(micros(overdue_since))
    .bind(micros(now))
    .bind(MOST_OVERDUE)
    .fetch_one(db)
    .await
    .map_err(failed("overdue_work"))?;
    let columns = Columns { table: "work", id: "overdue" };
    Ok(Overview {
        overdue: overdue as u64,
        oldest_due_at: maybe_time(&columns, "due_at", oldest_due_at)?,
        last_complete: last_complete(db).await?,
        rechecks_waiting: rechecks_waiting(db).await?,
        ..Overview::from_tallies(tallies)?
    })
}

async fn last_complete(db: impl SqliteExecutor<'_>) -> Result<Option<Date>> {
    let day: Option<String> = sqlx::query_scalar("-- last_rechecked\nSELECT max(day) FROM rechecked_days")
        .fetch_one(db)
        .await
        .map_err(failed("last_rechecked"))?;
    let Some(day) = day else { return Ok(None) };
    let columns = Columns { table: "rechecked_days", id: &day };
    day.parse().map(Some).map_err(|_| columns.bad("day"))
}

async fn rechecks_waiting(db: impl SqliteExecutor<'_>) -> Result<u64> {
    let waiting: i64 =
        sqlx::query_scalar("-- rechecks_waiting\nSELECT count(due_at) FROM work WHERE cause = 'midnight'")
            .fetch_one(db)
            .await
            .map_err(failed("rechecks_waiting"))?;
    Ok(waiting as u64)
}

pub(crate) async fn count(db: &mut SqliteConnection, counted: Counted, now: Timestamp) -> Result<()> {
    let day = now.to_zoned(TimeZone::UTC).date();
    add(db, counted.as_str(), day, 1).await
}

/// Raises what is counted per day.
pub(crate) async fn add(
    db: &mut SqliteConnection,
    what: &'static str,
    day: Date,
    amount: usize,
) -> Result<()> {
    sqlx::query(
        "-- tally
        INSERT INTO tallies (what, key, amount) VALUES ($1, $2, $3)
        ON CONFLICT (what, key) DO UPDATE SET amount = amount + excluded.amount",
    )
    .bind(what)
    .bind(day.to_string())
    .bind(amount as i64)
    .execute(db)
    .await
    .map(drop)
    .map_err(failed("tally"))
}
